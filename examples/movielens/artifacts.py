"""What training leaves for the example: the ONNX model, held-out requests, the catalogue, some users."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from features import FILM_DENSE, LIKED, USER_DENSE, Film, Rows, State, auc
from model import Ranker

INPUTS = ["dense", "user", "item", "year", "genres", "history"]
REQUESTS = 600
REQUESTS_PER_USER = 15
GENEROUS = 0.7  # who likes more than this share of the films tells little about a taste
SHOWN_GENRES = ["Horror", "Animation", "Sci-Fi", "War"]  # one user with a marked taste for each


def write(out: Path, model: Ranker, test: Rows, to_inputs, state: State, films: list[Film], genre_names: list[str],
          cut: int, results: dict) -> None:
    """Writes everything under `out`. `state` is what was known at `cut`, the start of the test."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "model.onnx"
    export(path, model, tuple(column[:4] for column in to_inputs(test)))
    difference = compare(path, model, to_inputs(test))
    print(f"\nmodel.onnx: {path.stat().st_size / 1e6:.2f} MB, ONNX Runtime - PyTorch on the test rows: {difference:.1e}")

    held_out = choose_requests(test)
    inputs = to_inputs(held_out)
    labels = (held_out.rating >= LIKED).astype(int)
    with (out / "requests.jsonl").open("w") as file:
        for row in range(len(labels)):
            request = {name: plain(column[row].numpy()) for name, column in zip(INPUTS, inputs)}
            file.write(json.dumps({**request, "label": int(labels[row])}, separators=(",", ":")) + "\n")

    with torch.no_grad():
        held_out_auc = auc(labels, model(*(torch.from_numpy(rounded(c.numpy())) for c in inputs)).numpy())
    print(f"requests.jsonl: {len(labels)} rows of {np.unique(held_out.user).size} users, AUC {held_out_auc:.4f}")
    training = {
        "positive": f"rating >= {LIKED:g}", "testFrom": cut, "auc": results,
        "requests": {"rows": len(labels), "users": int(np.unique(held_out.user).size), "auc": round(held_out_auc, 6)},
    }
    (out / "training.json").write_text(json.dumps(training, indent=2) + "\n")
    write_catalog(out / "catalog.json", films, genre_names, state, cut)
    write_users(out / "users.json", films, genre_names, state)


def export(path: Path, model: Ranker, example: tuple[torch.Tensor, ...]) -> None:
    batch = torch.export.Dim("batch")
    model.eval()
    torch.onnx.export(
        model, example, str(path), input_names=INPUTS, output_names=["score"], opset_version=18, dynamo=True,
        dynamic_shapes=tuple({0: batch} for _ in INPUTS), external_data=False, verbose=False,
    )
    proto = onnx.load(str(path))
    for node in proto.graph.node:  # the exporter notes file names and lines of the machine it ran on
        node.doc_string = ""
        del node.metadata_props[:]
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        del value.metadata_props[:]
    del proto.metadata_props[:], proto.graph.metadata_props[:]
    onnx.checker.check_model(proto, full_check=True)
    onnx.save(proto, str(path))


def compare(path: Path, model: Ranker, inputs: tuple[torch.Tensor, ...]) -> float:
    """The largest difference between the two on the given rows; stops if they do not agree."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (scores,) = session.run(["score"], {name: column.numpy() for name, column in zip(INPUTS, inputs)})
    with torch.no_grad():
        difference = float(np.abs(scores - model(*inputs).numpy()).max())
    if difference > 1e-5:
        raise SystemExit(f"the exported model differs from the trained one by {difference:.1e}")
    return difference


def choose_requests(test: Rows) -> Rows:
    """Random rows of the test, few from each user so that many users are in it; in the order of time."""
    random = np.random.default_rng(11)
    taken, per_user = [], {}
    for row in random.permutation(len(test.user)):
        user = test.user[row]
        if per_user.get(user, 0) < REQUESTS_PER_USER and len(taken) < REQUESTS:
            per_user[user] = per_user.get(user, 0) + 1
            taken.append(row)
    return test.take(np.sort(taken))


def rounded(values: np.ndarray) -> np.ndarray:
    return values if values.dtype.kind == "i" else np.round(values.astype(np.float64), 4).astype(np.float32)


def plain(value: np.ndarray):
    if value.dtype.kind == "i":
        return value.tolist()
    return [round(float(v), 4) for v in value]


def write_catalog(path: Path, films: list[Film], genre_names: list[str], state: State, cut: int) -> None:
    """One film a line; a film's item id is its place from 1."""
    def line(item: int, film: Film) -> str:
        dense = plain(np.array(state.film_dense(item, cut)))
        return json.dumps([item, film.title, film.year, film.genres, dense], ensure_ascii=False, separators=(",", ":"))

    head = {"genres": genre_names, "dense": FILM_DENSE, "columns": ["item", "title", "year", "genres", "dense"]}
    lines = ",\n".join(line(place + 1, film) for place, film in enumerate(films))
    path.write_text(json.dumps(head)[:-1] + ',\n"films": [\n' + lines + "\n]}\n", encoding="utf-8")


def write_users(path: Path, films: list[Film], genre_names: list[str], state: State) -> None:
    """For each shown genre the user, not yet taken, whose likes lean most towards it."""
    users, taken = [], set()
    for name in SHOWN_GENRES:
        genre = genre_names.index(name) + 1

        def lean(user: int) -> float:
            liked = list(state.liked[user])
            return sum(genre in films[item - 1].genres for item in liked) / len(liked)

        fit = [u for u in sorted(state.rated) if u not in taken and 80 <= len(state.rated[u]) <= 250
               and len(state.liked[u]) >= 30 and state.by_user[u].liked / state.by_user[u].count < GENEROUS]
        user = max(fit, key=lean)
        taken.add(user)
        users.append({
            "user": user, "likes": name, "dense": plain(np.array(state.user_dense(user))),
            "history": state.history(user), "rated": sorted(state.rated[user]),
        })
    head = json.dumps({"dense": USER_DENSE + [f"taste: {name}" for name in genre_names]})[:-1]
    lines = ",\n".join(json.dumps(user, separators=(",", ":")) for user in users)
    path.write_text(head + ',\n"users": [\n' + lines + "\n]}\n")

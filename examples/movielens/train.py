"""Trains the example's ranker on MovieLens ratings and writes what the example runs on.

    python train.py --data PATH/TO/ml-latest-small

The question to the model: will this user give this film 4 stars or more? Time splits the ratings: the
first 80 % train, the next 10 % decide when to stop, the last 10 % are the test.
Needs Python 3.11, torch, onnx, onnxscript, onnxruntime and numpy.
"""

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from torch import nn

import artifacts
from features import FILM_DENSE, LIKED, USER_DENSE, Rows, auc, build_rows, film_columns, read_films, read_ratings
from model import Ranker

SEED = 7
BATCH = 512
EPOCHS = 30
PATIENCE = 4
LEARNING_RATE = 3e-3
TABLE_DECAY = 10.0  # most films have few ratings: without a strong pull to zero the tables learn them by heart
UNKNOWN_USER_SHARE = 0.7  # of the training rows; most users to come are new to the model


class Inputs:
    """Turns rows into the model's inputs, in the order of its arguments."""

    def __init__(self, films):
        self.year, self.genres = (torch.from_numpy(column) for column in film_columns(films))

    def __call__(self, rows: Rows) -> tuple[torch.Tensor, ...]:
        item = torch.from_numpy(rows.item)
        dense, user, history = (torch.from_numpy(a) for a in (rows.dense, rows.user, rows.history))
        return dense, user, item, self.year[item], self.genres[item], history


def labels_of(rows: Rows) -> np.ndarray:
    return (rows.rating >= LIKED).astype(np.float32)


@torch.no_grad()
def predict(model: Ranker, inputs: tuple[torch.Tensor, ...]) -> np.ndarray:
    model.eval()
    return model(*inputs).numpy()


def mean_auc_of_users(rows: Rows, scores: np.ndarray, least: int = 20) -> float:
    """The mean of the AUCs within each user who has at least `least` rows and both labels."""
    labels, values = labels_of(rows), []
    for user in np.unique(rows.user):
        own = rows.user == user
        if own.sum() >= least and 0 < labels[own].sum() < own.sum():
            values.append(auc(labels[own], scores[own]))
    return float(np.mean(values))


def train(model: Ranker, inputs, labels: torch.Tensor, valid: Rows, valid_inputs) -> int:
    """Leaves the weights of the best epoch on `valid` in the model; returns that epoch."""
    tables = [table.weight for table in (model.user, model.item, model.year, model.genre)]
    others = [p for p in model.parameters() if all(p is not table for table in tables)]
    groups = [{"params": tables, "weight_decay": TABLE_DECAY}, {"params": others, "weight_decay": 1e-5}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE)
    loss_of = nn.BCEWithLogitsLoss()
    best, best_auc, best_epoch = None, 0.0, 0
    for epoch in range(1, EPOCHS + 1):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(labels)).split(BATCH):
            dense, user, item, year, genres, history = (column[rows] for column in inputs)
            user = torch.where(torch.rand(len(rows)) < UNKNOWN_USER_SHARE, 0, user)
            loss = loss_of(model.logit(dense, user, item, year, genres, history), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows)
        valid_auc = auc(labels_of(valid), predict(model, valid_inputs))
        print(f"epoch {epoch:2}  train loss {total / len(labels):.4f}  valid AUC {valid_auc:.4f}", flush=True)
        if valid_auc > best_auc:
            best, best_auc, best_epoch = copy.deepcopy(model.state_dict()), valid_auc, epoch
        elif epoch - best_epoch >= PATIENCE:
            break
    model.load_state_dict(best)
    return best_epoch


def forget_unseen(model: Ranker, rows: Rows) -> None:
    """Users and films that training never met get a zero row instead of their random start."""
    with torch.no_grad():
        seen_items = np.union1d(rows.item, rows.history)
        for table, seen in ((model.user, np.append(rows.user, 0)), (model.item, seen_items)):
            unseen = np.setdiff1d(np.arange(table.num_embeddings), seen)
            table.weight[torch.from_numpy(unseen)] = 0


def baselines(rows: Rows) -> dict[str, np.ndarray]:
    column = {name: rows.dense[:, place] for place, name in enumerate(USER_DENSE)}
    column |= {name: rows.dense[:, place - len(FILM_DENSE)] for place, name in enumerate(FILM_DENSE)}
    return {
        "film popularity": column["film log count"],
        "film mean so far": column["film mean"],
        "user mean + film mean": column["user mean"] + column["film mean"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder with movies.csv and ratings.csv")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where to write (default: here)")
    options = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(2)

    films, genre_names = read_films(options.data)
    ratings = read_ratings(options.data, films)
    times = np.array([rating[0] for rating in ratings])
    valid_from, test_from = (int(t) for t in np.quantile(times, [0.8, 0.9]))
    rows, state = build_rows(ratings, films, test_from)
    parts = {
        "train": rows.take(rows.time < valid_from),
        "valid": rows.take((rows.time >= valid_from) & (rows.time < test_from)),
        "test": rows.take(rows.time >= test_from),
    }
    to_inputs = Inputs(films)
    inputs = {name: to_inputs(part) for name, part in parts.items()}
    for name, part in parts.items():
        new = np.setdiff1d(part.user, parts["train"].user).size
        print(f"{name:5}  {len(part.time):6} ratings  {np.unique(part.user).size:3} users, {new} of them new")

    year, genres = film_columns(films)
    model = Ranker(
        dense=rows.dense.shape[1], users=int(rows.user.max()) + 1, items=len(films) + 1,
        years=int(year.max()) + 1, genres=len(genre_names) + 1,
    )
    labels = torch.from_numpy(labels_of(parts["train"]))
    epoch = train(model, inputs["train"], labels, parts["valid"], inputs["valid"])
    forget_unseen(model, parts["train"])
    print(f"kept epoch {epoch}\n\n{'AUC':24} {'train':>7} {'valid':>7} {'test':>7}   test, mean of users")

    results = {}
    candidates = {name: baselines(part) for name, part in parts.items()}
    for name in parts:
        candidates[name]["model"] = predict(model, inputs[name])
    for method in candidates["test"]:
        line = {name: auc(labels_of(part), candidates[name][method]) for name, part in parts.items()}
        line["test, mean of users"] = mean_auc_of_users(parts["test"], candidates["test"][method])
        results[method] = {name: round(value, 4) for name, value in line.items()}
        print(f"{method:24} " + " ".join(f"{line[name]:7.4f}" for name in parts), f"  {line['test, mean of users']:.4f}")

    artifacts.write(options.out, model, parts["test"], to_inputs, state, films, genre_names, test_from, results)


if __name__ == "__main__":
    main()

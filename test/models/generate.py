"""Exports the fixture models and writes manifest.json. See README.md."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import pathlib
import sys
import traceback
import warnings

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime as ort  # noqa: E402
import torch  # noqa: E402

from zoo import Fixture, make_inputs, seeded_module  # noqa: E402

FAMILIES = (
    "dlrm", "bags", "pooling", "ctr", "crosses", "sequence", "towers", "computed", "tables", "positions", "odd", "layouts", "handmade",
)
EXPORT_BATCH = 5
WITH_NOTES = ("dlrm-columns", "bag-sum-offsets", "pool-masked-mean-clamp")
MANIFEST = HERE / "manifest.json"


def tensors(feeds):
    return tuple(torch.from_numpy(v.copy()) for v in feeds.values())


def symbol(dim):
    """The name of a free axis in the exported graph."""
    return "batch_plus_1" if dim == "batch+1" else dim


def axes_of(fixture: Fixture):
    if fixture.batch is not None:
        return None
    return {
        i.name: {k: symbol(d) for k, d in enumerate(i.shape) if isinstance(d, str)} for i in fixture.inputs
    }


def export(fixture: Fixture, exporter: str, module, path: pathlib.Path):
    batch = fixture.batch or EXPORT_BATCH
    args = tensors(make_inputs(fixture, batch, seed=1))
    axes = axes_of(fixture)
    common = dict(
        input_names=[i.name for i in fixture.inputs],
        output_names=fixture.outputs,
        opset_version=fixture.opset,
        verbose=False,
    )
    if exporter == "dynamo":
        if axes is not None:
            shared = {n: torch.export.Dim(n) for a in axes.values() for n in a.values()}
            common["dynamic_shapes"] = tuple({k: shared[n] for k, n in a.items()} for a in axes.values())
        common.update(dynamo=True, external_data=fixture.external)
    else:
        if axes is not None:
            common["dynamic_axes"] = {**axes, **{o: {0: "batch"} for o in fixture.outputs}}
        common.update(dynamo=False)
    common.update(fixture.options.get(exporter, {}))
    torch.onnx.export(module, args, str(path), **common)


def clean(path: pathlib.Path, external: bool, keep_notes: bool):
    """Drops what names the exporting machine (stack traces) and, to save space, most of the exporter's notes."""
    model = onnx.load(str(path), load_external_data=False)
    graphs = [model.graph, *model.functions]
    while graphs:
        graph = graphs.pop()
        for node in graph.node:
            node.doc_string = ""
            kept = [p for p in node.metadata_props if keep_notes and "stack_trace" not in p.key]
            del node.metadata_props[:]
            node.metadata_props.extend(kept)
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    graphs.append(attribute.g)
    if external and not any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
        onnx.save(model, str(path), save_as_external_data=True, all_tensors_to_one_file=True,
                  location=path.name + ".data", size_threshold=256)
    else:
        onnx.save(model, str(path))
    raw = path.read_bytes()
    for word in (str(HERE).encode(), sys.prefix.encode(), b".py\""):
        if word in raw:
            raise RuntimeError(f"{path.name} names a path of this machine")


def session(path):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def check(fixture: Fixture, reference, path: pathlib.Path):
    """onnxruntime against the reference, at several batch sizes unless the batch is fixed."""
    runner = session(path)
    known = {i.name for i in runner.get_inputs()}
    missing = [i.name for i in fixture.inputs if i.name not in known]
    if missing:
        raise RuntimeError(f"inputs lost in the export: {missing}")
    runs = [(fixture.batch, {})] if fixture.batch else [(3, {}), (8, {}), (1, {})]
    if fixture.symbols and not fixture.batch:
        runs.append((4, {k: v + 3 for k, v in fixture.symbols.items()}))
    for batch, symbols in runs:
        feeds = make_inputs(fixture, batch, seed=7 + batch, symbols=symbols)
        want = reference(feeds)
        got = runner.run(fixture.outputs, feeds)
        for w, g in zip(want, got, strict=True):
            np.testing.assert_allclose(g, w, rtol=fixture.tolerance, atol=fixture.tolerance, err_msg=f"batch {batch}")
            if not np.isfinite(w).all() or np.ptp(w) == 0 and w.size > 1:
                raise RuntimeError(f"degenerate output at batch {batch}")


def torch_reference(module):
    def run(feeds):
        with torch.no_grad():
            out = module(*tensors(feeds))
        return [t.numpy() for t in (out if isinstance(out, (tuple, list)) else [out])]

    return run


def entry(fixture: Fixture, exporter: str, path: pathlib.Path):
    model = onnx.load(str(path), load_external_data=False)
    out = {
        "name": path.stem,
        "file": path.name,
        "exporter": exporter,
        "opset": next(o.version for o in model.opset_import if o.domain == ""),
        "family": fixture.family,
        "batch": fixture.batch,
        "inputs": [vars(i) for i in fixture.inputs],
        "symbols": fixture.symbols,
        "outputs": fixture.outputs,
        "expect": fixture.expect,
    }
    if fixture.external:
        out["data"] = sorted(p.name for p in HERE.glob(path.name + ".data"))
    if fixture.note:
        out["note"] = fixture.note
    return out


def produce(fixture: Fixture, exporter: str):
    path = HERE / f"{fixture.name}.{exporter}.onnx"
    if exporter == "handmade":
        model, reference = fixture.build()
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
    else:
        module = seeded_module(fixture)
        export(fixture, exporter, module, path)
        clean(path, fixture.external, fixture.name in WITH_NOTES)
        reference = torch_reference(module)
    check(fixture, reference, path)
    return entry(fixture, exporter, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="names (or parts of names) with commas between; others are kept")
    parser.add_argument("--family", default=",".join(FAMILIES), help="modules of families/")
    parser.add_argument("--missing", action="store_true", help="only what manifest.json lacks")
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    entries = {e["name"]: e for e in json.loads(MANIFEST.read_text())} if MANIFEST.exists() else {}
    work = [
        (family, fixture, exporter, f"{fixture.name}.{exporter}")
        for family in FAMILIES
        for fixture in importlib.import_module(f"families.{family}").fixtures()
        for exporter in fixture.exporters
    ]
    order = [name for *_, name in work]
    if len(set(order)) != len(order):
        raise SystemExit("two fixtures have one name")
    failed = []
    for family, fixture, exporter, name in work:
        wanted = family in args.family.split(",") and any(w in name for w in args.only.split(","))
        if not wanted or (args.missing and name in entries):
            if name in entries:
                entries[name] = entry(fixture, exporter, HERE / f"{name}.onnx")
            continue
        try:
            entries[name] = produce(fixture, exporter)
            print(f"ok      {name} {(HERE / f'{name}.onnx').stat().st_size}", flush=True)
        except Exception as error:  # every fixture is tried; the summary at the end fails the run
            entries.pop(name, None)
            for leftover in HERE.glob(f"{name}.onnx*"):
                leftover.unlink()
            failed.append(name)
            print(f"FAILED  {name}: {type(error).__name__}: {str(error)[:1500]}", flush=True)
            if args.only:
                traceback.print_exc()
        lines = (json.dumps(entries[n]) for n in order if n in entries)
        MANIFEST.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    for stray in HERE.glob("*.onnx"):
        if stray.stem not in entries:
            print(f"stray file {stray.name}")
    print(f"{len(order)} fixtures, {len(failed)} failed: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

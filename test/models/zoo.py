"""What a fixture is: a PyTorch module (or a hand-built graph), its inputs, and what an importer should find."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any, Callable

import numpy as np
import torch
from torch import nn

BOTH = ("dynamo", "torchscript")


@dataclass
class Input:
    name: str
    dtype: str
    shape: list  # ints or symbolic names
    generator: dict


@dataclass
class Fixture:
    name: str
    family: str
    build: Callable[[], Any]  # an nn.Module; for handmade fixtures (ModelProto, reference function)
    inputs: list[Input]
    expect: dict
    outputs: list[str] = field(default_factory=lambda: ["score"])
    exporters: tuple = BOTH
    opset: int = 18
    batch: int | None = None  # a number: exported with that batch and no dynamic axis
    symbols: dict = field(default_factory=dict)  # free dimensions other than the batch -> size to try
    options: dict = field(default_factory=dict)  # more arguments for torch.onnx.export
    external: bool = False
    tolerance: float = 1e-5
    note: str = ""


def ids(name, high, shape=("batch",), low=0, dtype="int64"):
    """Ids in [low, high); `high` may be a list, one bound per column."""
    return Input(name, dtype, list(shape), {"kind": "ids", "low": low, "high": high})


def columns(name, highs, dtype="int64"):
    """A [batch, T] matrix, one id per field."""
    return ids(name, list(highs), ("batch", len(highs)), dtype=dtype)


def padded(name, high, shape=("batch", 6), pad=0, low=None, dtype="int64", empty=True):
    """Ids with a padded tail; the second row is all padding unless `empty` is False."""
    low = (1 if pad == 0 else 0) if low is None else low
    return Input(name, dtype, list(shape), {"kind": "padded-ids", "low": low, "high": high, "pad": pad, "empty": empty})


def offsets(name, of, last=False, dtype="int64"):
    """Starts of the bags in `of`; with `last` one more entry, the total."""
    return Input(name, dtype, ["batch+1" if last else "batch"], {"kind": "offsets", "of": of})


def bag_lengths(name, of, rows=0, dtype="int64"):
    """How many ids of `of` each bag has; with `rows` the same in each row of a stack."""
    return Input(name, dtype, [rows, "batch"] if rows else ["batch"], {"kind": "bag-lengths", "of": of})


def normal(name, *shape):
    return Input(name, "float32", list(shape), {"kind": "normal"})


def dense(name="dense", width=4):
    return normal(name, "batch", width)


def uniform(name, *shape):
    return Input(name, "float32", list(shape), {"kind": "uniform"})


def mask(name, shape, of="lengths", dtype="float32"):
    """1 where `of` is not padding; with 'lengths' a random prefix of ones."""
    return Input(name, dtype, list(shape), {"kind": "mask", "ids": of})


def expect(tables, pooled=(), unpooled=0, dense_tables=(), **more):
    return {
        "tables": tables,
        "pooled": list(pooled),
        "unpooled": unpooled,
        "dense_tables": list(dense_tables),
        **more,
    }


def pool(rows, dim, pooling="sum", **more):
    return {"rows": rows, "dim": dim, "pooling": pooling, **more}


def stays(rows, dim, reason):
    return {"rows": rows, "dim": dim, "reason": reason}


def seeded_module(fixture: Fixture) -> nn.Module:
    """Builds the module with weights that depend on the fixture's name alone; none is zero."""
    torch.manual_seed(zlib.crc32(fixture.name.encode()))
    module = fixture.build().eval()
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, (nn.Embedding, nn.EmbeddingBag)):
                part.weight.copy_(torch.randn(part.weight.shape).to(part.weight.dtype) * 0.5)
            if isinstance(part, nn.BatchNorm1d):
                part.running_mean.normal_(0, 0.3)
                part.running_var.uniform_(0.5, 1.5)
            if isinstance(part, (nn.BatchNorm1d, nn.LayerNorm)):
                part.weight.uniform_(0.5, 1.5)
                part.bias.normal_(0, 0.3)
            if isinstance(part, (nn.MultiheadAttention,)):
                part.in_proj_bias.normal_(0, 0.3)
                part.out_proj.bias.normal_(0, 0.3)
        for parameter in module.parameters():
            if not bool(parameter.abs().sum() > 0):
                parameter.normal_(0, 0.3)
    return module


def _sizes(fixture: Fixture, batch: int, symbols: dict) -> dict:
    return {**fixture.symbols, **symbols, "batch": batch, "batch+1": batch + 1}


def make_inputs(fixture: Fixture, batch: int, seed: int, symbols: dict | None = None) -> dict[str, np.ndarray]:
    """Random inputs by the rules of the manifest's generators, which README.md states."""
    rng = np.random.default_rng(seed)
    size = _sizes(fixture, batch, symbols or {})
    feeds: dict[str, np.ndarray] = {}
    kinds = ("offsets", "bag-lengths")
    offset_inputs = {i.generator["of"]: i for i in fixture.inputs if i.generator["kind"] in kinds}
    totals: dict[str, int] = {}
    for indices, spec in offset_inputs.items():
        symbol = next(i for i in fixture.inputs if i.name == indices).shape[-1]
        hot = rng.integers(0, 5, size=batch)
        hot[0] = 3
        starts = np.concatenate([[0], np.cumsum(hot)])
        if isinstance(symbol, int):
            starts = np.concatenate([[0], np.sort(rng.integers(0, symbol, size=batch - 1)), [symbol]])
        total = int(starts[-1])
        if spec.generator["kind"] == "bag-lengths":
            starts = np.diff(starts)
        elif spec.shape[-1] != "batch+1":
            starts = starts[:-1]
        if len(spec.shape) == 2:
            starts = np.stack([starts] * spec.shape[0])
        feeds[spec.name] = starts.astype(spec.dtype)
        totals[symbol] = total
    for spec in fixture.inputs:
        if spec.name in feeds:
            continue
        shape = [d if isinstance(d, int) else totals.get(d, size.get(d)) for d in spec.shape]
        feeds[spec.name] = _one(spec, shape, rng, feeds)
    return {spec.name: feeds[spec.name] for spec in fixture.inputs}


def _one(spec: Input, shape: list, rng, feeds: dict) -> np.ndarray:
    g = spec.generator
    kind = g["kind"]
    if kind == "ids":
        return rng.integers(g["low"], np.asarray(g["high"]), size=shape).astype(spec.dtype)
    if kind == "padded-ids":
        values = rng.integers(g["low"], g["high"], size=shape)
        keep = _prefix(shape, rng, g["empty"])
        return np.where(keep, values, g["pad"]).astype(spec.dtype)
    if kind == "normal":
        return rng.standard_normal(shape).astype(spec.dtype)
    if kind == "uniform":
        return rng.uniform(0, 1, shape).astype(spec.dtype)
    if kind == "mask":
        keep = _prefix(shape, rng, g.get("empty", True)) if g["ids"] == "lengths" else feeds[g["ids"]] != 0
        return keep.astype(spec.dtype)
    if kind == "mixed":  # the first columns are real numbers, the others ids
        real = rng.standard_normal((shape[0], g["dense"]))
        high = np.asarray(g["high"])
        return np.concatenate([real, rng.integers(0, high, size=(shape[0], len(high)))], 1).astype(spec.dtype)
    if kind == "lengths":
        return rng.integers(1, g["high"] + 1, size=shape).astype(spec.dtype)
    raise ValueError(kind)


def _prefix(shape: list, rng, empty=True) -> np.ndarray:
    """True for a random prefix of the last axis; with `empty` the second row, if there is one, has none."""
    lengths = rng.integers(1, shape[-1] + 1, size=shape[:-1])
    if empty and shape[0] > 1:
        lengths[1] = 0
    return np.arange(shape[-1]) < lengths[..., None]

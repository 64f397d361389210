"""Graphs built by hand as other exporters write them (tf2onnx, Keras, old PyTorch). Each comes with a numpy reference."""

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

from zoo import Fixture, Input, columns, dense, expect, ids, padded, pool, stays


class Graph:
    """Collects nodes and constants; the last call names the outputs."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.constants = [], []

    def const(self, name, value):
        self.constants.append(nh.from_array(np.asarray(value), name))
        return name

    def random(self, name, *shape):
        value = self.rng.standard_normal(shape).astype(np.float32)
        self.const(name, value)
        return value

    def op(self, kind, inputs, output, **attributes):
        outputs = [output] if isinstance(output, str) else output
        self.nodes.append(h.make_node(kind, inputs, outputs, name=f"{kind}_{len(self.nodes)}", **attributes))
        return output

    def model(self, inputs, outputs, opset=15, domains=()):
        graph = h.make_graph(self.nodes, "handmade", [h.make_tensor_value_info(*i) for i in inputs],
                             [h.make_tensor_value_info(*o) for o in outputs], self.constants)
        model = h.make_model(graph, producer_name="tf2onnx", opset_imports=[h.make_opsetid("", opset), *domains])
        model.ir_version = 8
        return model


def int64(*values):
    return np.array(values, np.int64)


def keras_columns():
    """tf2onnx: StridedSlice as Slice + Squeeze, tf.gather as Gather, ids cast from int32, MatMul + Add as Dense."""
    g = Graph(1)
    a, b, w = g.random("table_a", 20, 4), g.random("table_b", 30, 4), g.random("kernel", 8, 1)
    bias = g.random("bias", 1)
    g.const("axes", int64(1))
    for k, table in enumerate(("table_a", "table_b")):
        g.const(f"s{k}", int64(0, k)), g.const(f"e{k}", int64(2**31 - 1, k + 1))
        g.const(f"both{k}", int64(0, 1))
        g.op("Slice", ["x", f"s{k}", f"e{k}", f"both{k}"], f"slice{k}")
        g.op("Squeeze", [f"slice{k}", "axes"], f"column{k}")
        g.op("Cast", [f"column{k}"], f"ids{k}", to=T.INT32)
        g.op("Gather", [table, f"ids{k}"], f"rows{k}", axis=0)
    g.op("Concat", ["rows0", "rows1"], "joined", axis=-1)
    g.op("MatMul", ["joined", "kernel"], "mm")
    g.op("Add", ["mm", "bias"], "logit")
    g.op("Sigmoid", ["logit"], "score")
    model = g.model([("x", T.INT64, ["batch", 2])], [("score", T.FLOAT, ["batch", 1])])

    def reference(f):
        e = np.concatenate([a[f["x"][:, 0]], b[f["x"][:, 1]]], 1)
        return [1 / (1 + np.exp(-(e @ w + bias)))]

    return model, reference


def split_op():
    """Split into [B, 1] columns; Gather keeps the axis; Reshape folds it away."""
    g = Graph(2)
    tables = [g.random(f"t{k}", n, 4) for k, n in enumerate((20, 30, 25))]
    w = g.random("w", 12, 1)
    g.const("one_each", int64(1, 1, 1)), g.const("flat", int64(-1, 4))
    g.op("Split", ["x", "one_each"], ["c0", "c1", "c2"], axis=1)
    for k in range(3):
        g.op("Gather", [f"t{k}", f"c{k}"], f"g{k}")
        g.op("Reshape", [f"g{k}", "flat"], f"r{k}")
    g.op("Concat", ["r0", "r1", "r2"], "all", axis=1)
    g.op("MatMul", ["all", "w"], "score")
    model = g.model([("x", T.INT64, ["batch", 3])], [("score", T.FLOAT, ["batch", 1])], 13)
    return model, lambda f: [np.concatenate([t[f["x"][:, k]] for k, t in enumerate(tables)], 1) @ w]


def float_matrix():
    """One float matrix, ids in its last columns, cast to int64 inside."""
    g = Graph(3)
    a, b, w = g.random("a", 20, 4), g.random("b", 30, 4), g.random("w", 11, 1)
    g.const("axis", int64(1))
    for name, lo, hi in (("dense", 0, 3), ("ia", 3, 4), ("ib", 4, 5)):
        g.const(f"{name}_lo", int64(lo)), g.const(f"{name}_hi", int64(hi))
        g.op("Slice", ["x", f"{name}_lo", f"{name}_hi", "axis"], name)
    for table in "ab":
        g.op("Cast", [f"i{table}"], f"c{table}", to=T.INT64)
        g.op("Squeeze", [f"c{table}", "axis"], f"s{table}")
        g.op("Gather", [table, f"s{table}"], f"e{table}")
    g.op("Concat", ["dense", "ea", "eb"], "all", axis=1)
    g.op("MatMul", ["all", "w"], "score")
    model = g.model([("x", T.FLOAT, ["batch", 5])], [("score", T.FLOAT, ["batch", 1])], 13)

    def reference(f):
        i = f["x"][:, 3:].astype(np.int64)
        return [np.concatenate([f["x"][:, :3], a[i[:, 0]], b[i[:, 1]]], 1) @ w]

    return model, reference


def keras_masked_mean():
    """GlobalAveragePooling1D with a mask: NotEqual as Equal + Not, Cast, ExpandDims, ReduceSum twice, Div."""
    g = Graph(4)
    table, w = g.random("embeddings", 30, 6), g.random("w", 6, 1)
    g.const("zero", np.int32(0)), g.const("axis1", int64(1)), g.const("axis2", int64(2))
    g.const("least", np.float32(1))
    g.op("Equal", ["hist", "zero"], "pad")
    g.op("Not", ["pad"], "keep")
    g.op("Cast", ["keep"], "mask", to=T.FLOAT)
    g.op("Unsqueeze", ["mask", "axis2"], "mask3")
    g.op("Gather", ["embeddings", "hist"], "rows")
    g.op("Mul", ["mask3", "rows"], "masked")
    g.op("ReduceSum", ["masked", "axis1"], "total", keepdims=0)
    g.op("ReduceSum", ["mask3", "axis1"], "count", keepdims=0)
    g.op("Max", ["count", "least"], "safe")
    g.op("Div", ["total", "safe"], "mean")
    g.op("MatMul", ["mean", "w"], "score")
    model = g.model([("hist", T.INT32, ["batch", 6])], [("score", T.FLOAT, ["batch", 1])], 15)

    def reference(f):
        m = (f["hist"] != 0)[..., None].astype(np.float32)
        return [((table[f["hist"]] * m).sum(1) / np.maximum(m.sum(1), 1)) @ w]

    return model, reference


def old_attributes():
    """Opset 11: axes and splits as attributes, ReduceMean by attribute, constants as Constant nodes."""
    g = Graph(5)
    table, item, w = g.rng.standard_normal((30, 4)).astype(np.float32), g.random("item", 20, 4), g.random("w", 8, 1)
    g.op("Constant", [], "hist_table", value=nh.from_array(table))
    g.op("Split", ["x"], ["first", "hist"], axis=1, split=[1, 5])
    g.op("Squeeze", ["first"], "id", axes=[1])
    g.op("Gather", ["item", "id"], "target")
    g.op("Gather", ["hist_table", "hist"], "rows", axis=0)
    g.op("ReduceMean", ["rows"], "mean", axes=[1], keepdims=0)
    g.op("Concat", ["target", "mean"], "all", axis=1)
    g.op("MatMul", ["all", "w"], "score")
    model = g.model([("x", T.INT64, ["batch", 6])], [("score", T.FLOAT, ["batch", 1])], 11)
    return model, lambda f: [np.concatenate([item[f["x"][:, 0]], table[f["x"][:, 1:]].mean(1)], 1) @ w]


def per_field_offsets():
    """Offsets as an Add of a [1, T] constant on the left, an Identity between, and a Flatten after."""
    g = Graph(6)
    table, w = g.random("table", 75, 4), g.random("w", 12, 1)
    g.const("starts", np.array([[0, 20, 50]], np.int64))
    g.op("Add", ["starts", "x"], "moved")
    g.op("Identity", ["moved"], "same")
    g.op("Identity", ["table"], "alias")
    g.op("Gather", ["alias", "same"], "rows")
    g.op("Flatten", ["rows"], "flat", axis=1)
    g.op("Gemm", ["flat", "w"], "score")
    model = g.model([("x", T.INT64, ["batch", 3])], [("score", T.FLOAT, ["batch", 1])], 17)
    start = np.array([0, 20, 50])
    return model, lambda f: [table[f["x"] + start].reshape(len(f["x"]), -1) @ w]


def gather_nd():
    """GatherND as a lookup of rows, and a Gather along axis 1 of a table that is stored transposed."""
    g = Graph(7)
    a, b, w = g.random("a", 20, 4), g.random("b", 4, 30), g.random("w", 8, 1)
    g.const("last", int64(-1))
    g.op("Unsqueeze", ["i", "last"], "i2")
    g.op("GatherND", ["a", "i2"], "ea")
    g.op("Gather", ["b", "j"], "bt", axis=1)
    g.op("Transpose", ["bt"], "eb", perm=[1, 0])
    g.op("Concat", ["ea", "eb"], "all", axis=1)
    g.op("MatMul", ["all", "w"], "score")
    model = g.model([("i", T.INT64, ["batch"]), ("j", T.INT64, ["batch"])], [("score", T.FLOAT, ["batch", 1])], 16)
    return model, lambda f: [np.concatenate([a[f["i"]], b.T[f["j"]]], 1) @ w]


def shape_arithmetic():
    """tf2onnx writes dynamic reshapes with Shape, Cast, Slice, Concat; ids are flattened and folded back."""
    g = Graph(8)
    table, w = g.random("table", 30, 4), g.random("w", 12, 1)
    g.const("minus1", int64(-1)), g.const("zero", int64(0)), g.const("one", int64(1))
    g.const("three_four", int64(3, 4)), g.const("width", int64(12))
    g.op("Shape", ["x"], "shape")
    g.op("Slice", ["shape", "zero", "one", "zero"], "rows_of_x")
    g.op("Reshape", ["x", "minus1"], "flat")
    g.op("Gather", ["table", "flat"], "found")
    g.op("Concat", ["rows_of_x", "three_four"], "full", axis=0)
    g.op("Reshape", ["found", "full"], "cube")
    g.op("Concat", ["rows_of_x", "width"], "wide", axis=0)
    g.op("Reshape", ["cube", "wide"], "joined")
    g.op("MatMul", ["joined", "w"], "score")
    model = g.model([("x", T.INT64, ["batch", 3])], [("score", T.FLOAT, ["batch", 1])], 14)
    return model, lambda f: [table[f["x"]].reshape(-1, 12) @ w]


def fixtures():
    def made(name, build, inputs, want, **more):
        return Fixture(f"hand-{name}", "handmade", build, inputs, want, exporters=("handmade",), **more)

    floats = Input("x", "float32", ["batch", 5], {"kind": "mixed", "dense": 3, "high": [20, 30]})
    yield made("keras-columns", keras_columns, [columns("x", (20, 30))], expect(2, unpooled=2))
    yield made("split", split_op, [columns("x", (20, 30, 25))], expect(3, unpooled=3))
    why = "ids come from a float input"
    yield made("float-matrix", float_matrix, [floats], expect(2, unpooled=2))
    yield made("keras-masked-mean", keras_masked_mean, [padded("hist", 30, dtype="int32")], expect(1, [pool(30, 6, "mean", padding=0)]))
    yield made("old-attributes", old_attributes, [ids("x", [20] + [30] * 5, ("batch", 6))], expect(2, [pool(30, 4, "mean")], unpooled=1))
    yield made("per-field-offsets", per_field_offsets, [ids("x", [20, 30, 25], ("batch", 3))], expect(1, unpooled=1))
    yield made("gather-nd", gather_nd, [ids("i", 20), ids("j", 30)],
               expect(1, unpooled=1, dense_tables=[stays(30, 4, "stored transposed and gathered along axis 1")],
                      note="GatherND over ids with a last axis of one is a lookup of rows"))
    yield made("shape-arithmetic", shape_arithmetic, [ids("x", 30, ("batch", 3))], expect(1, unpooled=1))

"""nn.EmbeddingBag in its forms.

What an exporter cannot write: the TorchScript exporter refuses padding_idx ("embedding_bag with padding_idx");
the dynamo exporter writes an invalid graph for int32 indices with int32 offsets (Concat of int32 and int64).
"""

import torch
from torch import nn
from torch.nn import functional as F

from zoo import Fixture, Input, bag_lengths, dense, expect, ids, normal, offsets, padded, pool, stays, uniform

N, DIM = 30, 6


class Ragged(nn.Module):
    def __init__(self, mode="sum", last=False, padding=None, weighted=False, functional=False):
        super().__init__()
        self.functional, self.weighted = functional, weighted
        self.bag = nn.EmbeddingBag(N, DIM, mode=mode, include_last_offset=last, padding_idx=padding)
        self.out = nn.Linear(DIM, 1)

    def forward(self, indices, offsets):
        if self.functional:
            pooled = F.embedding_bag(indices, self.bag.weight, offsets, mode=self.bag.mode,
                                     include_last_offset=self.bag.include_last_offset)
        else:
            pooled = self.bag(indices, offsets)
        return self.out(torch.relu(pooled))


class RaggedWeighted(Ragged):
    def forward(self, indices, offsets, weights):
        return self.out(torch.relu(self.bag(indices, offsets, per_sample_weights=weights)))


class RaggedWithDense(Ragged):
    """Two bags, one with a table shared by both, beside dense features."""

    def __init__(self):
        super().__init__("mean")
        self.out = nn.Linear(2 * DIM + 4, 1)

    def forward(self, dense, liked, liked_offsets, seen, seen_offsets):
        x = torch.cat([dense, self.bag(liked, liked_offsets), self.bag(seen, seen_offsets)], dim=1)
        return self.out(x)


def starts_of(lengths, how):
    """Offsets from lengths; of `ends_too` the last entry is the total."""
    zero = lengths.new_zeros(1)
    if how == "exclusive":
        return torch.cumsum(lengths, 0) - lengths
    if how == "concat":
        return torch.cat([zero, torch.cumsum(lengths, 0)])[:-1]
    if how == "sliced-sums":
        return torch.cat([zero, torch.cumsum(lengths, 0)[:-1]])
    if how == "sliced-lengths":
        return torch.cumsum(torch.cat([zero, lengths[:-1]]), 0)
    if how == "last":
        return torch.cat([zero, torch.cumsum(lengths, 0)])
    return F.pad(torch.cumsum(lengths, 0), (1, 0))


class Lengths(nn.Module):
    """Ids with lengths instead of offsets."""

    def __init__(self, how, mode="sum"):
        super().__init__()
        self.how = how
        self.bag = nn.EmbeddingBag(N, DIM, mode=mode, include_last_offset=how in ("last", "padded"))
        self.out = nn.Linear(DIM, 1)

    def forward(self, values, lengths):
        return self.out(torch.relu(self.bag(values, starts_of(lengths, self.how))))


class LengthsWeighted(Lengths):
    def forward(self, values, lengths, weights):
        starts = starts_of(lengths, self.how)
        return self.out(torch.relu(self.bag(values, starts, per_sample_weights=weights)))


class LengthsOfFeatures(nn.Module):
    """Ids of two features, each with a row of lengths [2, batch]."""

    def __init__(self):
        super().__init__()
        self.bags = nn.ModuleList(nn.EmbeddingBag(n, DIM, mode=m) for n, m in ((N, "mean"), (20, "sum")))
        self.out = nn.Linear(2 * DIM, 1)

    def forward(self, first, second, lengths):
        pooled = [bag(v, torch.cumsum(lengths[k], 0) - lengths[k]) for k, (bag, v) in enumerate(zip(self.bags, (first, second)))]
        return self.out(torch.cat(pooled, 1))


class Matrix(nn.Module):
    """2-D input: every row is a bag of the same length."""

    def __init__(self, mode="sum", padding=None, weighted=False):
        super().__init__()
        self.bag = nn.EmbeddingBag(N, DIM, mode=mode, padding_idx=padding)
        self.out = nn.Linear(DIM, 1)

    def forward(self, ids):
        return self.out(self.bag(ids).tanh())


class MatrixWeighted(Matrix):
    def forward(self, ids, weights):
        return self.out(self.bag(ids, per_sample_weights=weights).tanh())


class MatrixComputedWeights(Matrix):
    """Weights that the network computes itself."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.gate = nn.Linear(5, 5)

    def forward(self, ids, weights):
        weights = torch.softmax(weights, 1) if self.how == "softmax" else torch.sigmoid(self.gate(weights))
        return self.out(self.bag(ids, per_sample_weights=weights).tanh())


class RaggedComputedWeights(Ragged):
    def forward(self, indices, offsets, weights):
        return self.out(torch.relu(self.bag(indices, offsets, per_sample_weights=torch.sigmoid(weights))))


class PerField(nn.Module):
    """A [B, 9] matrix: three bags of three ids each, one table per field."""

    def __init__(self):
        super().__init__()
        self.bags = nn.ModuleList(nn.EmbeddingBag(n, DIM, mode=m) for n, m in ((20, "sum"), (30, "mean"), (25, "sum")))
        self.out = nn.Sequential(nn.Linear(3 * DIM + 4, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, dense, x):
        pooled = [bag(x[:, 3 * k : 3 * k + 3]) for k, bag in enumerate(self.bags)]
        return self.out(torch.cat([dense] + pooled, -1))


class ArangeOffsets(nn.Module):
    """The offsets are computed in the model: flat ids of fixed hotness 4."""

    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(N, DIM, mode="sum")
        self.out = nn.Linear(DIM, 1)

    def forward(self, ids):
        starts = torch.arange(0, ids.shape[0] * 4, 4)
        return self.out(self.bag(ids.reshape(-1), starts).tanh())


class Single(nn.Module):
    """nn.EmbeddingBag over x.unsqueeze(1): a bag per row of exactly one id, ids given as [B]."""

    def __init__(self, mode):
        super().__init__()
        self.user = nn.EmbeddingBag(N, DIM, mode=mode)
        self.item = nn.EmbeddingBag(20, DIM, mode=mode)

    def forward(self, user, item):
        return torch.sigmoid((self.user(user.view(-1, 1)) * self.item(item.view(-1, 1))).sum(1))


def fixtures():
    for mode in ("sum", "mean"):
        for last in (False, True):
            flat = [ids("indices", N, ("nnz",)), offsets("offsets", "indices", last)]
            yield Fixture(f"bag-{mode}-offsets{'-last' if last else ''}", "embedding-bag",
                          lambda mode=mode, last=last: Ragged(mode, last), flat,
                          expect(1, [pool(N, DIM, mode, ragged=True)]), symbols={"nnz": 11})
        flat = [ids("indices", N, ("nnz",)), offsets("offsets", "indices")]
        yield Fixture(f"bag-{mode}-offsets-padding", "embedding-bag", lambda mode=mode: Ragged(mode, padding=3), flat,
                      expect(1, [pool(N, DIM, mode, ragged=True, padding=3)]), symbols={"nnz": 11},
                      exporters=("dynamo",), note="padding_idx may lie anywhere in a bag")
        yield Fixture(f"bag-{mode}-matrix", "embedding-bag", lambda mode=mode: Matrix(mode),
                      [ids("ids", N, ("batch", 5))], expect(1, [pool(N, DIM, mode)]))
        yield Fixture(f"bag-{mode}-matrix-padding", "embedding-bag", lambda mode=mode: Matrix(mode, padding=0),
                      [padded("ids", N, ("batch", 5))], expect(1, [pool(N, DIM, mode, padding=0)]), exporters=("dynamo",))
        yield Fixture(f"bag-{mode}-single", "embedding-bag", lambda mode=mode: Single(mode),
                      [ids("user", N), ids("item", 20)], expect(2, [pool(N, DIM, mode), pool(20, DIM, mode)],
                      note="bags of one id may also be counted as unpooled"))
    flat = [ids("indices", N, ("nnz",)), offsets("offsets", "indices")]
    flat32 = [ids("indices", N, ("nnz",), dtype="int32"), offsets("offsets", "indices", dtype="int32")]
    one = expect(1, [pool(N, DIM, "sum", ragged=True)])
    yield Fixture("bag-functional", "embedding-bag", lambda: Ragged(functional=True), flat, one, symbols={"nnz": 11})
    yield Fixture("bag-int32", "embedding-bag", Ragged, flat32, one, symbols={"nnz": 11}, exporters=("torchscript",))
    yield Fixture("bag-opset13", "embedding-bag", Ragged, flat, one, symbols={"nnz": 11}, exporters=("torchscript",), opset=13)
    yield Fixture("bag-opset17", "embedding-bag", Ragged, flat, one, symbols={"nnz": 11}, exporters=("torchscript",), opset=17)
    yield Fixture("bag-opset20", "embedding-bag", Ragged, flat, one, symbols={"nnz": 11}, opset=20)
    yield Fixture("bag-unoptimized", "embedding-bag", Ragged, flat, one, symbols={"nnz": 11},
                  options={"dynamo": {"optimize": False}, "torchscript": {"do_constant_folding": False}})
    yield Fixture("bag-fixed-batch", "embedding-bag", Ragged, [ids("indices", N, (12,)), Input("offsets", "int64", [4], {"kind": "offsets", "of": "indices"})],
                  one, batch=4)
    for how, mode in (("exclusive", "sum"), ("concat", "mean"), ("sliced-sums", "sum"), ("sliced-lengths", "mean"),
                      ("last", "mean"), ("padded", "sum")):
        yield Fixture(f"bag-lengths-{how}", "embedding-bag", lambda how=how, mode=mode: Lengths(how, mode),
                      [ids("values", N, ("nnz",)), bag_lengths("lengths", "values")],
                      expect(1, [pool(N, DIM, mode, ragged=True)]), symbols={"nnz": 11})
    yield Fixture("bag-lengths-weighted", "embedding-bag", lambda: LengthsWeighted("exclusive"),
                  [ids("values", N, ("nnz",)), bag_lengths("lengths", "values", dtype="int32"), uniform("weights", "nnz")],
                  expect(1, [pool(N, DIM, "sum", ragged=True, weighted=True)]), symbols={"nnz": 11})
    yield Fixture("bag-lengths-stacked", "embedding-bag", LengthsOfFeatures,
                  [ids("first", N, ("nnz",)), ids("second", 20, ("nnz",)), bag_lengths("lengths", "first", rows=2)],
                  expect(2, [pool(N, DIM, "mean", ragged=True), pool(20, DIM, "sum", ragged=True)]), symbols={"nnz": 11})
    yield Fixture("bag-lengths-fixed-batch", "embedding-bag", lambda: Lengths("concat"),
                  [ids("values", N, (12,)), Input("lengths", "int64", [4], {"kind": "bag-lengths", "of": "values"})],
                  one, batch=4)
    for last in (False, True):
        weighted = [ids("indices", N, ("nnz",)), offsets("offsets", "indices", last), uniform("weights", "nnz")]
        yield Fixture(f"bag-weighted-offsets{'-last' if last else ''}", "embedding-bag", lambda last=last: RaggedWeighted(last=last), weighted,
                      expect(1, [pool(N, DIM, "sum", ragged=True, weighted=True)]), symbols={"nnz": 11})
    yield Fixture("bag-weighted-matrix", "embedding-bag", MatrixWeighted, [ids("ids", N, ("batch", 5)), uniform("weights", "batch", 5)],
                  expect(1, [pool(N, DIM, "sum", weighted=True)]))
    for how in ("softmax", "gate"):
        yield Fixture(f"bag-computed-weights-{how}", "embedding-bag", lambda how=how: MatrixComputedWeights(how),
                      [ids("ids", N, ("batch", 5)), uniform("weights", "batch", 5)],
                      expect(1, unpooled=1, note="the lookups come before the dense network, which makes the weights"))
    yield Fixture("bag-computed-weights-offsets", "embedding-bag", lambda: RaggedComputedWeights(),
                  flat + [uniform("weights", "nnz")],
                  expect(0, dense_tables=[stays(N, DIM, "its weights are computed by the dense graph")]), symbols={"nnz": 11})
    yield Fixture("bag-max-offsets", "embedding-bag", lambda: Ragged("max"), flat,
                  expect(0, dense_tables=[stays(N, DIM, "a maximum over bags of different lengths")]), symbols={"nnz": 11})
    two = [dense(), ids("liked", N, ("nnz_liked",)), offsets("liked_offsets", "liked"),
           ids("seen", N, ("nnz_seen",)), offsets("seen_offsets", "seen")]
    yield Fixture("bag-shared-table", "embedding-bag", RaggedWithDense, two,
                  expect(1, [pool(N, DIM, "mean", ragged=True)] * 2), symbols={"nnz_liked": 11, "nnz_seen": 13})
    yield Fixture("bag-per-field", "embedding-bag", PerField,
                  [dense(), ids("x", [20] * 3 + [30] * 3 + [25] * 3, ("batch", 9))],
                  expect(3, [pool(20, DIM, "sum"), pool(30, DIM, "mean"), pool(25, DIM, "sum")]))
    yield Fixture("bag-arange-offsets", "embedding-bag", ArangeOffsets, [ids("ids", N, ("batch", 4))],
                  expect(1, [pool(N, DIM, "sum")]))
    yield Fixture("bag-max-matrix", "embedding-bag", lambda: Matrix("max"), [ids("ids", N, ("batch", 5))],
                  expect(1, unpooled=1, note="max pooling is no pooling of a bundle: rows are taken out unpooled if the "
                         "exporter writes a Gather, else the table stays"))

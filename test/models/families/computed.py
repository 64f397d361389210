"""Ids that a model computes from its inputs: hashed, clamped, chosen, cut off at a length, or cast from floats."""

import torch
from torch import nn

from zoo import Fixture, Input, expect, ids, offsets, padded, pool, stays

N, M, DIM = 30, 20, 4


class Shell(nn.Module):
    """Two tables of rows by id, whatever `first` and `second` make the ids of, and a linear layer."""

    def __init__(self, width=2 * DIM):
        super().__init__()
        self.a, self.b = nn.Embedding(N, DIM), nn.Embedding(M, DIM)
        self.out = nn.Linear(width, 1)

    def score(self, *parts):
        return self.out(torch.cat(parts, 1))


class Hour(Shell):
    """Buckets of a time stamp: its hour and its day."""

    def forward(self, t):
        return self.score(self.a(torch.remainder(t, 24)), self.b(torch.div(t, 24, rounding_mode="floor") % 7))


class Truncated(Shell):
    def forward(self, t):
        return self.score(self.a(torch.div(t, 20, rounding_mode="trunc")), self.b(torch.fmod(t, 20)))


class Hashed(Shell):
    """Multiplied and moved before it is reduced; the other id is folded into a signed range first."""

    def forward(self, x, y):
        return self.score(self.a((x * 7 + 3) % N), self.b(torch.abs(y - 50) % M))


class Bounded(Shell):
    def forward(self, x, y):
        return self.score(self.a(torch.clamp(x, min=1, max=N - 1)), self.b(torch.minimum(y, torch.tensor(M - 1))))


class Chosen(Shell):
    """Ids that the table does not know become one that it does."""

    def forward(self, x, y):
        x = torch.where(x >= N, torch.full_like(x, 3), x)
        return self.score(self.a(x), self.b(y.masked_fill(y < 2, 5)))


class Zeroed(Shell):
    """Unknown ids are multiplied away."""

    def forward(self, x, y):
        return self.score(self.a(x * (x < N).long()), self.b(y))


class HashedHistory(Shell):
    """The mask is of the raw ids, the rows are of the hashed ones."""

    def __init__(self, mean):
        super().__init__(DIM)
        self.mean = mean

    def forward(self, hist):
        mask = (hist != 0).float().unsqueeze(-1)
        total = (self.a(hist % N) * mask).sum(1)
        return self.score(total / mask.sum(1).clamp(min=1) if self.mean else total)


class MaskedAfter(Shell):
    """The mask is of what the ids became."""

    def __init__(self):
        super().__init__(DIM)

    def forward(self, hist):
        hist = torch.clamp(hist, max=M - 1)
        mask = (hist != 0).float().unsqueeze(-1)
        return self.score((self.b(hist) * mask).sum(1))


class HashedBag(nn.Module):
    def __init__(self, mode):
        super().__init__()
        self.bag = nn.EmbeddingBag(N, DIM, mode=mode)
        self.out = nn.Linear(DIM, 1)

    def forward(self, ids, offsets):
        return self.out(self.bag(ids % N, offsets))


class Lengths(Shell):
    """A history that ends at a length of its own; `free` leaves its width open."""

    def __init__(self, pooled):
        super().__init__(2 * DIM)
        self.pooled = pooled

    def forward(self, hist, length, item):
        mask = (torch.arange(hist.shape[1]).unsqueeze(0) < length.unsqueeze(1)).float().unsqueeze(-1)
        rows = self.a(hist) * mask
        rows = rows.sum(1) if self.pooled else torch.amax(torch.tanh(rows), 1)
        return self.score(rows, self.b(item))


class OneMatrix(Shell):
    """As DeepCTR-Torch feeds its models: numbers, ids, a history and its length in one float matrix."""

    def __init__(self, named_length):
        super().__init__(2 * DIM + 2)
        self.named_length = named_length

    def forward(self, x):
        hist = x[:, 3:7].long()
        if self.named_length:
            length = x[:, 7:8].long()
            mask = torch.arange(0, 4, dtype=length.dtype) < length.unsqueeze(-1)
            mask = torch.repeat_interleave(mask.transpose(1, 2).float(), DIM, dim=2)
            rows = (self.b(hist) * mask).sum(1) / (x[:, 7:8] + 1)
        else:
            mask = (hist != 0).float()
            rows = (self.b(hist) * mask.unsqueeze(-1)).sum(1) / (mask.sum(1, keepdim=True) + 1)
        return self.score(self.a(x[:, 2:3].long()).flatten(1), rows, x[:, 0:2])


def fixtures():
    def one(name, build, inputs, want, **more):
        return Fixture(name, "computed", build, inputs, want, **more)

    two = expect(2, unpooled=2)
    # The dynamo exporter divides as floats, which only agrees with integers below 2**24.
    floats = expect(1, unpooled=1, dense_tables=[stays(M, DIM, "its ids are divided as floats")])
    ts, dynamo = ("torchscript",), ("dynamo",)
    for name, low, high in (("time-buckets", 0, 1000), ("time-buckets-signed", -500, 500)):
        yield one(name, Hour, [ids("t", high, low=low)], two, exporters=ts)
        yield one(f"{name}-as-floats", Hour, [ids("t", high, low=low)], floats, exporters=dynamo)
    yield one("quotients-truncated", Truncated, [ids("t", 600)], two, exporters=ts)
    yield one("quotients-as-floats", Truncated, [ids("t", 600)],
              expect(1, unpooled=1, dense_tables=[stays(N, DIM, "its ids are divided as floats")]), exporters=dynamo)
    yield one("hash-affine", Hashed, [ids("x", 2**40), ids("y", 100)], two)
    yield one("ids-bounded", Bounded, [ids("x", 50, low=-20), ids("y", 50)], two)
    yield one("ids-chosen", Chosen, [ids("x", 50), ids("y", M, low=-9)], two)
    yield one("ids-zeroed", Zeroed, [ids("x", 60), ids("y", M)], two)
    hist = [padded("hist", 2**31 - 1)]
    yield one("hash-history-sum", lambda: HashedHistory(False), hist, expect(1, [pool(N, DIM, "sum", padding=0)]))
    yield one("hash-history-mean", lambda: HashedHistory(True), hist, expect(1, [pool(N, DIM, "mean", padding=0)]))
    yield one("masked-after-clamp", MaskedAfter, [padded("hist", 60)], expect(1, [pool(M, DIM, "sum", padding=0)]))
    for mode in ("sum", "mean"):
        yield one(f"hash-bag-{mode}", lambda mode=mode: HashedBag(mode),
                  [ids("ids", 2**33, ("total",)), offsets("offsets", "ids")],
                  expect(1, [pool(N, DIM, mode, ragged=True)]), symbols={"total": 9})
    length = Input("length", "int64", ["batch"], {"kind": "lengths", "high": 5})
    yield one("length-sum", lambda: Lengths(True), [ids("hist", N, ("batch", 6)), length, ids("item", M)],
              expect(2, [pool(N, DIM, "sum")], unpooled=1))
    yield one("length-rows", lambda: Lengths(False), [ids("hist", N, ("batch", 6)), length, ids("item", M)], expect(2, unpooled=2))
    yield one("length-free", lambda: Lengths(True), [ids("hist", N, ("batch", "L")), length, ids("item", M)],
              expect(2, [pool(N, DIM, "sum")], unpooled=1), symbols={"L": 6})
    matrix = [Input("x", "float32", ["batch", 8], {"kind": "mixed", "dense": 2, "high": [N, M, M, M, M, 5]})]
    yield one("one-matrix-length", lambda: OneMatrix(True), matrix, expect(2, [pool(M, DIM, "sum")], unpooled=1))
    yield one("one-matrix-mask", lambda: OneMatrix(False), matrix, expect(2, [pool(M, DIM, "sum", padding=0)], unpooled=1))

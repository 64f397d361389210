"""Tables that are computed from parameters: the exporters leave that to the graph."""

import torch
from torch import nn
from torch.nn import functional

from zoo import Fixture, expect, ids, padded, pool

N, DIM = 1100, 4


class Made(nn.Module):
    """Rows of whatever matrix `table` makes of its parameters."""

    def __init__(self, *shapes):
        super().__init__()
        self.parts = nn.ParameterList([nn.Parameter(torch.randn(shape) * 0.5) for shape in shapes])
        self.out = nn.Linear(DIM, 1)

    def table(self):
        raise NotImplementedError

    def forward(self, x):
        rows = functional.embedding(x, self.table())
        return self.out(rows if x.dim() == 1 else rows.sum(1))


class Shards(Made):
    def __init__(self):
        super().__init__((N // 2, DIM), (N // 2, DIM))

    def table(self):
        return torch.cat(list(self.parts), 0)


class Turned(Made):
    def __init__(self):
        super().__init__((DIM, N))

    def table(self):
        return self.parts[0].t()


class Masked(Made):
    """The padding row is multiplied away, the others are scaled."""

    def __init__(self):
        super().__init__((N, DIM))
        self.register_buffer("mask", (torch.arange(N) != 0).float().unsqueeze(1) * 2)

    def table(self):
        return self.parts[0] * self.mask


class Normal(Made):
    def __init__(self):
        super().__init__((N, DIM))

    def table(self):
        return functional.normalize(self.parts[0], dim=-1)


class LowRank(Made):
    def __init__(self):
        super().__init__((N, 2), (2, DIM))

    def table(self):
        return self.parts[0] @ self.parts[1]


class Layers(Made):
    """Field i looks up layer i of one stacked parameter."""

    def __init__(self):
        super().__init__((2, N, DIM))

    def forward(self, x):
        return self.out(sum(functional.embedding(x[:, i], self.parts[0][i]) for i in range(2)))


def fixtures():
    plain = expect(1, unpooled=1)
    for name, build in (("shards", Shards), ("turned", Turned), ("normal", Normal), ("low-rank", LowRank)):
        yield Fixture(f"made-{name}", "tables", build, [ids("x", N)], plain)
    yield Fixture("made-masked", "tables", Masked, [padded("x", N)], expect(1, [pool(N, DIM, "sum")]))
    yield Fixture("made-layers", "tables", Layers, [ids("x", N, ("batch", 2))], expect(2, unpooled=2))

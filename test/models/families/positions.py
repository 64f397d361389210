"""Positions that depend on the ids or on a length: masked, counted, reversed; and the last item of a history."""

import torch
from torch import nn

from zoo import Fixture, Input, expect, ids, padded

N, LENGTH, DIM = 30, 6, 4


class Positions(nn.Module):
    """Items and their positions, side by side; `places` says what the positions are."""

    def __init__(self):
        super().__init__()
        self.item, self.place = nn.Embedding(N, DIM), nn.Embedding(16, DIM)
        self.out = nn.Linear(DIM, 1)

    def places(self, hist, *more):
        raise NotImplementedError

    def forward(self, hist, more=None):
        return self.out(torch.tanh(self.item(hist) + self.place(self.places(hist) if more is None else self.places(hist, more))).sum(1))


class Masked(Positions):
    """As SASRec numbers them: from 1, 0 for padding."""

    def places(self, hist):
        return torch.arange(1, hist.shape[1] + 1).unsqueeze(0) * (hist != 0)


class Counted(Positions):
    """As RoBERTa numbers them: padding does not count and has the padding's number."""

    def places(self, hist):
        mask = (hist != 1).int()
        return (torch.cumsum(mask, 1).type_as(mask) * mask).long() + 1


class Reversed(Positions):
    """How long ago, by a length of its own."""

    def forward(self, hist, length):
        return super().forward(hist, length)

    def places(self, hist, length):
        at = torch.arange(hist.shape[1]).unsqueeze(0)
        length = length.unsqueeze(1)
        return torch.where(at < length, length - at, torch.zeros_like(at))


class Last(nn.Module):
    def __init__(self):
        super().__init__()
        self.item, self.other = nn.Embedding(N, DIM), nn.Embedding(N, DIM)
        self.out = nn.Linear(2 * DIM, 1)

    def forward(self, hist, item):
        return self.out(torch.cat([self.item(hist[:, -1]), self.other(item)], 1))


def fixtures():
    two = expect(2, unpooled=2)
    length = Input("length", "int64", ["batch"], {"kind": "lengths", "high": 5})
    for suffix, size, symbols in (("", LENGTH, {}), ("-free", "L", {"L": LENGTH})):
        def one(name, build, inputs):
            return Fixture(f"places-{name}{suffix}", "positions", build, inputs, two, symbols=symbols)

        shape = ("batch", size)
        yield one("masked", Masked, [padded("hist", N, shape)])
        yield one("counted", Counted, [padded("hist", N, shape, pad=1)])
        yield one("reversed", Reversed, [ids("hist", N, shape), length])
        yield one("last", Last, [ids("hist", N, shape), ids("item", N)])

"""Where the batch is: behind the fields or the positions; lost by squeeze() when there is one row."""

import torch
from torch import nn

from zoo import Fixture, Input, expect, ids, pool

ROWS, DIM, L = (30, 17, 9), 6, 5


def behind(name, high, *shape):
    """Ids [..., batch]."""
    return Input(name, "int64", [*shape, "batch"], {"kind": "ids", "low": 0, "high": high})


class FieldsFirst(nn.Module):
    """Ids [fields, batch]: a row of the matrix is a field."""

    def __init__(self, how="rows"):
        super().__init__()
        self.how = how
        self.tables = nn.ModuleList(nn.Embedding(n, DIM) for n in ROWS) if how != "joint" else None
        self.joint = nn.Embedding(sum(ROWS), DIM) if how == "joint" else None
        self.register_buffer("starts", torch.tensor([[0], [30], [47]]))
        self.top = nn.Sequential(nn.Linear(3 * DIM, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x):
        if self.how == "joint":
            return self.top(self.joint(x + self.starts).transpose(0, 1).flatten(1))
        columns = x.unbind(0) if self.how == "unbind" else [x[i] for i in range(3)]
        return self.top(torch.cat([table(column) for table, column in zip(self.tables, columns)], 1))


class SequenceFirst(nn.Module):
    """Ids [length, batch], as recurrent layers take them unless they are batch_first."""

    def __init__(self, how="gru"):
        super().__init__()
        self.how = how
        self.item = nn.Embedding(30, DIM)
        self.gru, self.out = nn.GRU(DIM, DIM), nn.Linear(DIM, 1)

    def forward(self, x, features=None):
        if self.how == "mean":
            return self.out(self.item(x).mean(0))
        rows = self.item(x) if features is None else self.item(x) + features
        return self.out(self.gru(rows)[0][-1])


class Squeezed(nn.Module):
    """squeeze() without axes: of the score, of ids, of rows, of a value whose shape is harder to tell."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.user, self.item = nn.Embedding(20, DIM), nn.Embedding(30, DIM)
        self.mlp = nn.Sequential(nn.Linear(2 * DIM, 8), nn.ReLU(), nn.Linear(8, 1))
        self.conv = nn.Conv1d(DIM, 1, 1)

    def forward(self, user, item):
        u, i = self.user(user), self.item(item)
        if self.how == "score":
            return torch.sigmoid(self.mlp(torch.cat([u, i], -1)).squeeze())
        if self.how == "product":
            return torch.matmul(u.unsqueeze(1), i.unsqueeze(2)).squeeze()
        if self.how == "rows":
            return (self.user(user.unsqueeze(1)).squeeze() * i).sum(1)
        if self.how == "ids":
            return (self.user(user.unsqueeze(1).squeeze()) * i).sum(1)
        return self.conv(torch.stack([u, i], 2)).sum(2, keepdim=True).squeeze()


def fixtures():
    for how in ("rows", "unbind", "joint"):
        yield Fixture(f"fields-first-{how}", "layout", lambda how=how: FieldsFirst(how), [behind("x", 9, 3)],
                      expect(1 if how == "joint" else 3, unpooled=1 if how == "joint" else 3))
    yield Fixture("sequence-first", "layout", SequenceFirst, [behind("x", 30, L)], expect(1, unpooled=1))
    yield Fixture("sequence-first-dynamic-length", "layout", SequenceFirst, [behind("x", 30, "length")],
                  expect(1, unpooled=1), symbols={"length": 5}, exporters=("torchscript",))  # dynamo fixes the length
    yield Fixture("sequence-first-features", "layout", SequenceFirst,
                  [behind("x", 30, L), Input("features", "float32", [L, "batch", DIM], {"kind": "normal"})],
                  expect(1, unpooled=1))
    yield Fixture("sequence-first-mean", "layout", lambda: SequenceFirst("mean"), [behind("x", 30, L)],
                  expect(1, [pool(30, DIM, "mean")]))
    for how in ("score", "product", "rows", "ids", "conv"):
        yield Fixture(f"squeeze-{how}", "layout", lambda how=how: Squeezed(how), [ids("user", 20), ids("item", 30)],
                      expect(2, unpooled=2))

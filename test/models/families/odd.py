"""Lookups that an importer may or may not take out, and unusual ways to export."""

import torch
from torch import nn

from zoo import Fixture, Input, columns, dense, expect, ids, padded, pool, stays

N, DIM = 40, 8


class Half(nn.Module):
    """Tables kept in float16 and cast after the lookup."""

    def __init__(self, pooled=False):
        super().__init__()
        self.pooled = pooled
        self.user, self.item = nn.Embedding(25, DIM).half(), nn.Embedding(N, DIM).half()
        self.out = nn.Linear(2 * DIM, 1)

    def forward(self, user, item):
        i = self.item(item).float()
        if self.pooled:
            i = i.sum(1)
        return self.out(torch.cat([self.user(user).float(), i], 1))


class Hash(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how
        self.emb, self.item = nn.Embedding(N, DIM), nn.Embedding(25, DIM)
        self.out = nn.Linear(2 * DIM, 1)

    def forward(self, user, item):
        if self.how == "mod":
            user = user % N
        elif self.how == "clamp":
            user = torch.clamp(user, 0, N - 1)
        elif self.how == "where":
            user = torch.where(user < N, user, torch.zeros_like(user))
        elif self.how == "qr":  # quotient-remainder trick, one table each
            return self.out(torch.cat([self.emb(user // 25), self.item(user % 25) + self.item(item)], 1))
        elif self.how == "times":
            user = user * 2
        else:
            user = user - 1
        return self.out(torch.cat([self.emb(user), self.item(item)], 1))


class Computed(nn.Module):
    """The table is an input's product, not a constant."""

    def __init__(self):
        super().__init__()
        self.emb, self.item = nn.Embedding(N, DIM), nn.Embedding(25, DIM)
        self.mix = nn.Linear(DIM, DIM)

    def forward(self, user, item, scale):
        table = torch.tanh(self.mix(self.emb.weight)) * scale.mean()
        return (table[user] * self.item(item)).sum(1)


class Remap(nn.Module):
    """A constant vector maps ids to rows before the lookup."""

    def __init__(self):
        super().__init__()
        self.emb, self.item = nn.Embedding(20, DIM), nn.Embedding(25, DIM)
        self.register_buffer("remap", torch.arange(N) % 20)

    def forward(self, user, item):
        return (self.emb(self.remap[user]) * self.item(item)).sum(1)


class ConstantIds(nn.Module):
    """A table of field vectors, looked up with a constant range, added to the fields."""

    def __init__(self):
        super().__init__()
        self.emb, self.field = nn.Embedding(60, DIM), nn.Embedding(3, DIM)
        self.out = nn.Linear(3 * DIM, 1)

    def forward(self, x):
        return self.out((self.emb(x) + self.field(torch.arange(3))).flatten(1))


class ItemFeatures(nn.Module):
    """Item features from a constant table of ids: emb(table_of_ids[item])."""

    def __init__(self):
        super().__init__()
        self.item, self.genre = nn.Embedding(25, DIM), nn.Embedding(9, DIM)
        self.register_buffer("genre_of", torch.randint(0, 9, (25,)))
        self.register_buffer("features", torch.randn(25, 3))
        self.out = nn.Linear(2 * DIM + 3, 1)

    def forward(self, item):
        x = torch.cat([self.item(item), self.genre(self.genre_of[item]), self.features[item]], dim=1)
        return self.out(x)


class Scaled(nn.Module):
    """A table behind a Dropout, a LayerNorm and a projection; never joined with anything."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(N, 3)
        self.norm, self.up = nn.LayerNorm(3), nn.Linear(3, DIM)
        self.out = nn.Linear(DIM, 1)

    def forward(self, item):
        return self.out(self.up(nn.functional.dropout(self.norm(self.emb(item)), 0.1, self.training)))


class TiedTwice(nn.Module):
    """Two nn.Embedding objects that share a Parameter."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Embedding(N, DIM), nn.Embedding(N, DIM)
        self.b.weight = self.a.weight
        self.out = nn.Linear(2 * DIM, 1)

    def forward(self, left, right):
        return self.out(torch.cat([self.a(left), self.b(right)], dim=1))


class FloatMatrix(nn.Module):
    """One float matrix: dense columns first, ids last."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Embedding(20, DIM), nn.Embedding(30, DIM)
        self.out = nn.Linear(2 * DIM + 3, 1)

    def forward(self, x):
        dense, cat = x[:, :3], x[:, 3:].long()
        return self.out(torch.cat([dense, self.a(cat[:, 0]), self.b(cat[:, 1])], 1))


class Big(nn.Module):
    """Wide enough for external data to be worth it."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Embedding(400, DIM), nn.Embedding(300, DIM)
        self.mlp = nn.Sequential(nn.Linear(2 * DIM + 4, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, dense, x):
        return self.mlp(torch.cat([dense, self.a(x[:, 0]), self.b(x[:, 1])], 1))


class Dictionary(nn.Module):
    """Ids reordered, flipped and strided before the lookup."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(N, DIM)
        self.out = nn.Linear(4 * DIM, 1)

    def forward(self, x):
        picked = torch.cat([x[:, ::2], x[:, [5, 1]]], dim=1)[:, :4]
        return self.out(self.emb(picked).reshape(x.size(0), -1))


class BatchFlat(nn.Module):
    """All ids flattened, looked up, and folded back: view(-1) then view(B, T, D)."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(N, DIM)
        self.out = nn.Linear(3 * DIM, 1)

    def forward(self, x):
        e = self.emb(x.reshape(-1)).view(x.size(0), x.size(1), DIM)
        return self.out(e.view(x.size(0), 3 * DIM))


class RowSum(nn.Module):
    """The reduction runs over the embedding's own axis, which is no pooling."""

    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(N, DIM)
        self.out = nn.Linear(6, 1)

    def forward(self, hist):
        return self.out(self.emb(hist).sum(-1))


class NoIds(nn.Module):
    """Nothing to take out."""

    def __init__(self):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, dense):
        return self.mlp(dense)


class IdsAlsoDense(nn.Module):
    """An id that is a number too: emb(age) beside age / 100."""

    def __init__(self):
        super().__init__()
        self.age, self.item = nn.Embedding(100, DIM), nn.Embedding(25, DIM)
        self.out = nn.Linear(2 * DIM + 1, 1)

    def forward(self, age, item):
        return self.out(torch.cat([self.age(age), self.item(item), age.float().unsqueeze(1) / 100.0], 1))


def fixtures():
    pair = [ids("user", 25), ids("item", N)]
    two = expect(2, unpooled=2)
    yield Fixture("half-tables", "odd", Half, pair, two)
    yield Fixture("half-tables-pooled", "odd", lambda: Half(True), [ids("user", 25), ids("item", N, ("batch", 4))],
                  expect(2, [pool(N, DIM)], unpooled=1))
    computed = lambda why: expect(1, unpooled=1, dense_tables=[stays(N, DIM, why)])  # noqa: E731
    user = lambda high, low=0: [ids("user", high, low=low), ids("item", 25)]  # noqa: E731
    yield Fixture("hash-mod", "odd", lambda: Hash("mod"), user(1000), expect(2, unpooled=2))
    yield Fixture("hash-clamp", "odd", lambda: Hash("clamp"), user(60), expect(2, unpooled=2))
    yield Fixture("hash-where", "odd", lambda: Hash("where"), user(60), expect(2, unpooled=2))
    yield Fixture("hash-times", "odd", lambda: Hash("times"), user(N // 2), expect(2, unpooled=2))
    yield Fixture("ids-minus-one", "odd", lambda: Hash("minus"), user(N + 1, 1),
                  expect(2, unpooled=2, note="a constant offset of -1"))
    yield Fixture("hash-quotient-remainder", "odd", lambda: Hash("qr"), user(900), expect(2, unpooled=3))
    yield Fixture("table-computed", "odd", Computed, user(N) + [Input("scale", "float32", ["batch", 2], {"kind": "uniform"})],
                  computed("the table is computed"), batch=4, note="scale.mean() mixes rows of a batch")
    yield Fixture("ids-remapped", "odd", Remap, user(N), expect(1, unpooled=1, dense_tables=[stays(20, DIM, "ids come out of another lookup")]))
    yield Fixture("constant-ids", "odd", ConstantIds, [ids("x", 60, ("batch", 3))],
                  expect(1, unpooled=1, dense_tables=[stays(3, DIM, "looked up with constant ids")], note="may be folded to a constant"))
    yield Fixture("item-features", "odd", ItemFeatures, [ids("item", 25)],
                  expect(2, unpooled=2, dense_tables=[stays(9, DIM, "ids come out of another lookup")],
                         note="the matrix [25, 3] of item features is a table as any other"))
    yield Fixture("normalised-embedding", "odd", Scaled, [ids("item", N)], expect(1, unpooled=1))
    yield Fixture("tied-parameters", "odd", TiedTwice, [ids("left", N), ids("right", N)], expect(1, unpooled=2))
    yield Fixture("float-matrix", "odd", FloatMatrix,
                  [Input("x", "float32", ["batch", 5], {"kind": "mixed", "dense": 3, "high": [20, 30]})],
                  expect(2, unpooled=2))
    matrix = [dense(), columns("x", (400, 300))]
    yield Fixture("external-data", "odd", Big, matrix, two, external=True)
    yield Fixture("not-optimized", "odd", Big, matrix, two,
                  options={"dynamo": {"optimize": False}, "torchscript": {"do_constant_folding": False}})
    yield Fixture("kept-initializers-as-inputs", "odd", Big, matrix, two, exporters=("torchscript",),
                  options={"torchscript": {"keep_initializers_as_inputs": True}})
    yield Fixture("ids-picked", "odd", Dictionary, [ids("x", N, ("batch", 6))],
                  expect(1, unpooled=1, note="columns 0, 2, 4, 5: several bags, or the table stays with a reason"))
    yield Fixture("ids-flattened", "odd", BatchFlat, [ids("x", N, ("batch", 3))], expect(1, unpooled=1))
    yield Fixture("reduced-over-dim", "odd", RowSum, [ids("hist", N, ("batch", 6))], expect(1, unpooled=1))
    yield Fixture("no-tables", "odd", NoIds, [dense()], expect(0))
    yield Fixture("id-and-number", "odd", IdsAlsoDense, [ids("age", 100), ids("item", 25)],
                  expect(2, unpooled=2, note="age is an input of the dense graph too"))

"""DLRM: bottom tower, dot interaction, top tower; the ways users hand ids to it."""

import torch
from torch import nn

from zoo import Fixture, columns, dense, expect, ids, normal, offsets, pool

ROWS = (40, 25, 60)
DIM = 8


def mlp(*widths, last=None):
    layers = []
    for a, b in zip(widths, widths[1:]):
        layers += [nn.Linear(a, b), nn.ReLU()]
    layers = layers[:-1] + ([last] if last is not None else [])
    return nn.Sequential(*layers)


def dot_interaction(x, embeddings):
    """Concatenates and takes the lower triangle, as facebook's reference does."""
    batch, d = x.shape
    t = torch.cat([x] + embeddings, dim=1).view((batch, -1, d))
    z = torch.bmm(t, torch.transpose(t, 1, 2))
    n = z.shape[1]
    li = torch.tensor([i for i in range(n) for j in range(i)])
    lj = torch.tensor([j for i in range(n) for j in range(i)])
    return torch.cat([x, z[:, li, lj]], dim=1)


class Base(nn.Module):
    def __init__(self, fields=3):
        super().__init__()
        self.bot = mlp(4, 16, DIM)
        self.top = mlp(DIM + (fields + 1) * fields // 2, 16, 1, last=nn.Sigmoid())


class Separate(Base):
    """One [B] input per feature; the triangle comes from a registered buffer."""

    def __init__(self):
        super().__init__()
        self.emb = nn.ModuleList(nn.Embedding(n, DIM) for n in ROWS)
        self.register_buffer("tri", torch.tril_indices(4, 4, -1))

    def forward(self, dense, user, item, genre):
        x = self.bot(dense)
        looked_up = [e(i) for e, i in zip(self.emb, (user, item, genre))]
        t = torch.stack([x] + looked_up, dim=1)
        z = t @ t.transpose(1, 2)
        z = z[:, self.tri[0], self.tri[1]]
        return self.top(torch.cat([x, z], 1))


class Columns(Base):
    def __init__(self):
        super().__init__()
        self.emb = nn.ModuleList(nn.Embedding(n, DIM) for n in ROWS)

    def forward(self, dense, sparse):
        x = self.bot(dense)
        return self.top(dot_interaction(x, [e(sparse[:, k]) for k, e in enumerate(self.emb)]))


class KeptColumns(Base):
    """x[:, i:i+1] keeps the axis; the embeddings come out as [B, 1, D] and are concatenated on axis 1."""

    def __init__(self):
        super().__init__()
        self.emb = nn.ModuleList(nn.Embedding(n, DIM) for n in ROWS)

    def forward(self, dense, sparse):
        x = self.bot(dense)
        t = torch.cat([x.unsqueeze(1)] + [e(sparse[:, k : k + 1]) for k, e in enumerate(self.emb)], dim=1)
        z = torch.einsum("bid,bjd->bij", t, t)
        i, j = torch.tril_indices(4, 4, offset=-1)
        return self.top(torch.cat([x, z[:, i, j]], dim=-1)).squeeze(-1)


class Unbound(Base):
    """sparse.unbind(1) and sparse.split(1, dim=1) as ways to take columns."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.emb = nn.ModuleList(nn.Embedding(n, DIM) for n in ROWS)

    def forward(self, dense, sparse):
        x = self.bot(dense)
        if self.how == "unbind":
            parts = sparse.unbind(1)
        elif self.how == "split":
            parts = [p.squeeze(1) for p in sparse.split(1, dim=1)]
        elif self.how == "chunk":
            parts = [p.view(-1) for p in torch.chunk(sparse, 3, dim=1)]
        elif self.how == "select":
            parts = [torch.select(sparse, 1, k) for k in range(3)]
        elif self.how == "narrow":
            parts = [sparse.narrow(1, k, 1).reshape(-1) for k in range(3)]
        elif self.how == "index_select":
            parts = [torch.index_select(sparse, 1, torch.tensor([k])).squeeze(1) for k in range(3)]
        else:  # the matrix transposed first: one row per field
            parts = list(sparse.t())
        return self.top(dot_interaction(x, [e(p) for e, p in zip(self.emb, parts)]))


class Flattened(Base):
    """One table for all fields; ids are moved by the field's first row."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.starts = [0, ROWS[0], ROWS[0] + ROWS[1]]
        self.emb = nn.Embedding(sum(ROWS), DIM)
        self.register_buffer("start", torch.tensor(self.starts).unsqueeze(0))

    def forward(self, dense, sparse):
        x = self.bot(dense)
        if self.how == "new_tensor":
            shifted = sparse + sparse.new_tensor(self.starts).unsqueeze(0)
        elif self.how == "buffer":
            shifted = sparse.long() + self.start
        else:
            shifted = torch.stack([sparse[:, k] + s for k, s in enumerate(self.starts)], dim=1)
        t = torch.cat([x.unsqueeze(1), self.emb(shifted)], dim=1)
        z = torch.matmul(t, t.permute(0, 2, 1))
        li, lj = torch.tril_indices(4, 4, offset=-1).unbind(0)
        return self.top(torch.cat([x, z[:, li, lj]], dim=1))


class FacebookSeparate(Base):
    """EmbeddingBag per table, indices and offsets per table."""

    def __init__(self):
        super().__init__(2)
        self.emb_l = nn.ModuleList(nn.EmbeddingBag(n, DIM, mode="sum") for n in ROWS[:2])

    def forward(self, dense_x, indices_0, offsets_0, indices_1, offsets_1):
        x = self.bot(dense_x)
        ly = [self.emb_l[0](indices_0, offsets_0), self.emb_l[1](indices_1, offsets_1)]
        return self.top(dot_interaction(x, ly))


class FacebookStacked(Base):
    """lS_i [T, nnz] and lS_o [T, B], as facebook's data loader stacks them."""

    def __init__(self, how="index", weighted=False):
        super().__init__(2)
        self.how = how
        self.weighted = weighted
        self.emb_l = nn.ModuleList(nn.EmbeddingBag(n, DIM, mode="sum") for n in ROWS[:2])

    def rows(self, stack):
        if self.how == "unbind":
            return stack.unbind(0)
        if self.how == "split":
            return [part.reshape(-1) for part in stack.split(1)]
        if self.how == "narrow":
            return [stack[k : k + 1].squeeze(0) for k in range(2)]
        return [stack[-2], stack[-1]]

    def forward(self, dense_x, lS_o, lS_i, lS_w=None):
        x = self.bot(dense_x)
        weights = self.rows(lS_w) if self.weighted else (None, None)
        bags = zip(self.emb_l, self.rows(lS_i), self.rows(lS_o), weights)
        return self.top(dot_interaction(x, [e(i, o, per_sample_weights=w) for e, i, o, w in bags]))


class FacebookList(Base):
    """lS_i as a list of tensors, of any lengths; lS_o stacked."""

    def __init__(self):
        super().__init__(2)
        self.emb_l = nn.ModuleList(nn.EmbeddingBag(n, DIM, mode="sum") for n in ROWS[:2])

    def forward(self, dense_x, lS_o, lS_i_0, lS_i_1):
        x = self.bot(dense_x)
        ly = [self.emb_l[0](lS_i_0, lS_o[0]), self.emb_l[1](lS_i_1, lS_o[1])]
        return self.top(dot_interaction(x, ly))


class FixedBags(Base):
    """EmbeddingBag with [B, 1] ids: one id per bag, no offsets."""

    def __init__(self):
        super().__init__()
        self.emb = nn.ModuleList(nn.EmbeddingBag(n, DIM, mode="sum") for n in ROWS)

    def forward(self, dense, sparse):
        x = self.bot(dense)
        return self.top(dot_interaction(x, [e(sparse[:, k].unsqueeze(1)) for k, e in enumerate(self.emb)]))


def fixtures():
    matrix = [dense(), columns("sparse", ROWS)]
    three = expect(3, unpooled=3)
    named = [dense(), ids("user", 40), ids("item", 25), ids("genre", 60)]
    yield Fixture("dlrm-separate", "dlrm", Separate, named, three)
    yield Fixture("dlrm-columns", "dlrm", Columns, matrix, three)
    yield Fixture("dlrm-columns-opset13", "dlrm", Columns, matrix, three, exporters=("torchscript",), opset=13)
    yield Fixture("dlrm-columns-fixed-batch", "dlrm", Columns, matrix, three, batch=4)
    yield Fixture("dlrm-kept-columns", "dlrm", KeptColumns, matrix, three, opset=17)
    for how in ("unbind", "split", "chunk", "select", "narrow", "index_select", "transposed"):
        yield Fixture(f"dlrm-{how.replace('_', '-')}", "dlrm", lambda how=how: Unbound(how), matrix, three)
    for how in ("new_tensor", "buffer", "stacked"):
        yield Fixture(
            f"dlrm-flattened-{how.replace('_', '-')}", "dlrm", lambda how=how: Flattened(how), matrix,
            expect(1, unpooled=3 if how == "stacked" else 1,
                   note="one table of 125 rows; ids shifted by 0, 40, 65"
                   + ("; one Gather over a stack of shifted columns: 3 bags of one id or one of three" if how == "stacked" else "")),
        )
    bags = [dense("dense_x"), ids("indices_0", 40, ("nnz_0",)), offsets("offsets_0", "indices_0"),
            ids("indices_1", 25, ("nnz_1",)), offsets("offsets_1", "indices_1")]
    yield Fixture("dlrm-facebook-separate", "dlrm", FacebookSeparate, bags,
                  expect(2, [pool(40, DIM), pool(25, DIM)]), symbols={"nnz_0": 11, "nnz_1": 9})
    two = expect(2, [pool(40, DIM), pool(25, DIM)])
    stacked = [dense("dense_x"), offsets("lS_o", "lS_i"), ids("lS_i", 25, (2, "nnz"))]
    stacked[1].shape = [2, "batch"]
    yield Fixture("dlrm-facebook-stacked", "dlrm", FacebookStacked, stacked,
                  two, symbols={"nnz": 11})
    for how in ("unbind", "split", "narrow"):
        yield Fixture(f"dlrm-facebook-stacked-{how}", "dlrm", lambda how=how: FacebookStacked(how), stacked,
                      two, symbols={"nnz": 11})
    yield Fixture("dlrm-facebook-stacked-weights", "dlrm", lambda: FacebookStacked(weighted=True),
                  stacked + [normal("lS_w", 2, "nnz")],
                  expect(2, [pool(n, DIM, weighted=True) for n in ROWS[:2]]), symbols={"nnz": 11})
    listed = [dense("dense_x"), offsets("lS_o", "lS_i_0"), ids("lS_i_0", 40, ("nnz",)), ids("lS_i_1", 25, ("nnz",))]
    listed[1].shape = [2, "batch"]
    yield Fixture("dlrm-facebook-list", "dlrm", FacebookList, listed, two, symbols={"nnz": 11})
    yield Fixture("dlrm-bag-columns", "dlrm", FixedBags, matrix, expect(3, [pool(n, DIM, bags=1) for n in ROWS],
                  note="bags of one id: sum of one, may also be counted as unpooled"))

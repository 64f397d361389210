"""Click-through models over fields: wide and deep, factorisation machines and their descendants."""

import torch
from torch import nn

from zoo import Fixture, columns, dense, expect, ids, pool

ROWS = (20, 35, 15, 28)
DIM = 4
F = len(ROWS)


def starts():
    out = [0]
    for n in ROWS[:-1]:
        out.append(out[-1] + n)
    return out


class Linear(nn.Module):
    """First-order weights: a table of width one over all fields, summed."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Embedding(sum(ROWS), 1)
        self.bias = nn.Parameter(torch.randn(1))
        self.starts = starts()

    def forward(self, x):
        x = x + x.new_tensor(self.starts).unsqueeze(0)
        return torch.sum(self.fc(x), dim=1) + self.bias


class Fields(nn.Module):
    """All fields in one table, [B, F, D]."""

    def __init__(self, dim=DIM):
        super().__init__()
        self.embedding = nn.Embedding(sum(ROWS), dim)
        self.starts = starts()

    def forward(self, x):
        return self.embedding(x + x.new_tensor(self.starts).unsqueeze(0))


def fm(e, reduce=True):
    square_of_sum = torch.sum(e, dim=1) ** 2
    sum_of_square = torch.sum(e**2, dim=1)
    ix = square_of_sum - sum_of_square
    return 0.5 * (torch.sum(ix, dim=1, keepdim=True) if reduce else ix)


def tower(width, batchnorm=False):
    layers = [nn.Linear(width, 12)] + ([nn.BatchNorm1d(12)] if batchnorm else []) + [nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 1)]
    return nn.Sequential(*layers)


class Flat(nn.Module):
    """torchfm-like shell: linear part, flattened table, and one interaction by name."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.linear, self.embedding = Linear(), Fields()
        width = F * DIM
        pairs = F * (F - 1) // 2
        self.row = [i for i in range(F) for j in range(i + 1, F)]
        self.col = [j for i in range(F) for j in range(i + 1, F)]
        self.mlp = tower({"nfm": DIM, "pnn": pairs + width, "fibinet": 2 * pairs * DIM}.get(kind, width), kind != "wd")
        if kind == "afm":
            self.attention, self.projection, self.fc = nn.Linear(DIM, 5), nn.Linear(5, 1), nn.Linear(DIM, 1)
        if kind == "xdeepfm":
            self.cin = nn.ModuleList([nn.Conv1d(F * F, 6, 1), nn.Conv1d(F * 6, 6, 1)])
            self.cin_out = nn.Linear(12, 1)
        if kind == "autoint":
            self.up = nn.Linear(DIM, 8)
            self.attn = nn.ModuleList(nn.MultiheadAttention(8, 2) for _ in range(2))
            self.res, self.fc = nn.Linear(DIM, 8), nn.Linear(8 * F, 1)
        if kind == "fibinet":
            self.se = nn.Sequential(nn.Linear(F, 2), nn.ReLU(), nn.Linear(2, F), nn.ReLU())
            self.bilinear = nn.Linear(DIM, DIM, bias=False)

    def extra(self, e):
        k = self.kind
        if k == "fm":
            return fm(e)
        if k == "wd":
            return self.mlp(e.view(-1, F * DIM))
        if k == "deepfm":
            return fm(e) + self.mlp(e.view(-1, F * DIM))
        if k == "nfm":
            return self.mlp(fm(e, False))
        if k == "pnn":
            inner = torch.sum(e[:, self.row] * e[:, self.col], dim=2)
            return self.mlp(torch.cat([e.flatten(1), inner], dim=1))
        if k == "afm":
            product = e[:, self.row] * e[:, self.col]
            scores = torch.softmax(self.projection(torch.relu(self.attention(product))), dim=1)
            return self.fc(torch.sum(scores * product, dim=1))
        if k == "xdeepfm":
            x0, h, out = e.unsqueeze(2), e, []
            for conv in self.cin:
                h = x0 * h.unsqueeze(1)
                h = torch.relu(conv(h.view(h.shape[0], -1, DIM)))
                out.append(h)
            return self.cin_out(torch.sum(torch.cat(out, dim=1), 2)) + self.mlp(e.view(-1, F * DIM))
        if k == "autoint":
            x = self.up(e).transpose(0, 1)
            for attn in self.attn:
                x, _ = attn(x, x, x)
            x = torch.relu(x.transpose(0, 1) + self.res(e)).contiguous().view(-1, 8 * F)
            return self.fc(x) + self.mlp(e.view(-1, F * DIM))
        scaled = e * self.se(e.mean(-1)).unsqueeze(-1)
        both = [self.bilinear(v[:, self.row]) * v[:, self.col] for v in (e, scaled)]
        return self.mlp(torch.cat(both, dim=1).flatten(start_dim=1))

    def forward(self, x):
        return torch.sigmoid((self.linear(x) + self.extra(self.embedding(x))).squeeze(1))


class Separate(nn.Module):
    """deepctr-like: an Embedding per field for the deep part and one of width 1 for the linear part."""

    def __init__(self, style):
        super().__init__()
        self.style = style
        self.emb = nn.ModuleDict({f"c{k}": nn.Embedding(n, DIM) for k, n in enumerate(ROWS)})
        self.lin = nn.ModuleDict({f"c{k}": nn.Embedding(n, 1) for k, n in enumerate(ROWS)})
        self.dense_lin = nn.Linear(3, 1, bias=False)
        self.mlp = tower(F * DIM + 3)

    def forward(self, X):
        """X: fields first, ids as int64 columns; dense comes beside it."""
        raise NotImplementedError

    def head(self, e, w, dense):
        first = torch.sum(torch.cat(w, dim=-1), dim=-1, keepdim=True)
        stacked = torch.cat(e, dim=1)
        deep = self.mlp(torch.cat([torch.flatten(stacked, start_dim=1), dense], dim=-1))
        return torch.sigmoid(first.reshape(-1, 1) + self.dense_lin(dense) + fm(stacked) + deep)


class SeparateColumns(Separate):
    def forward(self, X, dense):
        e = [self.emb[f"c{k}"](X[:, k : k + 1]) for k in range(F)]
        w = [self.lin[f"c{k}"](X[:, k : k + 1].long()) for k in range(F)]
        return self.head(e, w, dense)


class SeparateInputs(Separate):
    def forward(self, c0, c1, c2, c3, dense):
        xs = (c0, c1, c2, c3)
        e = [self.emb[f"c{k}"](x).unsqueeze(1) for k, x in enumerate(xs)]
        w = [self.lin[f"c{k}"](x).unsqueeze(1) for k, x in enumerate(xs)]
        return self.head(e, w, dense)


class SeparateTwoD(Separate):
    """Inputs of shape [B, 1], as data loaders often collate them."""

    def forward(self, c0, c1, c2, c3, dense):
        xs = (c0, c1, c2, c3)
        e = [self.emb[f"c{k}"](x) for k, x in enumerate(xs)]
        w = [self.lin[f"c{k}"](x) for k, x in enumerate(xs)]
        return self.head(e, w, dense)


class FieldAware(nn.Module):
    """FFM: every field has a table per other field, each over all ids."""

    def __init__(self):
        super().__init__()
        self.linear = Linear()
        self.emb = nn.ModuleList(nn.Embedding(sum(ROWS), DIM) for _ in range(F))
        self.starts = starts()

    def forward(self, x):
        shifted = x + x.new_tensor(self.starts).unsqueeze(0)
        xs = [e(shifted) for e in self.emb]
        ix = [xs[j][:, i] * xs[i][:, j] for i in range(F - 1) for j in range(i + 1, F)]
        return torch.sigmoid(self.linear(x) + torch.sum(torch.sum(torch.stack(ix, dim=1), dim=1), dim=1, keepdim=True))


def fixtures():
    total = sum(ROWS)
    flat = expect(2, [pool(total, 1)], unpooled=1, note="the table of width 1 is summed over all fields, with an offset per field")
    matrix = [columns("x", ROWS)]
    for kind in ("fm", "wd", "deepfm", "nfm", "pnn", "afm", "xdeepfm", "autoint", "fibinet"):
        yield Fixture(f"ctr-{kind}", kind, lambda kind=kind: Flat(kind), matrix, flat)
        if kind in ("deepfm", "afm"):
            yield Fixture(f"ctr-{kind}-opset13", kind, lambda kind=kind: Flat(kind), matrix, flat, exporters=("torchscript",), opset=13)
    yield Fixture("ctr-deepfm-fixed-batch", "deepfm", lambda: Flat("deepfm"), matrix, flat, batch=1)
    yield Fixture("ctr-deepfm-int32", "deepfm", lambda: Flat("deepfm"), [columns("x", ROWS, dtype="int32")], flat)
    eight = expect(8, unpooled=8)
    one = [ids(f"c{k}", n) for k, n in enumerate(ROWS)] + [dense(width=3)]
    two = [ids(f"c{k}", n, ("batch", 1)) for k, n in enumerate(ROWS)] + [dense(width=3)]
    yield Fixture("ctr-deepfm-columns", "deepfm", lambda: SeparateColumns(""), [columns("X", ROWS), dense(width=3)], eight)
    yield Fixture("ctr-deepfm-inputs", "deepfm", lambda: SeparateInputs(""), one, eight)
    yield Fixture("ctr-deepfm-inputs-2d", "deepfm", lambda: SeparateTwoD(""), two, eight)
    yield Fixture("ctr-ffm", "ffm", FieldAware, matrix, expect(5, [pool(total, 1)], unpooled=4))

"""Deep and cross networks, and multi-task models with several outputs."""

import torch
from torch import nn

from zoo import Fixture, columns, dense, expect, ids, padded, pool

ROWS = (22, 30, 18)
DIM = 4
WIDTH = 3 * DIM + 4


class Inputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.ModuleList(nn.Embedding(n, DIM) for n in ROWS)

    def x0(self, dense, cat):
        return torch.cat([dense] + [e(cat[:, i]) for i, e in enumerate(self.emb)], dim=1)


class Dcn(Inputs):
    """v1: x0 * (x w) + b + x."""

    def __init__(self, parallel):
        super().__init__()
        self.parallel = parallel
        self.w = nn.ModuleList(nn.Linear(WIDTH, 1, bias=False) for _ in range(2))
        self.b = nn.ParameterList(nn.Parameter(torch.randn(WIDTH) * 0.1) for _ in range(2))
        self.deep = nn.Sequential(nn.Linear(WIDTH, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.out = nn.Linear(WIDTH + 8, 1)

    def forward(self, dense, cat):
        x0 = self.x0(dense, cat)
        x = x0
        for w, b in zip(self.w, self.b):
            x = x0 * w(x) + b + x
        return torch.sigmoid(self.out(torch.cat([x, self.deep(x0)], dim=1))).squeeze()


class DcnV2(Inputs):
    def __init__(self, rank=None, mixture=False):
        super().__init__()
        self.rank, self.mixture = rank, mixture
        if rank is None:
            self.cross = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        else:
            self.u = nn.ParameterList(nn.Parameter(torch.randn(WIDTH, rank) * 0.3) for _ in range(2))
            self.v = nn.ParameterList(nn.Parameter(torch.randn(WIDTH, rank) * 0.3) for _ in range(2))
            self.bias = nn.ParameterList(nn.Parameter(torch.randn(WIDTH) * 0.3) for _ in range(2))
        self.gate = nn.Linear(WIDTH, 2)
        self.deep = nn.Sequential(nn.Linear(WIDTH, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, dense, cat):
        x0 = self.x0(dense, cat)
        x = x0
        if self.rank is None:
            for layer in self.cross:
                x = x0 * layer(x) + x
        elif not self.mixture:
            for u, v, b in zip(self.u, self.v, self.bias):
                x = x0 * (x @ v @ u.t() + b) + x
        else:
            experts = [x0 * (torch.tanh(x @ v) @ u.t() + b) for u, v, b in zip(self.u, self.v, self.bias)]
            gate = torch.softmax(self.gate(x), dim=-1).unsqueeze(2)
            x = x + torch.matmul(torch.stack(experts, 2), gate).squeeze(2)
        return torch.sigmoid(self.deep(x))


class Mmoe(Inputs):
    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(WIDTH, 8), nn.ReLU()) for _ in range(3))
        self.gates = nn.ModuleList(nn.Sequential(nn.Linear(WIDTH, 3), nn.Softmax(dim=1)) for _ in range(2))
        self.towers = nn.ModuleList(nn.Linear(8, 1) for _ in range(2))

    def forward(self, dense, cat):
        x = self.x0(dense, cat)
        experts = torch.stack([e(x) for e in self.experts], dim=1)
        outs = []
        for gate, tower in zip(self.gates, self.towers):
            mixed = (gate(x).unsqueeze(-1) * experts).sum(dim=1)
            outs.append(torch.sigmoid(tower(mixed)).squeeze(1))
        return outs[0], outs[1]


class Ple(Inputs):
    """One extraction level: shared experts and experts of each task."""

    def __init__(self):
        super().__init__()
        make = lambda n: nn.ModuleList(nn.Sequential(nn.Linear(WIDTH, 6), nn.ReLU()) for _ in range(n))  # noqa: E731
        self.shared, self.own = make(2), nn.ModuleList([make(2), make(2)])
        self.gates = nn.ModuleList(nn.Linear(WIDTH, 4, bias=False) for _ in range(2))
        self.towers = nn.ModuleList(nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1)) for _ in range(2))

    def forward(self, dense, cat):
        x = self.x0(dense, cat)
        shared = [e(x) for e in self.shared]
        outs = []
        for own, gate, tower in zip(self.own, self.gates, self.towers):
            experts = torch.stack([e(x) for e in own] + shared, 2)
            mixed = torch.bmm(experts, torch.softmax(gate(x), -1).unsqueeze(2)).squeeze(2)
            outs.append(tower(mixed))
        return tuple(outs)


class Esmm(nn.Module):
    """Two towers over one set of embeddings of a padded [B, 5] history; the second output is a product."""

    def __init__(self):
        super().__init__()
        self.item, self.user = nn.Embedding(30, DIM), nn.Embedding(20, DIM)
        self.ctr, self.cvr = nn.Linear(3 * DIM, 1), nn.Linear(3 * DIM, 1)

    def forward(self, user, item, history):
        keep = history.ne(0).float().unsqueeze(-1)
        pooled = (self.item(history) * keep).sum(1) / keep.sum(1).clamp_min(1.0)
        x = torch.cat([self.user(user), self.item(item), pooled], -1)
        ctr = self.ctr(x).sigmoid()
        return ctr, ctr * self.cvr(x).sigmoid()


class Frappe(nn.Module):
    """Embeddings added together instead of concatenated."""

    def __init__(self):
        super().__init__()
        self.emb = nn.ModuleList(nn.Embedding(n, 8) for n in ROWS)
        self.out = nn.Linear(8, 1)

    def forward(self, a, b, c):
        return self.out(torch.relu(self.emb[0](a) + self.emb[1](b) + self.emb[2](c)))


class MixedWidths(nn.Module):
    """Every table has a width of its own; dense features are normalised first."""

    def __init__(self):
        super().__init__()
        self.embs = nn.ModuleList(nn.Embedding(n, d) for n, d in zip(ROWS, (2, 7, 5)))
        self.norm = nn.BatchNorm1d(4)
        self.layers = nn.Sequential(nn.Dropout(0.1), nn.Linear(18, 10), nn.ReLU(), nn.BatchNorm1d(10), nn.Linear(10, 2))

    def forward(self, x_cat, x_cont):
        x = [e(x_cat[:, i]) for i, e in enumerate(self.embs)]
        x = torch.cat(x, 1)
        return torch.softmax(self.layers(torch.cat([x, self.norm(x_cont)], 1)), dim=1)


def fixtures():
    inputs = [dense(), columns("cat", ROWS)]
    three = expect(3, unpooled=3)
    # `squeeze()` without an axis makes the rank depend on the batch; exported here with a fixed batch.
    yield Fixture("dcn-v1", "dcn", lambda: Dcn(True), inputs, three, batch=4)
    yield Fixture("dcn-v2-full", "dcn-v2", DcnV2, inputs, three)
    yield Fixture("dcn-v2-low-rank", "dcn-v2", lambda: DcnV2(2), inputs, three)
    yield Fixture("dcn-v2-mixture", "dcn-v2", lambda: DcnV2(2, True), inputs, three)
    yield Fixture("mmoe", "mmoe", Mmoe, inputs, three, outputs=["ctr", "cvr"])
    yield Fixture("mmoe-opset14", "mmoe", Mmoe, inputs, three, outputs=["ctr", "cvr"], exporters=("torchscript",), opset=14)
    yield Fixture("ple", "ple", Ple, inputs, three, outputs=["click", "buy"])
    yield Fixture("esmm", "esmm", Esmm, [ids("user", 20), ids("item", 30, low=1), padded("history", 30, ("batch", 5))],
                  expect(2, [pool(30, DIM, "mean", padding=0)], unpooled=2), outputs=["ctr", "ctcvr"])
    yield Fixture("added-embeddings", "mlp", Frappe, [ids("a", 22), ids("b", 30), ids("c", 18)], three)
    yield Fixture("mixed-widths", "mlp", MixedWidths, [columns("x_cat", ROWS), dense("x_cont")], three)

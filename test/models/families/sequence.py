"""Models that need every row of the history: attention, recurrence, transformers."""

import math

import torch
from torch import nn

from zoo import Fixture, dense, expect, ids, padded, pool, stays

N, DIM, L = 40, 8, 6


class Din(nn.Module):
    """Activation unit over target and history; the mask silences padding."""

    def __init__(self, style="where", softmax=False):
        super().__init__()
        self.style, self.softmax = style, softmax
        self.user = nn.Embedding(20, DIM)
        self.item = nn.Embedding(N, DIM, padding_idx=0)
        self.att = nn.Sequential(nn.Linear(4 * DIM, 8), nn.PReLU(), nn.Linear(8, 1))
        self.out = nn.Sequential(nn.Linear(3 * DIM, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, user, target, hist):
        q, keys = self.item(target), self.item(hist)
        if self.style == "repeat":
            qs = q.unsqueeze(1).repeat(1, hist.shape[1], 1)
        else:
            qs = q.unsqueeze(1).expand_as(keys)
        score = self.att(torch.cat([qs, keys, qs - keys, qs * keys], dim=-1)).squeeze(-1)
        mask = hist != 0
        if self.style == "where":
            low = torch.full_like(score, -1e9 if self.softmax else 0.0)
            score = torch.where(mask, score, low)
        else:
            score = score.masked_fill(~mask, -1e9 if self.softmax else 0.0)
        if self.softmax:
            score = torch.softmax(score, dim=-1)
        interest = torch.bmm(score.unsqueeze(1), keys).squeeze(1)
        return torch.sigmoid(self.out(torch.cat([self.user(user), q, interest], dim=1)))


class DinTwoFields(nn.Module):
    """History and target have an item and a category each; the table of both is concatenated on the last axis."""

    def __init__(self):
        super().__init__()
        self.item, self.cat = nn.Embedding(N, 4), nn.Embedding(12, 4)
        self.att = nn.Linear(DIM, DIM, bias=False)
        self.out = nn.Linear(2 * DIM, 1)

    def forward(self, item, cat, hist_item, hist_cat):
        q = torch.cat([self.item(item), self.cat(cat)], -1)
        h = torch.cat([self.item(hist_item), self.cat(hist_cat)], -1)
        mask = (hist_item > 0).unsqueeze(1)
        score = torch.matmul(self.att(q).unsqueeze(1), h.transpose(1, 2)) / math.sqrt(DIM)
        score = score.masked_fill(mask == 0, -1e9).softmax(-1)
        return self.out(torch.cat([q, (score @ h).squeeze(1)], -1)).squeeze(-1)


class Dien(nn.Module):
    """GRU over the history, attention of the target over its states."""

    def __init__(self, rnn=nn.GRU):
        super().__init__()
        self.item = nn.Embedding(N, DIM)
        self.rnn = rnn(DIM, DIM, batch_first=True)
        self.out = nn.Linear(2 * DIM, 1)

    def forward(self, target, hist):
        q = self.item(target)
        states, _ = self.rnn(self.item(hist))
        a = torch.softmax(torch.einsum("bld,bd->bl", states, q), dim=1)
        return self.out(torch.cat([q, (a.unsqueeze(2) * states).sum(1)], 1))


class Gru4Rec(nn.Module):
    """Scores all items with the table itself."""

    def __init__(self):
        super().__init__()
        self.item = nn.Embedding(N, DIM)
        self.gru = nn.GRU(DIM, DIM, batch_first=True)

    def forward(self, hist):
        _, h = self.gru(self.item(hist))
        return h[-1] @ self.item.weight.t()


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(DIM, DIM) for _ in range(3))
        self.n1, self.n2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.ff = nn.Sequential(nn.Linear(DIM, 16), nn.GELU(), nn.Linear(16, DIM))

    def forward(self, x, mask):
        y = self.n1(x)
        a = self.q(y) @ self.k(y).transpose(-2, -1) / math.sqrt(DIM)
        x = x + torch.softmax(a.masked_fill(mask, -1e9), -1) @ self.v(y)
        return x + self.ff(self.n2(x))


class SasRec(nn.Module):
    """Causal transformer; scores candidates by id, or every item with the tied table."""

    def __init__(self, scoring, positions="arange"):
        super().__init__()
        self.scoring, self.positions = scoring, positions
        self.item = nn.Embedding(N, DIM, padding_idx=0)
        self.pos = nn.Embedding(L, DIM)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.register_buffer("ids", torch.arange(L).unsqueeze(0))

    def encode(self, hist):
        x = self.item(hist) * DIM**0.5
        if self.positions == "arange":
            x = x + self.pos(torch.arange(hist.shape[1], device=hist.device))
        elif self.positions == "expand":
            p = torch.arange(hist.size(1)).unsqueeze(0).expand_as(hist)
            x = x + self.pos(p)
        else:
            x = x + self.pos(self.ids)
        x = x * (hist != 0).unsqueeze(-1)
        causal = torch.triu(torch.ones(L, L, dtype=torch.bool), diagonal=1)
        for block in self.blocks:
            x = block(x, causal)
        return x[:, -1]

    def forward(self, hist):
        return self.encode(hist) @ self.item.weight.transpose(0, 1)


class SasRecCandidates(SasRec):
    def forward(self, hist, candidates):
        user = self.encode(hist)
        e = self.item(candidates)
        if e.dim() == 2:
            return (user * e).sum(-1)
        return torch.bmm(e, user.unsqueeze(-1)).squeeze(-1)


class Transformer(nn.Module):
    """nn.TransformerEncoder with a key padding mask (Bert4Rec-like), mean over positions."""

    def __init__(self):
        super().__init__()
        self.item, self.pos = nn.Embedding(N, DIM, padding_idx=0), nn.Parameter(torch.randn(1, L, DIM))
        layer = nn.TransformerEncoderLayer(DIM, 2, 16, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.out = nn.Linear(DIM, 5)

    def forward(self, hist):
        x = self.encoder(self.item(hist) + self.pos, src_key_padding_mask=hist == 0)
        return self.out(x.mean(1))


class Bst(nn.Module):
    """Behaviour sequence transformer: the target is appended to the history before attention."""

    def __init__(self):
        super().__init__()
        self.item, self.user = nn.Embedding(N, DIM), nn.Embedding(20, DIM)
        self.pos = nn.Embedding(L + 1, DIM)
        self.attn = nn.MultiheadAttention(DIM, 2, batch_first=True)
        self.norm = nn.LayerNorm(DIM)
        self.out = nn.Sequential(nn.Linear(DIM * (L + 2), 8), nn.LeakyReLU(), nn.Linear(8, 1), nn.Sigmoid())

    def forward(self, user, target, hist):
        seq = torch.cat([hist, target.unsqueeze(1)], dim=1)
        x = self.item(seq) + self.pos.weight
        a, _ = self.attn(x, x, x, need_weights=False)
        x = self.norm(x + a).flatten(1)
        return self.out(torch.cat([self.user(user), x], dim=1))


class LastPlusPooled(nn.Module):
    """NARM/STAMP-like: last item, mean of all, from one lookup that is used twice."""

    def __init__(self):
        super().__init__()
        self.item = nn.Embedding(N, DIM)
        self.out = nn.Linear(2 * DIM, 1)

    def forward(self, hist):
        e = self.item(hist)
        return self.out(torch.cat([e[:, -1, :], e.mean(1)], dim=1))


class Caser(nn.Module):
    """Convolutions over the history as an image."""

    def __init__(self):
        super().__init__()
        self.item, self.user = nn.Embedding(N, DIM), nn.Embedding(20, DIM)
        self.h, self.v = nn.Conv2d(1, 3, (2, DIM)), nn.Conv2d(1, 2, (L, 1))
        self.out = nn.Linear(3 + 2 * DIM + DIM, 1)

    def forward(self, user, hist):
        x = self.item(hist).unsqueeze(1)
        h = torch.relu(self.h(x).squeeze(3)).max(dim=2).values
        v = self.v(x).flatten(1)
        return self.out(torch.cat([h, v, self.user(user)], 1))


def fixtures():
    history = padded("hist", N)
    full = ids("hist", N, ("batch", L))
    din = [ids("user", 20), ids("target", N, low=1), history]
    three = expect(2, unpooled=3, note="the history's ids are an input of the dense graph too, for the mask")
    yield Fixture("din", "din", Din, din, three)
    yield Fixture("din-softmax", "din", lambda: Din("fill", True), din, three)
    yield Fixture("din-repeat", "din", lambda: Din("repeat"), din, three)
    free = padded("hist", N, ("batch", "length"))
    yield Fixture("din-dynamic-length", "din", Din, [*din[:2], free], three, symbols={"length": 5})
    yield Fixture("din-fixed-batch", "din", Din, din, three, batch=4)
    yield Fixture("din-opset13", "din", Din, din, three, exporters=("torchscript",), opset=13)
    yield Fixture("din-two-fields", "din", DinTwoFields,
                  [ids("item", N, low=1), ids("cat", 12, low=1), padded("hist_item", N), padded("hist_cat", 12)],
                  expect(2, unpooled=4))
    two = expect(1, unpooled=2)
    yield Fixture("dien-gru", "dien", Dien, [ids("target", N), full], two)
    # The TorchScript exporter writes an LSTM's zero states for the batch of the export only (its own warning),
    # so that one is exported with a fixed batch.
    yield Fixture("dien-lstm-fixed-batch", "dien", lambda: Dien(nn.LSTM), [ids("target", N), full], two, batch=4)
    tied = [stays(N, DIM, "also the operand of a MatMul that scores every item: the matrix stays in the dense graph too")]
    yield Fixture("gru4rec", "gru4rec", Gru4Rec, [full], expect(1, unpooled=1, dense_tables=tied))
    position = stays(L, DIM, "looked up with constant positions, not with ids of an input")
    for how in ("arange", "expand", "buffer"):
        yield Fixture(f"sasrec-tied-{how}", "sasrec", lambda how=how: SasRec("tied", how), [history],
                      expect(1, unpooled=1, dense_tables=[position, *tied],
                             note="constant folding may have turned the position lookup into a constant"))
    yield Fixture("sasrec-candidates", "sasrec", lambda: SasRecCandidates("ids"), [history, ids("candidates", N, ("batch", 5), low=1)],
                  expect(1, unpooled=2, dense_tables=[position]))
    yield Fixture("sasrec-one-candidate", "sasrec", lambda: SasRecCandidates("ids"), [history, ids("candidates", N, low=1)],
                  expect(1, unpooled=2, dense_tables=[position]))
    yield Fixture("sasrec-opset14", "sasrec", lambda: SasRecCandidates("ids"), [history, ids("candidates", N, low=1)],
                  expect(1, unpooled=2, dense_tables=[position]), exporters=("torchscript",), opset=14)
    encoder = padded("hist", N, empty=False)  # a row that is all padding is NaN in nn.MultiheadAttention
    yield Fixture("bert4rec", "bert4rec", Transformer, [encoder], expect(1, unpooled=1))
    yield Fixture("bst", "bst", Bst, [ids("user", 20), ids("target", N), full],
                  expect(2, unpooled=2, note="ids of two inputs are joined before one Gather: two bags into one slot, or the "
                         "item table stays with that reason"))
    yield Fixture("last-plus-mean", "narm", LastPlusPooled, [full],
                  expect(1, unpooled=1, note="rows are needed unpooled for the last item; the mean may be a second, pooled bag"))
    yield Fixture("caser", "caser", Caser, [ids("user", 20), full], expect(2, unpooled=2))

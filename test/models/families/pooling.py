"""Histories pooled by hand: sums and means, masked in the ways users write it."""

import torch
from torch import nn

from zoo import Fixture, dense, expect, ids, mask, normal, padded, pool, uniform

N, DIM, L = 40, 8, 6


class Pooled(nn.Module):
    """emb(history) pooled by `how`, then a small tower."""

    def __init__(self, how, padding_idx=None, extra=0):
        super().__init__()
        self.how = how
        self.emb = nn.Embedding(N, DIM, padding_idx=padding_idx)
        self.out = nn.Sequential(nn.Linear(DIM + extra, 8), nn.ReLU(), nn.Linear(8, 1))

    def pool(self, hist):
        return HOW[self.how](self.emb, hist)

    def forward(self, hist):
        return self.out(self.pool(hist))


class PooledWithDense(Pooled):
    def forward(self, dense, hist):
        return self.out(torch.cat([dense, self.pool(hist)], dim=1))


class PooledWithMask(Pooled):
    def forward(self, hist, mask):
        return self.out(MASKED[self.how](self.emb, hist, mask))


def mean_clamp(emb, ids):
    mask = (ids != 0).float()
    total = (emb(ids) * mask.unsqueeze(-1)).sum(dim=1)
    return total / mask.sum(dim=1, keepdim=True).clamp(min=1)


def mean_eps(emb, ids):
    mask = ids.ne(0).unsqueeze(2).to(torch.float32)
    return torch.sum(emb(ids) * mask, dim=1) / (torch.sum(mask, dim=1) + 1e-8)


def mean_clamp_eps(emb, ids):
    mask = (ids > 0).unsqueeze(-1).float()
    return (emb(ids) * mask).sum(1) / mask.sum(1).clamp(min=1e-9)


def mean_where(emb, ids):
    mask = (ids != 0)[..., None]
    e = torch.where(mask, emb(ids), torch.zeros(()))
    return e.sum(1) / torch.clamp(mask.sum(1), min=1)


def mean_fill(emb, ids):
    pad = ids.eq(0)
    e = emb(ids).masked_fill(pad.unsqueeze(-1), 0.0)
    return e.sum(dim=1) / (~pad).sum(dim=1, keepdim=True).clamp(min=1).float()


def mean_max(emb, ids):
    mask = torch.ne(ids, 0).type_as(emb.weight)
    count = torch.maximum(mask.sum(-1, keepdim=True), torch.ones(1))
    return torch.einsum("bld,bl->bd", emb(ids), mask) / count


def mean_int_mask(emb, ids):
    mask = (ids != 0).long()
    return (emb(ids) * mask.unsqueeze(-1)).sum(1) / mask.sum(1).clamp(min=1).unsqueeze(1)


def mean_expanded(emb, ids):
    e = emb(ids)
    mask = (ids != 0).unsqueeze(-1).expand_as(e).float()
    return torch.sum(e * mask, 1) / torch.clamp(mask.sum(1), min=1e-9)


def mean_bmm(emb, ids):
    mask = (ids != 0).float()
    return torch.bmm(mask.unsqueeze(1), emb(ids)).squeeze(1) / mask.sum(1, keepdim=True).clamp(min=1.0)


def mean_weighted_first(emb, ids):
    """The mask is normalised before it meets the embeddings."""
    mask = (ids != 0).float()
    mask = mask / mask.sum(1, keepdim=True).clamp(min=1)
    return (emb(ids) * mask.unsqueeze(-1)).sum(1)


def mean_where_count(emb, ids):
    mask = (ids != 0).float()
    count = mask.sum(1, keepdim=True)
    count = torch.where(count == 0, torch.ones_like(count), count)
    return (emb(ids) * mask.unsqueeze(-1)).sum(1) / count


def mean_plus_one(emb, ids):
    """Not a mean: the count is one too large, so only the sum can be taken out."""
    mask = (ids != 0).float()
    return (emb(ids) * mask.unsqueeze(-1)).sum(1) / (mask.sum(1, keepdim=True) + 1.0)


def mean_sqrt(emb, ids):
    mask = (ids != 0).float()
    return (emb(ids) * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1).sqrt()


def mean_wrong_pad(emb, ids):
    mask = (ids != N - 1).float()
    return (emb(ids) * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def mean_negative(emb, ids):
    """Padding is -1, moved to row 0 for the lookup and masked away."""
    mask = (ids >= 0).float()
    return (emb(ids.clamp(min=0)) * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


HOW = {
    "sum": lambda emb, ids: emb(ids).sum(1),
    "sum-dim-minus-2": lambda emb, ids: torch.sum(emb(ids), dim=-2),
    "mean": lambda emb, ids: emb(ids).mean(dim=1),
    "mean-by-length": lambda emb, ids: emb(ids).sum(1) / ids.size(1),
    "mean-transposed": lambda emb, ids: emb(ids).transpose(1, 2).mean(-1),
    "avg-pool": lambda emb, ids: nn.functional.adaptive_avg_pool1d(emb(ids).transpose(1, 2), 1).squeeze(-1),
    "keepdim-squeeze": lambda emb, ids: emb(ids).sum(1, keepdim=True).squeeze(1),
    "keepdim-flatten": lambda emb, ids: emb(ids).mean(1, keepdim=True).flatten(1),
    "max": lambda emb, ids: emb(ids).max(dim=1).values,
    "masked-sum": lambda emb, ids: (emb(ids) * (ids != 0).unsqueeze(-1)).sum(1),
    "masked-sum-float": lambda emb, ids: ((ids > 0).float().unsqueeze(-1) * emb(ids)).sum(dim=1),
    "masked-sum-ge-1": lambda emb, ids: ((ids >= 1).float().unsqueeze(-1) * emb(ids)).sum(dim=1),
    "masked-sum-not-eq": lambda emb, ids: ((~(ids == 0)).float()[:, :, None] * emb(ids)).sum(dim=1),
    "masked-sum-sign": lambda emb, ids: (emb(ids) * torch.sign(ids).unsqueeze(-1).float()).sum(1),
    "masked-sum-index": lambda emb, ids: (emb(ids) * (1 - (ids == 0).float()).unsqueeze(-1)).sum(1),
    "masked-mean-clamp": mean_clamp,
    "masked-mean-eps": mean_eps,
    "masked-mean-clamp-eps": mean_clamp_eps,
    "masked-mean-where": mean_where,
    "masked-mean-fill": mean_fill,
    "masked-mean-max-einsum": mean_max,
    "masked-mean-int": mean_int_mask,
    "masked-mean-expand": mean_expanded,
    "masked-mean-bmm": mean_bmm,
    "masked-mean-normalised": mean_weighted_first,
    "masked-mean-where-count": mean_where_count,
    "masked-plus-one": mean_plus_one,
    "masked-sqrtn": mean_sqrt,
    "masked-mean-last-row": mean_wrong_pad,
    "masked-mean-negative": mean_negative,
}


def float_mask_sum(emb, ids, mask):
    return (emb(ids) * mask.unsqueeze(-1)).sum(1)


def float_mask_mean(emb, ids, mask):
    return (emb(ids) * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def weights_bmm(emb, ids, mask):
    return torch.matmul(mask.unsqueeze(-2), emb(ids)).squeeze(-2)


def bool_mask_mean(emb, ids, mask):
    e = emb(ids) * mask.unsqueeze(-1).to(emb.weight.dtype)
    return e.sum(1) / mask.sum(1).clamp(min=1).unsqueeze(-1)


def lengths_mean(emb, ids, lengths):
    keep = torch.arange(ids.shape[1])[None, :] < lengths[:, None]
    return (emb(ids) * keep.unsqueeze(-1).float()).sum(1) / lengths.unsqueeze(-1).float()


MASKED = {
    "float-mask-sum": float_mask_sum,
    "float-mask-mean": float_mask_mean,
    "weights-bmm": weights_bmm,
    "bool-mask-mean": bool_mask_mean,
    "lengths-mean": lengths_mean,
}


class Shared(nn.Module):
    """The item table serves the candidate and the history; the user has its own."""

    def __init__(self, masked):
        super().__init__()
        self.masked = masked
        self.user, self.item = nn.Embedding(25, DIM), nn.Embedding(N, DIM, padding_idx=0)
        self.out = nn.Sequential(nn.Linear(3 * DIM + 2, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid())

    def forward(self, user, item, history, dense):
        h = mean_clamp(self.item, history) if self.masked else self.item(history).mean(1)
        return self.out(torch.cat([self.user(user), self.item(item), h, dense], dim=-1)).squeeze(-1)


class Hotness3d(nn.Module):
    """Ids [B, F, H], summed over H, flattened over F."""

    def __init__(self, masked=False):
        super().__init__()
        self.masked = masked
        self.emb = nn.Embedding(N, DIM)
        self.out = nn.Linear(3 * DIM, 1)

    def forward(self, ids):
        e = self.emb(ids)
        if self.masked:
            e = e * (ids != 0).unsqueeze(-1).float()
        return self.out(e.sum(dim=2).flatten(1))


class MultiHotColumns(nn.Module):
    """One matrix: user, item, then 4 padded genres, sliced."""

    def __init__(self):
        super().__init__()
        self.user, self.item, self.genre = nn.Embedding(25, DIM), nn.Embedding(30, DIM), nn.Embedding(20, DIM)
        self.out = nn.Linear(3 * DIM, 1)

    def forward(self, x):
        genres = x[:, 2:]
        keep = (genres != 0).float().unsqueeze(-1)
        g = (self.genre(genres) * keep).sum(1) / keep.sum(1).clamp(min=1.0)
        return self.out(torch.cat((self.user(x[:, 0]), self.item(x[:, 1]), g), dim=1))


def fixtures():
    plain = ("sum", "sum-dim-minus-2", "mean", "mean-by-length", "mean-transposed", "avg-pool", "keepdim-squeeze", "keepdim-flatten")
    for how in HOW:
        free = how in ("masked-mean-eps", "masked-mean-clamp")
        if how in plain:
            want, inputs = expect(1, [pool(N, DIM, "sum" if "sum" in how or how == "keepdim-squeeze" else "mean")]), [ids("hist", N, ("batch", L))]
        elif how == "max":
            want, inputs = expect(1, unpooled=1, note="max is no pooling of a bundle"), [ids("hist", N, ("batch", L))]
        elif how == "masked-sum-sign":
            want, inputs = expect(1, [pool(N, DIM, padding=0)], note="sign of ids >= 0 is a mask only for ids that are never "
                                  "negative; taking the rows out unpooled is right too"), [padded("hist", N)]
        elif how in ("masked-plus-one", "masked-sqrtn"):
            want, inputs = expect(1, [pool(N, DIM, padding=0)], note="the sum is taken out, the division stays"), [padded("hist", N)]
        elif how == "masked-mean-last-row":
            want, inputs = expect(1, [pool(N, DIM, "mean", padding=N - 1)]), [padded("hist", N - 1, pad=N - 1)]
        elif how == "masked-mean-negative":
            want, inputs = expect(1, [pool(N, DIM, "mean", padding=-1)], note="ids pass a Clip before the lookup: the table "
                                  "may stay, or be taken out with padding -1"), [padded("hist", N, pad=-1)]
        else:
            kind = "mean" if "mean" in how else "sum"
            want, inputs = expect(1, [pool(N, DIM, kind, padding=0)]), [padded("hist", N, empty=how != "masked-mean-eps")]
            if kind == "mean":
                want["note"] = EPS if how == "masked-mean-eps" else "a padded sum with the division left in the dense graph is right too, second best"
        yield Fixture(f"pool-{how}", "pooling", lambda how=how: Pooled(how), inputs, want)
        if free or how in ("sum", "mean"):
            symbolic = [i.__class__(i.name, i.dtype, ["batch", "length"], i.generator) for i in inputs]
            yield Fixture(f"pool-{how}-dynamic-length", "pooling", lambda how=how: Pooled(how), symbolic, want, symbols={"length": 5})
    clamp = expect(1, [pool(N, DIM, "mean", padding=0)])
    yield Fixture("pool-masked-mean-opset13", "pooling", lambda: Pooled("masked-mean-clamp"), [padded("hist", N)], clamp, exporters=("torchscript",), opset=13)
    yield Fixture("pool-masked-mean-opset11", "pooling", lambda: Pooled("masked-mean-clamp"), [padded("hist", N)], clamp, exporters=("torchscript",), opset=11)
    yield Fixture("pool-masked-mean-padding-idx", "pooling", lambda: Pooled("masked-mean-eps", padding_idx=0), [padded("hist", N, empty=False)], clamp)
    yield Fixture("pool-masked-mean-eps-empty", "pooling", lambda: Pooled("masked-mean-eps"), [padded("hist", N)], clamp, exporters=("torchscript",))
    yield Fixture("pool-masked-mean-int32", "pooling", lambda: Pooled("masked-mean-clamp"), [padded("hist", N, dtype="int32")], clamp)
    yield Fixture("pool-masked-mean-fixed-batch", "pooling", lambda: Pooled("masked-mean-clamp"), [padded("hist", N)], clamp, batch=3)
    yield Fixture("pool-masked-mean-unoptimized", "pooling", lambda: Pooled("masked-mean-clamp"), [padded("hist", N)], clamp,
                  options={"dynamo": {"optimize": False}, "torchscript": {"do_constant_folding": False}})
    yield Fixture("pool-masked-mean-dense", "pooling", lambda: PooledWithDense("masked-mean-clamp", extra=4), [dense(), padded("hist", N)], clamp)
    for how in MASKED:
        extra = [mask("mask", ("batch", L), dtype="bool" if how.startswith("bool") else "float32")]
        note = "the mask is the bag's weights"
        want = expect(1, [pool(N, DIM, weighted=True)], note=note + ("; the division stays in the dense graph" if "mean" in how else ""))
        if how == "weights-bmm":
            extra = [uniform("mask", "batch", L)]
        if how == "bool-mask-mean":
            want = expect(1, unpooled=1, note="a bool mask is no weights input of a bundle: rows are taken out unpooled")
        if how == "lengths-mean":
            extra = [extra[0].__class__("lengths", "int64", ["batch"], {"kind": "lengths", "high": L})]
            want = expect(1, [pool(N, DIM)], note="the division by the lengths stays in the dense graph")
        build = (lambda how=how: PooledWithMask(how)) if how != "lengths-mean" else (lambda: WithLengths("lengths-mean"))
        yield Fixture(f"pool-{how}", "pooling", build, [ids("hist", N, ("batch", L)), *extra], want)
    shared = [ids("user", 25), ids("item", N, low=1), padded("history", N), dense(width=2)]
    yield Fixture("pool-shared-table", "pooling", lambda: Shared(False), shared, expect(2, [pool(N, DIM, "mean")], unpooled=2))
    yield Fixture("pool-shared-table-masked", "pooling", lambda: Shared(True), shared, expect(2, [pool(N, DIM, "mean", padding=0)], unpooled=2))
    cube = [ids("ids", N, ("batch", 3, 4))]
    yield Fixture("pool-3d", "pooling", Hotness3d, cube, expect(1, [pool(N, DIM, bags=3)]))
    yield Fixture("pool-3d-masked", "pooling", lambda: Hotness3d(True), cube, expect(1, [pool(N, DIM, padding=0, bags=3)]))
    yield Fixture("pool-multi-hot-columns", "pooling", MultiHotColumns,
                  [ids("x", [25, 30, 20, 20, 20, 20], ("batch", 6))], expect(3, [pool(20, DIM, "mean", padding=0)], unpooled=2))


EPS = ("the dynamo exporter drops + 1e-8 as if it were + 0: its graph gives NaN for an empty history where PyTorch "
       "gives 0. A padded sum with the division left in the dense graph follows the graph; a mean follows PyTorch")


class WithLengths(Pooled):
    def forward(self, hist, lengths):
        return self.out(lengths_mean(self.emb, hist, lengths))

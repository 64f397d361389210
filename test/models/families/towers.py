"""Retrieval models: two towers, matrix factorisation, neural collaborative filtering."""

import torch
from torch import nn
from torch.nn import functional as F

from zoo import Fixture, columns, dense, expect, ids, normal, padded, pool, stays

USERS, ITEMS, DIM, L = 30, 40, 8, 5


class TwoTower(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how
        self.user_emb, self.age_emb = nn.Embedding(USERS, DIM), nn.Embedding(7, 3)
        self.item_emb, self.genre_emb = nn.Embedding(ITEMS, DIM), nn.Embedding(9, 4)
        self.user_tower = nn.Sequential(nn.Linear(DIM + 3, 12), nn.ReLU(), nn.Linear(12, 6))
        self.item_tower = nn.Sequential(nn.Linear(DIM + 4, 12), nn.ReLU(), nn.Linear(12, 6))

    def forward(self, user_id, age, item_id, genre):
        u = self.user_tower(torch.cat([self.user_emb(user_id), self.age_emb(age)], dim=-1))
        i = self.item_tower(torch.cat([self.item_emb(item_id), self.genre_emb(genre)], dim=-1))
        if self.how == "cosine":
            return F.cosine_similarity(u, i, dim=1)
        if self.how == "normalize":
            return (F.normalize(u, p=2, dim=-1) * F.normalize(i, p=2, dim=-1)).sum(-1) / 0.05
        if self.how == "both":
            return u, i
        return torch.sigmoid((u * i).sum(dim=1, keepdim=True))


class YoutubeDnn(nn.Module):
    """Mean of watched items with padding, searches pooled by a bag; the user vector against all items."""

    def __init__(self):
        super().__init__()
        self.item = nn.Embedding(ITEMS, DIM, padding_idx=0)
        self.user, self.gender = nn.Embedding(USERS, DIM), nn.Embedding(3, 2)
        self.mlp = nn.Sequential(nn.Linear(2 * DIM + 2 + 4, 16), nn.ReLU(), nn.Linear(16, DIM))

    def forward(self, user, gender, watched, dense):
        mask = (watched > 0).float()
        pooled = torch.sum(self.item(watched) * mask.unsqueeze(-1), dim=1) / torch.clamp(torch.sum(mask, 1, keepdim=True), min=1.0)
        v = self.mlp(torch.cat([self.user(user), self.gender(gender), pooled, dense], 1))
        return F.linear(v, self.item.weight)


class Mf(nn.Module):
    """Biases are tables of width one, squeezed; the global mean is a parameter."""

    def __init__(self, how="squeeze"):
        super().__init__()
        self.how = how
        self.user, self.item = nn.Embedding(USERS, DIM), nn.Embedding(ITEMS, DIM)
        self.user_bias, self.item_bias = nn.Embedding(USERS, 1), nn.Embedding(ITEMS, 1)
        self.mu = nn.Parameter(torch.tensor([3.5]))

    def forward(self, user, item):
        dot = torch.sum(self.user(user) * self.item(item), dim=-1)
        if self.how == "squeeze":
            return dot + self.user_bias(user).squeeze(-1) + self.item_bias(item).squeeze(-1) + self.mu
        if self.how == "view":
            return dot + self.user_bias(user).view(-1) + self.item_bias(item).view(-1) + self.mu
        if self.how == "index":
            return dot + self.user_bias(user)[:, 0] + self.item_bias(item)[:, 0] + self.mu
        product = torch.bmm(self.user(user).unsqueeze(1), self.item(item).unsqueeze(2)).flatten()
        return product + (self.user_bias(user) + self.item_bias(item)).flatten() + self.mu


class MfPairs(nn.Module):
    """A [B, 2] matrix of user and item ids; one candidate list per user in the other."""

    def __init__(self, candidates=False):
        super().__init__()
        self.user, self.item = nn.Embedding(USERS, DIM), nn.Embedding(ITEMS, DIM)

    def forward(self, pairs):
        u, i = self.user(pairs[:, 0]), self.item(pairs[..., 1])
        return torch.einsum("bd,bd->b", u, i)


class MfCandidates(MfPairs):
    def forward(self, user, items):
        return torch.matmul(self.item(items), self.user(user).unsqueeze(-1)).squeeze(-1)


class OneUser(nn.Module):
    """One user's row, or history, against a batch of candidate items."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.user, self.item = nn.Embedding(USERS, DIM), nn.Embedding(ITEMS, DIM, padding_idx=0)
        self.att = nn.Linear(3 * DIM, 1)
        self.out = nn.Sequential(nn.Linear(2 * DIM, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, user, items):
        q = self.item(items)
        if self.how == "scalar":
            return torch.sigmoid(q @ self.user(user))
        if self.how == "row":
            return self.out(torch.cat([self.user(user).expand(q.shape[0], -1), q], 1)).squeeze(-1)
        h = self.item(user).expand(q.shape[0], -1, -1)
        query = q.unsqueeze(1).expand(-1, h.shape[1], -1)
        score = self.att(torch.cat([h, query, h * query], -1)).masked_fill((user == 0).unsqueeze(-1), -1e9)
        return self.out(torch.cat([(score.softmax(1) * h).sum(1), q], 1)).squeeze(-1)


class Ncf(nn.Module):
    """GMF and MLP halves with tables of their own."""

    def __init__(self):
        super().__init__()
        self.gu, self.gi = nn.Embedding(USERS, DIM), nn.Embedding(ITEMS, DIM)
        self.mu, self.mi = nn.Embedding(USERS, 12), nn.Embedding(ITEMS, 12)
        self.mlp = nn.Sequential(nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 6), nn.ReLU())
        self.out = nn.Linear(DIM + 6, 1)

    def forward(self, user, item):
        gmf = torch.mul(self.gu(user), self.gi(item))
        deep = self.mlp(torch.cat((self.mu(user), self.mi(item)), dim=-1))
        return self.out(torch.cat((gmf, deep), dim=-1)).view(-1)


class Parameter(nn.Module):
    """Tables as plain parameters, indexed with brackets, index_select, F.embedding or a one-hot product."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.user = nn.Parameter(torch.randn(USERS, DIM))
        self.item = nn.Parameter(torch.randn(ITEMS, DIM))
        self.out = nn.Linear(2 * DIM, 1)

    def forward(self, user, item):
        if self.how == "brackets":
            u, i = self.user[user], self.item[item]
        elif self.how == "index_select":
            u, i = torch.index_select(self.user, 0, user), self.item.index_select(0, item)
        elif self.how == "functional":
            u, i = F.embedding(user, self.user), F.embedding(item, self.item)
        else:
            u = F.one_hot(user, USERS).float() @ self.user
            i = self.item[item, :]
        return self.out(torch.cat([u, i], 1))


def fixtures():
    inputs = [ids("user_id", USERS), ids("age", 7), ids("item_id", ITEMS), ids("genre", 9)]
    four = expect(4, unpooled=4)
    for how in ("cosine", "normalize", "dot"):
        yield Fixture(f"two-tower-{how}", "two-tower", lambda how=how: TwoTower(how), inputs, four)
    yield Fixture("two-tower-vectors", "two-tower", lambda: TwoTower("both"), inputs, four, outputs=["user_vector", "item_vector"])
    yield Fixture("youtube-dnn", "youtube-dnn", YoutubeDnn, [ids("user", USERS), ids("gender", 3), padded("watched", ITEMS, ("batch", L)), dense()],
                  expect(3, [pool(ITEMS, DIM, "mean", padding=0)], unpooled=2, dense_tables=[stays(ITEMS, DIM, "also the weight that "
                         "scores every item: the matrix stays in the dense graph too")]))
    pair = [ids("user", USERS), ids("item", ITEMS)]
    for how in ("squeeze", "view", "index", "flatten"):
        yield Fixture(f"mf-bias-{how}", "mf", lambda how=how: Mf(how), pair, four)
    yield Fixture("mf-pairs", "mf", MfPairs, [columns("pairs", (USERS, ITEMS))], expect(2, unpooled=2))
    yield Fixture("mf-candidates", "mf", MfCandidates, [ids("user", USERS), ids("items", ITEMS, ("batch", 4))], expect(2, unpooled=2))
    yield Fixture("mf-candidates-dynamic", "mf", MfCandidates, [ids("user", USERS), ids("items", ITEMS, ("batch", "candidates"))],
                  expect(2, unpooled=2), symbols={"candidates": 4})
    whole = "its ids have no batch axis"
    for how, shape in (("scalar", ()), ("row", (1,))):
        yield Fixture(f"one-user-{how}", "two-tower", lambda how=how: OneUser(how), [ids("user", USERS, shape), ids("items", ITEMS)],
                      expect(1, unpooled=1, dense_tables=[stays(USERS, DIM, whole)]))
    yield Fixture("one-user-history", "din", lambda: OneUser("history"), [ids("user", ITEMS, (1, L)), ids("items", ITEMS)],
                  expect(1, unpooled=1, dense_tables=[stays(ITEMS, DIM, whole)]))
    yield Fixture("ncf", "ncf", Ncf, pair, four)
    yield Fixture("ncf-int32", "ncf", Ncf, [ids("user", USERS, dtype="int32"), ids("item", ITEMS, dtype="int32")], four)
    for how in ("brackets", "index_select", "functional"):
        # Brackets: the dynamo exporter writes GatherND over unsqueezed ids, TorchScript a Gather.
        yield Fixture(f"parameter-{how.replace('_', '-')}", "parameter", lambda how=how: Parameter(how), pair, expect(2, unpooled=2))
    yield Fixture("parameter-one-hot", "parameter", lambda: Parameter("one-hot"), pair,
                  expect(1, unpooled=1, dense_tables=[stays(USERS, DIM, "multiplied with a one-hot matrix, not looked up")]))

"""A DLRM-style ranker: embeddings and a bottom MLP meet in pairwise dot products, a top MLP scores.

The architecture follows Naumov et al., "Deep Learning Recommendation Model for Personalization and
Recommendation Systems" (2019).
"""

import torch
from torch import Tensor, nn


class Ranker(nn.Module):
    def __init__(self, dense: int, users: int, items: int, years: int, genres: int, dim: int = 16):
        super().__init__()
        self.user = nn.Embedding(users, dim)  # row 0: a user that training has not seen
        self.item = nn.Embedding(items, dim, padding_idx=0)  # the film and the history share it
        self.year = nn.Embedding(years, dim)
        self.genre = nn.Embedding(genres, dim, padding_idx=0)
        self.bottom = nn.Sequential(nn.Linear(dense, 64), nn.ReLU(), nn.Linear(64, dim))
        vectors = 6
        pairs = vectors * (vectors - 1) // 2
        self.top = nn.Sequential(
            nn.Linear(pairs + dim, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1)
        )
        rows, columns = torch.tril_indices(vectors, vectors, offset=-1)
        self.register_buffer("pairs", rows * vectors + columns, persistent=False)
        for table in (self.user, self.item, self.year, self.genre):
            nn.init.normal_(table.weight, std=0.05)
        with torch.no_grad():
            self.item.weight[0] = 0
            self.genre.weight[0] = 0

    def logit(self, dense: Tensor, user: Tensor, item: Tensor, year: Tensor, genres: Tensor, history: Tensor) -> Tensor:
        """dense [batch, k], user, item and year [batch], genres [batch, G] and history [batch, L], 0 is padding."""
        genre_mask = (genres != 0).unsqueeze(-1).to(dense.dtype)
        genre_sum = (self.genre(genres) * genre_mask).sum(1)
        history_mask = (history != 0).unsqueeze(-1).to(dense.dtype)
        history_sum = (self.item(history) * history_mask).sum(1)
        history_mean = history_sum / history_mask.sum(1).clamp(min=1)

        bottom = self.bottom(dense)
        sparse = torch.stack([self.user(user), self.item(item), self.year(year), genre_sum, history_mean], dim=1)
        vectors = torch.cat([bottom.unsqueeze(1), sparse], dim=1)
        dots = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)[:, self.pairs]
        return self.top(torch.cat([bottom, dots], dim=1)).squeeze(1)

    def forward(self, dense: Tensor, user: Tensor, item: Tensor, year: Tensor, genres: Tensor, history: Tensor) -> Tensor:
        return torch.sigmoid(self.logit(dense, user, item, year, genres, history))

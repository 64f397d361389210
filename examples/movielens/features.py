"""MovieLens ratings as rows for a ranker, every feature computed from the past only.

The events are walked once in the order of time. A rating's features are taken before any rating with
the same or a later timestamp is added to the counters, so a row never sees its own label, nor that of
a film rated in the same second.
"""

import csv
import re
from collections import defaultdict, deque
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

LIKED = 4.0  # a rating from here on is a positive
HISTORY = 32  # films a user's history keeps
GENRE_SLOTS = 10  # the most genres that one film has
PRIOR_MEAN, PRIOR_LIKED = 3.5, 0.5  # round numbers, not taken from the data
PRIOR_WEIGHT = 5.0

USER_DENSE = ["user log count", "user mean", "user liked share", "user recent mean"]  # then one taste a genre
FILM_DENSE = ["film log count", "film mean", "film liked share", "film age"]

FIRST_BUCKET_YEAR, YEARS_PER_BUCKET = 1930, 3


@dataclass
class Film:
    movie_id: int
    title: str
    released: int | None
    year: int  # bucket id; 0 is unknown
    genres: list[int]  # genre ids from 1


@dataclass
class Rows:
    """One row a rating, in the order of time. [n] or [n, width] arrays."""

    time: np.ndarray
    rating: np.ndarray
    dense: np.ndarray
    user: np.ndarray
    item: np.ndarray
    history: np.ndarray

    def take(self, where: np.ndarray) -> "Rows":
        return Rows(*(getattr(self, name)[where] for name in self.__dataclass_fields__))


@dataclass
class Mean:
    """Ratings of a user or a film so far, drawn towards a prior while there are few."""

    count: int = 0
    total: float = 0.0
    liked: int = 0

    def add(self, rating: float) -> None:
        self.count += 1
        self.total += rating
        self.liked += rating >= LIKED

    def features(self) -> list[float]:
        weight = self.count + PRIOR_WEIGHT
        mean = (self.total + PRIOR_WEIGHT * PRIOR_MEAN) / weight
        liked = (self.liked + PRIOR_WEIGHT * PRIOR_LIKED) / weight
        return [np.log1p(self.count) / 3 - 1, (mean - PRIOR_MEAN) * 2, (liked - PRIOR_LIKED) * 4]


class State:
    """What is known at one moment: the counters of every user and film, and who liked what."""

    def __init__(self, films: list[Film]):
        self.films = films
        self.genres = 1 + max(genre for film in films for genre in film.genres)
        self.by_genre: dict[int, np.ndarray] = defaultdict(lambda: np.zeros((2, self.genres)))  # count, total
        self.by_user: dict[int, Mean] = defaultdict(Mean)
        self.by_item: dict[int, Mean] = defaultdict(Mean)
        self.recent: dict[int, deque] = defaultdict(lambda: deque(maxlen=10))
        self.liked: dict[int, deque] = defaultdict(lambda: deque(maxlen=HISTORY))
        self.rated: dict[int, list[int]] = defaultdict(list)

    def add(self, user: int, item: int, rating: float) -> None:
        self.by_user[user].add(rating)
        self.by_item[item].add(rating)
        self.recent[user].append(rating)
        self.rated[user].append(item)
        self.by_genre[user][:, self.films[item - 1].genres] += [[1], [rating]]
        if rating >= LIKED:
            self.liked[user].append(item)

    def user_dense(self, user: int) -> list[float]:
        recent = self.recent[user]
        mean = (sum(recent) + 2 * PRIOR_MEAN) / (len(recent) + 2)
        return [*self.by_user[user].features(), (mean - PRIOR_MEAN) * 2, *self.taste(user)]

    def taste(self, user: int) -> np.ndarray:
        """By genre, how far the user's ratings lie above the user's own mean, drawn towards 0 while few."""
        count, total = self.by_genre[user][:, 1:]
        own = self.by_user[user]
        mean = own.total / max(own.count, 1)
        return 2 * (total - count * mean) / (count + PRIOR_WEIGHT)

    def film_dense(self, item: int, time: int) -> list[float]:
        released = self.films[item - 1].released
        now = datetime.fromtimestamp(time, timezone.utc).year
        age = 15 if released is None else max(0, now - released)
        return [*self.by_item[item].features(), np.log1p(age) / 2 - 1]

    def history(self, user: int) -> list[int]:
        """Liked films, the latest first, padded with 0."""
        liked = list(self.liked[user])[::-1]
        return liked + [0] * (HISTORY - len(liked))


def read_films(directory: Path) -> tuple[list[Film], list[str]]:
    """The films in the order of the file (a film's item id is its place from 1), and the genres' names."""
    with open(directory / "movies.csv", encoding="utf-8", newline="") as file:
        records = list(csv.reader(file))[1:]
    names = sorted({name for record in records for name in record[2].split("|") if name[0] != "("})
    ids = {name: place + 1 for place, name in enumerate(names)}
    films = []
    for movie_id, title, genres in records:
        match = re.search(r"\((\d{4})\)\s*$", title)
        released = int(match[1]) if match else None
        bucket = 0 if released is None else 1 + max(0, released - FIRST_BUCKET_YEAR) // YEARS_PER_BUCKET
        genre_ids = [ids[name] for name in genres.split("|") if name in ids]
        films.append(Film(int(movie_id), title.strip(), released, bucket, genre_ids))
    return films, names


def read_ratings(directory: Path, films: list[Film]) -> list[tuple[int, int, int, float]]:
    """(time, user, item, rating), ordered by time."""
    item_of = {film.movie_id: place + 1 for place, film in enumerate(films)}
    with open(directory / "ratings.csv", encoding="utf-8", newline="") as file:
        records = list(csv.reader(file))[1:]
    return sorted((int(t), int(user), item_of[int(movie)], float(r)) for user, movie, r, t in records)


def build_rows(ratings, films: list[Film], cut: int) -> tuple[Rows, State]:
    """Rows of all ratings, and the state at time `cut` (ratings before it only)."""
    state, at_cut = State(films), None
    columns = {name: [] for name in Rows.__dataclass_fields__}
    start = 0
    while start < len(ratings):
        time = ratings[start][0]
        if at_cut is None and time >= cut:
            at_cut = snapshot(ratings[:start], films)
        end = start
        while end < len(ratings) and ratings[end][0] == time:
            _, user, item, rating = ratings[end]
            columns["time"].append(time)
            columns["rating"].append(rating)
            columns["dense"].append(state.user_dense(user) + state.film_dense(item, time))
            columns["user"].append(user)
            columns["item"].append(item)
            columns["history"].append(state.history(user))
            end += 1
        for _, user, item, rating in ratings[start:end]:
            state.add(user, item, rating)
        start = end
    dtypes = {"dense": np.float32, "rating": np.float32}
    rows = Rows(**{name: np.array(v, dtypes.get(name, np.int64)) for name, v in columns.items()})
    return rows, at_cut


def snapshot(ratings, films: list[Film]) -> State:
    state = State(films)
    for _, user, item, rating in ratings:
        state.add(user, item, rating)
    return state


def film_columns(films: list[Film]) -> tuple[np.ndarray, np.ndarray]:
    """Lookups from item id to year bucket [films + 1] and padded genre ids [films + 1, GENRE_SLOTS]."""
    year = np.zeros(len(films) + 1, np.int64)
    genres = np.zeros((len(films) + 1, GENRE_SLOTS), np.int64)
    for place, film in enumerate(films):
        year[place + 1] = film.year
        genres[place + 1, : len(film.genres)] = film.genres
    return year, genres


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve; ties count half (the rank-sum statistic of Mann and Whitney)."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int(labels.sum())
    negatives = len(labels) - positives
    return float((ranks[labels > 0].sum() - positives * (positives + 1) / 2) / (positives * negatives))

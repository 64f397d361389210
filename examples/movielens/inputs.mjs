import { readFile } from 'node:fs/promises';

/**
 * What training left in this folder.
 *
 * catalog: films as [item, title, year, genres, dense]; a film's item id is its place from 1.
 * users: a few users with their dense features, history (liked films, latest first, 0 is padding) and rated films.
 * requests: held-out rows, each with the model's inputs by name and a label.
 */
export async function readData(folder) {
  const text = (name) => readFile(new URL(name, folder), 'utf8');
  const [catalog, users, requests, training] = await Promise.all(
    ['catalog.json', 'users.json', 'requests.jsonl', 'training.json'].map(text),
  );
  return {
    films: JSON.parse(catalog).films.map(([item, title, year, genres, dense]) => ({
      item,
      title,
      year,
      genres,
      dense,
    })),
    users: JSON.parse(users).users,
    requests: requests
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
    training: JSON.parse(training),
  };
}

/** Rows of the batch become these requests, in this order. */
export function fillRequests(batch, requests) {
  const inputs = Object.entries(batch.inputs);
  requests.forEach((request, row) => {
    for (const [name, array] of inputs) {
      const value = request[name];
      if (Array.isArray(value)) array.set(value, row * value.length);
      else array[row] = value;
    }
  });
  batch.rows = requests.length;
}

/** Row r of the batch asks: how does this user like film r? */
export function fillFilmsFor(batch, user, films) {
  const { dense, user: userId, item, year, genres, history } = batch.inputs;
  const denseWidth = dense.length / batch.capacity;
  const genreSlots = genres.length / batch.capacity;
  userId.fill(user.user);
  genres.fill(0);
  films.forEach((film, row) => {
    dense.set(user.dense, row * denseWidth);
    dense.set(film.dense, row * denseWidth + user.dense.length);
    item[row] = film.item;
    year[row] = film.year;
    genres.set(film.genres, row * genreSlots);
    history.set(user.history, row * user.history.length);
  });
  batch.rows = films.length;
}

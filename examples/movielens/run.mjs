/**
 * From an ONNX file to rankings: imports the model in this folder, checks the bundle against ONNX
 * Runtime, ranks every film for a few users, scores held-out requests and measures scoring.
 */
import { mkdir } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { styleText } from 'node:util';

import { importModel, loadModel } from '../../dist/index.js';
import { fillFilmsFor, fillRequests, readData } from './inputs.mjs';
import { auc, percentiles, top } from './metrics.mjs';

const VERIFY_ROWS = 2048;
const TOP = 10;
const LATENCY_ROWS = [1, 16, 128];
const WARM_UP_MS = 200;
const MEASURE_MS = 1500;
const LEAST_CALLS = 100;
const PRECISION_ROWS = [1, 128];
const PRECISION_MS = 300;
const MOST_ERROR = 0.02;
const PERCENTILES = [50, 90, 99, 99.9];

const here = new URL('./', import.meta.url);
const bundle = fileURLToPath(new URL('../../build/example/movielens', here));
const calibrated = `${bundle}-int8`;

const colours = process.stdout.isTTY && process.env.NO_COLOR === undefined;
const bold = (text) => (colours ? styleText('bold', text) : text);
const dim = (text) => (colours ? styleText('dim', text) : text);
const number = (value) => Math.round(value).toLocaleString('en-US');
const say = (line = '') => process.stdout.write(`${line}\n`);

async function importAndVerify() {
  say(bold('1. Import model.onnx'));
  await mkdir(new URL('../../build/example/', here), { recursive: true });
  const model = fileURLToPath(new URL('model.onnx', here));
  const start = performance.now();
  const { manifest, tables, report, verify } = await importModel(model, bundle, {
    overwrite: true,
    verify: VERIFY_ROWS,
  });
  for (const table of tables) {
    const bags = manifest.bags.filter((bag) => bag.table === table.name);
    const readers = bags.map(({ input, pooling }) =>
      pooling === 'none' ? input : `${input} (${pooling})`,
    );
    const size = `${number(table.rows)} x ${table.dim} ${table.storage}`;
    say(`   ${table.name.padEnd(14)} ${size.padEnd(16)} read by ${readers.join(', ')}`);
  }
  for (const { level, text } of report) if (level === 'warn') say(`   note: ${text}`);
  say(
    `   ${manifest.bags.length} lookups taken out; ${number(verify.rows)} random rows against ONNX Runtime: ` +
      `largest error ${verify.maxAbsError.toExponential(1)}`,
  );
  say(dim(`   ${relative(process.cwd(), bundle)}, ${number(performance.now() - start)} ms`));
}

function rankFilms(model, { films, users }) {
  say(`\n${bold(`2. Rank ${number(films.length)} films for ${users.length} users`)}`);
  const batch = model.createBatch(films.length);
  for (const user of users) {
    fillFilmsFor(batch, user, films);
    const start = performance.now();
    const { score } = model.scoreSync(batch);
    const elapsed = performance.now() - start;
    const rated = new Set(user.rated);
    const best = top(score, TOP, (row) => !rated.has(films[row].item));

    const liked = user.history.filter((item) => item !== 0).slice(0, 5);
    const titles = liked.map((item) => short(films[item - 1].title, 30));
    say(
      `   user ${user.user}, ${rated.size} ratings, leans to ${user.likes} ${dim(`(${elapsed.toFixed(1)} ms)`)}`,
    );
    say(dim(`   lately liked: ${titles.join(', ')}`));
    const cells = best.map((row, place) => {
      const title = short(films[row].title, 40).padEnd(40);
      return `${String(place + 1).padStart(5)}. ${title} ${score[row].toFixed(3)}`;
    });
    const half = Math.ceil(cells.length / 2);
    for (let line = 0; line < half; line += 1) say(`${cells[line]}${cells[line + half] ?? ''}`);
  }
}

function scoreHeldOut(model, { requests, training }) {
  say(`\n${bold(`3. Score ${requests.length} held-out requests`)}`);
  const value = auc(labelsOf(requests), scoresOf(model, requests));
  const { auc: expected, users } = training.requests;
  say(
    `   AUC ${value.toFixed(4)} here, ${expected.toFixed(4)} in PyTorch after training (${users} users)`,
  );
  if (Math.abs(value - expected) > 1e-3) {
    throw new Error(
      `expected an AUC of ${expected} for the held-out requests but received ${value}`,
    );
  }
}

const labelsOf = (requests) => requests.map(({ label }) => label);

function scoresOf(model, requests) {
  const batch = model.createBatch(requests.length);
  fillRequests(batch, requests);
  return model.scoreSync(batch).score.slice();
}

/**
 * The same bundle with its dense network in f32, bf16 and int8. Scales for int8 are found on every
 * other request, without labels; errors and AUC are those of the rest.
 */
async function comparePrecisions({ requests }) {
  say(`\n${bold('5. Precisions of the dense network')}`);
  const calibrate = requests.filter((_, row) => row % 2 === 0);
  const rest = requests.filter((_, row) => row % 2 === 1);
  await importModel(fileURLToPath(new URL('model.onnx', here)), calibrated, {
    overwrite: true,
    precision: 'int8',
    calibrate,
  });
  const labels = labelsOf(rest);
  const columns = ['largest error', 'mean error', 'AUC', 'change', ...PRECISION_ROWS];
  const [widths, titles] = [[16, 12, 9, 10, 8, 8], columns.map((c) => (c > 0 ? `p50 ${c}` : c))];
  const line = (name, cells) =>
    say(`   ${name.padEnd(18)}${cells.map((cell, i) => cell.padStart(widths[i])).join('')}`);
  line('', titles);
  let exact;
  for (const [name, directory, precision] of [
    ['f32', bundle, 'f32'],
    ['bf16', bundle, 'bf16'],
    ['int8', bundle, 'int8'],
    ['int8, calibrated', calibrated, 'auto'],
  ]) {
    const model = await loadModel(directory, { precision });
    try {
      const scores = scoresOf(model, rest);
      exact ??= scores;
      const errors = scores.map((score, row) => Math.abs(score - exact[row]));
      const largest = Math.max(...errors);
      if (!(largest < MOST_ERROR)) {
        throw new Error(`expected ${name} within ${MOST_ERROR} of f32 but received ${largest}`);
      }
      const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
      const [value, before] = [auc(labels, scores), auc(labels, exact)];
      const times = PRECISION_ROWS.map((rows) => {
        const [half] = percentiles(measure(model, rows, someOf(requests), PRECISION_MS), [50]);
        return half.toFixed(1);
      });
      const errorCells = [largest, mean].map((error) => error.toExponential(1));
      const change = `${value < before ? '' : '+'}${(value - before).toFixed(4)}`;
      line(name, [...errorCells, value.toFixed(4), change, ...times]);
    } finally {
      await model.close();
    }
  }
  say(dim(`   on ${rest.length} requests; p50 of scoreSync in microseconds`));
}

/** Times scoreSync alone; before each call the batch is filled with other rows. */
function measure(model, rows, fill, measureMs = MEASURE_MS) {
  const batch = model.createBatch(rows);
  const samples = [];
  let call = 0;
  for (const [limit, least] of [
    [WARM_UP_MS, 1],
    [measureMs, LEAST_CALLS],
  ]) {
    samples.length = 0;
    const end = performance.now() + limit;
    do {
      fill(batch, call);
      call += 1;
      const start = process.hrtime.bigint();
      model.scoreSync(batch);
      samples.push(Number(process.hrtime.bigint() - start) / 1000);
    } while (performance.now() < end || samples.length < least);
  }
  return samples;
}

/** Fills a batch with other requests at every call. */
function someOf(requests) {
  return (batch, call) => {
    const start = (call * batch.capacity) % (requests.length - batch.capacity);
    fillRequests(batch, requests.slice(start, start + batch.capacity));
  };
}

function latency(model, { films, users, requests }) {
  const cpu = cpus()[0]?.model.trim() ?? 'unknown CPU';
  say(`\n${bold('4. Latency of scoreSync, in microseconds')}`);
  say(dim(`   ${cpu}, ${availableParallelism()} cores, Node ${process.versions.node}`));
  say(
    `   ${'rows'.padStart(6)}${PERCENTILES.map((p) => `p${p}`.padStart(10)).join('')}${'rows/s'.padStart(12)}${'calls'.padStart(9)}`,
  );
  const some = someOf(requests);
  const all = (batch, call) => fillFilmsFor(batch, users[call % users.length], films);
  for (const rows of [...LATENCY_ROWS, films.length]) {
    const samples = measure(model, rows, rows === films.length ? all : some);
    const total = samples.reduce((sum, sample) => sum + sample, 0);
    const cells = percentiles(samples, PERCENTILES).map((value, place) => {
      // With no call expected beyond it a percentile would only repeat the slowest call.
      const enough = samples.length * (1 - PERCENTILES[place] / 100) >= 0.999;
      return (enough ? value.toFixed(1) : '-').padStart(10);
    });
    const rate = number((rows * samples.length * 1e6) / total);
    say(
      `   ${number(rows).padStart(6)}${cells.join('')}${rate.padStart(12)}${number(samples.length).padStart(9)}`,
    );
  }
}

function short(title, width) {
  return title.length <= width ? title : `${title.slice(0, width - 1)}…`;
}

const data = await readData(here);
await importAndVerify();
const model = await loadModel(bundle);
try {
  rankFilms(model, data);
  scoreHeldOut(model, data);
  latency(model, data);
  await comparePrecisions(data);
} finally {
  await model.close();
}

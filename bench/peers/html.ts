/** A run as one HTML file that needs nothing else: goals first, then pictures, then every number. */

import { escapeText, lineChart, ratioBar, type Series } from '#lib/cli/bench-svg.js';
import { judge } from './goals.js';
import type { Cell, Result } from './result.js';
import { SHARES } from './stats.js';
import { cellsInPlace, renderEnvironment, showSpread, where } from './text.js';

const STYLE = `
body{font:14px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1080px;padding:0 16px;color:#1c1c1c;background:#fff}
h1{font-size:22px;margin:0 0 4px}h2{font-size:17px;margin:32px 0 8px}
table{border-collapse:collapse;width:100%}td,th{padding:3px 8px;text-align:left;border-bottom:1px solid #e4e4e4}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
pre{background:#f6f6f4;padding:10px;overflow:auto;font-size:12px}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(440px,1fr));gap:12px}
figure{margin:0;border:1px solid #e4e4e4;padding:6px}figcaption{font-size:12px;display:flex;gap:12px;flex-wrap:wrap;padding:2px 8px}
figcaption i{display:inline-block;width:10px;height:10px;margin-right:4px}
svg .grid{stroke:#eee}svg .frame{fill:none;stroke:#bbb}svg .tick{font-size:10px;fill:#444}svg .note{font-size:11px;fill:#444}
svg .title{font-size:13px;font-weight:600}svg .limit{stroke:#444;stroke-dasharray:5 4}
.bar{width:200px;height:16px;vertical-align:middle}.yes{color:#3a7d44;font-weight:600}.no{color:#c2293f;font-weight:600}.none{color:#777}
summary{cursor:pointer}.lead{color:#555}`;

const micro = (nanoseconds: number): string => {
  const value = nanoseconds / 1000;
  return value >= 1000 ? `${(value / 1000).toPrecision(3)} ms` : `${value.toPrecision(3)} µs`;
};
const rate = (bytes: number): string => `${(bytes / 1e9).toPrecision(2)} GB/s`;
const short = (value: number): string => {
  const digits = (scaled: number): string => String(Number(scaled.toPrecision(3)));
  if (value >= 1e6) return `${digits(value / 1e6)}M`;
  return value >= 1e3 ? `${digits(value / 1e3)}k` : digits(value);
};

export function renderHtml(result: Result): string {
  const { cells } = result;
  return [
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>gyrfalcon and its peers</title>',
    `<style>${STYLE}</style><h1>gyrfalcon and its peers</h1>`,
    '<p class="lead">The same requests, in turns, on the same cores; results compared before any timing. ',
    'A ratio is the peer’s median call over ours, the median of the rounds: above 1 we are faster.</p>',
    `<pre>${escapeText(renderEnvironment(result))}</pre>`,
    wrongList(result),
    '<h2>Goals</h2>',
    goalTable(result),
    '<h2>Throughput against batch</h2>',
    charts(throughputCharts(cells)),
    '<h2>Latency</h2>',
    '<p class="lead">How long the slowest share of calls took: the further right, the rarer.</p>',
    charts(latencyCharts(cells)),
    '<h2>Table bytes a second against what memory can do</h2>',
    charts(rooflines(result)),
    rowTable(cells),
    '<h2>Every comparison</h2>',
    cellTable(cells),
    skippedList(result),
    `<details><summary>Versions and settings</summary><pre>${escapeText(JSON.stringify(result.sides, null, 1))}</pre></details>`,
    `<details><summary>Tables</summary><pre>${escapeText(JSON.stringify(result.caps, null, 1))}</pre></details></html>\n`,
  ].join('\n');
}

const charts = (all: readonly string[]): string => `<div class="charts">${all.join('\n')}</div>`;

function goalTable(result: Result): string {
  const rows = judge(result).map(({ work, peer, least, worst, met }) => {
    const shown =
      worst === undefined
        ? '<td></td><td class="n">–</td><td></td><td></td>'
        : `<td>${ratioBar(worst.ratio, least)}</td><td class="n">${worst.ratio.median.toFixed(2)}×</td>` +
          `<td>${showSpread(worst.ratio)}</td><td>${where(worst)}</td>`;
    const verdict =
      met === null
        ? '<td class="none">not measured</td>'
        : met
          ? '<td class="yes">met</td>'
          : '<td class="no">not met</td>';
    return `<tr><td>${escapeText(work)}</td><td>${escapeText(peer)}</td><td class="n">${least}×</td>${shown}${verdict}</tr>`;
  });
  return (
    '<table><tr><th>work</th><th>peer</th><th class="n">at least</th><th></th><th class="n">measured</th>' +
    `<th>q1–q3 (min–max)</th><th>worst at</th><th></th></tr>${rows.join('')}</table>`
  );
}

function cellTable(cells: readonly Cell[]): string {
  const rows = cells.map(
    (cell) =>
      `<tr><td>${cell.workload}</td><td>${cell.variant}</td><td class="n">${cell.batch}</td><td>${where(cell)}</td>` +
      `<td>${escapeText(cell.peer)}</td><td class="n">${micro(cell.mine.p50)}</td><td class="n">${micro(cell.theirs.p50)}</td>` +
      `<td>${ratioBar(cell.ratio, undefined)}</td><td class="n">${cell.ratio.median.toFixed(2)}×</td><td>${showSpread(cell.ratio)}</td></tr>`,
  );
  return (
    '<table><tr><th>work</th><th>ours</th><th class="n">batch</th><th>where</th><th>peer</th><th class="n">ours</th>' +
    `<th class="n">peer’s</th><th></th><th class="n">ratio</th><th>q1–q3 (min–max)</th></tr>${rows.join('')}</table>`
  );
}

function rowTable(cells: readonly Cell[]): string {
  const rows = cellsInPlace(cells).map(
    (cell) =>
      `<tr><td>${cell.workload}</td><td>${cell.variant}</td><td>${where(cell)}</td>` +
      `<td class="n">${cell.row.ours.toFixed(1)} ns</td><td class="n">${cell.row.touched.toFixed(1)} ns</td>` +
      `<td>${ratioBar(cell.row.ratio, 1)}</td><td class="n">${cell.row.ratio.median.toFixed(2)}</td><td>${showSpread(cell.row.ratio)}</td></tr>`,
  );
  if (rows.length === 0) return '';
  return (
    '<h2>A row of a bag against touching it</h2>' +
    '<p class="lead">Touched: the rows of the same ids in the same memory, in turns, prefetched but not summed. At 1 a lookup is where memory is.</p>' +
    '<table><tr><th>work</th><th>ours</th><th>where</th><th class="n">ours</th><th class="n">touched</th><th></th>' +
    `<th class="n">of the limit</th><th>q1–q3 (min–max)</th></tr>${rows.join('')}</table>`
  );
}

function wrongList({ disagreements }: Result): string {
  if (disagreements.length === 0) return '';
  const items = disagreements.map(
    ({ what, reason }) => `<li>${escapeText(what)}: ${escapeText(reason)}</li>`,
  );
  return `<h2 class="no">Wrong answers, not measured</h2><ul>${items.join('')}</ul>`;
}

function skippedList({ skipped }: Result): string {
  if (skipped.length === 0) return '';
  const items = skipped.map(
    ({ what, reason, install }) =>
      `<li>${escapeText(what)}: ${escapeText(reason)}${install === undefined ? '' : ` <code>${escapeText(install)}</code>`}</li>`,
  );
  return `<h2>Skipped</h2><ul>${items.join('')}</ul>`;
}

const unique = <T>(values: readonly T[]): T[] => [...new Set(values)];

/** Cells by what one chart shows: the first access of each workload and number of threads. */
function groups(cells: readonly Cell[]): [string, Cell[]][] {
  return unique(cells.map(({ workload }) => workload)).flatMap((workload) => {
    const all = cells.filter((cell) => cell.workload === workload);
    const access = all[0]?.access ?? '';
    return unique(all.map(({ threads }) => threads)).map((threads): [string, Cell[]] => [
      `${workload}, ${access}, ${threads} thr.`,
      all.filter((cell) => cell.access === access && cell.threads === threads),
    ]);
  });
}

/** Every way we ran and every peer, by batch. Ours are from the comparison with the first peer. */
function sidesByBatch(cells: readonly Cell[]) {
  const found = new Map<string, Map<number, Cell['mine']>>();
  const put = (name: string, batch: number, side: Cell['mine']): void => {
    const sides = found.get(name) ?? new Map<number, Cell['mine']>();
    if (!sides.has(batch)) sides.set(batch, side);
    found.set(name, sides);
  };
  for (const { variant, peer, batch, mine, theirs } of cells) {
    put(`gyrfalcon ${variant}`, batch, mine);
    put(peer, batch, theirs);
  }
  return found;
}

function throughputCharts(cells: readonly Cell[]): string[] {
  return groups(cells)
    .filter(([, same]) => unique(same.map(({ batch }) => batch)).length > 1)
    .map(([title, same]) => {
      const series: Series[] = [...sidesByBatch(same)].map(([name, sides]) => ({
        name,
        points: [...sides].map(([batch, side]) => [batch, side.rowsPerSecond] as const),
      }));
      return lineChart(series, {
        title,
        xLabel: 'rows of a call',
        yLabel: 'rows a second',
        xFormat: String,
        yFormat: short,
      });
    });
}

function latencyCharts(cells: readonly Cell[]): string[] {
  const ends = groups(cells).flatMap(([title, same]) => {
    const batches = same.map(({ batch }) => batch);
    return unique([Math.min(...batches), Math.max(...batches)]).map((batch) => ({
      title,
      batch,
      chosen: same.filter((cell) => cell.batch === batch),
    }));
  });
  return ends.map(({ title, batch, chosen }) => {
    const series: Series[] = [...sidesByBatch(chosen)].map(([name, sides]) => ({
      name,
      // 1 - share to the left: one call in ten, in a hundred, in a thousand.
      points: SHARES.flatMap((share, at) =>
        share < 0.25 || share === 1
          ? []
          : [[1 / (1 - share), [...sides.values()][0]?.distribution[at] ?? 0] as const],
      ),
    }));
    return lineChart(series, {
      title: `${title}, batch ${batch}`,
      xLabel: 'one call in … is slower',
      yLabel: 'time of a call',
      xFormat: short,
      yFormat: micro,
    });
  });
}

/** Bytes of table rows that our lookups read a second, against the size of a request. */
function rooflines({ cells, memory }: Result): string[] {
  return unique(cells.map(({ threads }) => threads)).map((threads) => {
    const limits =
      typeof memory === 'string' ? undefined : memory.find((one) => one.threads === threads);
    const same = cells.filter((cell) => cell.threads === threads && cell.access === 'uniform');
    const names = unique(same.map(({ workload, variant }) => `${workload} ${variant}`));
    const series: Series[] = names.map((name) => {
      const points = new Map<number, number>();
      for (const cell of same) {
        const time = cell.mine.stages?.lookup ?? cell.mine.p50;
        if (`${cell.workload} ${cell.variant}` !== name || points.has(cell.rowBytesPerRequest))
          continue;
        points.set(cell.rowBytesPerRequest, (cell.rowBytesPerRequest * 1e9) / time);
      }
      return { name, points: [...points] };
    });
    return lineChart(series, {
      title: `our lookups, uniform ids, ${threads} thr.`,
      xLabel: 'bytes of table rows in a call',
      yLabel: 'bytes a second',
      xFormat: short,
      yFormat: rate,
      limits:
        limits === undefined
          ? []
          : [
              { name: `random 64-byte lines ${rate(limits.randomLine)}`, y: limits.randomLine },
              { name: `sequential ${rate(limits.sequential)}`, y: limits.sequential },
            ],
    });
  });
}

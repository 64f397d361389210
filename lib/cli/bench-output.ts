/** Results of `gyrfalcon bench` as text, CSV and one HTML file. */
import { type LatencyHistogram, plotShares } from './bench-histogram.js';
import type { BenchResult, Change } from './bench-result.js';
import { escapeText, lineChart } from './bench-svg.js';
import { formatTable } from './text.js';

const lawOf = ({ skew }: BenchResult): string =>
  skew.kind === 'zipf' ? `zipf:${skew.exponent}` : skew.kind;

function loadOf({ mode, concurrency, rate }: BenchResult): string {
  if (mode === 'sync') return 'synchronous calls, one after another';
  if (mode === 'closed') return `closed loop, ${concurrency} in flight`;
  return `open loop, ${rate} requests/s due, latency from when they were due`;
}

export function renderText(result: BenchResult): string {
  const { environment: env, model, seed, runs } = result;
  const unstable = runs.some(({ stable }) => !stable);
  return [
    `${model}: ids ${lawOf(result)}, seed ${seed}; ${loadOf(result)}\n`,
    `Node ${env.node}; ${env.cpu}, ${env.cores} cores; kernels ${env.isa}; `,
    `${env.engine} ${env.engineVersion}, ${env.precision}\n`,
    'times in microseconds; queue, lookup and engine are medians\n',
    formatTable(
      [...HEADER.slice(0, 2), 'p50', 'p90', 'p99', 'p99.9', 'max', ...HEADER.slice(8), 'stable'],
      runs.map((run) => [
        run.batch,
        run.threads,
        run.latency.p50,
        run.latency.p90,
        run.latency.p99,
        run.latency.p999,
        run.latency.max,
        run.stages.queue,
        run.stages.lookup,
        run.stages.engine,
        run.requestsPerSecond,
        run.rowsPerSecond,
        run.calls,
        run.stable ? 'yes' : 'no',
      ]),
    ),
    unstable
      ? 'Not stable: no three windows in a row agreed; a quieter machine or more time.\n'
      : '',
    ...runs.flatMap(({ batch, threads, slo }) =>
      slo.map(
        ({ objective, measured, met }) =>
          `${met ? 'met' : 'MISSED'}: ${objective} at batch ${batch}, threads ${threads}: ${measured}` +
          `${objective.startsWith('rps') ? '' : ' us'}\n`,
      ),
    ),
  ].join('');
}

export function renderChanges(changes: readonly Change[]): string {
  return formatTable(
    ['batch', 'threads', 'metric', 'before', 'after', 'change'],
    changes.map(({ batch, threads, metric, before, after }) => {
      const share = (100 * (after / before - 1)).toFixed(1);
      return [
        batch,
        threads,
        metric,
        before,
        after,
        `${share.startsWith('-') ? '' : '+'}${share} %`,
      ];
    }),
  );
}

const HEADER = [
  'batch',
  'threads',
  'mean',
  'p50',
  'p90',
  'p99',
  'p999',
  'max',
  'queue',
  'lookup',
  'engine',
  'requests/s',
  'rows/s',
  'calls',
];

/** Times in microseconds. */
export function renderCsv({ runs }: BenchResult): string {
  const lines = runs.map((run) => {
    const { latency: l, stages: s } = run;
    const times = [l.mean, l.p50, l.p90, l.p99, l.p999, l.max, s.queue, s.lookup, s.engine];
    const counts = [run.requestsPerSecond, run.rowsPerSecond, run.calls];
    return [run.batch, run.threads, ...times, ...counts].join(',');
  });
  return `${[HEADER.join(','), ...lines].join('\n')}\n`;
}

const STYLE =
  'body{font:14px system-ui,sans-serif;max-width:980px;margin:24px auto;padding:0 16px}' +
  'pre{background:#f6f6f4;padding:10px;overflow:auto}figure{margin:0}figcaption span{margin-right:12px}' +
  'figcaption i{display:inline-block;width:10px;height:10px;margin-right:4px}svg .grid{stroke:#eee}' +
  'svg .frame{fill:none;stroke:#bbb}svg .tick,svg .note{font-size:10px}svg .title{font-size:13px;font-weight:600}';

/** Needs nothing from a network. */
export function renderPage(
  result: BenchResult,
  histograms: readonly LatencyHistogram[],
  changes: readonly Change[],
): string {
  const series = result.runs.map(({ batch, threads }, i) => {
    const histogram = histograms[i];
    const points = plotShares(histogram?.count ?? 0).flatMap((share) =>
      share === 1 ? [] : [[1 / (1 - share), histogram?.percentile(share) ?? 0] as const],
    );
    return { name: `batch ${batch}, threads ${threads}`, points };
  });
  const chart = lineChart(series, {
    title: 'Latency',
    xLabel: 'one call in … is slower',
    yLabel: 'microseconds',
    xFormat: (value) => String(Math.round(value)),
    yFormat: (value) => String(Math.round(value / 10) / 100),
  });
  return [
    '<!doctype html><html lang="en"><meta charset="utf-8">',
    `<title>${escapeText(result.model)}</title><style>${STYLE}</style><h1>${escapeText(result.model)}</h1>`,
    `<pre>${escapeText(renderText(result))}</pre>${chart}`,
    changes.length === 0 ? '' : `<h2>Compared</h2><pre>${escapeText(renderChanges(changes))}</pre>`,
    '</html>\n',
  ].join('\n');
}

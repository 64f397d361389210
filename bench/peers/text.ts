/** A run as plain text. */
import { formatTable } from '#lib/cli/text.js';
import { judge } from './goals.js';
import type { Cell, Result } from './result.js';
import type { Spread } from './stats.js';

/** A load average above it, before anything was measured, is other people's. */
const QUIET_LOAD = 0.3;

const micro = (nanoseconds: number): string => (nanoseconds / 1000).toFixed(1);
const times = (ratio: number): string => `${ratio.toFixed(2)}x`;
export const showSpread = ({ q1, q3, min, max }: Spread): string =>
  `${q1.toFixed(2)}-${q3.toFixed(2)} (${min.toFixed(2)}-${max.toFixed(2)})`;
export const where = ({ access, threads }: Cell): string => `${access}, ${threads} thr.`;

export function renderEnvironment({ environment: env, seed, rounds, ms, memory }: Result): string {
  const limits =
    typeof memory === 'string'
      ? `not measured: ${memory}`
      : memory
          .map(
            ({ threads, randomLine, sequential, rows = [] }) =>
              `${threads} thr. ${(randomLine / 1e9).toFixed(1)} GB/s in random lines, ` +
              `${(sequential / 1e9).toFixed(1)} GB/s in a row` +
              rows
                .map(
                  ({ bytes, nanoseconds }) => `, ${nanoseconds.toFixed(1)} ns a row of ${bytes} B`,
                )
                .join(''),
          )
          .join('; ');
  return [
    `${env.cpu}, ${env.cores} cores, ${env.caches}, governor ${env.governor}`,
    `${(env.memory / 2 ** 30).toFixed(1)} GiB, kernel ${env.kernel}, huge pages ${env.transparentHugePages}`,
    `node ${env.node}, revision ${env.revision}, ${env.date}`,
    `load ${env.load.join(' to ')}; seed ${seed}; ${rounds} rounds of ${ms} ms a side, in turns`,
    `memory: ${limits}`,
    ...((env.load[0] ?? 0) > QUIET_LOAD
      ? ['The machine was not quiet: other processes ran before this one began.']
      : []),
    '',
  ].join('\n');
}

export function renderCells(cells: readonly Cell[]): string {
  return formatTable(
    [
      'workload',
      'ours',
      'batch',
      'where',
      'peer',
      'ours us',
      'peer us',
      'ratio',
      'q1-q3 (min-max)',
    ],
    cells.map((cell) => [
      cell.workload,
      cell.variant,
      cell.batch,
      where(cell),
      cell.peer,
      micro(cell.mine.p50),
      micro(cell.theirs.p50),
      times(cell.ratio.median),
      showSpread(cell.ratio),
    ]),
  );
}

/** Those whose rows were touched too. */
export function cellsInPlace(cells: readonly Cell[]): (Cell & Required<Pick<Cell, 'row'>>)[] {
  return cells.flatMap((cell) => (cell.row === undefined ? [] : [{ ...cell, row: cell.row }]));
}

/** Bags that were read in place, against touching the same rows; empty where there are none. */
export function renderRows(cells: readonly Cell[]): string {
  const inPlace = cellsInPlace(cells);
  if (inPlace.length === 0) return '';
  const table = formatTable(
    ['workload', 'ours', 'where', 'ours ns', 'touched ns', 'of the limit', 'q1-q3 (min-max)'],
    inPlace.map((cell) => [
      cell.workload,
      cell.variant,
      where(cell),
      cell.row.ours.toFixed(1),
      cell.row.touched.toFixed(1),
      cell.row.ratio.median.toFixed(2),
      showSpread(cell.row.ratio),
    ]),
  );
  return `\nOne row, and touching it in the same memory without summing it:\n${table}`;
}

export function renderGoals(result: Result): string {
  return formatTable(
    ['goal', 'peer', 'at least', 'measured', 'q1-q3 (min-max)', 'worst at', 'met'],
    judge(result).map(({ work, peer, least, worst, met }) => [
      work,
      peer,
      times(least),
      worst === undefined ? '-' : times(worst.ratio.median),
      worst === undefined ? '-' : showSpread(worst.ratio),
      worst === undefined ? '-' : where(worst),
      met === null ? 'not measured' : met ? 'yes' : 'NO',
    ]),
  );
}

export function renderResult(result: Result): string {
  const skipped = result.skipped.map(
    ({ what, reason, install }) =>
      `  ${what}: ${reason}${install === undefined ? '' : `; ${install}`}\n`,
  );
  const wrong = result.disagreements.map(({ what, reason }) => `  ${what}: ${reason}\n`);
  return [
    renderEnvironment(result),
    wrong.length === 0 ? '' : `\nWRONG ANSWERS, not measured:\n${wrong.join('')}`,
    '\nMedian call in microseconds; ratio: how many times faster we are, median of the rounds.\n',
    renderCells(result.cells),
    renderRows(result.cells),
    '\nGoals, each at its worst cell:\n',
    renderGoals(result),
    skipped.length === 0 ? '' : `\nSkipped:\n${skipped.join('')}`,
  ].join('');
}

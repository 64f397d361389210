/** Objectives such as p99=5ms, and whether a run meets them. */
import { InvalidArgumentError } from 'commander';

import type { LatencyHistogram } from './bench-histogram.js';

export interface Objective {
  /** As it was written. */
  readonly text: string;
  /** 'mean', 'max', 'rps' or a share. */
  readonly metric: 'mean' | 'max' | 'rps' | number;
  /** Nanoseconds at most; for rps requests a second at least. */
  readonly limit: number;
}

export interface SloResult {
  objective: string;
  /** In the objective's unit: microseconds, or requests a second. */
  measured: number;
  met: boolean;
}

const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, µs: 1e3, ms: 1e6, s: 1e9 };

/** `p99=5ms,p50=80us,max=20ms,mean=1ms,rps=10000`; may be given again. */
export function objectives(text: string, before: readonly Objective[] = []): Objective[] {
  return [...before, ...text.split(',').map((part) => parseOne(part.trim()))];
}

function parseOne(text: string): Objective {
  const fail = (): never => {
    throw new InvalidArgumentError(
      `expected METRIC=TIME such as p99=5ms, mean=80us or max=1s, or rps=N, but received ${JSON.stringify(text)}`,
    );
  };
  const [, name, digits, unit] =
    /^([a-z][a-z0-9.]*)=(\d+(?:\.\d+)?)([a-zµ]*)$/.exec(text) ?? fail();
  const value = Number(digits);
  if (name === 'rps') return unit === '' ? { text, metric: 'rps', limit: value } : fail();
  const scale = UNITS[unit ?? ''] ?? fail();
  if (!(value > 0)) return fail();
  const metric = name === 'mean' || name === 'max' ? name : shareOf(name ?? '');
  return metric === undefined ? fail() : { text, metric, limit: value * scale };
}

/** p50, p99, p99.9 and p999 alike. */
function shareOf(name: string): number | undefined {
  const [, whole, fraction] = /^p(\d{1,6})(\.\d+)?$/.exec(name) ?? [];
  if (whole === undefined) return undefined;
  if (fraction === undefined && whole.length > 2) {
    return whole.startsWith('0') || whole === '100' ? undefined : Number(`0.${whole}`);
  }
  // Digits put in their place, not divided: p99.9 and p999 are the same number.
  const share = Number(`0.${whole.padStart(2, '0')}${fraction?.slice(1) ?? ''}`);
  return share > 0 && share < 1 ? share : undefined;
}

export function judgeSlo(
  wanted: readonly Objective[],
  latency: LatencyHistogram,
  requestsPerSecond: number,
): SloResult[] {
  return wanted.map(({ text, metric, limit }) => {
    if (metric === 'rps') {
      return { objective: text, measured: requestsPerSecond, met: requestsPerSecond >= limit };
    }
    const value = typeof metric === 'number' ? latency.percentile(metric) : latency[metric];
    // Not a number, as without any call, is not met.
    return { objective: text, measured: Math.round(value) / 1000, met: value <= limit };
  });
}

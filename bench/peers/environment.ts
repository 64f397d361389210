/** The machine and the versions that figures belong to. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, freemem, loadavg, release, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

export interface Environment {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly caches: string;
  readonly governor: string;
  readonly memory: number;
  readonly kernel: string;
  readonly transparentHugePages: string;
  readonly node: string;
  readonly revision: string;
  /** One minute's, before and after. */
  load: number[];
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

export function describeEnvironment(): Environment {
  const cpu = '/sys/devices/system/cpu/cpu0';
  const caches = [1, 2, 3].map((level) => `L${level} ${formatMiB(cacheBytes(level))}`);
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    caches: caches.join(', '),
    governor: readText(`${cpu}/cpufreq/scaling_governor`) ?? 'unreadable',
    memory: totalmem(),
    kernel: release(),
    transparentHugePages:
      /\[(\w+)\]/.exec(readText('/sys/kernel/mm/transparent_hugepage/enabled') ?? '')?.[1] ??
      'unreadable',
    node: process.version,
    revision: revision(),
    load: [currentLoad()],
  };
}

export const currentLoad = (): number => Math.round((loadavg()[0] ?? 0) * 100) / 100;

/** Bytes that can be taken without pushing anything out. */
export function availableMemory(): number {
  const line = /MemAvailable:\s+(\d+) kB/.exec(readText('/proc/meminfo') ?? '')?.[1];
  return line === undefined ? freemem() : Number(line) * 1024;
}

/** Of the last level: the first cache of that level that core 0 has. */
export function cacheBytes(level: number): number {
  for (let i = 0; i < 8; i++) {
    const folder = `/sys/devices/system/cpu/cpu0/cache/index${i}`;
    if (readText(`${folder}/level`) !== String(level)) continue;
    if (readText(`${folder}/type`) === 'Instruction') continue;
    const [, digits, unit] = /^(\d+)([KMG]?)$/.exec(readText(`${folder}/size`) ?? '') ?? [];
    const scale = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }[unit ?? ''] ?? 1;
    if (digits !== undefined) return Number(digits) * scale;
  }
  return 0;
}

const formatMiB = (bytes: number): string =>
  bytes === 0 ? 'unreadable' : `${Math.round((bytes / 2 ** 20) * 100) / 100} MiB`;

function revision(): string {
  const root = fileURLToPath(new URL('../../../../', import.meta.url));
  const git = (...args: string[]): string =>
    spawnSync('git', ['-C', root, ...args], { encoding: 'utf8' }).stdout?.trim() ?? '';
  const head = git('rev-parse', '--short', 'HEAD') || 'unknown';
  return git('status', '--porcelain', '--untracked-files=no') === '' ? head : `${head}, changed`;
}

/** Measures what memory can do, with a small C++ program that is compiled on the spot. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pinned } from './child.js';

export interface MemoryLimits {
  readonly threads: number;
  readonly bytes: number;
  /** Bytes a second of random 64-byte lines. */
  readonly randomLine: number;
  /** Bytes a second. */
  readonly sequential: number;
  /** What a random row of so many bytes takes, prefetched in bursts and read; absent in old results. */
  readonly rows?: readonly { readonly bytes: number; readonly nanoseconds: number }[];
}

const source = fileURLToPath(new URL('../../../../bench/peers/memory_limits.cc', import.meta.url));
const MEBIBYTES = 1024;

/** @returns why not, where there is no compiler */
export function measureMemory(
  cores: readonly (readonly number[])[],
  directory: string,
): MemoryLimits[] | string {
  const program = join(directory, 'memory-limits');
  const compiler = process.env['CXX'] ?? 'c++';
  const args = ['-O3', '-std=c++20', '-pthread', source, '-o', program];
  const built = spawnSync(compiler, args, { encoding: 'utf8' });
  if (built.status !== 0) {
    return `expected a C++ compiler but ${compiler} gave ${built.error?.message ?? built.stderr.trim()}`;
  }
  const found: MemoryLimits[] = [];
  for (const list of cores) {
    const [file, all] = pinned(list, program, [String(list.length), String(MEBIBYTES)]);
    const run = spawnSync(file, all, { encoding: 'utf8' });
    if (run.status !== 0) return `expected figures but the program ended with ${run.status}`;
    found.push(JSON.parse(run.stdout) as MemoryLimits);
  }
  return found;
}

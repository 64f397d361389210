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
  /** What a random row of so many bytes takes, prefetched as is best here and read; absent in old results. */
  readonly rows?: readonly { readonly bytes: number; readonly nanoseconds: number }[];
}

/** It stays where it is: this file runs from build/bench/bench/peers. */
const SOURCE = fileURLToPath(new URL('../../../../bench/peers/memory_limits.cc', import.meta.url));
const MEBIBYTES = 1024;

export interface Limits {
  readonly memory: MemoryLimits[] | string;
  /** The program, where it could be made. */
  readonly program: string | undefined;
}

/** `memory` says why not, where there is no compiler. */
export function measureMemory(cores: readonly (readonly number[])[], directory: string): Limits {
  const built = buildProgram(directory);
  if ('why' in built) return { memory: built.why, program: undefined };
  const { program } = built;
  const found: MemoryLimits[] = [];
  for (const list of cores) {
    const limits = run<MemoryLimits>(program, list, [MEBIBYTES]);
    if (typeof limits === 'string') return { memory: limits, program };
    found.push(limits);
  }
  return { memory: found, program };
}

export function buildProgram(
  directory: string,
  source = SOURCE,
): { program: string } | { why: string } {
  const program = join(directory, 'memory-limits');
  const compiler = process.env['CXX'] ?? 'c++';
  const args = ['-O3', '-std=c++20', '-pthread', source, '-o', program];
  const { status, error, stderr } = spawnSync(compiler, args, { encoding: 'utf8' });
  if (status === 0) return { program };
  return { why: `expected a C++ compiler but ${compiler} gave ${error?.message ?? stderr.trim()}` };
}

export interface TableRows {
  readonly file: string;
  readonly dataOffset: number;
  readonly rowBytes: number;
  /** A file of int32. */
  readonly ids: string;
}

/** Nanoseconds for touching one of the rows, each of its lines once; a text says why not. */
export function measureRows(
  program: string,
  cores: readonly number[],
  { file, dataOffset, rowBytes, ids }: TableRows,
): number | string {
  const found = run<{ nanoseconds: number }>(program, cores, [file, dataOffset, rowBytes, ids]);
  return typeof found === 'string' ? found : found.nanoseconds;
}

function run<Found>(
  program: string,
  cores: readonly number[],
  args: readonly (string | number)[],
): Found | string {
  const [file, all] = pinned(cores, program, [String(cores.length), ...args.map(String)]);
  const { status, stdout } = spawnSync(file, all, { encoding: 'utf8' });
  if (status !== 0) return `expected figures but the program ended with ${status}`;
  return JSON.parse(stdout) as Found;
}

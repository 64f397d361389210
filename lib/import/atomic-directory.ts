/** Makes a directory appear complete or not at all. */
import { randomBytes } from 'node:crypto';
import { lstat, mkdir, open, readdir, realpath, rename, rm } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { GyrfalconError } from '../errors.js';
import { ioError } from './onnx/byte-source.js';

export interface AtomicOptions {
  /** Replace what is there, if it has `marker` in it. */
  overwrite: boolean;
  /** The file by which a directory is known as one of ours; others are never removed. */
  marker: string;
}

/**
 * Runs `fill` on a new directory beside `destination` and renames it there. If `fill` fails, what
 * it wrote is removed and `destination` is as before. With `overwrite`, the old directory is moved
 * aside for the moment between two renames and removed afterwards.
 * @throws INVALID_ARGUMENT when `destination` is in the way, IO_ERROR
 */
export async function fillDirectory<T>(
  destination: string,
  options: AtomicOptions,
  fill: (directory: string) => Promise<T>,
): Promise<{ directory: string; result: T }> {
  const target = await followLink(resolve(destination));
  const occupied = await checkDestination(target, options);
  const temporary = `${target}.tmp-${randomBytes(6).toString('hex')}`;
  try {
    await mkdir(dirname(target), { recursive: true });
    await mkdir(temporary);
  } catch (cause) {
    throw ioError(`cannot create ${temporary}`, cause);
  }
  try {
    const result = await fill(temporary);
    await syncDirectory(temporary);
    await moveIn(temporary, target, occupied);
    await syncDirectory(dirname(target));
    return { directory: target, result };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}

/**
 * What stands at `destination`, before any work is done: true when a directory has to be replaced.
 * @throws INVALID_ARGUMENT
 */
async function checkDestination(destination: string, options: AtomicOptions): Promise<boolean> {
  const stat = await lstat(destination).catch(missing);
  if (stat === undefined) return false;
  if (!stat.isDirectory()) {
    throw new GyrfalconError(
      'INVALID_ARGUMENT',
      `expected a directory or nothing at ${destination} but received a file`,
    );
  }
  const entries = await readdir(destination).catch((cause: unknown) => {
    throw ioError(`cannot read ${destination}`, cause);
  });
  if (entries.length === 0) return false;
  if (!options.overwrite) {
    throw new GyrfalconError(
      'INVALID_ARGUMENT',
      `expected nothing at ${destination} but received a directory with files; ` +
        'overwrite has to be asked for',
    );
  }
  if (!entries.includes(options.marker)) {
    throw new GyrfalconError(
      'INVALID_ARGUMENT',
      `expected a bundle to overwrite at ${destination} but received a directory ` +
        `without ${options.marker}`,
    );
  }
  return true;
}

async function moveIn(temporary: string, target: string, occupied: boolean): Promise<void> {
  const aside = `${target}.old-${randomBytes(6).toString('hex')}`;
  try {
    if (occupied) await rename(target, aside);
    try {
      await rename(temporary, target);
    } catch (error) {
      if (occupied) await rename(aside, target);
      throw error;
    }
  } catch (cause) {
    throw ioError(`cannot rename ${temporary} to ${target}`, cause);
  }
  if (occupied) await rm(aside, { recursive: true, force: true });
}

/** Makes a directory's entries durable. */
export async function syncDirectory(path: string): Promise<void> {
  try {
    const handle = await open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw ioError(`cannot sync ${path}`, cause);
  }
}

/** A destination that is a link stands for what it points to, so the link survives. */
async function followLink(path: string): Promise<string> {
  const stat = await lstat(path).catch(missing);
  if (stat?.isSymbolicLink() !== true) return path;
  return realpath(path).catch((cause: unknown) => {
    throw ioError(`cannot follow ${path}`, cause);
  });
}

function missing(cause: unknown): undefined {
  if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
  throw ioError('cannot look at the destination', cause);
}

/** Joins a relative manifest path, which uses `/`, to a directory. */
export function insidePath(directory: string, relativePath: string): string {
  return join(directory, ...relativePath.split('/'));
}

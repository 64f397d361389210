/**
 * Where a tensor's external data lies. A model names files; a hostile one names files that are not
 * its own, so a location has to stay inside the model's directory, also through symbolic links.
 * Keys: https://github.com/onnx/onnx/blob/main/docs/ExternalData.md
 */
import { realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';

import { GyrfalconError } from '../../errors.js';
import { ioError } from './byte-source.js';
import type { TensorSource } from './types.js';

/** ONNX Runtime reads addresses of its own process from locations with this mark. */
const MEMORY_ADDRESS_MARK = '_ORT_MEM_ADDR_';

/** Finds external data files beside one model; remembers those that it has checked. */
export class ExternalFiles {
  private readonly checked = new Map<string, { path: string; size: number }>();

  /** `modelPath`: absolute; null when the model came from memory and can have no files beside it. */
  constructor(private readonly modelPath: string | null) {}

  /**
   * The range that `entries` (external_data's keys and values) describe; `expected` bytes long.
   * @throws PATH_ESCAPE, ONNX_INVALID, IO_ERROR
   */
  resolve(
    entries: ReadonlyMap<string, string>,
    expected: number,
    fail: (expected: string, received: string) => never,
  ): TensorSource {
    const location = entries.get('location');
    if (location === undefined) return fail('external data with a location', 'none');
    const offset = decimal(entries.get('offset') ?? '0', 'offset', fail);
    const lengthText = entries.get('length');
    const length = lengthText === undefined ? expected : decimal(lengthText, 'length', fail);
    if (length !== expected) {
      fail(`external data of ${expected} bytes, as its dims and type say,`, `${length}`);
    }
    const file = this.find(location);
    if (offset > file.size || length > file.size - offset) {
      fail(
        `external data within the ${file.size} bytes of ${JSON.stringify(location)}`,
        `bytes ${offset} to ${offset + length}`,
      );
    }
    return { kind: 'file', path: file.path, offset, length };
  }

  private find(location: string): { path: string; size: number } {
    const known = this.checked.get(location);
    if (known !== undefined) return known;
    const refuse = (why: string): never => {
      throw new GyrfalconError(
        'PATH_ESCAPE',
        `expected external data inside the model's directory but received ` +
          `${JSON.stringify(location)}: ${why}`,
      );
    };
    if (location === '') refuse('it is empty');
    if (location.includes('\0')) refuse('it holds a NUL');
    if (location.includes(MEMORY_ADDRESS_MARK)) refuse('it names memory, not a file');
    if (location.includes('\\')) refuse('it holds a backslash');
    if (isAbsolute(location) || /^[A-Za-z]:/.test(location)) refuse('it is absolute');
    if (location.split('/').includes('..')) refuse("it holds '..'");
    if (this.modelPath === null) refuse('a model in memory has no directory');
    const directory = dirname(this.modelPath as string);
    const file = inside(directory, location, refuse);
    this.checked.set(location, file);
    return file;
  }
}

function inside(
  directory: string,
  location: string,
  refuse: (why: string) => never,
): { path: string; size: number } {
  try {
    const path = realpathSync(join(directory, location));
    const way = relative(realpathSync(directory), path);
    if (way === '' || way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way)) {
      refuse('it leaves through a symbolic link');
    }
    const stat = statSync(path);
    if (!stat.isFile()) refuse('it is not a regular file');
    return { path, size: stat.size };
  } catch (cause) {
    if (cause instanceof GyrfalconError) throw cause;
    throw ioError(`cannot open external data ${JSON.stringify(location)}`, cause);
  }
}

function decimal(
  text: string,
  key: string,
  fail: (expected: string, received: string) => never,
): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(value)) {
    fail(
      `${key} of external data as a decimal number within 2^53`,
      JSON.stringify(text.slice(0, 40)),
    );
  }
  return value;
}

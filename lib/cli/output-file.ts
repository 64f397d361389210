/** The file that `gyrfalcon score --output` writes. */
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { realpath, rename, rm, stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';

export interface OutputFile {
  readonly stream: Writable;
  /** Everything is written and has its name. */
  commit(): Promise<void>;
  /** Nothing is left of what was written; after `commit` nothing happens. */
  discard(): Promise<void>;
}

/**
 * A file that appears at `path` complete or not at all: it is written beside it and renamed. A
 * device or a pipe, which cannot be replaced, is written as it is.
 */
export async function openOutput(path: string): Promise<OutputFile> {
  const there = await stat(path).catch(() => undefined);
  const target = there === undefined ? path : await realpath(path);
  const inPlace = there !== undefined && !there.isFile();
  const written = inPlace ? target : `${target}.tmp-${randomBytes(6).toString('hex')}`;
  const mode = there === undefined ? {} : { mode: there.mode & 0o777 };
  const stream = createWriteStream(written, inPlace ? {} : { flags: 'wx', flush: true, ...mode });
  // An error while nobody waits must not end the process; the next wait gets it.
  stream.on('error', () => {});
  let settled = inPlace;
  return {
    stream,
    async commit() {
      stream.end();
      await finished(stream);
      if (!inPlace) await rename(written, target);
      settled = true;
    },
    async discard() {
      if (!stream.closed) {
        stream.destroy();
        await finished(stream).catch(() => undefined);
      }
      if (!settled) await rm(written, { force: true });
    },
  };
}

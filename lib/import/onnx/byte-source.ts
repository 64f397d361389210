/** Where the bytes of a model come from: a file read through a window, or memory. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { resolve } from 'node:path';

import { GyrfalconError } from '../../errors.js';

export interface ByteSource {
  readonly size: number;
  /** Absolute path; null for memory. */
  readonly path: string | null;
  /** Bytes [offset, offset + length), which lie inside the source. The result must not be kept. */
  view(offset: number, length: number): Uint8Array;
  /** The byte at `offset`, which lies inside the source. */
  byteAt(offset: number): number;
  close(): void;
}

export class MemorySource implements ByteSource {
  readonly path = null;
  readonly size: number;

  constructor(private readonly bytes: Uint8Array) {
    this.size = bytes.byteLength;
  }

  view(offset: number, length: number): Uint8Array {
    return this.bytes.subarray(offset, offset + length);
  }

  byteAt(offset: number): number {
    return this.bytes[offset] as number;
  }

  close(): void {}
}

const WINDOW_BYTES = 256 * 1024;

/** Reads through one window, so memory does not grow with the file; longer views get their own buffer. */
export class FileSource implements ByteSource {
  readonly path: string;
  readonly size: number;
  private readonly fd: number;
  private readonly window = Buffer.allocUnsafe(WINDOW_BYTES);
  private windowStart = 0;
  private windowLength = 0;

  /** @throws IO_ERROR when the path is not a readable regular file. */
  constructor(path: string) {
    this.path = resolve(path);
    try {
      this.fd = openSync(this.path, 'r');
    } catch (cause) {
      throw ioError(`cannot open ${path}`, cause);
    }
    const stat = fstatSync(this.fd);
    if (!stat.isFile()) {
      this.close();
      throw new GyrfalconError('IO_ERROR', `expected a regular file but received ${path}`);
    }
    this.size = stat.size;
  }

  view(offset: number, length: number): Uint8Array {
    if (length > WINDOW_BYTES) {
      const bytes = Buffer.allocUnsafe(length);
      this.fill(bytes, offset, length);
      return bytes;
    }
    const start = offset - this.windowStart;
    if (start < 0 || start + length > this.windowLength) {
      const wanted = Math.min(WINDOW_BYTES, this.size - offset);
      this.windowLength = 0;
      this.fill(this.window, offset, wanted);
      this.windowStart = offset;
      this.windowLength = wanted;
    }
    const from = offset - this.windowStart;
    return this.window.subarray(from, from + length);
  }

  byteAt(offset: number): number {
    const at = offset - this.windowStart;
    if (at >= 0 && at < this.windowLength) return this.window[at] as number;
    return this.view(offset, 1)[0] as number;
  }

  close(): void {
    closeSync(this.fd);
  }

  private fill(target: Buffer, offset: number, length: number): void {
    let done = 0;
    while (done < length) {
      let read: number;
      try {
        read = readSync(this.fd, target, done, length - done, offset + done);
      } catch (cause) {
        throw ioError(`cannot read ${this.path}`, cause);
      }
      if (read === 0) {
        throw new GyrfalconError('IO_ERROR', `${this.path} became shorter while it was read`);
      }
      done += read;
    }
  }
}

/** An IO_ERROR with the system's own reason as its cause and in its text. */
export function ioError(text: string, cause: unknown): GyrfalconError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new GyrfalconError('IO_ERROR', `${text}: ${reason}`, { cause });
}

/** What a command talks to. Tests give their own. */
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';

import { GyrfalconError } from '../errors.js';

export interface Io {
  stdin: Readable;
  stdout: Writable;
  /** Progress is only drawn on a terminal. */
  stderr: Writable & { isTTY?: boolean };
  /** Aborted by an interrupt. */
  signal: AbortSignal;
}

export const EXIT = { ok: 0, failed: 1, usage: 2, verifyFailed: 3, interrupted: 130 } as const;

/** Writes and waits while the reader is slower. */
export async function write(stream: Writable, text: string): Promise<void> {
  if (!stream.write(text)) await once(stream, 'drain');
}

/** An error as `CODE: message`; what the system reports is IO_ERROR. */
export function describeError(error: unknown): { code: string; message: string } {
  if (error instanceof GyrfalconError) return { code: error.code, message: error.message };
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof Error && error.name === 'AbortError') {
    return { code: 'ABORTED', message: 'interrupted' };
  }
  const system = error instanceof Error && 'syscall' in error;
  return { code: system ? 'IO_ERROR' : 'INTERNAL', message };
}

export function exitCodeOf(error: unknown, signal: AbortSignal): number {
  if (signal.aborted) return EXIT.interrupted;
  return error instanceof GyrfalconError && error.code === 'VERIFY_FAILED'
    ? EXIT.verifyFailed
    : EXIT.failed;
}

/** One line on a terminal that is drawn over and over; nothing elsewhere. */
export class Progress {
  #drawn = '';

  constructor(private readonly stream: Io['stderr']) {}

  show(label: string, done: number, total: number): void {
    if (this.stream.isTTY !== true) return;
    const share = total > 0 ? Math.floor((100 * done) / total) : 100;
    const line = `${label} ${share}%`;
    if (line === this.#drawn) return;
    this.stream.write(`\r\u001b[K${line}`);
    this.#drawn = line;
  }

  clear(): void {
    if (this.#drawn !== '') this.stream.write('\r\u001b[K');
    this.#drawn = '';
  }
}

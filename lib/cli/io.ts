/** What a command talks to. Tests give their own. */
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

/** Exit codes. The last three are 128 and the signal's number, as shells have it. */
export const EXIT = {
  ok: 0,
  failed: 1,
  usage: 2,
  verifyFailed: 3,
  hungUp: 129,
  interrupted: 130,
  terminated: 143,
} as const;

/** Writes and waits until the reader has taken it, so that memory does not grow with the output. */
export function write(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    // After a failure the callback only says that the stream is destroyed.
    stream.write(text, (error) => (error ? reject(stream.errored ?? error) : resolve()));
  });
}

/** A reader that has seen enough (`| head`) is no failure. */
export function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EPIPE';
}

/** What --assert asked for does not hold. */
export class AssertionFailure extends Error {}

/** An error as `CODE: message`; what the system reports is IO_ERROR. */
export function describeError(error: unknown): { code: string; message: string } {
  if (error instanceof GyrfalconError) return { code: error.code, message: error.message };
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof Error && error.name === 'AbortError') {
    return { code: 'ABORTED', message: 'interrupted' };
  }
  if (error instanceof AssertionFailure) return { code: 'ASSERTION_FAILED', message };
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

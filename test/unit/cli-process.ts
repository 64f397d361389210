/** The command as a user runs it: dist/cli/main.js in a process of its own. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export interface Finished {
  /** The exit code, or the signal that ended the process. */
  readonly code: number | string;
  readonly out: string;
  readonly err: string;
}

export interface Running {
  readonly child: ChildProcessWithoutNullStreams;
  readonly finished: Promise<Finished>;
}

export function start(args: readonly string[], nodeArgs: readonly string[] = []): Running {
  const child = spawn(process.execPath, [...nodeArgs, main, ...args]);
  // A command that ends before it has read everything is none of the writer's business.
  child.stdin.on('error', () => {});
  const exit = once(child, 'exit') as Promise<[number | null, string | null]>;
  const finished = Promise.all([exit, text(child.stdout), text(child.stderr)]).then(
    ([[status, signal], out, err]) => ({ code: status ?? signal ?? '', out, err }),
  );
  return { child, finished };
}

/** Runs a command to its end, with `input` on standard input. */
export function gyrfalcon(
  args: readonly string[],
  input: string | Buffer = '',
  nodeArgs: readonly string[] = [],
): Promise<Finished> {
  const { child, finished } = start(args, nodeArgs);
  child.stdin.end(input);
  return finished;
}

/** The driver's end of one side: a process of its own on given cores, asked one thing at a time. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { doubles, type Frame, floats, readFrames, writeFrame } from './frames.js';
import type { Ring } from './requests.js';
import type { LoadCommand } from './side-loop.js';

export interface Slice {
  /** Nanoseconds of each call. */
  readonly samples: Float64Array;
  readonly stages?: { lookup: number; engine: number };
}

const KEPT_STDERR = 4000;

let pinnable: boolean | undefined;
/** Whether processes can be bound to cores here. */
export function canPin(): boolean {
  pinnable ??= spawnSync('taskset', ['-c', '0', 'true']).status === 0;
  return pinnable;
}

/** A command and its arguments, bound to these cores where that is possible. */
export function pinned(
  cores: readonly number[],
  command: string,
  args: readonly string[],
): [string, string[]] {
  if (!canPin()) return [command, [...args]];
  return ['taskset', ['-c', cores.join(','), command, ...args]];
}

export class Child {
  readonly #process: ChildProcess;
  readonly #frames: AsyncGenerator<Frame>;
  #stderr = '';
  #failed: Error | undefined;

  /** `cores`: their numbers. */
  constructor(
    command: string,
    args: readonly string[],
    cores: readonly number[],
    env: NodeJS.ProcessEnv,
  ) {
    const [file, all] = pinned(cores, command, args);
    this.#process = spawn(file, all, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.#process.once('error', (error) => {
      this.#failed = error;
    });
    this.#process.stdin?.on('error', () => {});
    this.#process.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString('utf8')).slice(-KEPT_STDERR);
    });
    if (this.#process.stdout === null) throw new Error('expected a pipe');
    this.#frames = readFrames(this.#process.stdout);
  }

  async load(command: LoadCommand): Promise<Record<string, unknown>> {
    const { header } = await this.#ask({ command: 'load', ...command });
    return header['details'] as Record<string, unknown>;
  }

  async ring(ring: Ring): Promise<void> {
    const { batch, count, denseWidth, idWidth, dense, ids } = ring;
    await this.#ask({ command: 'ring', batch, count, denseWidth, idWidth }, [dense, ids]);
  }

  /** Of the ring's first requests, one after another. */
  async outputs(count: number): Promise<Float32Array> {
    return floats((await this.#ask({ command: 'outputs', count })).payload);
  }

  /** Scores every request of the ring once. */
  async sweep(): Promise<void> {
    await this.#ask({ command: 'sweep' });
  }

  async measure(ms: number): Promise<Slice> {
    const { header, payload } = await this.#ask({ command: 'measure', ms });
    const samples = doubles(payload);
    const stages = header['stages'] as Slice['stages'];
    return stages === undefined ? { samples } : { samples, stages };
  }

  async close(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.stdin?.end();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 10_000);
    if (this.#failed === undefined) await ended;
    clearTimeout(timer);
  }

  /** Why there are no more answers. */
  async #ending(): Promise<Error> {
    const { exitCode, signalCode } = this.#process;
    if (this.#failed === undefined && exitCode === null && signalCode === null) {
      await new Promise((resolve) => this.#process.once('close', resolve));
    }
    const said = this.#failed?.message ?? this.#stderr.trim();
    const code = this.#process.exitCode;
    // taskset and shells end with 127 for a program that is not there, 126 for one that is none.
    const absent = this.#failed !== undefined || code === 127 || code === 126;
    return absent ? new MissingError(said) : new Error(`it ended with ${code}: ${said}`);
  }

  async #ask(header: Record<string, unknown>, parts: readonly ArrayBufferView[] = []) {
    if (this.#process.stdin === null) throw new Error('expected a pipe');
    writeFrame(this.#process.stdin, header, parts);
    const { value, done } = await this.#frames.next();
    if (done === true) throw await this.#ending();
    if (value.header['ok'] !== true) {
      const text = String(value.header['error']);
      throw value.header['missing'] === true ? new MissingError(text) : new Error(text);
    }
    return value;
  }
}

/** What the peer needs is not installed. */
export class MissingError extends Error {}

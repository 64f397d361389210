/**
 * Whether CUDA can be used here. A driver is first tried in a child process, because a broken one
 * may crash or never return; what came of it is remembered for all threads of this process.
 */
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { isSea } from 'node:sea';
import { GyrfalconError } from './errors.js';
import { type NativeCudaProbe, native } from './native.js';

/** What a probe found: a reason why CUDA cannot be used at all, or each device with its own. */
export type CudaVerdict = NativeCudaProbe;

/** A driver without a persistent daemon takes seconds for each device. */
const TIMEOUT = 30_000;
const MARK = 'gyrfalcon-cuda-probe:';
/** Runs in the child, which loads nothing but the addon: argv is [node, addon, device]. */
const SCRIPT = `const m={exports:{}};process.dlopen(m,process.argv[1]);process.stdout.write('${MARK}'+JSON.stringify(m.exports.cudaProbe(Number(process.argv[2])))+'\\n')`;

interface Child {
  readonly file: string;
  readonly args: string[];
  readonly env: NodeJS.ProcessEnv;
  readonly timeout: number;
}

type Ending = Pick<SpawnSyncReturns<string>, 'stdout' | 'status' | 'signal'> & {
  error?: Error | undefined;
};

/** Of one device or all (-1), on this thread: takes as long as the driver needs to start. */
export function probeCudaSync(device = -1): CudaVerdict {
  return known(device) ?? remember(device, inChildSync(device));
}

/** Of one device, without keeping this thread. */
export async function probeCuda(device: number): Promise<CudaVerdict> {
  return known(device) ?? remember(device, await inChild(device));
}

/** `device`, when it was found to work. @throws DEVICE_UNAVAILABLE */
export async function requireCuda(device: number): Promise<number> {
  return accept(await probeCuda(device), device);
}

/** As requireCuda, on this thread. @throws DEVICE_UNAVAILABLE */
export function requireCudaSync(device: number): number {
  return accept(probeCudaSync(device), device);
}

function accept(verdict: CudaVerdict, device: number): number {
  const found = verdict.devices.find(({ ordinal }) => ordinal === device);
  const reason =
    verdict.reason ??
    (found === undefined ? `the driver has no device cuda:${device}` : found.reason);
  if (reason === undefined) return device;
  throw new GyrfalconError('DEVICE_UNAVAILABLE', `cuda:${device} cannot be used: ${reason}`);
}

/** Without a child: what is known, or what needs no driver to be known. */
function known(device: number): CudaVerdict | undefined {
  const setting = process.env['GYRFALCON_CUDA'];
  if (setting === 'off') return none('GYRFALCON_CUDA is off');
  if (!native().cudaBuilt()) {
    return none('this build has no CUDA kernels: nvcc was not found when it was made');
  }
  const text = native().cudaVerdict(key(-1)) ?? native().cudaVerdict(key(device));
  if (text !== undefined) return JSON.parse(text) as CudaVerdict;
  if (setting === 'on') return remember(device, native().cudaProbe(device));
  return undefined;
}

function key(device: number): string {
  return `${device} ${process.env['GYRFALCON_CUDA_DRIVER'] ?? ''}`;
}

function remember(device: number, verdict: CudaVerdict): CudaVerdict {
  const kept = native().cudaVerdict(key(device), JSON.stringify(verdict));
  return JSON.parse(kept ?? '{}') as CudaVerdict;
}

function none(reason: string): CudaVerdict {
  return { reason, driverVersion: 0, devices: [] };
}

function inChildSync(device: number): CudaVerdict {
  const child = childFor(device);
  if (typeof child === 'string') return none(child);
  const { file, args, env, timeout } = child;
  const ending = spawnSync(file, args, {
    env,
    timeout,
    killSignal: 'SIGKILL',
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    windowsHide: true,
  });
  return judge(ending, child);
}

function inChild(device: number): Promise<CudaVerdict> {
  const child = childFor(device);
  if (typeof child === 'string') return Promise.resolve(none(child));
  const { file, args, env, timeout } = child;
  return new Promise((resolve) => {
    const running = spawn(file, args, {
      env,
      stdio: ['ignore', 'pipe', 'ignore'],
      windowsHide: true,
    });
    let stdout = '';
    const settle = (ending: Omit<Ending, 'stdout'>) => {
      clearTimeout(timer);
      resolve(judge({ stdout, ...ending }, child));
    };
    // A process that hangs inside the kernel does not end by a signal: nobody waits for it.
    const timer = setTimeout(() => {
      running.kill('SIGKILL');
      running.stdout.destroy();
      running.unref();
      const error: NodeJS.ErrnoException = new Error('timed out');
      error.code = 'ETIMEDOUT';
      settle({ status: null, signal: 'SIGKILL', error });
    }, timeout);
    running.stdout.setEncoding('utf8').on('data', (part: string) => {
      stdout += part;
    });
    running.on('error', (error) => settle({ status: null, signal: null, error }));
    running.on('close', (status, signal) => settle({ status, signal }));
  });
}

/** How to start the child, or why there is no way. */
function childFor(device: number): Child | string {
  const file = process.execPath;
  const advice = 'set GYRFALCON_CUDA=on to use the driver without trying it in a child first';
  // A single executable would start the application once more, and so on.
  if (isSea() || 'pkg' in process) {
    return `a program that is one executable has no Node to try the driver in: ${advice}`;
  }
  if (!existsSync(file)) return `Node's executable, to try the driver in, is gone: ${advice}`;
  const addon = native().addonPath();
  if (addon === '') return `the system does not say where the addon lies: ${advice}`;
  const env: NodeJS.ProcessEnv = { ...process.env, ELECTRON_RUN_AS_NODE: '1' };
  // Would load other code first, wait for a debugger, or talk to our parent.
  for (const name of [
    'NODE_OPTIONS',
    'NODE_CHANNEL_FD',
    'NODE_CHANNEL_SERIALIZATION_MODE',
    'NODE_UNIQUE_ID',
    'NODE_V8_COVERAGE',
  ]) {
    delete env[name];
  }
  const asked = Number(process.env['GYRFALCON_CUDA_PROBE_MS']);
  const timeout = asked >= 1 && asked <= 3_600_000 ? Math.floor(asked) : TIMEOUT;
  return { file, args: ['-e', SCRIPT, addon, String(device)], env, timeout };
}

function judge({ stdout, status, signal, error }: Ending, { timeout }: Child): CudaVerdict {
  const answer = new RegExp(`^${MARK}(\\{.*\\})$`, 'm').exec(stdout ?? '')?.[1];
  // A driver that crashes when the process ends has shown what it is, too.
  if (error === undefined && status === 0 && answer !== undefined) {
    return JSON.parse(answer) as CudaVerdict;
  }
  const how =
    (error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT'
      ? `had not answered after ${timeout} ms (GYRFALCON_CUDA_PROBE_MS)`
      : error !== undefined
        ? `could not be started: ${error.message}`
        : signal !== null
          ? `was ended by ${signal}`
          : status !== 0
            ? `ended with exit code ${status}`
            : 'gave no answer';
  return none(`a child process that tried the CUDA driver ${how}`);
}

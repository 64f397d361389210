import { requireCuda, requireCudaSync } from './cuda-probe.js';
import { GyrfalconError } from './errors.js';
import { native } from './native.js';
import { invalid, show } from './options.js';

/** Bytes of tables that are on the device, and that all of them have. */
export type LoadProgressListener = (bytes: number, total: number) => void;

/** How often a listener hears of a load, in milliseconds. */
const INTERVAL = 100;

/** The addon's name for the CPU. */
export const CPU = -1;

/**
 * The number of the CUDA device that `device` names, or CPU. 'auto' is the CPU as long as the dense
 * network runs there: it would wait for rows that come over the bus.
 * @throws INVALID_ARGUMENT, DEVICE_UNAVAILABLE: no such kind of device
 */
function parseDevice(device: unknown): number {
  if (device === undefined || device === 'auto' || device === 'cpu') return CPU;
  if (typeof device !== 'string') throw invalid('a name for device', device);
  const number = /^cuda(?::(\d{1,4}))?$/.exec(device);
  if (number !== null) return Number(number[1] ?? 0);
  throw new GyrfalconError(
    'DEVICE_UNAVAILABLE',
    `expected device auto, cpu, cuda or cuda:N but received ${show(device)}`,
  );
}

/** As parseDevice, and the device works. @throws INVALID_ARGUMENT, DEVICE_UNAVAILABLE */
export async function openDevice(device: unknown): Promise<number> {
  const number = parseDevice(device);
  return number === CPU ? CPU : requireCuda(number);
}

/** As openDevice; the first use of a device keeps this thread while it is tried. */
export function openDeviceSync(device: unknown): number {
  const number = parseDevice(device);
  return number === CPU ? CPU : requireCudaSync(number);
}

/** @throws INVALID_ARGUMENT */
export function progressListener(value: unknown): LoadProgressListener | undefined {
  if (value === undefined || typeof value === 'function') return value as LoadProgressListener;
  throw invalid('a function for onProgress', value);
}

/**
 * Runs `load` and tells the listener meanwhile how far it is, and at the end once more. What the
 * listener throws is thrown when the load has ended.
 */
export async function withProgress<T extends { close(): void }>(
  listener: LoadProgressListener | undefined,
  load: (progress: object) => Promise<T>,
): Promise<T> {
  const addon = native();
  const progress = addon.newProgress();
  if (listener === undefined) return load(progress);
  let before = -1;
  let failure: { error: unknown } | undefined;
  const tell = () => {
    const [bytes, total] = addon.readProgress(progress);
    if (failure !== undefined || total === 0 || bytes === before) return;
    before = bytes;
    try {
      listener(bytes, total);
    } catch (error) {
      failure = { error };
    }
  };
  const timer = setInterval(tell, INTERVAL);
  try {
    const loaded = await load(progress);
    tell();
    if (failure === undefined) return loaded;
    loaded.close();
    throw failure.error;
  } finally {
    clearInterval(timer);
  }
}

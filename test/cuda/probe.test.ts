import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterEach, expect, test, vi } from 'vitest';
import { capabilities } from '../../lib/capabilities.js';
import { probeCuda, requireCuda } from '../../lib/cuda-probe.js';

const driver = fileURLToPath(new URL('../../build/broken_driver.so', import.meta.url));
let used = 0;

/** Verdicts are kept by the driver's path: each test writes it in a way of its own. */
function broken(way: string): void {
  used += 1;
  vi.stubEnv('GYRFALCON_CUDA_DRIVER', driver.replace('/broken', `${'/'.repeat(used)}broken`));
  vi.stubEnv('BROKEN_DRIVER', way);
}

afterEach(() => vi.unstubAllEnvs());

test.each([
  ['crash', /child process .* was ended by SIG(SEGV|ABRT)/],
  ['exit', /child process .* ended with exit code 7/],
  ['no device', /the CUDA driver finds no device/],
  ['', /the CUDA driver finds no device/],
  ['error', /starting the CUDA driver failed: CUDA_ERROR_UNKNOWN/],
  ['old', /expected a CUDA driver of version 11\.4 or later but received 11\.2/],
  ['incomplete', /the CUDA driver has no cuGraphLaunch/],
])('a driver that is broken (%s) is a reason, in both ways of asking', async (way, reason) => {
  expect(existsSync(driver)).toBe(true);
  broken(way);
  const [cpu, cuda, ...others] = capabilities().devices;
  expect(cpu).toEqual({ name: 'cpu', available: true });
  expect(cuda).toMatchObject({ name: 'cuda', available: false });
  expect(cuda?.reason).toMatch(reason);
  expect(others).toEqual([]);
  broken(way);
  expect((await probeCuda(0)).reason).toMatch(reason);
  const error = { code: 'DEVICE_UNAVAILABLE', message: expect.stringMatching(reason) };
  await expect(requireCuda(0)).rejects.toMatchObject(error);
});

test('a driver that hangs is given up, in both ways of asking', async () => {
  vi.stubEnv('GYRFALCON_CUDA_PROBE_MS', '300');
  broken('hang');
  expect(capabilities().devices[1]?.reason).toMatch(/had not answered after 300 ms/);
  broken('hang');
  expect((await probeCuda(0)).reason).toMatch(/had not answered after 300 ms/);
});

test('what was found out stays, also for other threads', async () => {
  broken('exit');
  expect((await probeCuda(0)).reason).toMatch(/exit code 7/);
  vi.stubEnv('BROKEN_DRIVER', 'old');
  expect((await probeCuda(0)).reason).toMatch(/exit code 7/);
  const index = new URL('../../dist/cuda-probe.js', import.meta.url).href;
  const program = `import(${JSON.stringify(index)}).then(async ({ probeCuda }) =>
    require('node:worker_threads').parentPort.postMessage((await probeCuda(0)).reason))`;
  const worker = new Worker(program, { eval: true });
  const reason = await new Promise((resolve, reject) => {
    worker.once('message', resolve).once('error', reject);
  });
  await worker.terminate();
  expect(reason).toMatch(/exit code 7/);
});

test.each([
  ['/missing/libcuda.so.1', /cannot be opened: .*missing/],
  ['libm.so.6', /expected a CUDA driver of version 11\.4 or later but libm\.so\.6 has no/],
])('no driver at %s', async (path, reason) => {
  vi.stubEnv('GYRFALCON_CUDA_DRIVER', path);
  expect((await probeCuda(0)).reason).toMatch(reason);
});

test('forbidden by the environment, without asking the driver', async () => {
  broken('crash');
  vi.stubEnv('GYRFALCON_CUDA', 'off');
  expect(capabilities().devices[1]?.reason).toBe('GYRFALCON_CUDA is off');
  expect((await probeCuda(0)).reason).toBe('GYRFALCON_CUDA is off');
});

test('the child takes none of our own options, and needs the executable', async () => {
  broken('no device');
  vi.stubEnv('NODE_OPTIONS', '--require=/missing/preload.cjs');
  expect((await probeCuda(0)).reason).toMatch(/finds no device/);
  broken('no device');
  const { execPath } = process;
  try {
    process.execPath = '/missing/node';
    expect((await probeCuda(0)).reason).toMatch(/executable.* is gone: set GYRFALCON_CUDA=on/);
    process.execPath = fileURLToPath(new URL('../../package.json', import.meta.url));
    broken('no device');
    expect((await probeCuda(0)).reason).toMatch(/could not be started/);
  } finally {
    process.execPath = execPath;
  }
});

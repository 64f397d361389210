import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test, vi } from 'vitest';
import { capabilities } from '../../lib/capabilities.js';
import { findOrtLibrary } from '../../lib/ort-library.js';

afterEach(() => vi.unstubAllEnvs());

test('names this process, its processor and the kernels in use', () => {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const { version, node, platform, arch, cpu } = capabilities();
  expect(version).toBe(JSON.parse(manifest).version);
  expect([node, platform, arch]).toEqual([process.version, process.platform, process.arch]);
  expect(cpu.cores).toBe(cpus().length);
  expect(cpu.available.slice(-2)).toEqual(['scalar', 'reference']);
  expect(cpu.available).toContain(cpu.isa);
  // The portable kernels of products are those that lookups call scalar.
  const products = cpu.products === 'portable' ? 'scalar' : cpu.products;
  expect(products === 'amx' ? 'avx512' : products).toBe(cpu.isa);
  for (const { name, reason } of cpu.unavailable) {
    expect(cpu.available).not.toContain(name);
    expect(reason).not.toBe('');
  }
});

test('GYRFALCON_CPU_ISA is what runs, of lookups and of products', () => {
  const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
  const { available, products } = capabilities().cpu;
  for (const isa of [...available, ...(products === 'amx' ? ['amx'] : [])]) {
    const env = { ...process.env, GYRFALCON_CPU_ISA: isa };
    const told = execFileSync(process.execPath, [main, 'info', '--json'], { env });
    const { cpu } = JSON.parse(told.toString()) as ReturnType<typeof capabilities>;
    expect(cpu.isa).toBe(isa === 'amx' ? 'avx512' : isa);
    expect(cpu.products).toBe(isa === 'scalar' ? 'portable' : isa);
  }
});

test('devices: the CPU, and why not CUDA', () => {
  vi.stubEnv('GYRFALCON_CUDA_DRIVER', '/missing/libcuda.so.1');
  const [cpu, cuda] = capabilities().devices;
  expect(cpu).toEqual({ name: 'cpu', available: true });
  expect(cuda).toMatchObject({ name: 'cuda', available: false });
  expect(cuda?.reason).toMatch(/no CUDA kernels|cannot be opened: .*missing/);
});

test('the engines with library and version', () => {
  const [fused, engine] = capabilities().engines;
  expect(fused).toMatchObject({ name: 'fused', available: true });
  expect(engine).toMatchObject({ name: 'onnxruntime', available: true, library: findOrtLibrary() });
  expect(engine?.version).toMatch(/^\d+\.\d+\.\d+$/);
  expect(existsSync(engine?.library ?? '')).toBe(true);
});

test('a library that is not there makes the engine unavailable, with the reason', () => {
  vi.stubEnv('GYRFALCON_ORT_LIBRARY', '/missing/libonnxruntime.so.1');
  const [, engine] = capabilities().engines;
  expect(engine).toMatchObject({ name: 'onnxruntime', available: false });
  expect(engine?.reason).toMatch(/\/missing\/libonnxruntime\.so\.1/);
});

test('an explicit library goes before the environment', () => {
  const installed = findOrtLibrary();
  vi.stubEnv('GYRFALCON_ORT_LIBRARY', '/missing/libonnxruntime.so.1');
  expect(findOrtLibrary(installed)).toBe(installed);
  expect(() => findOrtLibrary()).toThrow(expect.objectContaining({ code: 'ENGINE_UNAVAILABLE' }));
});

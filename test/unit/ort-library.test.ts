import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findOrtLibrary, libraryUnder } from '../../lib/ort-library.js';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gyrfalcon-ort-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** What is found on linux-x64 among these files of the package. */
function found(files: string[], platform = 'linux', arch = 'x64'): string | undefined {
  for (const file of files) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), '');
  }
  return libraryUnder(root, platform, arch)?.slice(root.length + 1);
}

test('the library of the platform and architecture, not the first folder', () => {
  const of = (platform: string, arch: string, name: string) =>
    `bin/napi-v6/${platform}/${arch}/${name}`;
  const files = [
    of('linux', 'arm64', 'libonnxruntime.so.1'),
    of('linux', 'x64', 'libonnxruntime.so.1'),
    of('darwin', 'arm64', 'libonnxruntime.1.30.0.dylib'),
    of('win32', 'x64', 'onnxruntime.dll'),
  ];
  expect(found(files)).toBe(files[1]);
  expect(found([], 'linux', 'arm64')).toBe(files[0]);
  expect(found([], 'darwin', 'arm64')).toBe(files[2]);
  expect(found([], 'win32', 'x64')).toBe(files[3]);
  expect(found([], 'darwin', 'x64')).toBeUndefined();
});

test('the newest Node-API version by number, and only where it has the platform', () => {
  const at = (version: string) => `bin/${version}/linux/x64/libonnxruntime.so.1`;
  expect(found([at('napi-v3'), at('napi-v10'), at('napi-v6')])).toBe(at('napi-v10'));
  mkdirSync(join(root, 'bin/napi-v11/linux/arm64'), { recursive: true });
  mkdirSync(join(root, 'bin/napi-v12/linux/x64'), { recursive: true });
  expect(found([at('napi-vNext'), at('backup'), at('napi-v99.old')])).toBe(at('napi-v10'));
});

test('of several files the library with the most precise version, and no other library', () => {
  const folder = 'bin/napi-v6/linux/x64';
  expect(
    found([
      `${folder}/libonnxruntime_providers_shared.so`,
      `${folder}/onnxruntime_binding.node`,
      `${folder}/libonnxruntime.so.bak`,
    ]),
  ).toBeUndefined();
  expect(found([`${folder}/libonnxruntime.so`, `${folder}/libonnxruntime.so.1`])).toBe(
    `${folder}/libonnxruntime.so.1`,
  );
  expect(found([`${folder}/libonnxruntime.so.1.30.0`])).toBe(`${folder}/libonnxruntime.so.1.30.0`);
});

test('a package without a library, or with files where folders belong', () => {
  expect(found([])).toBeUndefined();
  expect(found(['bin'])).toBeUndefined();
  rmSync(join(root, 'bin'));
  expect(found(['bin/napi-v6'])).toBeUndefined();
});

test('paths that cannot be one', () => {
  for (const path of ['', 'a\0b', 7, null, 'x'.repeat(5000)]) {
    expect(() => findOrtLibrary(path as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  }
});

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { parseOnnxModel, readOnnxModel } from '../../lib/import/onnx/read.js';
import {
  codeOf,
  external,
  int,
  model,
  nested,
  raw,
  tensor,
  withDirectory,
} from '../unit/import/onnx-builder.js';
import { AT_LIMITS, ATTACKS } from './onnx-cases.js';

describe('hostile ONNX files', () => {
  it('are at least 60, with names of their own', () => {
    expect(ATTACKS.length).toBeGreaterThanOrEqual(60);
    expect(new Set(ATTACKS.map((attack) => attack.name)).size).toBe(ATTACKS.length);
  });

  it.each(ATTACKS)('$name: $code from memory and from a file', async ({ file, code, says }) => {
    let message = '';
    const run = (parse: () => unknown) =>
      codeOf(async () => {
        try {
          await parse();
        } catch (error) {
          message = (error as Error).message;
          throw error;
        }
      });
    expect(await run(() => parseOnnxModel(file))).toBe(code);
    expect(message).toMatch(says ?? /expected .* but received /s);
    if (code === 'ONNX_INVALID' && message.includes(' at byte ')) {
      expect(Number(/ at byte (\d+)/.exec(message)?.[1])).toBeLessThanOrEqual(file.byteLength);
    }
    if (code === 'PATH_ESCAPE') return;
    await withDirectory(async (directory) => {
      const path = join(directory, 'm.onnx');
      writeFileSync(path, file);
      expect(await run(() => readOnnxModel(path))).toBe(code);
    });
  });

  it.each(AT_LIMITS)('are told from good ones: $name', ({ file }) => {
    expect(parseOnnxModel(file).irVersion).toBe(8);
  });

  it('end as ONNX_INVALID when cut at any byte', async () => {
    const whole = model({ nodes: [nested(2)], initializers: [tensor()] });
    expect(await codeOf(() => parseOnnxModel(whole))).toBe('none');
    for (let length = 0; length < whole.byteLength; length++) {
      const cut = whole.subarray(0, length);
      expect(await codeOf(() => parseOnnxModel(cut)), `${length} bytes`).toBe('ONNX_INVALID');
    }
  });
});

const SECRET = 'secret.bin';
const ESCAPES: [string, string][] = [
  ['the directory above', `../${SECRET}`],
  ['two above', `../../${SECRET}`],
  ['above from inside', `inner/../../${SECRET}`],
  ['above and back', `../model/w.bin`],
  ['a dot-dot at the end', 'inner/..'],
  ['only dot-dot', '..'],
  ['dot-dot after a dot', `./../${SECRET}`],
  ['an absolute path', '/etc/passwd'],
  ['two slashes', '//etc/passwd'],
  ['the process memory', '/proc/self/mem'],
  ['a Windows drive', 'C:\\Windows\\win.ini'],
  ['a Windows drive with a slash', 'c:/Windows/win.ini'],
  ['a drive-relative path', 'C:w.bin'],
  ['a UNC path', '\\\\host\\share\\w.bin'],
  ['backslashes upwards', `..\\${SECRET}`],
  ['a backslash inside', 'inner\\w.bin'],
  ['a NUL at the end', 'w.bin\0'],
  ['a NUL before a suffix', `w.bin\0.txt`],
  ['a NUL first', '\0w.bin'],
  ['an empty location', ''],
  ['the directory itself', '.'],
  ['a directory inside', 'inner'],
  ["ONNX Runtime's memory addresses", '*/_ORT_MEM_ADDR_/*'],
  ['the same among other parts', 'inner/_ORT_MEM_ADDR_/w.bin'],
  ['a link to a file outside', 'link-file'],
  ['a link to a directory outside', `link-directory/${SECRET}`],
  ['a link to a link', 'link-link'],
  ['an absolute link', 'link-absolute'],
  ['a link to the directory', 'link-self'],
  ['a link to a device', 'link-null'],
];

describe('external data', () => {
  const read = (location: string, more: Record<string, string> = {}) =>
    withDirectory(async (root) => {
      const directory = join(root, 'model');
      mkdirSync(join(directory, 'inner'), { recursive: true });
      writeFileSync(join(root, SECRET), new Uint8Array(64));
      writeFileSync(join(directory, 'w.bin'), new Uint8Array(64));
      writeFileSync(join(directory, 'inner', 'w.bin'), new Uint8Array(64));
      symlinkSync(`../${SECRET}`, join(directory, 'link-file'));
      symlinkSync('..', join(directory, 'link-directory'));
      symlinkSync('link-file', join(directory, 'link-link'));
      symlinkSync('/etc/passwd', join(directory, 'link-absolute'));
      symlinkSync('.', join(directory, 'link-self'));
      symlinkSync('/dev/null', join(directory, 'link-null'));
      const path = join(directory, 'm.onnx');
      const data = external({ location, ...more });
      writeFileSync(path, model({ initializers: [tensor({ data })] }));
      return await codeOf(() => readOnnxModel(path));
    });

  it('covers at least 20 ways out', () => {
    expect(ESCAPES.length).toBeGreaterThanOrEqual(20);
  });

  it.each(ESCAPES)('does not leave by %s', async (_name, location) => {
    expect(await read(location)).toBe('PATH_ESCAPE');
  });

  it.each(['w.bin', './w.bin', 'inner/w.bin', 'inner/./w.bin'])(
    'is read from %s',
    async (location) => {
      expect(await read(location)).toBe('none');
    },
  );

  it.each([
    ['at the last byte that fits', { offset: '56' }, 'none'],
    ['one byte past it', { offset: '57' }, 'ONNX_INVALID'],
    ['an offset past the file', { offset: '65' }, 'ONNX_INVALID'],
    ['an offset of 2^53 + 1', { offset: '9007199254740993' }, 'ONNX_INVALID'],
    ['an offset of twenty digits', { offset: '18446744073709551615' }, 'ONNX_INVALID'],
    ['a negative offset', { offset: '-8' }, 'ONNX_INVALID'],
    ['a fraction', { offset: '1.5' }, 'ONNX_INVALID'],
    ['an exponent', { offset: '1e1' }, 'ONNX_INVALID'],
    ['hexadecimal', { offset: '0x8' }, 'ONNX_INVALID'],
    ['a space', { offset: ' 8' }, 'ONNX_INVALID'],
    ['an empty offset', { offset: '' }, 'ONNX_INVALID'],
    ['a length of the tensor', { length: '8' }, 'none'],
    ['a shorter length', { length: '7' }, 'ONNX_INVALID'],
    ['a longer length', { length: '9' }, 'ONNX_INVALID'],
    ['a length of 0', { length: '0' }, 'ONNX_INVALID'],
    ['a wrong number', { length: 'NaN' }, 'ONNX_INVALID'],
    ['keys that nobody knows', { checksum: 'x', basepath: '/etc' }, 'none'],
  ] as const)('is bounded: %s', async (_name, more, code) => {
    expect(await read('w.bin', more)).toBe(code);
  });

  it('is IO_ERROR when the file is absent', async () => {
    expect(await read('absent.bin')).toBe('IO_ERROR');
  });

  it.each([
    ['beside raw_data', [...external({ location: 'w.bin' }), raw(1, 2)]],
    ['without a location', external({ offset: '0' })],
    ['without entries', [int(14, 1)]],
    ['without data_location', external({ location: 'w.bin' }).slice(0, 1)],
    ['with a key twice', [...external({ location: 'w.bin' }), ...external({ location: 'w.bin' })]],
  ])('is ONNX_INVALID %s', async (_name, data) => {
    await withDirectory(async (directory) => {
      const path = join(directory, 'm.onnx');
      writeFileSync(join(directory, 'w.bin'), new Uint8Array(8));
      writeFileSync(path, model({ initializers: [tensor({ data })] }));
      expect(await codeOf(() => readOnnxModel(path))).toBe('ONNX_INVALID');
    });
  });
});

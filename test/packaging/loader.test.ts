import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { cachedCompilers, mustRun, npmCli, root } from './support.js';

const folder = join(inject('folder'), 'loader');
const consumer = inject('consumer');
const platform = `${process.platform}-${process.arch}`;

/** An addon with no purpose; `body` is C. */
function compile(name: string, body: string): string {
  const source = join(folder, `${name}.c`);
  const library = join(folder, `${name}.node`);
  writeFileSync(source, body);
  mustRun('gcc', ['-shared', '-fPIC', '-o', library, source], { cwd: folder });
  return library;
}

/** The message of the error that loading `addon` as GYRFALCON_NATIVE gives. */
function refusal(addon: string): string {
  const program = `import('gyrfalcon').then((g) => g.capabilities()).catch((e) => {
    console.log(JSON.stringify({ code: e.code, message: e.message }));
  });`;
  const text = mustRun('node', ['-e', program], {
    cwd: consumer,
    path: inject('path'),
    env: { GYRFALCON_NATIVE: addon },
  });
  const { code, message } = JSON.parse(text) as { code: string; message: string };
  expect(code).toBe('NATIVE_UNAVAILABLE');
  expect(message).toContain(`  - ${addon}: `);
  expect(message).toContain('unset GYRFALCON_NATIVE');
  return message;
}

beforeAll(() => mkdirSync(folder));

describe('an addon that cannot be loaded says why when it', () => {
  it('is no addon of ours, or of no Node at all', () => {
    const other = compile(
      'other',
      'void *napi_register_module_v1(void *env, void *exports) { return exports; }',
    );
    expect(refusal(other)).toContain('not an addon of gyrfalcon');
    expect(refusal(compile('library', 'int answer = 42;'))).toContain('did not self-register');
  });

  it('is for another processor', () => {
    const other = process.arch === 'x64' ? 'arm64' : 'x64';
    const addon = compile('arm', 'int answer = 42;');
    // e_machine
    const bytes = readFileSync(addon);
    bytes.writeUInt16LE(other === 'arm64' ? 183 : 62, 18);
    writeFileSync(addon, bytes);
    expect(refusal(addon)).toContain(`arm.node: built for ${other}, this is ${process.arch}`);
  });

  it('needs a library that is not there, as one built for musl does', () => {
    compile('libabsent', 'int absent(void) { return 1; }');
    const source = 'int absent(void); int use(void) { return absent(); }';
    const addon = join(folder, 'needs.node');
    writeFileSync(join(folder, 'needs.c'), source);
    mustRun('gcc', ['-shared', '-fPIC', '-o', addon, 'needs.c', './libabsent.node'], {
      cwd: folder,
    });
    mustRun('rm', ['libabsent.node'], { cwd: folder });
    expect(refusal(addon)).toContain('libabsent.node: cannot open shared object file');
  });

  it('was cut or is empty', () => {
    const whole = readFileSync(
      join(consumer, `node_modules/gyrfalcon/prebuilds/${platform}/gyrfalcon.glibc.node`),
    );
    const cut = join(folder, 'cut.node');
    for (const [bytes, reason] of [
      [0, 'cut.node: file too short'],
      [63, 'cut.node: file too short'],
      [64, `cut: expected ${whole.length} bytes but received 64`],
      [4096, `cut: expected ${whole.length} bytes but received 4096`],
      [whole.length - 1, `cut: expected ${whole.length} bytes`],
    ] as const) {
      writeFileSync(cut, whole.subarray(0, bytes));
      expect(refusal(cut)).toContain(reason);
    }
  });

  it('is not there, or a folder', () => {
    expect(refusal(join(folder, 'none.node'))).toContain('none.node: not there');
    expect(refusal(folder)).toContain('not a file');
  });
});

describe('npm run build:gyp', () => {
  it('builds an addon that is loaded and scores, and leaves the checkout alone', () => {
    // node-gyp clears build/, so it gets a checkout of its own.
    const checkout = join(folder, 'checkout');
    for (const name of ['package.json', 'binding.gyp', 'cmake', 'native', 'scripts', 'dist']) {
      cpSync(join(root, name), join(checkout, name), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(checkout, 'node_modules'));
    mustRun(process.execPath, [npmCli(), 'run', 'build:gyp'], {
      cwd: checkout,
      env: {
        JOBS: 'max',
        npm_config_nodedir: process.env['npm_config_nodedir'] ?? dirname(dirname(process.execPath)),
        ...cachedCompilers(),
      },
    });
    const addon = join(checkout, 'build/Release/gyrfalcon.node');
    const scored = mustRun('node', ['score.mjs'], {
      cwd: consumer,
      path: inject('path'),
      env: { GYRFALCON_NATIVE: addon },
    });
    const { main, expected } = JSON.parse(scored) as { main: number[]; expected: number[] };
    expect(main).toHaveLength(3);
    for (const [row, value] of expected.entries()) expect(main[row]).toBeCloseTo(value, 5);
  });
});

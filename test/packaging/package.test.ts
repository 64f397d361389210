import { cpSync, existsSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, inject, it } from 'vitest';
import { mustRun, root, run } from './support.js';

interface Scored {
  readonly main: number[];
  readonly worker: number[];
  readonly expected: number[];
  readonly capabilities: object;
}

const folder = inject('folder');
const tarball = inject('tarball');
const consumer = inject('consumer');
const path = inject('path');
const platform = `${process.platform}-${process.arch}`;
const installed = join(consumer, 'node_modules', 'gyrfalcon');

/** Runs the consumer's program with no compiler within reach. */
function score(cwd: string): Scored {
  return JSON.parse(mustRun('node', ['score.mjs'], { cwd, path })) as Scored;
}

function expectScores({ main, worker, expected }: Scored): void {
  expect(main).toHaveLength(3);
  for (const [row, value] of expected.entries()) expect(main[row]).toBeCloseTo(value, 5);
  expect(worker).toEqual(main);
}

describe('the package', () => {
  it('holds the built files, the sources and the prebuilt addon, and no tests', () => {
    const files = readdirSync(installed, { recursive: true }).map(String);
    expect(files).toContain('dist/index.js');
    expect(files).toContain('dist/index.d.ts');
    expect(files).toContain('native/sources.json');
    expect(files).toContain('CMakeLists.txt');
    expect(files).toContain('LICENSE');
    expect(files.filter((file) => file.startsWith(`prebuilds/${platform}/`))).toHaveLength(1);
    expect(files.filter((file) => /^(test|examples|bench|build)\b/.test(file))).toEqual([]);
  });

  it('has no install scripts', () => {
    const { scripts } = JSON.parse(
      mustRun('node', ['-p', 'JSON.stringify(require("gyrfalcon/package.json"))'], {
        cwd: consumer,
        path,
      }),
    ) as { scripts: Record<string, string> };
    const names = ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish'];
    expect(names.filter((name) => name in scripts)).toEqual([]);
  });

  it('passes publint', () => {
    const cli = join(root, 'node_modules/publint/src/cli.js');
    const { status, stdout, stderr } = run(process.execPath, [cli, tarball, '--strict'], {
      cwd: root,
    });
    expect(`${stdout}${stderr}`).toContain('All good!');
    expect(status).toBe(0);
  });

  it('passes attw as an ES module', () => {
    const cli = join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js');
    const { status, stdout } = run(process.execPath, [cli, tarball, '--profile', 'esm-only'], {
      cwd: root,
    });
    expect(stdout).toMatch(/node16 \(from ESM\).*ESM/);
    expect(status, stdout).toBe(0);
  });
});

describe('installed in an empty folder with no compiler', () => {
  it('has no compiler within reach', () => {
    for (const tool of ['cc', 'gcc', 'c++', 'cmake', 'make', 'python3']) {
      expect(run('sh', ['-c', `command -v ${tool}`], { cwd: consumer, path }).status).not.toBe(0);
    }
    expect(existsSync(join(installed, 'build'))).toBe(false);
  });

  it('scores a bundle as ONNX Runtime does, in the main thread and in a worker', () => {
    expectScores(score(consumer));
  });

  it('scores through a symbolic link to the package', () => {
    const linked = join(folder, 'linked');
    mkdirSync(join(linked, 'node_modules'), { recursive: true });
    symlinkSync(installed, join(linked, 'node_modules/gyrfalcon'));
    symlinkSync(
      join(consumer, 'node_modules/onnxruntime-node'),
      join(linked, 'node_modules/onnxruntime-node'),
    );
    cpSync(join(consumer, 'score.mjs'), join(linked, 'score.mjs'));
    cpSync(join(consumer, 'model.onnx'), join(linked, 'model.onnx'));
    expectScores(score(linked));
  });

  it('has a command that works', () => {
    const info = mustRun('node', ['node_modules/.bin/gyrfalcon', 'info', '--json'], {
      cwd: consumer,
      path,
    });
    expect(JSON.parse(info)).toMatchObject({});
  });
});

describe('installed where no prebuilt addon fits', () => {
  it('says why, and its command builds one from source', () => {
    const bare = join(folder, 'no prebuilds');
    cpSync(consumer, bare, { recursive: true });
    const copy = join(bare, 'node_modules/gyrfalcon');
    mustRun('rm', ['-r', join(copy, 'prebuilds')], { cwd: bare });

    const program = 'import("gyrfalcon").then((g) => g.capabilities())';
    const failed = run('node', ['-e', program], { cwd: bare, path });
    expect(failed.status).not.toBe(0);
    expect(failed.stderr).toContain('NATIVE_UNAVAILABLE');
    expect(failed.stderr).toContain(`${platform}: no prebuilt addon for this platform`);

    const commands = /compiler\):\n((?: {4}(?!at ).*\n)+)/.exec(failed.stderr)?.[1];
    expect(commands).toContain('cmake-js@8 compile');
    mustRun('sh', ['-ec', commands!], { cwd: bare });
    expect(existsSync(join(copy, 'build/Release/gyrfalcon.node'))).toBe(true);
    expectScores(score(bare));
  });
});

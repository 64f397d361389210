import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

export interface Finished {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end, without the variables that npm and a developer may have set. */
export function run(
  command: string,
  args: readonly string[],
  options: { cwd: string; path?: string; env?: Record<string, string> },
): Finished {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(npm_(?!config_)|GYRFALCON_|NODE_OPTIONS|VITEST|NODE_PATH)/i.test(name),
  );
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: options.cwd,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    env: {
      ...Object.fromEntries(kept),
      ...(options.path === undefined ? {} : { PATH: options.path }),
      // The peer's install script would download CUDA libraries.
      ONNXRUNTIME_NODE_INSTALL: 'skip',
      ...options.env,
    },
  });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** Like run, for commands that have to succeed; returns what they print. */
export function mustRun(...args: Parameters<typeof run>): string {
  const { status, stdout, stderr } = run(...args);
  if (status !== 0) {
    throw new Error(`exit status ${status}: ${args[0]} ${args[1].join(' ')}\n${stdout}\n${stderr}`);
  }
  return stdout;
}

/** A folder with a space in its name, removed by `dispose`. */
export function temporaryFolder(): { path: string; dispose: () => void } {
  const path = mkdtempSync(join(tmpdir(), 'gyrfalcon package '));
  return { path, dispose: () => rmSync(path, { recursive: true, force: true }) };
}

/** A PATH that holds Node and a shell and nothing that compiles. */
export function barePath(folder: string): string {
  const path = join(folder, 'bin');
  mkdirSync(path);
  symlinkSync(process.execPath, join(path, 'node'));
  symlinkSync('/bin/sh', join(path, 'sh'));
  return path;
}

/** npm's program, to be run with Node; the npm that runs these tests, or the one beside Node. */
export function npmCli(): string {
  const running = process.env['npm_execpath'];
  if (running?.endsWith('npm-cli.js')) return running;
  const prefix = dirname(dirname(process.execPath));
  return join(prefix, 'lib/node_modules/npm/bin/npm-cli.js');
}

/** Runs compilers through ccache where it is installed; in a shell's PATH or not at all. */
export function cachedCompilers(): Record<string, string> {
  const found = spawnSync('ccache', ['--version']).status === 0;
  return found ? { CC: 'ccache gcc', CXX: 'ccache g++', CCACHE_NOHASHDIR: '1' } : {};
}

/** Copies what `npm pack` looks at, so that nothing in the checkout changes. */
export function stagePackage(folder: string): string {
  const stage = join(folder, 'stage');
  mkdirSync(stage);
  for (const name of readdirSync(root)) {
    if (['node_modules', 'build', 'prebuilds', '.git', 'test', 'examples'].includes(name)) continue;
    cpSync(join(root, name), join(stage, name), { recursive: true });
  }
  return stage;
}

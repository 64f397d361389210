// Writes prebuilds/<platform>-<arch>/ with prebuildify. prebuildify runs node-gyp, which clears
// build/, so it works on a copy of the sources and leaves a local build alone.
//
// Usage: node scripts/prebuild.mjs [--out FOLDER]
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = fileURLToPath(new URL('../', import.meta.url));
const { values } = parseArgs({ options: { out: { type: 'string', default: root } } });

// Node's own headers, where they are installed beside it, spare node-gyp a download.
const nodedir = process.env.npm_config_nodedir ?? dirname(dirname(process.execPath));
const headers = existsSync(join(nodedir, 'include/node/node_api.h'))
  ? { npm_config_nodedir: nodedir }
  : {};
const stage = mkdtempSync(join(tmpdir(), 'gyrfalcon-prebuild-'));

try {
  for (const name of ['package.json', 'binding.gyp', 'cmake', 'native', 'scripts']) {
    cpSync(join(root, name), join(stage, name), { recursive: true });
  }
  symlinkSync(join(root, 'node_modules'), join(stage, 'node_modules'));
  const prebuildify = join(root, 'node_modules', 'prebuildify', 'bin.js');
  const { status } = spawnSync(
    process.execPath,
    [
      prebuildify,
      '--napi',
      '--strip',
      '--tag-libc',
      `--target=node@${process.versions.node}`,
      `--out=${resolve(values.out)}`,
    ],
    {
      cwd: stage,
      stdio: 'inherit',
      // A prebuilt addon meets older C++ runtimes than the one it was built with.
      env: { ...process.env, ...headers, GYP_DEFINES: 'gyrfalcon_static_stdlib=1', JOBS: 'max' },
    },
  );
  process.exitCode = status ?? 1;
} finally {
  rmSync(stage, { recursive: true, force: true });
}

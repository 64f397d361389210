// Formatting and static rules: biome, clang-format, lists of sources and dependencies, layers.
// --fix repairs what it can.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const fix = process.argv.includes('--fix');

const cxx = ['native', 'test/native', 'test/cuda', 'bench/native'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true })
    .filter((file) => /\.(h|cc)$/.test(file))
    .map((file) => join(folder, file)),
);

const biome = join(root, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
const checks = [
  [process.execPath, ['scripts/check-sources.mjs', ...(fix ? ['--fix'] : [])]],
  [process.execPath, ['scripts/check-dependencies.mjs']],
  [process.execPath, ['scripts/check-layers.mjs']],
  [process.execPath, [biome, 'check', '--error-on-warnings', ...(fix ? ['--write'] : [])]],
  ['clang-format', [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...cxx]],
];

let failed = 0;
for (const [command, args] of checks) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (error) console.error(`${command}: ${error.message}`);
  if (status !== 0) failed += 1;
}
console.log(`lint: ${checks.length - failed} of ${checks.length} checks passed`);
process.exitCode = failed === 0 ? 0 : 1;

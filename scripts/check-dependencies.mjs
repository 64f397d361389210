// What lib/ imports and what package.json installs with the package have to be the same: a missing
// dependency fails at a user's, an unused one is downloaded by all of them.
import { readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const { dependencies, peerDependencies } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));

// Headers for building the addon from source.
const NOT_IMPORTED = ['node-addon-api'];

const imported = new Set();
for (const file of readdirSync(`${root}lib`, { recursive: true })) {
  if (!file.endsWith('.ts')) continue;
  const text = readFileSync(`${root}lib/${file}`, 'utf8');
  for (const [, name] of text.matchAll(
    /(?:^(?:import|export|\}).* from |\bimport\()'([^'.][^']*)'/gm,
  )) {
    if (isBuiltin(name)) continue;
    imported.add(name.split('/', name.startsWith('@') ? 2 : 1).join('/'));
  }
}

const problems = [
  ...[...imported]
    .filter((name) => !(name in dependencies) && !(name in peerDependencies))
    .map((name) => `${name}: imported by lib/, missing from dependencies`),
  ...Object.keys(dependencies)
    .filter((name) => !imported.has(name) && !NOT_IMPORTED.includes(name))
    .map((name) => `${name}: a dependency that lib/ does not import`),
];
for (const problem of problems) console.error(`package.json: ${problem}`);
process.exitCode = problems.length === 0 ? 0 : 1;

// Answers binding.gyp's questions about native/sources.json, the one list of sources.
// Usage: node scripts/sources.mjs list SET... | flags ISA | version
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = new URL('../', import.meta.url);

function readJson(name) {
  return JSON.parse(readFileSync(fileURLToPath(new URL(name, root)), 'utf8'));
}

const [question, ...names] = process.argv.slice(2);
const sources = readJson('native/sources.json');

const answers = {
  list: () => names.flatMap((set) => sources[set].map((file) => `native/${file}`)),
  flags: () => names.flatMap((isa) => sources.isa[isa].flags),
  version: () => [readJson('package.json').version],
};

process.stdout.write(`${answers[question]().join('\n')}\n`);

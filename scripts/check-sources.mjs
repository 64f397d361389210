// Compares native/sources.json with the .cc files under native/. A file that is listed but missing,
// or present but unlisted, is an error; --fix rewrites the lists instead.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const native = fileURLToPath(new URL('../native/', import.meta.url));
const listPath = `${native}sources.json`;

/** The set a file belongs to: its instruction set when the name ends in one, else its room. */
export function setOf(file, isaNames) {
  const isa = isaNames.find((name) => file.endsWith(`_${name}.cc`));
  return isa ?? file.split('/')[0];
}

function present() {
  return readdirSync(native, { recursive: true })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => file.endsWith('.cc'))
    .sort();
}

function main() {
  const sources = JSON.parse(readFileSync(listPath, 'utf8'));
  const isaNames = Object.keys(sources.isa);
  const sets = Object.keys(sources).filter((key) => key !== 'isa');
  const problems = [];
  const wanted = Object.fromEntries(sets.map((set) => [set, []]));
  for (const file of present()) {
    const set = setOf(file, isaNames);
    if (wanted[set] === undefined) {
      problems.push(`native/${file}: sources.json has no set "${set}" for it`);
      continue;
    }
    wanted[set].push(file);
  }
  for (const set of sets) {
    const listed = new Set(sources[set]);
    for (const file of wanted[set]) {
      if (!listed.delete(file)) problems.push(`native/${file}: missing from "${set}"`);
    }
    for (const file of listed) problems.push(`native/${file}: listed in "${set}", not there`);
  }
  if (problems.length === 0) return 0;
  if (process.argv.includes('--fix')) {
    writeFileSync(listPath, `${JSON.stringify({ ...sources, ...wanted }, null, 2)}\n`);
    console.log(`native/sources.json rewritten: ${problems.length} change(s)`);
    return 0;
  }
  for (const problem of problems) console.error(problem);
  console.error('run: node scripts/check-sources.mjs --fix');
  return 1;
}

process.exitCode = main();

// Which room may use which. A room of lib/ or native/ that reaches into one above it could neither
// be read nor built nor tested without that one.
import { readdirSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));

// The files of lib/ itself (the public API and what all share) belong to the room '.'.
const LIB = {
  '.': ['import'],
  cli: ['.', 'import', 'rows'],
  import: ['.', 'rows'],
  rows: ['.'],
};
// The vocabulary of bundles, without code: its types may be named everywhere.
const LIB_TYPES = ['import/manifest.ts'];

const NATIVE = {
  napi: ['core', 'engines', 'bundle', 'backends'],
  core: ['engines', 'bundle', 'backends'],
  engines: ['bundle', 'backends'],
  bundle: ['backends'],
  backends: [],
};
// Headers of core/ that stand on nothing but the standard library and each other.
const NATIVE_SHARED = [
  'core/dtype.h',
  'core/error_code.h',
  'core/limits.h',
  'core/model_spec.h',
  'core/row_helpers.h',
  'core/spin.h',
  'core/status.h',
  'core/xxh64.h',
];

function files(folder, pattern) {
  return readdirSync(`${root}${folder}`, { recursive: true })
    .map((file) => file.replaceAll('\\', '/'))
    .filter((file) => pattern.test(file))
    .sort();
}

function roomOf(file) {
  return file.includes('/') ? file.slice(0, file.indexOf('/')) : '.';
}

/** What a file names: paths within its folder, and whether only types are taken from there. */
function libUses(file, text) {
  const imports = /\b(import|export)\s+(type\s)?(?:[^;'"]*?\sfrom\s+)?'(\.[^']*)\.js'/g;
  const dynamic = /\b(import)\((\s*)'(\.[^']*)\.js'/g;
  return [...text.matchAll(imports), ...text.matchAll(dynamic)].map(([, , type, path]) => ({
    used: `${posix.join(posix.dirname(file), path)}.ts`,
    typesOnly: type?.trim() === 'type',
  }));
}

function nativeUses(_file, text) {
  return [...text.matchAll(/^\s*#\s*include\s+"([^"]+)"/gm)].map(([, used]) => ({ used }));
}

function check(folder, pattern, rooms, uses, isShared) {
  const problems = [];
  for (const file of files(folder, pattern)) {
    const room = roomOf(file);
    if (rooms[room] === undefined) {
      problems.push(`${folder}/${file}: scripts/check-layers.mjs knows no room "${room}"`);
      continue;
    }
    for (const use of uses(file, readFileSync(`${root}${folder}/${file}`, 'utf8'))) {
      const other = roomOf(use.used);
      if (other === room || rooms[room].includes(other) || isShared(use)) continue;
      problems.push(`${folder}/${file}: ${room}/ may not use ${use.used}`);
    }
  }
  return problems;
}

const problems = [
  ...check('lib', /\.ts$/, LIB, libUses, ({ used, typesOnly }) => {
    return typesOnly && LIB_TYPES.includes(used);
  }),
  ...check('native', /\.(h|cc)$/, NATIVE, nativeUses, ({ used }) => NATIVE_SHARED.includes(used)),
];
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;

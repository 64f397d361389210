import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { GyrfalconError } from './errors.js';
import { path } from './options.js';

/**
 * The shared library of ONNX Runtime: an explicit path, GYRFALCON_ORT_LIBRARY, or the one in an
 * installed onnxruntime-node, looked for from this package and from the working directory.
 * @throws ENGINE_UNAVAILABLE that lists what was tried
 * @throws INVALID_ARGUMENT
 */
export function findOrtLibrary(explicit?: string): string {
  const given =
    explicit === undefined
      ? process.env['GYRFALCON_ORT_LIBRARY'] || undefined
      : path(explicit, 'onnxruntime');
  if (given !== undefined) {
    const library = isAbsolute(given) ? given : resolve(given);
    if (existsSync(library)) return library;
    throw unavailable([`${library}: there is no such file`]);
  }
  const tried: string[] = [];
  for (const from of [import.meta.url, join(process.cwd(), 'index.js')]) {
    const root = packageRoot(from);
    if (root === undefined) {
      tried.push(`onnxruntime-node is not installed where ${from} could import it`);
      continue;
    }
    const found = libraryUnder(root);
    if (found !== undefined) return found;
    tried.push(`${root}: no library for ${process.platform}-${process.arch}`);
  }
  throw unavailable(tried);
}

function packageRoot(from: string): string | undefined {
  try {
    let at = dirname(createRequire(from).resolve('onnxruntime-node'));
    while (!existsSync(join(at, 'package.json'))) {
      const above = dirname(at);
      if (above === at) return undefined;
      at = above;
    }
    return at;
  } catch {
    return undefined;
  }
}

/**
 * The library in the package at `root`, bin/napi-vN/PLATFORM/ARCH: of the newest Node-API version
 * that has one, and of several files that with the most precise version, which the others link to.
 */
export function libraryUnder(
  root: string,
  platform: string = process.platform,
  arch: string = process.arch,
): string | undefined {
  const folders = names(join(root, 'bin'))
    .map((name) => ({ name, version: Number(/^napi-v(\d+)$/.exec(name)?.[1] ?? Number.NaN) }))
    .filter(({ version }) => !Number.isNaN(version))
    .sort((a, b) => b.version - a.version);
  for (const { name } of folders) {
    const folder = join(root, 'bin', name, platform, arch);
    const files = names(folder).filter((file) => LIBRARY.test(file));
    const [file] = files.sort((a, b) => b.length - a.length || (a < b ? 1 : -1));
    if (file !== undefined) return join(folder, file);
  }
  return undefined;
}

const LIBRARY = /^(libonnxruntime\.so(\.\d+)*|libonnxruntime(\.\d+)*\.dylib|onnxruntime\.dll)$/;

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function unavailable(tried: readonly string[]): GyrfalconError {
  return new GyrfalconError(
    'ENGINE_UNAVAILABLE',
    `expected ONNX Runtime 1.30 or newer; run \`npm install onnxruntime-node\`. Tried:\n${tried
      .map((reason) => `  ${reason}`)
      .join('\n')}`,
  );
}

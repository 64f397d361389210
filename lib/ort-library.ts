import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { GyrfalconError } from './errors.js';

/**
 * The shared library of ONNX Runtime: an explicit path, GYRFALCON_ORT_LIBRARY, or the one in an
 * installed onnxruntime-node, looked for from this package and from the working directory.
 * @throws ENGINE_UNAVAILABLE that lists what was tried
 */
export function findOrtLibrary(explicit?: string): string {
  const given = explicit ?? (process.env['GYRFALCON_ORT_LIBRARY'] || undefined);
  if (given !== undefined) {
    const path = isAbsolute(given) ? given : resolve(given);
    if (existsSync(path)) return path;
    throw unavailable([`${path}: there is no such file`]);
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

function libraryUnder(root: string): string | undefined {
  const bin = join(root, 'bin');
  if (!existsSync(bin)) return undefined;
  for (const version of readdirSync(bin)) {
    const folder = join(bin, version, process.platform, process.arch);
    if (!existsSync(folder)) continue;
    const file = readdirSync(folder).find((name) =>
      /^(libonnxruntime\.so(\.\d+)*|libonnxruntime(\.[\d.]+)?\.dylib|onnxruntime\.dll)$/.test(name),
    );
    if (file !== undefined) return join(folder, file);
  }
  return undefined;
}

function unavailable(tried: readonly string[]): GyrfalconError {
  return new GyrfalconError(
    'ENGINE_UNAVAILABLE',
    `expected ONNX Runtime 1.30 or newer; run \`npm install onnxruntime-node\`. Tried:\n${tried
      .map((reason) => `  ${reason}`)
      .join('\n')}`,
  );
}

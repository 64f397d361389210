import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { elfProblem } from './elf.js';
import { GyrfalconError } from './errors.js';

/** The Node-API that the addon is built for; Node has it from 20.3 on. */
const NODE_API = 9;

/** What the loader looks at. Every part can be given, so that tests need no broken installation. */
export interface LoadContext {
  /** The package's folder. */
  readonly root: string;
  /** The version that the addon must carry. */
  readonly version: string;
  /** An addon's path from GYRFALCON_NATIVE; nothing else is tried when it is given. */
  readonly explicit: string | undefined;
  readonly platform: string;
  readonly arch: string;
  /** 'glibc' or 'musl' on Linux, undefined elsewhere. */
  readonly libc: string | undefined;
  /** The Node-API version of this Node. */
  readonly nodeApi: number;
  /** Opens a `.node` file and returns its exports; throws what the system reports. */
  readonly open: (path: string) => unknown;
}

type Outcome = { readonly addon: object } | { readonly reason: string; readonly error?: unknown };

/**
 * Loads the native addon: from GYRFALCON_NATIVE when it is set, else from a local build, else from
 * the prebuilt binaries of this package.
 *
 * Safe on any thread; each environment (main thread, worker) gets its own exports object.
 *
 * @throws GyrfalconError NATIVE_UNAVAILABLE that names every candidate with the reason why it does
 * not load, and the command that repairs the installation.
 */
export function loadAddon(given: Partial<LoadContext> = {}): object {
  const context = { ...defaultContext(), ...given };
  const reasons: string[] = [];
  let cause: unknown;
  for (const path of candidates(context, reasons)) {
    const outcome = tryOpen(path, context);
    if ('addon' in outcome) return outcome.addon;
    reasons.push(`${path}: ${outcome.reason}`);
    cause ??= outcome.error;
  }
  throw new GyrfalconError('NATIVE_UNAVAILABLE', describe(context, reasons), { cause });
}

function defaultContext(): LoadContext {
  const root = fileURLToPath(new URL('../', import.meta.url));
  const require = createRequire(import.meta.url);
  return {
    root,
    version: packageVersion(root),
    explicit: explicitPath(),
    platform: process.platform,
    arch: process.arch,
    libc: process.platform === 'linux' ? linuxLibc() : undefined,
    nodeApi: Number(process.versions['napi']),
    open: (path) => require(path),
  };
}

/** Absolute, because require() looks for a relative path beside this file. */
function explicitPath(): string | undefined {
  const path = process.env['GYRFALCON_NATIVE'];
  return path ? resolve(path) : undefined;
}

function packageVersion(root: string): string {
  const manifest: unknown = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return (manifest as { version: string }).version;
}

function linuxLibc(): string {
  // Node's own binary says it: a glibc build carries the version of the library it runs on. The
  // report would resolve host names for its network part, which can take seconds.
  // (Node 20's types lack the switch that leaves that part out.)
  const report: NodeJS.ProcessReport & { excludeNetwork?: boolean } = process.report;
  const before = report.excludeNetwork;
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } };
  report.excludeNetwork = before ?? false;
  return header.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
}

/** Paths to try, in order. What is ruled out by its name alone goes to `reasons`. */
function candidates(context: LoadContext, reasons: string[]): string[] {
  if (context.explicit !== undefined) return [context.explicit];
  const paths = [join(context.root, 'build', 'Release', 'gyrfalcon.node')];
  const folder = join(context.root, 'prebuilds', `${context.platform}-${context.arch}`);
  if (!existsSync(folder)) {
    reasons.push(`${folder}: no prebuilt addon for this platform`);
    return paths;
  }
  // prebuildify names a file NAME[.LIBC].node
  for (const file of readdirSync(folder).sort()) {
    const path = join(folder, file);
    const [, libc, extension] = /^gyrfalcon(?:\.(glibc|musl))?\.(node)$/.exec(file) ?? [];
    if (extension === undefined) continue;
    if (libc !== undefined && context.libc !== undefined && libc !== context.libc) {
      reasons.push(`${path}: built for ${libc}, this system has ${context.libc}`);
    } else {
      paths.push(path);
    }
  }
  return paths;
}

function tryOpen(path: string, context: LoadContext): Outcome {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return { reason: 'not there' };
  if (!stat.isFile()) return { reason: 'not a file' };
  // Node does not survive an addon that asks for a Node-API newer than its own.
  if (context.nodeApi < NODE_API) {
    return { reason: `expected Node-API ${NODE_API} but received ${context.nodeApi}` };
  }
  let addon: unknown;
  try {
    const problem = elfProblem(path, context.arch);
    if (problem !== undefined) return { reason: problem };
    addon = context.open(path);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { reason: text.replace(`${path}: `, ''), error };
  }
  if (typeof addon !== 'object' || addon === null || !('version' in addon)) {
    return { reason: 'not an addon of gyrfalcon' };
  }
  if (addon.version !== context.version) {
    const built = String(addon.version);
    return { reason: `expected version ${context.version} but received ${built}` };
  }
  return { addon };
}

function describe(context: LoadContext, reasons: readonly string[]): string {
  const libc = context.libc === undefined ? '' : ` ${context.libc}`;
  const lines = [
    `the native addon could not be loaded on ${context.platform}-${context.arch}${libc} ` +
      `with Node ${process.versions.node}:`,
    ...reasons.map((reason) => `  - ${reason}`),
    ...remedy(context).map((line) => `  ${line}`),
  ];
  return lines.join('\n');
}

function remedy(context: LoadContext): string[] {
  if (context.nodeApi < NODE_API) return ['Use Node 20.19 or later.'];
  if (context.explicit !== undefined) {
    return [
      'GYRFALCON_NATIVE is set, so nothing else was tried. To use the installed addon, run:',
    ].concat('  unset GYRFALCON_NATIVE');
  }
  // A checkout has its development tools; the published package leaves them out.
  if (existsSync(join(context.root, 'test'))) return ['Build it:', '  npm run build'];
  return [
    'If an addon of this package is damaged, install the package again. Otherwise build it from',
    'source (needs CMake and a C++20 compiler):',
    `  cd "${context.root}"`,
    '  npx --yes cmake-js@8 compile',
  ];
}

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GyrfalconError } from '../../lib/errors.js';
import { type LoadContext, loadAddon } from '../../lib/load.js';

const VERSION = '1.2.3';

let root: string;
/** What "opening" each fake candidate yields: exports, or an error to throw. */
let files: Map<string, object>;
let opened: string[];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'gyrfalcon load '));
  files = new Map();
  opened = [];
});

afterEach(() => {
  rmSync(root, { recursive: true });
});

function place(relative: string, result: object): string {
  const path = join(root, relative);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, '');
  files.set(path, result);
  return path;
}

function load(overrides: Partial<LoadContext> = {}): object {
  return loadAddon({
    root,
    version: VERSION,
    explicit: undefined,
    platform: 'linux',
    arch: 'x64',
    libc: 'glibc',
    nodeApi: 9,
    open: (path) => {
      opened.push(path);
      const result = files.get(path);
      if (result instanceof Error) throw result;
      return result;
    },
    ...overrides,
  });
}

function failure(overrides: Partial<LoadContext> = {}): GyrfalconError {
  try {
    load(overrides);
  } catch (error) {
    expect(error).toBeInstanceOf(GyrfalconError);
    expect((error as GyrfalconError).code).toBe('NATIVE_UNAVAILABLE');
    return error as GyrfalconError;
  }
  throw new Error('the addon was loaded');
}

const LOCAL = 'build/Release/gyrfalcon.node';
const PREBUILT = 'prebuilds/linux-x64/gyrfalcon.glibc.node';

describe('loadAddon', () => {
  it('prefers a local build over a prebuilt addon and opens nothing else', () => {
    const local = { version: VERSION };
    const path = place(LOCAL, local);
    place(PREBUILT, { version: VERSION });
    expect(load()).toBe(local);
    expect(opened).toEqual([path]);
  });

  it('takes the prebuilt addon when there is no local build', () => {
    const prebuilt = { version: VERSION };
    place(PREBUILT, prebuilt);
    expect(load()).toBe(prebuilt);
  });

  it('takes a prebuilt addon whose name has no libc', () => {
    const prebuilt = { version: VERSION };
    place('prebuilds/darwin-arm64/gyrfalcon.node', prebuilt);
    expect(load({ platform: 'darwin', arch: 'arm64', libc: undefined })).toBe(prebuilt);
  });

  it('takes the prebuilt addon of this libc and never opens the other', () => {
    const musl = { version: VERSION };
    place(PREBUILT, { version: VERSION });
    const path = place('prebuilds/linux-x64/gyrfalcon.musl.node', musl);
    expect(load({ libc: 'musl' })).toBe(musl);
    expect(opened).toEqual([path]);
  });

  it('falls back to the prebuilt addon when the local build does not open', () => {
    place(LOCAL, new Error('invalid ELF header'));
    const prebuilt = { version: VERSION };
    place(PREBUILT, prebuilt);
    expect(load()).toBe(prebuilt);
  });

  it('falls back to the prebuilt addon when the local build has another version', () => {
    place(LOCAL, { version: '1.2.2' });
    const prebuilt = { version: VERSION };
    place(PREBUILT, prebuilt);
    expect(load()).toBe(prebuilt);
  });

  it('takes an explicit path before anything else', () => {
    place(LOCAL, { version: VERSION });
    const mine = { version: VERSION };
    const explicit = place('elsewhere/mine.node', mine);
    expect(load({ explicit })).toBe(mine);
    expect(opened).toEqual([explicit]);
  });

  it('does not fall back from an explicit path, and says so', () => {
    place(LOCAL, { version: VERSION });
    const explicit = join(root, 'absent.node');
    const { message } = failure({ explicit });
    expect(opened).toEqual([]);
    expect(message).toContain(`${explicit}: not there`);
    expect(message).toContain('unset GYRFALCON_NATIVE');
  });

  it('lists every reason it collected and keeps the first system error as cause', () => {
    const dlopen = new Error(`${join(root, LOCAL)}: undefined symbol: napi_none`);
    place(LOCAL, dlopen);
    place(PREBUILT, { version: '1.0.0' });
    place('prebuilds/linux-x64/gyrfalcon.musl.node', { version: VERSION });
    const error = failure();
    expect(error.message).toContain(`${join(root, LOCAL)}: undefined symbol: napi_none`);
    expect(error.message).toContain('expected version 1.2.3 but received 1.0.0');
    expect(error.message).toContain('built for musl, this system has glibc');
    expect(error.message).toContain('linux-x64 glibc');
    expect(error.cause).toBe(dlopen);
  });

  it('names the folder of prebuilt addons when the platform has none', () => {
    const { message } = failure({ platform: 'plan9', arch: 'mips', libc: undefined });
    expect(message).toContain(`${join(root, LOCAL)}: not there`);
    expect(message).toContain('plan9-mips: no prebuilt addon for this platform');
  });

  it.each([
    ['exports that are not an object', () => 7],
    ['null', () => null],
    ['an object without a version', () => ({})],
  ])('refuses %s', (_, open) => {
    place(LOCAL, {});
    expect(failure({ open }).message).toContain('not an addon of gyrfalcon');
  });

  it('reports what a file that is no library says when it is really opened', () => {
    const path = join(root, 'text.node');
    writeFileSync(path, 'not a library');
    let thrown: unknown;
    try {
      loadAddon({ explicit: path });
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(GyrfalconError);
    expect((thrown as GyrfalconError).message).toMatch(/text\.node: .+/);
    expect((thrown as GyrfalconError).cause).toBeInstanceOf(Error);
  });

  it('opens nothing where Node lacks the Node-API, and names the Node that has it', () => {
    place(LOCAL, { version: VERSION });
    place(PREBUILT, { version: VERSION });
    const { message } = failure({ nodeApi: 8 });
    expect(opened).toEqual([]);
    expect(message.match(/expected Node-API 9 but received 8/g)).toHaveLength(2);
    expect(message).toContain('Use Node 20.19 or later');
    expect(message).not.toContain('cmake-js');
    expect(load({ nodeApi: 10 })).toEqual({ version: VERSION });
  });

  it('takes a path in GYRFALCON_NATIVE from the working directory', () => {
    vi.stubEnv('GYRFALCON_NATIVE', join('no', 'where.node'));
    try {
      expect(() => loadAddon()).toThrow(`${join(process.cwd(), 'no', 'where.node')}: not there`);
    } finally {
      vi.unstubAllEnvs();
    }
  });

  it('names the build command of a checkout', () => {
    mkdirSync(join(root, 'test'));
    expect(failure().message).toContain('npm run build');
  });

  it('names the source build, with the folder quoted, of an installed package', () => {
    const { message } = failure();
    expect(message).toContain(`cd "${root}"`);
    expect(message).toContain('npx --yes cmake-js@8 compile');
  });
});

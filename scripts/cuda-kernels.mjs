// Compiles native/backends/cuda/kernels/*.cu to the fatbin that travels inside the addon: machine
// code for each architecture, and PTX for those that come later.
// Usage: node scripts/cuda-kernels.mjs OUT
//
// OUT gets gyrfalcon.fatbin, gyrfalcon.ptx, and kernels.json: what ptxas says of every kernel on
// every architecture. Without nvcc, or with GYRFALCON_CUDA=off, the fatbin is empty and kernels.json
// says why: the addon is then built without CUDA. What is there already and of the same sources,
// compiler and options stays.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const ARCHITECTURES = [75, 80, 86, 89, 90, 100, 120];
// Older drivers refuse PTX of a newer version; nothing newer than this one is used.
const PTX_VERSION = '7.4';
const LIMIT = 3 << 20;

const root = fileURLToPath(new URL('../', import.meta.url));
const folder = join(root, 'native/backends/cuda');

function tool(name) {
  const homes = [process.env.CUDA_HOME, process.env.CUDA_PATH, '/usr/local/cuda'];
  const folders = [
    ...homes.filter((home) => home).map((home) => join(home, 'bin')),
    ...(process.env.PATH ?? '').split(delimiter),
  ];
  return folders
    .filter((at) => at !== '')
    .map((at) => join(at, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return statSync(path).isFile();
      } catch {
        return false;
      }
    });
}

function run(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (error) throw new Error(`${command}: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}\n${stdout}${stderr}`);
  return `${stdout}${stderr}`;
}

function filesUnder(at) {
  return readdirSync(at, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) =>
      entry.isDirectory() ? filesUnder(join(at, entry.name)) : [join(at, entry.name)],
    );
}

/** What ptxas -v prints, as [{ kernel, registers, ... }]. */
function parseUsage(text) {
  const kernels = [];
  for (const line of text.split('\n')) {
    const entry = /Compiling entry function '([^']+)'/.exec(line);
    if (entry) kernels.push({ kernel: entry[1] });
    const last = kernels.at(-1);
    if (last === undefined) continue;
    const spills = /(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill/.exec(
      line,
    );
    if (spills) {
      [last.stack, last.spillStores, last.spillLoads] = spills.slice(1).map(Number);
    }
    const registers = /Used (\d+) registers/.exec(line);
    if (registers) {
      last.registers = Number(registers[1]);
      last.shared = Number(/(\d+) bytes smem/.exec(line)?.[1] ?? 0);
    }
  }
  return kernels;
}

function compile(out) {
  const nvcc = tool('nvcc');
  const ptxas = tool('ptxas');
  const fatbinary = tool('fatbinary');
  if (process.env.GYRFALCON_CUDA === 'off') return { reason: 'GYRFALCON_CUDA is off' };
  if (!nvcc || !ptxas || !fatbinary) return { reason: 'nvcc was not found' };
  const sources = filesUnder(folder).filter((file) => /(\.cuh?|_args\.h)$/.test(file));
  const hash = createHash('sha256');
  hash.update(readFileSync(fileURLToPath(import.meta.url)));
  hash.update(run(nvcc, ['--version']));
  for (const file of sources) hash.update(file.slice(root.length)).update(readFileSync(file));
  const key = hash.digest('hex');
  const done = join(out, 'kernels.json');
  if (existsSync(done) && JSON.parse(readFileSync(done, 'utf8')).key === key) {
    // For build tools that compare times.
    utimesSync(join(out, 'gyrfalcon.fatbin'), new Date(), new Date());
    return undefined;
  }

  const units = sources.filter((file) => file.endsWith('.cu'));
  if (units.length !== 1) throw new Error('expected one .cu file: PTX files cannot be joined');
  const ptx = join(out, 'gyrfalcon.ptx');
  const options = ['-std=c++17', '-O3', '-Inative', '-Werror', 'all-warnings'];
  run(nvcc, [...options, '-arch=compute_75', '-ptx', units[0], '-o', ptx]);
  const text = readFileSync(ptx, 'utf8')
    .replace(/^\.version .*$/m, `.version ${PTX_VERSION}`)
    // A hint that older versions do not know.
    .replace(/^\s*\.pragma "used_bytes_mask[^"]*";\n/gm, '');
  writeFileSync(ptx, text);
  const kernels = [];
  const images = [`--image3=kind=ptx,sm=75,file=${ptx}`];
  for (const arch of ARCHITECTURES) {
    const cubin = join(out, `sm_${arch}.cubin`);
    const usage = run(ptxas, ['-v', '-O3', `-arch=sm_${arch}`, ptx, '-o', cubin]);
    for (const kernel of parseUsage(usage)) kernels.push({ arch, ...kernel });
    images.push(`--image3=kind=elf,sm=${arch},file=${cubin}`);
  }
  const fatbin = join(out, 'gyrfalcon.fatbin.new');
  run(fatbinary, ['--64', '--compress=false', `--create=${fatbin}`, ...images]);
  const bytes = statSync(fatbin).size;
  if (bytes > LIMIT) throw new Error(`expected a fatbin of at most ${LIMIT} bytes, got ${bytes}`);
  renameSync(fatbin, join(out, 'gyrfalcon.fatbin'));
  return { key, bytes, ptxVersion: PTX_VERSION, kernels };
}

const out = resolve(process.argv[2] ?? 'build/cuda');
mkdirSync(out, { recursive: true });
const result = compile(out);
if (result !== undefined) {
  if ('reason' in result) writeFileSync(join(out, 'gyrfalcon.fatbin'), '');
  writeFileSync(join(out, 'kernels.json'), `${JSON.stringify(result, null, 1)}\n`);
}

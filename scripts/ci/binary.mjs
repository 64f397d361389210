// Checks of the compiled addon that no test of its behaviour can make.
import { readdirSync } from 'node:fs';
import { countChecks, inRoot, output } from './tools.mjs';

const ADDON = 'build/Release/gyrfalcon.node';
const OBJECTS = 'build/CMakeFiles/gyrfalcon_core.dir/native';

// What a system has that runs Node; anything else would have to be installed first.
const ALLOWED_LIBRARIES = /^(libc|libm|libdl|libpthread|libstdc\+\+|libgcc_s|ld-linux[-\w]*)\.so/;
const EXPORTS = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];

function isaObjects() {
  return readdirSync(inRoot(OBJECTS), { recursive: true })
    .filter((file) => /_(avx2|avx512\w*|amx|neon)\.cc\.o$/.test(file))
    .map((file) => `${OBJECTS}/${file}`);
}

// Into the first-level or the second-level cache, as the walk over a request asks for.
const PREFETCH = /\tprefetcht[01]\b|\tprfm\s+pldl[12]keep\b/g;
// For ids of 32 and of 64 bits, each line of a row and the row's last byte.
const LEAST_PREFETCHES = 4;

/** GCC 12 removes functions whose only effect is a prefetch intrinsic. */
function checkPrefetches() {
  const folder = `${OBJECTS}/backends/cpu`;
  const count = (file) =>
    output('objdump', ['-d', `${folder}/${file}`]).match(PREFETCH)?.length ?? 0;
  const kernels = readdirSync(inRoot(folder)).filter((file) => /^lookup_.*\.cc\.o$/.test(file));
  const walks = kernels.filter((file) => !/^lookup_(plan|reference)\./.test(file));
  const checks = walks.map((file) => {
    const found = count(file);
    return [`${file} prefetches (${found} instructions)`, found >= LEAST_PREFETCHES];
  });
  checks.push(['there are kernels besides the reference', walks.length > 0]);
  // The control: kernels without prefetches would be noticed.
  const none = count('lookup_reference.cc.o');
  checks.push([`the reference, which never prefetches, has ${none} prefetches`, none === 0]);
  return checks;
}

export function checkBinary() {
  const dynamic = output('readelf', ['-dW', ADDON]);
  const libraries = [...dynamic.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name]) => name);
  const exported = output('nm', ['-D', '--defined-only', '--format=just-symbols', ADDON])
    .split('\n')
    .filter((line) => line !== '');
  const checks = [
    ['the addon stays mapped when its last user unloads it', /FLAGS_1.*NODELETE/.test(dynamic)],
    [
      `the addon links only the C and C++ runtimes (${libraries.join(' ')})`,
      libraries.every((name) => ALLOWED_LIBRARIES.test(name)),
    ],
    [
      `the addon exports only what Node calls (${exported.join(' ')})`,
      exported.every((name) => EXPORTS.includes(name)),
    ],
  ];
  const objects = isaObjects();
  checks.push(['there are objects for instruction sets', objects.length > 0]);
  for (const object of objects) {
    const name = object.slice(OBJECTS.length + 1);
    // The linker keeps one copy of an inline function for all files. A copy made with AVX-512
    // would then run on CPUs without it.
    const weak = output('nm', ['-C', object])
      .split('\n')
      .filter((line) => /^[0-9a-f]+ [WVu] /.test(line));
    checks.push([`${name} shares no inline function ${weak.join(' ')}`, weak.length === 0]);
  }
  checks.push(...checkPrefetches());
  return countChecks(checks);
}

// The stages of `npm test`, in order. Each returns how many tests or checks passed and failed.
import { checkBinary } from './binary.mjs';
import { ensurePackages } from './packages.mjs';
import {
  buildForThreadSanitizer,
  buildSanitized,
  testUnderAddressSanitizer,
  testUnderThreadSanitizer,
} from './sanitizers.mjs';
import {
  bin,
  compilerCache,
  hasKernels,
  inRoot,
  jobs,
  run,
  runGoogleTest,
  runVitest,
  total,
} from './tools.mjs';

const once = { passed: 1, failed: 0 };

function build() {
  // One configuration serves the addon and the C++ tests: the core is compiled once. It is made
  // anew, because compile alone keeps that of an earlier `npm run build`, which has no tests.
  const options = ['--out=build', '--CDGYRFALCON_TESTS=ON', '--CDGYRFALCON_BENCH=ON'].concat(
    compilerCache('--CD'),
  );
  run(process.execPath, [bin('cmake-js', 'bin/cmake-js'), 'configure', ...options]);
  run(process.execPath, [
    bin('cmake-js', 'bin/cmake-js'),
    'compile',
    ...options,
    `--parallel=${jobs}`,
  ]);
  run(process.execPath, ['scripts/clean.mjs', 'dist']);
  run(process.execPath, [bin('typescript', 'bin/tsc'), '-p', 'tsconfig.build.json']);
  return once;
}

function lint() {
  run(process.execPath, ['scripts/lint.mjs']);
  return once;
}

function types() {
  run(process.execPath, [bin('typescript', 'bin/tsc'), '-p', 'tsconfig.json']);
  return once;
}

function neon() {
  run('cmake', [
    '-S.',
    '-Bbuild/arm64',
    '-DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake',
    '-DGYRFALCON_TESTS=ON',
    // What differs between instruction sets; the rest is the same code as on the host.
    '-DGYRFALCON_TEST_FILES=/(fused_ops|gemm|lookup|row_format)_',
    ...compilerCache(),
  ]);
  run('cmake', ['--build', 'build/arm64', '--target', 'gyrfalcon_tests', '-j', jobs]);
  return runGoogleTest(
    'neon',
    'qemu-aarch64',
    ['-L', '/usr/aarch64-linux-gnu', inRoot('build/arm64/gyrfalcon_tests')],
    // Emulation is some twenty times slower.
    { env: { GYRFALCON_TEST_CASES: '40000' } },
  );
}

// Too long on the simulator; KernelShapeTest has the dims that differ there.
const LESS = '--gtest_filter=-LookupDifferentialTest.EveryDim*';

function cuda() {
  run(process.execPath, ['scripts/cuda-kernels.mjs', 'build/cuda']);
  if (!hasKernels()) return { passed: 0, failed: 0 };
  const targets = ['gyrfalcon_cuda_tests', 'gyrfalcon_cuda_host_tests', 'gyrfalcon_broken_driver'];
  run('cmake', ['--build', 'build', '--target', ...targets, '-j', jobs]);
  run(process.execPath, ['scripts/cuda-report.mjs']);
  const kernels = runGoogleTest('cuda', inRoot('build/gyrfalcon_cuda_tests'), [LESS], {
    env: { GYRFALCON_TEST_CASES: '300' },
  });
  const host = runGoogleTest('cuda-host', inRoot('build/gyrfalcon_cuda_host_tests'), []);
  const node = runVitest('cuda-unit', ['--project=cuda']);
  return total(kernels, host, node);
}

// The project for CUDA is of the stage that builds its drivers.
const UNIT = ['--project=all', '--project=bench', '--project=copied'];

function example() {
  run(process.execPath, ['examples/movielens/run.mjs']);
  return once;
}

export const stages = [
  { name: 'packages', about: 'compilers, GoogleTest and qemu from Debian', run: ensurePackages },
  {
    name: 'lint',
    about: 'biome, clang-format, lists of sources and dependencies, layers',
    run: lint,
    needs: ['packages'],
  },
  { name: 'types', about: 'TypeScript, tests included', run: types },
  { name: 'build', about: 'addon, C++ tests, dist', run: build, needs: ['packages'] },
  { name: 'binary', about: 'what the built objects contain', run: checkBinary, needs: ['build'] },
  {
    name: 'native',
    about: 'C++ tests',
    run: () => runGoogleTest('native', inRoot('build/gyrfalcon_tests'), []),
    needs: ['build'],
  },
  {
    name: 'cuda',
    about: "CUDA on the simulator, ptxas' report",
    run: cuda,
    needs: ['build'],
  },
  { name: 'neon', about: 'arm64 kernels under qemu', run: neon, needs: ['packages'] },
  { name: 'unit', about: 'TypeScript tests', run: () => runVitest('unit', UNIT), needs: ['build'] },
  { name: 'example', about: 'examples/movielens', run: example, needs: ['build'] },
  {
    name: 'packaging',
    about: 'node-gyp, prebuildify, npm pack, install without a compiler',
    run: () => runVitest('packaging', ['--config=test/packaging/vitest.config.ts']),
    needs: ['build'],
  },
  {
    name: 'asan-build',
    about: 'everything native once more, with ASan and UBSan',
    run: () => buildSanitized('asan', 'address,undefined'),
    needs: ['build'],
  },
  {
    name: 'asan',
    about: 'C++ and TypeScript tests under ASan, UBSan and LSan',
    run: testUnderAddressSanitizer,
    needs: ['asan-build'],
  },
  {
    name: 'tsan-build',
    about: 'the addon and concurrent C++ tests, with TSan',
    run: buildForThreadSanitizer,
    needs: ['build'],
  },
  {
    name: 'tsan',
    about: 'concurrent C++ and TypeScript tests under TSan',
    run: testUnderThreadSanitizer,
    needs: ['tsan-build'],
  },
];

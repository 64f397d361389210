// The suites once more with sanitizers compiled into our code, under stock Node: the sanitizer's
// runtime is preloaded.
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename } from 'node:path';
import {
  bin,
  compilerCache,
  hasKernels,
  inRoot,
  jobs,
  output,
  run,
  runGoogleTest,
  runVitest,
  total,
} from './tools.mjs';

// The C++ tests in which threads meet; the rest of the code runs on one, and under ASan.
const WITH_THREADS =
  '/(batch|fused_(engine|context)|lookup_gate|ort_[a-z]+|row_helpers|worker_pool|[a-z_]*threads)_test';

const CUDA_HOST_TESTS = 'gyrfalcon_cuda_host_tests';

export function buildSanitized(name, sanitizers, options = []) {
  run(process.execPath, [
    bin('cmake-js', 'bin/cmake-js'),
    'compile',
    `--out=build/${name}`,
    `--parallel=${jobs}`,
    '--CDGYRFALCON_TESTS=ON',
    `--CDGYRFALCON_SANITIZE=${sanitizers}`,
    ...compilerCache('--CD'),
    ...options,
  ]);
  if (hasKernels()) {
    run('cmake', ['--build', 'build', '--target', 'gyrfalcon_cusim_driver', '-j', jobs]);
    run('cmake', ['--build', `build/${name}`, '--target', CUDA_HOST_TESTS, '-j', jobs]);
  }
  return { passed: 1, failed: 0 };
}

/** The host's side of CUDA, on the simulated driver without the sanitizer. */
function testCudaHost(name, launcher, filter, env) {
  if (!hasKernels()) return { passed: 0, failed: 0 };
  const [command, ...args] = [...launcher, inRoot('build', name, CUDA_HOST_TESTS)];
  return runGoogleTest(`${name}-cuda`, command, [...args, `--gtest_filter=${filter}`], { env });
}

function runtime(library) {
  return output('gcc', [`-print-file-name=${library}`]).trim();
}

function reportFiles(prefix) {
  return readdirSync(inRoot('build/test')).filter((file) =>
    file.startsWith(`${basename(prefix)}.`),
  );
}

/** A prefix for reports, with those of an earlier run removed. */
function reportPrefix(name) {
  const prefix = inRoot('build/test', name);
  for (const file of reportFiles(prefix)) rmSync(inRoot('build/test', file));
  return prefix;
}

/** Reports that processes left behind, also those whose exit status nobody looked at. */
function reports(prefix) {
  const found = reportFiles(prefix);
  for (const file of found) {
    console.log(`── ${file}\n${readFileSync(inRoot('build/test', file), 'utf8').slice(0, 8000)}`);
  }
  return { passed: found.length === 0 ? 1 : 0, failed: found.length };
}

/** Makes Node take our addon from `build/<name>`. */
function nodeEnvironment(name) {
  return {
    GYRFALCON_NATIVE: inRoot('build', name, 'Release', 'gyrfalcon.node'),
  };
}

/** Starts Node with a sanitizer's runtime. */
function preload(library) {
  // Node links its C++ runtime statically; the sanitizer looks for a shared one when it starts,
  // to intercept what throws. Set by env(1), so that no launcher before it is preloaded too.
  return ['env', `LD_PRELOAD=${runtime(library)} ${runtime('libstdc++.so')}`];
}

export function testUnderAddressSanitizer() {
  const log = reportPrefix('asan-report');
  const clean = `log_path=${log}:print_stacktrace=1`;
  const env = {
    ASAN_OPTIONS: 'detect_leaks=1:strict_string_checks=1',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    LSAN_OPTIONS: `suppressions=${inRoot('scripts/ci/lsan-onnxruntime.txt')}:print_suppressions=0`,
  };
  const native = runGoogleTest('asan-native', inRoot('build/asan/gyrfalcon_tests'), [], { env });
  // Without what takes a minute each: the failures of cached tables take most of the same ways.
  const cuda = testCudaHost('asan', [], '-*Nobody*:CudaHostTest.EveryFunction*', env);
  const node = runVitest('asan-unit', ['--project=all', '--project=copied'], {
    launcher: preload('libasan.so'),
    env: {
      ...nodeEnvironment('asan'),
      GYRFALCON_TEST_ADDON: 'only',
      // Node itself does not free everything at exit.
      ASAN_OPTIONS: `detect_leaks=0:${clean}`,
      UBSAN_OPTIONS: clean,
    },
  });
  return total(native, cuda, node, reports(log));
}

export function buildForThreadSanitizer() {
  return buildSanitized('tsan', 'thread', [`--CDGYRFALCON_TEST_FILES=${WITH_THREADS}`]);
}

export function testUnderThreadSanitizer() {
  const log = reportPrefix('tsan-report');
  // GCC 12's runtime cannot place its shadow memory under the widest address randomisation.
  const fixed = ['setarch', '-R'];
  // V8 and ONNX Runtime are not instrumented: what they synchronise with is invisible.
  const options =
    'halt_on_error=0:exitcode=66:second_deadlock_stack=1:ignore_noninstrumented_modules=1';
  const native = runGoogleTest(
    'tsan-native',
    fixed[0],
    [fixed[1], inRoot('build/tsan/gyrfalcon_tests')],
    { env: { TSAN_OPTIONS: options } },
  );
  // Of what one thread does, ASan has seen enough.
  const cuda = testCudaHost('tsan', fixed, '*.Lookups*:*.AKeeper*:*.ALookup*', {
    TSAN_OPTIONS: options,
  });
  const node = runVitest('tsan-unit', ['async', 'lifetime'], {
    launcher: [...fixed, ...preload('libtsan.so')],
    env: {
      ...nodeEnvironment('tsan'),
      TSAN_OPTIONS: `${options}:log_path=${log}:report_signal_unsafe=0`,
    },
  });
  return total(native, cuda, node, reports(log));
}

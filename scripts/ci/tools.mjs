// What the stages share: running commands, and counting what each test runner reports.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

export const jobs = String(availableParallelism());

export function inRoot(...parts) {
  return join(root, ...parts);
}

// What was compiled before, in another clone too, is not compiled again.
process.env.CCACHE_BASEDIR ??= root;
process.env.CCACHE_NOHASHDIR ??= '1';

/** Options for CMake; of `cmake-js` with the prefix `--CD`. */
export function compilerCache(prefix = '-D') {
  const found = spawnSync('ccache', ['--version']).status === 0;
  return found ? [`${prefix}CMAKE_CXX_COMPILER_LAUNCHER=ccache`] : [];
}

/** The script behind a package's command, to be run with this Node. */
export function bin(packageName, script) {
  return inRoot('node_modules', packageName, script);
}

/** Runs a command in the project's root with its output shown; returns its exit status. */
export function tryRun(command, args, { env = {} } = {}) {
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...env },
  });
  if (error) throw new Error(`${command}: ${error.message}`);
  return signal === null ? status : 128;
}

/** Runs a command that has to succeed. */
export function run(command, args, options) {
  const status = tryRun(command, args, options);
  if (status !== 0) {
    throw new Error(`exit status ${status}: ${[command, ...args].join(' ').slice(0, 160)}`);
  }
}

/** What a command prints; the command has to succeed. */
export function output(command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  if (error) throw new Error(`${command}: ${error.message}`);
  if (status !== 0) throw new Error(`${command} ${args[0]}: ${stderr.trim()}`);
  return stdout;
}

/** Checks that are not tests of a runner: [name, holds] pairs. */
export function countChecks(checks) {
  for (const [name, holds] of checks) console.log(`${holds ? 'ok  ' : 'FAIL'} ${name}`);
  const passed = checks.filter(([, holds]) => holds).length;
  return { passed, failed: checks.length - passed };
}

function readReport(report, status) {
  if (!existsSync(report)) throw new Error(`the runner ended with ${status} and left no report`);
  return JSON.parse(readFileSync(report, 'utf8'));
}

/**
 * Runs a GoogleTest program, on each core a share of its tests, and counts them. A skipped test
 * counts as failed: a check that did not happen is not a check that passed.
 */
export function runGoogleTest(name, command, args, options) {
  const report = inRoot('build', 'test', name);
  const reports = Array.from({ length: Number(jobs) }, (_, shard) => `${report}.${shard}.json`);
  for (const file of reports) rmSync(file, { force: true });
  const flags = ['--gtest_brief=1', '--gtest_color=no'];
  const status = tryRun(
    process.execPath,
    ['scripts/ci/shards.mjs', jobs, report, command, ...args, ...flags],
    options,
  );
  const results = reports
    .flatMap((file) => readReport(file, status).testsuites)
    .flatMap((suite) => suite.testsuite);
  const passed = results.filter(
    (test) => test.failures === undefined && test.result === 'COMPLETED',
  ).length;
  // A failure outside any test, a leak at exit say, shows only in the status.
  const failed = Math.max(results.length - passed, status === 0 ? 0 : 1);
  if (results.length === 0) throw new Error('no test ran');
  return { passed, failed };
}

/** Runs vitest and counts its tests; files that cannot be loaded and skipped tests count as failed. */
export function runVitest(name, args, { env = {}, launcher = [] } = {}) {
  const report = inRoot('build', 'test', `${name}.json`);
  rmSync(report, { force: true });
  const [command, ...before] = [...launcher, process.execPath];
  const status = tryRun(
    command,
    [
      ...before,
      bin('vitest', 'vitest.mjs'),
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${report}`,
      ...args,
    ],
    { env },
  );
  const result = readReport(report, status);
  const unloadable = result.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  ).length;
  const failed = result.numFailedTests + result.numPendingTests + result.numTodoTests + unloadable;
  if (result.numTotalTests === 0) throw new Error('no test ran');
  return { passed: result.numPassedTests, failed: Math.max(failed, status === 0 ? 0 : 1) };
}

/** Whether the build has CUDA kernels; says why not. */
export function hasKernels() {
  const { reason } = JSON.parse(readFileSync(inRoot('build/cuda/kernels.json'), 'utf8'));
  if (reason !== undefined) console.log(`no CUDA kernels: ${reason}`);
  return reason === undefined;
}

/** What several test runs passed and failed together. */
export function total(...counts) {
  const sum = (key) => counts.reduce((all, count) => all + count[key], 0);
  return { passed: sum('passed'), failed: sum('failed') };
}

// What ptxas made of the CUDA kernels, what their PTX loads and stores, and what lookups cost on the
// simulator: `npm run cuda:report`. Exit code 1 when a bound is crossed: no spills, at least 24 warps
// on a multiprocessor, rows by 16-byte loads and results by 16-byte stores, and the bounds of
// test/cusim/tests/kernel_cost_test.cc.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const LEAST_WARPS = 24;
const REGISTERS = 65536;
const WARPS_PER_BLOCK = 8;
/** Warps that a multiprocessor can hold at all. */
const MOST_WARPS = { 75: 32, 80: 64, 86: 48, 89: 48, 90: 64, 100: 64, 120: 48 };

const out = fileURLToPath(new URL('../build/cuda/', import.meta.url));

/** Warps of blocks of 8 that registers leave room for; they are given out by 8 a thread. */
function residentWarps({ arch, registers }) {
  const block = Math.ceil(registers / 8) * 8 * 32 * WARPS_PER_BLOCK;
  return Math.min(MOST_WARPS[arch], Math.floor(REGISTERS / block) * WARPS_PER_BLOCK);
}

/** Lookups on the simulator, by row format: sectors and instructions of the PTX that is shipped. */
function reportCosts(problems) {
  const tests = fileURLToPath(new URL('../build/gyrfalcon_cuda_tests', import.meta.url));
  if (!existsSync(tests)) {
    problems.push('the simulator is not built: npm run test:cuda');
    return;
  }
  const results = `${out}costs.json`;
  const ran = spawnSync(
    tests,
    ['--gtest_filter=*KernelCostTest*', `--gtest_output=json:${results}`, '--gtest_brief=1'],
    { encoding: 'utf8' },
  );
  if (ran.status !== 0) problems.push(`a lookup costs more than its bound:\n${ran.stdout}`);
  console.log('\nlookups on the simulator, 40 bags of 20 ids that are all different; of ids:');
  console.log('rows           cache  sectors  of the least  instructions for 16 bytes');
  const { testsuites } = JSON.parse(readFileSync(results, 'utf8'));
  const costs = testsuites.flatMap((suite) => suite.testsuite).filter((test) => test.storage);
  if (costs.length === 0) problems.push('no lookup was measured');
  for (const cost of costs) {
    const number = (key, digits) => Number(cost[key]).toFixed(digits);
    console.log(
      `${`${cost.storage} x ${cost.dim}`.padEnd(13)}  ${cost.cached.padEnd(5)}  ` +
        `${number('sectors_per_id', 2).padStart(7)}  ${number('sectors_over_least', 3).padStart(12)}  ` +
        `${number('instructions_per_16_bytes', 1).padStart(25)}`,
    );
  }
}

function report() {
  if (!existsSync(`${out}kernels.json`)) {
    console.error('there are no kernels yet: npm run build');
    return 1;
  }
  const {
    reason,
    kernels = [],
    bytes,
    ptxVersion,
  } = JSON.parse(readFileSync(`${out}kernels.json`, 'utf8'));
  if (reason !== undefined) {
    console.log(`built without CUDA: ${reason}`);
    return 0;
  }
  console.log(`fatbin ${(bytes / 2 ** 20).toFixed(2)} MiB, PTX ${ptxVersion}\n`);
  console.log('kernel              arch  registers  spilled  shared  warps');
  const problems = [];
  for (const kernel of kernels) {
    const warps = residentWarps(kernel);
    const spilled = kernel.spillStores + kernel.spillLoads;
    const cells = [kernel.registers, spilled, kernel.shared, warps];
    const [registers, spills, shared, resident] = cells.map(String);
    console.log(
      `${kernel.kernel.padEnd(18)}  ${String(kernel.arch).padStart(4)}  ${registers.padStart(9)}  ` +
        `${spills.padStart(7)}  ${shared.padStart(6)}  ${resident.padStart(5)}`,
    );
    const name = `${kernel.kernel} on sm_${kernel.arch}`;
    if (spilled > 0) problems.push(`${name} spills ${spilled} bytes`);
    if (warps < LEAST_WARPS) problems.push(`${name} has ${warps} resident warps`);
  }
  const ptx = readFileSync(`${out}gyrfalcon.ptx`, 'utf8');
  const count = (pattern) => [...ptx.matchAll(pattern)].length;
  const loads = count(/ld\.global\.nc\.(L1::no_allocate\.)?v4\.u32/g);
  const stores = count(/st\.global\.v4\.f32/g);
  const generic = count(
    /\b(ld|st)\.(?!(?:(?:volatile|relaxed\.sys)\.)?global|shared|param|local|const)[a-z]/g,
  );
  console.log(`\n16-byte loads ${loads}, 16-byte stores ${stores}, generic accesses ${generic}`);
  if (loads === 0) problems.push('no row is read by 16-byte loads');
  if (stores === 0) problems.push('no result is written by 16-byte stores');
  if (generic > 0) problems.push(`${generic} accesses are generic`);
  reportCosts(problems);
  for (const problem of problems) console.error(`FAIL ${problem}`);
  return problems.length === 0 ? 0 : 1;
}

process.exitCode = report();

// Runs every check of the project, stage by stage, and counts the tests of all of them.
//
//   npm test                        everything, as CI does
//   npm test -- --only=unit         one stage, or several: --only=lint,unit
//   npm test -- --list              the stages
//
// A stage that fails does not stop the stages that do not need it. The exit code is 0 only when
// every stage passed. Counts are left in build/test/summary.json.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs, styleText } from 'node:util';
import { stages } from './ci/stages.mjs';
import { inRoot } from './ci/tools.mjs';

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
});

function chosen() {
  if (values.only === undefined) return stages;
  const names = new Set(values.only.split(','));
  const picked = stages.filter((stage) => names.delete(stage.name));
  if (names.size > 0) {
    throw new Error(`unknown stage: ${[...names].join(', ')} (npm test -- --list shows them)`);
  }
  return picked;
}

/** Seconds of processor time that processes took which this one has waited for; 0 if unknown. */
function childSeconds() {
  try {
    // Behind the name, which may hold anything: the 14th and 15th fields, in ticks of 10 ms.
    const fields = readFileSync('/proc/self/stat', 'utf8').split(') ').at(-1).split(' ');
    return (Number(fields[13]) + Number(fields[14])) / 100;
  } catch {
    return 0;
  }
}

function runStage(stage, broken) {
  const blocker = stage.needs?.find((name) => broken.has(name));
  if (blocker !== undefined) return { passed: 0, failed: 1, note: `needs ${blocker}` };
  try {
    return stage.run();
  } catch (error) {
    return { passed: 0, failed: 1, note: error.message };
  }
}

function main() {
  if (values.list) {
    for (const { name, about } of stages) console.log(`${name.padEnd(12)} ${about}`);
    return true;
  }
  mkdirSync(inRoot('build/test'), { recursive: true });
  const results = [];
  const broken = new Set();
  for (const stage of chosen()) {
    console.log(styleText('bold', `\n── ${stage.name}: ${stage.about}`));
    const start = performance.now();
    const before = childSeconds();
    const result = runStage(stage, broken);
    const seconds = (performance.now() - start) / 1000;
    if (result.failed > 0) broken.add(stage.name);
    const cpu = childSeconds() - before;
    results.push({ stage: stage.name, seconds, cpu, note: '', ...result });
  }
  const sum = (key) => results.reduce((total, result) => total + result[key], 0);
  const summary = { passed: sum('passed'), failed: sum('failed'), stages: results };
  writeFileSync(inRoot('build/test/summary.json'), `${JSON.stringify(summary, null, 2)}\n`);

  console.log(styleText('bold', '\nstage          passed  failed  seconds  of cores'));
  for (const { stage, passed, failed, seconds, cpu, note } of results) {
    const counts = `${String(passed).padStart(8)}${String(failed).padStart(8)}`;
    const times = `${seconds.toFixed(1).padStart(9)}${cpu.toFixed(1).padStart(10)}`;
    const line = `${stage.padEnd(12)} ${counts}${times}  ${note}`;
    console.log(failed > 0 ? styleText('red', line) : line);
  }
  const failures = results.filter(({ failed }) => failed > 0).map(({ stage }) => stage);
  console.log(
    failures.length === 0 ? 'every stage passed' : `failed stages: ${failures.join(', ')}`,
  );
  return failures.length === 0;
}

process.exitCode = main() ? 0 : 1;

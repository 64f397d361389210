/** `npm run bench:peers`: ourselves and others on the same work, in turns. */
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Context } from './context.js';
import { currentLoad, describeEnvironment } from './environment.js';
import { judge } from './goals.js';
import { renderHtml } from './html.js';
import { measureMemory } from './memory-limits.js';
import { coresOf, type Options, parseOptions, portableArguments, USAGE } from './options.js';
import type { Result } from './result.js';
import { runBags } from './run-bags.js';
import { runWorkload } from './run-models.js';
import { renderResult } from './text.js';
import { BAGS, WORKLOADS } from './workloads.js';

/** A write that is under way may put a file into a folder that is being emptied. */
const REMOVAL = { recursive: true, force: true, maxRetries: 5, retryDelay: 20 } as const;
const ENDINGS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };
const RESULTS = fileURLToPath(new URL('../../../../bench/results/', import.meta.url));

async function measure(options: Options, folder: string): Promise<Result> {
  const environment = describeEnvironment();
  const { memory, program } = measureMemory(
    options.threads.map((threads) => coresOf(options, threads)),
    folder,
  );
  const context = new Context(options, folder, program);
  for (const name of options.workloads) {
    const workload = WORKLOADS.find((one) => one.name === name);
    const bags = BAGS.filter((bag) => bag.name === name || name === 'bags');
    if (workload === undefined) await runBags(context, bags);
    else await runWorkload(context, workload);
  }
  environment.load.push(currentLoad());
  const { cells, skipped, disagreements, sides, caps } = context;
  return {
    format: 'gyrfalcon-peers-1',
    command: portableArguments(process.argv.slice(2)),
    seed: options.seed,
    rounds: options.rounds,
    ms: options.ms,
    environment,
    memory,
    caps,
    sides,
    cells,
    skipped,
    disagreements,
  };
}

async function main(): Promise<number> {
  let options: Options | 'help';
  try {
    options = parseOptions(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${USAGE}\n`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const folder = options.keep ?? (await mkdtemp(join(tmpdir(), 'gyrfalcon-peers-')));
  await mkdir(folder, { recursive: true });
  // Generated models are gigabytes. Sides end by themselves when nobody asks them any more.
  for (const [signal, code] of Object.entries(ENDINGS)) {
    process.once(signal, () => {
      if (options.keep === undefined) rmSync(folder, REMOVAL);
      process.exit(code);
    });
  }
  try {
    const result = await measure(options, folder);
    await mkdir(options.out, { recursive: true });
    await writeFile(join(options.out, 'report.json'), `${JSON.stringify(result, null, 1)}\n`);
    if (options.save !== undefined) {
      await mkdir(RESULTS, { recursive: true });
      await writeFile(join(RESULTS, `${options.save}.json`), `${JSON.stringify(result)}\n`);
    }
    await writeFile(join(options.out, 'report.html'), renderHtml(result));
    process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : renderResult(result));
    process.stderr.write(`${join(options.out, 'report.html')}\n`);
    const missed = judge(result).some(({ met }) => met === false);
    return result.disagreements.length > 0 || (options.assert && missed) ? 1 : 0;
  } finally {
    if (options.keep === undefined) await rm(folder, REMOVAL);
  }
}

process.exitCode = await main();

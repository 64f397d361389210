/** The command line: what there is to ask for, and how an answer ends. */
import { readFileSync } from 'node:fs';

import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';

import {
  dims,
  numberList,
  seconds,
  skew,
  tableDtypes,
  traceSource,
  wholeNumber,
} from './arguments.js';
import { bench } from './bench.js';
import { objectives } from './bench-slo.js';
import { cacheTrace } from './cache-trace.js';
import { importCommand } from './import-command.js';
import { info } from './info.js';
import { inspect } from './inspect.js';
import { describeError, EXIT, exitCodeOf, type Io, isBrokenPipe, write } from './io.js';
import { score } from './score.js';
import { printable } from './text.js';

const EXIT_HELP = `
Results go to standard output, progress and errors to standard error.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 verification failed, 130 interrupted
(129 and 143 by SIGHUP and SIGTERM).
A failure prints "error CODE: message", or {"error": {"code", "message"}} with --json.`;

const PRECISIONS = ['f32', 'bf16', 'int8'];
const MOST_ROWS = 65_536;
const MOST_THREADS = 1024;
const MOST_CACHE_ROWS = 2 ** 31;
const MOST_LOOKUPS = 2 ** 28;

/** Runs one command. @returns the exit code */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const json = args.includes('--json');
  let printed = '';
  const program = buildProgram(io, (text) => {
    printed += text;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    await write(io.stdout, printed);
    return EXIT.ok;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) {
        await write(io.stdout, printed);
        return EXIT.ok;
      }
      // Without a command, commander prints the help instead of a message.
      const help = error.code === 'commander.help';
      const message = help ? 'expected a command' : error.message.replace(/^error: /, '');
      await report(io, json, 'USAGE', help && !json ? `${message}\n\n${printed}` : message);
      return EXIT.usage;
    }
    if (isBrokenPipe(error)) return EXIT.ok;
    const { code, message } = describeError(error);
    await report(io, json, code, message);
    return exitCodeOf(error, io.signal);
  }
}

async function report(io: Io, json: boolean, code: string, message: string): Promise<void> {
  const text = json
    ? JSON.stringify({ error: { code, message } })
    : printable(`error ${code}: ${message}`);
  // Nobody may read the messages; the exit code still tells.
  await write(io.stderr, `${text.trimEnd()}\n`).catch(() => undefined);
}

function buildProgram(io: Io, print: (text: string) => void): Command {
  const program = new Command('gyrfalcon')
    .description('Scores deep-learning recommender models.')
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: print, outputError: () => {} })
    .version(version());
  const command = (name: string, description: string): Command =>
    program.command(name).description(description).addHelpText('after', EXIT_HELP);
  const finish = (built: Command): Command => built.option('--json', 'print JSON, for errors too');
  const library = () =>
    new Option('--onnxruntime <path>', "ONNX Runtime's shared library; found by default");
  const precision = (about: string) => new Option('--precision <precision>', about);
  program.addHelpText('after', EXIT_HELP);

  finish(
    command('info', 'show versions, and which kernels, devices and engines are available'),
  ).action((flags) => info(flags, io));

  finish(
    command('import', 'turn an ONNX model into a bundle')
      .argument('<model>', 'the model, an .onnx file')
      .requiredOption('--out <dir>', 'where the bundle goes')
      .option(
        '--table-dtype <dtype>',
        'f32, f16, bf16, int8 or int4; NAME=DTYPE for one table (repeat, or divide by commas)',
        tableDtypes,
      )
      .option('--dim <name=size>', 'size of a free dimension (repeat)', dims)
      .addOption(new Option('--ids <dtype>', 'dtype of ids in batches').choices(['i32', 'i64']))
      .option('--verify <n>', 'compare bundle and model on n random rows', wholeNumber(0))
      .option('--tolerance <error>', 'error that --verify accepts', tolerance)
      .option('--overwrite', 'replace a bundle that is there')
      .option('--no-fused', 'leave the dense network to ONNX Runtime alone')
      .addOption(precision('what the dense network runs with by default').choices(PRECISIONS))
      .option('--calibrate <file>', 'rows (JSONL or CSV) to find scales for int8 on')
      .addOption(library()),
  ).action((model, flags) => importCommand(model, flags, io));

  finish(
    command('inspect', 'show what is in a bundle').argument('<bundle>', "the bundle's directory"),
  ).action((bundle, flags) => inspect(bundle, flags, io));

  finish(
    command('score', 'score rows of JSONL or CSV, in order')
      .argument('<bundle>', "the bundle's directory")
      .requiredOption('--input <file>', 'rows by input name; - is standard input')
      .addOption(
        new Option('--input-format <format>', 'csv for a .csv file, else jsonl').choices([
          'jsonl',
          'csv',
        ]),
      )
      .option('--output <file>', 'write scores there instead of standard output')
      .addOption(
        new Option('--output-format <format>', 'csv for a .csv file, else jsonl').choices([
          'jsonl',
          'csv',
        ]),
      )
      .option('--batch <n>', 'rows scored together', wholeNumber(1, MOST_ROWS), 256)
      .option('--threads <n>', 'threads of the dense network', wholeNumber(1, MOST_THREADS), 1)
      .addOption(
        new Option('--out-of-range <policy>', 'what an id outside its table does')
          .choices(['error', 'zero'])
          .default('error'),
      )
      .option('--ignore-extra', 'pass over fields that are no inputs')
      .addOption(
        new Option('--engine <engine>', 'of the dense network')
          .choices(['auto', 'fused', 'onnxruntime'])
          .default('auto'),
      )
      .addOption(
        precision('of the dense network; auto is what it was imported with')
          .choices(['auto', ...PRECISIONS])
          .default('auto'),
      )
      .addOption(library()),
  )
    .addHelpText(
      'after',
      `
Inputs with several elements are arrays, nested or flat; ragged inputs are arrays of ids or
{"indices": [...], "weights": [...]}. CSV cells are numbers, JSON arrays, or lists with spaces.`,
    )
    .action((bundle, flags) => score(bundle, flags, io));

  finish(
    command('bench', 'measure latency and throughput on random requests')
      .argument('[bundle]', "the bundle's directory; none with --cache-trace")
      .option('--batch <n,…>', 'rows of one call', numberList(MOST_ROWS), [1, 16, 128, 512])
      .option('--threads <n,…>', 'threads of the dense network', numberList(MOST_THREADS), [1])
      .option('--skew <law>', 'of ids: uniform or zipf:EXPONENT', skew, {
        kind: 'uniform' as const,
      })
      .option('--concurrency <n>', 'closed loop: so many in flight', wholeNumber(1, 4096))
      .option('--rate <n>', 'open loop: requests a second, Poisson', wholeNumber(1))
      .option('--seconds, --duration <s>', 'of each batch and threads, at most', seconds, 10)
      .option('--warm-up <s>', 'before anything counts; 0.5 or less', seconds)
      .option('--window <s>', 'done when three in a row agree in p50 and p99; 0.5 or less', seconds)
      .option('--full', 'take the whole duration, however stable')
      .option('--slo <list>', 'p99=5ms, mean, max, rps=N (repeat, or divide by commas)', objectives)
      .option('--compare <file>', 'JSON of an earlier run to compare with')
      .option('--allow <percent>', 'how much worse than it --assert accepts', wholeNumber(0), 10)
      .option('--assert', 'fail when an objective or the comparison is not met')
      .option('--csv <file>', 'write the figures there')
      .option('--html <file>', 'write a page there')
      .option('--hgrm <file>', 'write the distribution there, as HdrHistogram does')
      .addOption(
        new Option('--engine <name>', 'that runs the dense network').choices([
          'auto',
          'fused',
          'onnxruntime',
        ]),
      )
      .addOption(
        new Option('--precision <name>', 'of the dense network').choices(['f32', 'bf16', 'int8']),
      )
      .option('--seed <n>', 'of the requests', wholeNumber(0), 1)
      .option('--dim <name=size>', 'size of a free dimension (repeat)', dims)
      .option(
        '--cache-trace <trace>',
        "zipf:EXPONENT or a file of ids: a row cache's hit rates",
        traceSource,
      )
      .option(
        '--cache-rows <n,…>',
        'of --cache-trace: sizes of the cache',
        numberList(MOST_CACHE_ROWS),
      )
      .option('--table-rows <n>', 'of --cache-trace: rows of the table', wholeNumber(1))
      .option('--lookups <n>', 'of --cache-trace: ids at most', wholeNumber(1, MOST_LOOKUPS))
      .addOption(library()),
  ).action((bundle: string | undefined, flags, self: Command) => {
    if (flags.cacheTrace !== undefined) {
      if (bundle !== undefined) self.error('expected no bundle with --cache-trace');
      return cacheTrace(flags, io);
    }
    if (bundle === undefined) self.error("missing required argument 'bundle'");
    return bench(bundle, flags, io);
  });

  return program;
}

function tolerance(text: string): number {
  const value = text.trim() === '' ? Number.NaN : Number(text);
  if (value >= 0) return value;
  throw new InvalidArgumentError(
    `expected a number of at least 0 but received ${JSON.stringify(text)}`,
  );
}

function version(): string {
  const manifest = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as { version: string };
  return manifest.version;
}

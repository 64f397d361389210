#!/usr/bin/env node
import { EXIT } from './io.js';
import { run } from './program.js';

const interrupt = new AbortController();
let interrupted: number = EXIT.interrupted;
for (const [name, code] of [
  ['SIGINT', EXIT.interrupted],
  ['SIGTERM', EXIT.terminated],
  ['SIGHUP', EXIT.hungUp],
] as const) {
  process.on(name, () => {
    // The second one does not wait for what is under way.
    if (interrupt.signal.aborted) process.exit(code);
    interrupted = code;
    interrupt.abort();
  });
}
// The write that failed tells the command; an error that nobody listens to would end the process.
process.stdout.on('error', () => {});
process.stderr.on('error', () => {});

const code = await run(process.argv.slice(2), {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: interrupt.signal,
});
process.exitCode = code === EXIT.interrupted ? interrupted : code;

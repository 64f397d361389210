// Runs a GoogleTest program several times at once, each on its share of the tests. A program of its
// own, so that the stages can wait for it.
//
// Usage: node scripts/ci/shards.mjs COUNT REPORT COMMAND [ARGUMENT]...
//
// Shard n leaves its report in REPORT.n.json. The exit status is the highest of theirs.
import { spawn } from 'node:child_process';

const [count = '', report = '', command = '', ...args] = process.argv.slice(2);

function runShard(shard) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, [...args, `--gtest_output=json:${report}.${shard}.json`], {
      env: { ...process.env, GTEST_TOTAL_SHARDS: count, GTEST_SHARD_INDEX: String(shard) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // Shown when it ended, so that lines of one failure stay together.
    const shown = [];
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (part) => shown.push(part));
    child.on('error', reject);
    child.on('close', (status) => {
      process.stdout.write(Buffer.concat(shown));
      resolve(status ?? 128);
    });
  });
}

const statuses = await Promise.all(Array.from({ length: Number(count) }, (_, n) => runShard(n)));
process.exitCode = Math.max(...statuses);

import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, it } from 'vitest';
import { codeBlocks, printClaims, standalone } from './docs-code.js';
import { mustRun, root, run } from './support.js';

const folder = join(inject('folder'), 'documentation');
const path = inject('path');
const pages = ['README.md', ...readdirSync(join(root, 'docs')).map((file) => `docs/${file}`)];
const blocks = pages
  .filter((file) => file.endsWith('.md'))
  .flatMap((file) => codeBlocks(file, readFileSync(join(root, file), 'utf8'), ['js', 'ts']));
let exportNames: string[];

/** Runs a program in the folder; returns the lines that it prints. */
function print(name: string, program: string): string[] {
  writeFileSync(join(folder, name), program);
  return mustRun('node', [name], { cwd: folder, path }).trimEnd().split('\n');
}

beforeAll(() => {
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}\n');
  symlinkSync(join(inject('consumer'), 'node_modules'), join(folder, 'node_modules'));
  for (const file of ['model.onnx', 'requests.jsonl']) {
    cpSync(join(root, 'examples/movielens', file), join(folder, 'examples/movielens', file), {
      recursive: true,
    });
  }
  const list = 'import * as g from "gyrfalcon"; console.log(JSON.stringify(Object.keys(g)));';
  exportNames = JSON.parse(print('exports.mjs', list)[0]!) as string[];
});

describe('the README', () => {
  const [example, ...others] = blocks.filter(
    ({ name, language }) => name.startsWith('README.md') && language === 'js',
  );

  it('has one example, which runs as it is in a folder with the installed package', () => {
    expect(others).toEqual([]);
    const lines = print('try.mjs', example!.code);
    const training = JSON.parse(
      readFileSync(join(root, 'examples/movielens/requests.jsonl'), 'utf8').split('\n', 1)[0]!,
    ) as { label: number };
    expect(lines).toHaveLength(1);
    const [, score, label] = /^(\d\.\d+) label ([01])$/.exec(lines[0]!) ?? [];
    expect(Number(score)).toBeGreaterThan(0);
    expect(Number(score)).toBeLessThan(1);
    expect(Number(label)).toBe(training.label);
    // The command scores the same row of the same bundle.
    const gyrfalcon = ['node_modules/.bin/gyrfalcon', 'score', 'build/try', '--ignore-extra'];
    const requests = ['--input', 'examples/movielens/requests.jsonl'];
    const scored = mustRun('node', [...gyrfalcon, ...requests], { cwd: folder, path });
    const first = JSON.parse(scored.split('\n', 1)[0]!) as { score: number };
    expect(first.score).toBeCloseTo(Number(score), 5);
  });
});

describe('code in the documentation', () => {
  it('gives the arrays that its comments claim', () => {
    const claiming = blocks.filter(({ code }) => /; \/\/ \[\d/.test(code));
    let claims = 0;
    for (const [i, block] of claiming.entries()) {
      if (block.name.startsWith('README.md')) continue;
      const program = printClaims(standalone(block, exportNames, false));
      for (const line of print(`claims-${i}.mjs`, program)) {
        const { found, claimed } = JSON.parse(line) as { found: number[]; claimed: number[] };
        expect(found, block.name).toEqual(claimed);
        claims += 1;
      }
    }
    expect(claims).toBeGreaterThan(0);
  });

  it('passes the type check against the installed types', () => {
    const files = blocks.map((block, i) => {
      const file = `block-${i}.${block.language === 'ts' ? 'mts' : 'mjs'}`;
      const code = standalone(block, exportNames, block.language === 'ts');
      writeFileSync(join(folder, file), `// ${block.name}\n${code}`);
      return file;
    });
    const options = [
      ...['--strict', '--noEmit', '--allowJs', '--checkJs', '--exactOptionalPropertyTypes'],
      ...['--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023,esnext.disposable'],
      ...['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')],
    ];
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const { status, stdout } = run(process.execPath, [tsc, ...options, ...files], { cwd: folder });
    expect(stdout).toBe('');
    expect(status).toBe(0);
  });

  it('is refused by that check when it misuses the package', () => {
    const wrong =
      "import { loadModel } from 'gyrfalcon';\nawait loadModel('x', { threads: 'two' });\n";
    writeFileSync(join(folder, 'wrong.mts'), wrong);
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2022'];
    const types = ['--types', 'node', '--typeRoots', join(root, 'node_modules/@types')];
    const { stdout } = run(process.execPath, [tsc, ...options, ...types, 'wrong.mts'], {
      cwd: folder,
    });
    expect(stdout).toContain("Type 'string' is not assignable to type 'number'");
  });
});

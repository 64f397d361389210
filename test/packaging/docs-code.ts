/** Code of the documentation, made into programs of its own. */

export interface CodeBlock {
  /** `README.md, line 24` */
  readonly name: string;
  readonly language: string;
  readonly code: string;
}

/** The fenced blocks of `text` in one of `languages`. */
export function codeBlocks(file: string, text: string, languages: readonly string[]): CodeBlock[] {
  return [...text.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .map(({ 1: language, 2: code, index }) => ({
      name: `${file}, line ${text.slice(0, index).split('\n').length}`,
      language: language as string,
      code: code as string,
    }))
    .filter(({ language }) => languages.includes(language));
}

/** What a page has introduced before its later blocks use it. */
const CONTEXT: Readonly<Record<string, string>> = {
  model: 'Model',
  batch: 'Batch',
  signal: 'AbortSignal',
};

/**
 * A block that stands alone: exports that it uses without importing them are imported. With
 * `context`, variables that the page explained before are declared.
 */
export function standalone(
  { code }: CodeBlock,
  exportNames: readonly string[],
  context: boolean,
): string {
  const statements = code.replaceAll(/\/\/.*$/gm, '');
  const uses = (name: string): boolean => new RegExp(`(?<![.\\w$'])${name}\\b`).test(statements);
  const declares = (name: string): boolean =>
    new RegExp(`(const|let) (${name}\\b|\\{[^}]*\\b${name}\\b)|import [^;]*\\b${name}\\b`).test(
      code,
    );
  const missing = exportNames.filter((name) => uses(name) && !declares(name));
  const lines = [
    ...(missing.length === 0 ? [] : [`import { ${missing.join(', ')} } from 'gyrfalcon';`]),
  ];
  if (context) {
    for (const [name, type] of Object.entries(CONTEXT)) {
      if (!uses(name) || declares(name)) continue;
      const declared = type === 'AbortSignal' ? type : `import('gyrfalcon').${type}`;
      lines.push(`declare const ${name}: ${declared};`);
    }
  }
  return `${[...lines, code].join('\n')}\nexport {};\n`;
}

/** Turns `expression; // [1, 2]: words` into a line that prints both arrays. */
export function printClaims(program: string): string {
  return program.replace(
    /^(.+); \/\/ (\[[-\d., ]*\]).*$/gm,
    'console.log(JSON.stringify({ found: Array.from($1), claimed: $2 }));',
  );
}

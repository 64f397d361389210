/**
 * Packs the package with a prebuilt addon and installs it in an empty folder, once for all tests:
 * prebuildify compiles everything native.
 */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';

import {
  barePath,
  cachedCompilers,
  mustRun,
  npmCli,
  root,
  stagePackage,
  temporaryFolder,
} from './support.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** For files of the tests' own. */
    folder: string;
    /** What was packed. */
    stage: string;
    tarball: string;
    /** Where the package is installed, with its peer and a program that uses it. */
    consumer: string;
    /** A PATH with no compiler within reach. */
    path: string;
  }
}

export default function setup({ provide }: TestProject): () => void {
  const folder = temporaryFolder();
  try {
    const path = barePath(folder.path);
    const stage = stagePackage(folder.path);
    // prebuildify runs node-gyp over binding.gyp.
    mustRun(process.execPath, ['scripts/prebuild.mjs', `--out=${stage}`], {
      cwd: root,
      env: cachedCompilers(),
    });
    const packed = mustRun(process.execPath, [npmCli(), 'pack', '--json', '--silent'], {
      cwd: stage,
    });
    const [entry] = JSON.parse(packed) as { filename: string }[];
    const tarball = join(stage, entry!.filename);
    const consumer = join(folder.path, 'consumer');
    mkdirSync(consumer);
    writeFileSync(join(consumer, 'package.json'), '{"name":"consumer","version":"1.0.0"}\n');
    cpSync(join(root, 'test/packaging/consumer/score.mjs'), join(consumer, 'score.mjs'));
    cpSync(join(root, 'test/models/dlrm-separate.torchscript.onnx'), join(consumer, 'model.onnx'));
    mustRun('node', [npmCli(), 'install', tarball, 'onnxruntime-node@1.30'], {
      cwd: consumer,
      path,
    });
    for (const [name, value] of Object.entries({ stage, tarball, consumer, path })) {
      provide(name as 'stage', value);
    }
    provide('folder', folder.path);
  } catch (error) {
    folder.dispose();
    throw error;
  }
  return folder.dispose;
}

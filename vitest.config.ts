import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

import { defineConfig } from 'vitest/config';

// TypeScript that never loads the addon: sanitizers have nothing to see in it, and leave it out.
const withoutAddon = [
  'test/attacks/onnx*.test.ts',
  'test/unit/import/{analyze,lower,onnx,safetensors}*.test.ts',
];

export default defineConfig({
  test: {
    // One process per file: a native crash is charged to the file that caused it.
    pool: 'forks',
    // vitest leaves one core free; on a machine with two that is half of it.
    maxWorkers: availableParallelism(),
    testTimeout: 60_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: 'all',
          include: ['test/**/*.test.ts'],
          // Packaging has a configuration of its own: it builds, packs and installs.
          exclude: [
            'test/packaging/**',
            'test/copied/**',
            'test/bench/**',
            'test/cuda/**',
            ...(process.env['GYRFALCON_TEST_ADDON'] === 'only' ? withoutAddon : []),
          ],
        },
      },
      {
        // Of the benchmarks, not of what ships: not run under sanitizers.
        extends: true,
        test: { name: 'bench', include: ['test/bench/**/*.test.ts'] },
      },
      {
        extends: true,
        test: {
          name: 'cuda',
          include: [
            'test/cuda/**/*.test.ts',
            // Once more, on the simulated device.
            'test/unit/{embedding-table,model-requests}.test.ts',
          ],
          env: {
            GYRFALCON_TEST_DEVICE: 'cuda:0',
            GYRFALCON_CUDA_DRIVER: fileURLToPath(
              new URL('build/cusim/libcuda.so.1', import.meta.url),
            ),
            // There from the start: tests change them while other threads read the environment.
            CUSIM_FAIL: '',
            CUSIM_LIMIT: '',
          },
        },
      },
      {
        // Batches once more as in runtimes that forbid buffers over native memory.
        extends: true,
        test: {
          name: 'copied',
          include: [
            'test/copied/*.test.ts',
            'test/unit/{async-batches,batch-memory,hostile-sequences,hostile-values,model-requests}.test.ts',
          ],
          env: { GYRFALCON_EXTERNAL_BUFFERS: 'off' },
        },
      },
    ],
  },
});

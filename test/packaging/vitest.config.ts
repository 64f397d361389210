import { availableParallelism } from 'node:os';

import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/packaging/**/*.test.ts'],
    globalSetup: ['test/packaging/global-setup.ts'],
    pool: 'forks',
    maxWorkers: availableParallelism(),
    // These build, pack and install.
    testTimeout: 600_000,
    hookTimeout: 600_000,
  },
});

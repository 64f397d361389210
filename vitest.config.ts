import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Packaging has a configuration of its own: it builds, packs and installs.
    exclude: ['test/packaging/**'],
    // One process per file: a native crash is charged to the file that caused it.
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});

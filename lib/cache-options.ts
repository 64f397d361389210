import { CPU } from './device.js';
import { type CacheOptions, integer, invalid, record } from './options.js';

/** The addon's cacheRows and cacheBytes; 0 and 0 for no cache. @throws INVALID_ARGUMENT */
export function cacheSize(given: CacheOptions | undefined, device: number): [number, number] {
  const { cacheRows, cacheBytes } = given ?? {};
  if (cacheRows === undefined && cacheBytes === undefined) return [0, 0];
  if (device === CPU) throw invalid('a CUDA device for a row cache', 'cpu');
  if (cacheRows !== undefined && cacheBytes !== undefined) {
    throw invalid('either cacheRows or cacheBytes', 'both');
  }
  return [
    cacheRows === undefined ? 0 : integer(cacheRows, 1, 2 ** 31, 'cacheRows'),
    cacheBytes === undefined ? 0 : integer(cacheBytes, 1, 2 ** 50, 'cacheBytes'),
  ];
}

/** By table: [name, rows, bytes], one of the two 0. @throws INVALID_ARGUMENT */
export function cacheSizes(given: unknown, device: number): [string, number, number][] {
  const caches = record(given as Record<string, CacheOptions> | undefined, 'caches') ?? {};
  return Object.entries(caches).map(([table, each]) => {
    const [rows, bytes] = cacheSize(record(each, `the cache of ${table}`), device);
    if (rows === 0 && bytes === 0) throw invalid(`cacheRows or cacheBytes of ${table}`, each);
    return [table, rows, bytes];
  });
}

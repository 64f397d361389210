/** Which storage each table gets, from what the caller asked for. */
import { GyrfalconError } from '../errors.js';
import type { LoweredTable } from './lowered.js';
import type { StorageName } from './manifest.js';
import { defaultStorage, isStorageName, STORAGE_NAMES } from './storage.js';

/** One storage for all tables, or table name → storage; the key `*` stands for all others. */
export type TableDtypes = StorageName | Readonly<Record<string, StorageName>>;

/** The key that stands for every table that is not named. */
export const OTHER_TABLES = '*';

/** @throws INVALID_ARGUMENT for an unknown table or storage */
export function chooseStorage(
  tables: readonly LoweredTable[],
  wanted: TableDtypes | undefined,
): Map<string, StorageName> {
  const byName = new Map<string, unknown>(
    wanted === undefined
      ? []
      : typeof wanted === 'string'
        ? [[OTHER_TABLES, wanted]]
        : Object.entries(wanted),
  );
  const known = new Set(tables.map((table) => table.name));
  for (const [name, storage] of byName) {
    if (!isStorageName(storage)) {
      throw new GyrfalconError(
        'INVALID_ARGUMENT',
        `expected ${STORAGE_NAMES.join(', ')} for tableDtype but received ${String(storage)}`,
      );
    }
    if (name !== OTHER_TABLES && !known.has(name)) {
      const names = known.size === 0 ? 'no table left the graph' : [...known].join(', ');
      throw new GyrfalconError(
        'INVALID_ARGUMENT',
        `expected the name of a table (${names}) in tableDtype but received ${JSON.stringify(name)}`,
      );
    }
  }
  const chosen = new Map<string, StorageName>();
  for (const { name, tensor } of tables) {
    const storage = byName.get(name) ?? byName.get(OTHER_TABLES);
    chosen.set(name, (storage as StorageName | undefined) ?? defaultStorage(tensor.dataType));
  }
  return chosen;
}

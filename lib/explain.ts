import type { StorageName } from './import/manifest.js';
import type { NativeModel, NativeModelInfo } from './native.js';

/** Where everything of a loaded model lies and runs, and why there. */
export interface Explanation {
  readonly tables: readonly {
    readonly name: string;
    readonly rows: number;
    readonly dim: number;
    readonly storage: StorageName;
    /** 'cpu' or 'cuda:N'. */
    readonly device: string;
    /**
     * Copied into this machine's memory, a mapped file, the device's memory, or pinned memory of this
     * machine with a row cache in the device's.
     */
    readonly memory: 'copied' | 'mapped' | 'device' | 'cached';
    /** On `device`: on a CUDA device rows are padded to 16 bytes. */
    readonly bytes: number;
  }[];
  readonly lookup: {
    readonly device: string;
    /** Of the kernels: an instruction set, or the device's compute capability. */
    readonly kernels: string;
    /** That one score may use; 1 on a CUDA device. */
    readonly threads: number;
    readonly why: string;
  };
  readonly dense: {
    readonly device: 'cpu';
    readonly engine: string;
    readonly version: string;
    readonly precision: 'f32' | 'bf16' | 'int8';
    readonly why: string;
  };
  /** Memory of batches, and what happens to ids in it. */
  readonly batch: {
    readonly memory: 'pinned' | 'heap';
    readonly ids: string;
  };
  /** Of the CUDA device in use: its model, and what this process has on it and pinned for it. */
  readonly cuda?: {
    readonly model: string;
    readonly computeCapability: string;
    readonly deviceBytes: number;
    readonly pinnedBytes: number;
  };
}

/** What the caller asked for. */
export interface Asked {
  readonly device: string;
  readonly engine: string;
}

export function explain(model: NativeModel, info: NativeModelInfo, asked: Asked): Explanation {
  const found = model.explain();
  const onCuda = found.device !== undefined;
  const tables = info.tables.map(({ name, rows, dim, storage, bytes }, i) => {
    const { mapped = false, cached = false, deviceBytes = 0 } = found.tables[i] ?? {};
    const memory = cached ? 'cached' : onCuda ? 'device' : mapped ? 'mapped' : 'copied';
    return {
      name,
      rows,
      dim,
      storage,
      device: info.device,
      memory,
      bytes: onCuda ? deviceBytes : bytes,
    } as const;
  });
  return {
    tables,
    lookup: {
      device: info.device,
      kernels: found.device === undefined ? info.isa : `sm ${found.device.computeCapability}`,
      threads: onCuda ? 1 : found.threads,
      why: whyLookup(asked.device, onCuda),
    },
    dense: {
      device: 'cpu',
      engine: info.engine,
      version: info.engineVersion,
      precision: info.precision,
      why: whyDense(asked.engine, info.engine, onCuda),
    },
    batch: { memory: onCuda ? 'pinned' : 'heap', ids: whatOfIds(found.computedIds, onCuda) },
    ...(found.device === undefined ? {} : { cuda: found.device }),
  };
}

function whyLookup(asked: string, onCuda: boolean): string {
  if (onCuda) return `device '${asked}' was asked for; a score's lookups are one graph launch`;
  return asked === 'cpu'
    ? "device 'cpu' was asked for"
    : "'auto' is the CPU as long as the dense network runs there: it would wait for rows that come over the bus";
}

function whyDense(asked: string, engine: string, onCuda: boolean): string {
  const which =
    asked === engine
      ? `engine '${asked}' was asked for`
      : engine === 'fused'
        ? 'the bundle is lowered for the fused engine'
        : 'the dense network has operators that the fused engine does not cover';
  return onCuda
    ? `${which}; no engine of this build runs on CUDA, so it reads the rows from pinned memory`
    : which;
}

function whatOfIds(computed: boolean, onCuda: boolean): string {
  const read = onCuda
    ? 'read by the device: few in place over the bus, 16 KiB and more copied first'
    : 'read in place';
  return computed ? `computed on the CPU before the lookup where the model says so; ${read}` : read;
}

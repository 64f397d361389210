/**
 * The inner half of a side that runs in Node: takes commands, prepares requests, times calls. The
 * clock runs around the call alone; the request is in its buffers before.
 */
import { readFrames, writeFrame } from './frames.js';

export interface LoadCommand {
  readonly kind: 'model' | 'bag';
  readonly threads: number;
  /** Directory of model, data and spec. */
  readonly model?: string;
  readonly bundle?: string;
  readonly file?: string;
  readonly storage?: string;
  readonly dim?: number;
  readonly rows?: number;
  readonly rowBytes?: number;
  readonly dataOffset?: number;
  readonly hotness?: number;
  /** The file is mapped, not copied. */
  readonly inPlace?: boolean;
  readonly engine?: string;
  readonly precision?: string;
}

export interface SideRing {
  readonly batch: number;
  readonly count: number;
  readonly dense: Float32Array;
  readonly denseWidth: number;
  readonly ids: Int32Array;
  readonly idWidth: number;
}

export interface SideModel {
  /** What there is to know about how it runs: versions, settings, engine. */
  readonly details: Record<string, unknown>;
  /** Buffers for requests of this shape. */
  shape(ring: SideRing): void;
  /** Copies request `index` into the buffers. */
  prepare(ring: SideRing, index: number): void;
  /** What is timed. */
  run(): Promise<unknown> | undefined;
  /** Of the last run. */
  output(): Float32Array;
  /** Nanoseconds of the last run's stages, where they are known. */
  stages?(): { lookup: number; engine: number };
}

const WARM_UP_CALLS = 3;

export async function serve(load: (command: LoadCommand) => Promise<SideModel>): Promise<void> {
  let model: SideModel | undefined;
  let ring: SideRing | undefined;
  let at = 0;
  for await (const { header, payload } of readFrames(process.stdin)) {
    try {
      switch (header['command']) {
        case 'load':
          model = await load(header as unknown as LoadCommand);
          writeFrame(process.stdout, { ok: true, details: model.details });
          break;
        case 'ring':
          ring = readRing(header, payload);
          at = 0;
          loaded(model).shape(ring);
          writeFrame(process.stdout, { ok: true });
          break;
        case 'outputs': {
          const parts: Float32Array[] = [];
          for (let i = 0; i < Number(header['count']); i++) {
            loaded(model).prepare(given(ring), i);
            await loaded(model).run();
            parts.push(loaded(model).output().slice());
          }
          writeFrame(process.stdout, { ok: true }, parts);
          break;
        }
        case 'sweep':
          for (let i = 0; i < given(ring).count; i++) {
            loaded(model).prepare(given(ring), i);
            await loaded(model).run();
          }
          writeFrame(process.stdout, { ok: true });
          break;
        case 'measure': {
          const result = await measure(loaded(model), given(ring), at, Number(header['ms']));
          at = result.at;
          const { samples, stages } = result;
          writeFrame(process.stdout, { ok: true, ...(stages === undefined ? {} : { stages }) }, [
            samples,
          ]);
          break;
        }
        default:
          throw new Error(`unknown command ${String(header['command'])}`);
      }
    } catch (error) {
      writeFrame(process.stdout, { ok: false, error: String((error as Error).message ?? error) });
    }
  }
}

function loaded(model: SideModel | undefined): SideModel {
  if (model === undefined) throw new Error('expected a loaded model');
  return model;
}

function given(ring: SideRing | undefined): SideRing {
  if (ring === undefined) throw new Error('expected requests');
  return ring;
}

function readRing(header: Record<string, unknown>, payload: Buffer): SideRing {
  const number = (key: string): number => Number(header[key]);
  const [batch, count] = [number('batch'), number('count')];
  const [denseWidth, idWidth] = [number('denseWidth'), number('idWidth')];
  const bytes = payload.buffer.slice(payload.byteOffset, payload.byteOffset + payload.byteLength);
  const dense = new Float32Array(bytes, 0, batch * count * denseWidth);
  const ids = new Int32Array(bytes, dense.byteLength, batch * count * idWidth);
  return { batch, count, dense, denseWidth, ids, idWidth };
}

async function measure(model: SideModel, ring: SideRing, from: number, ms: number) {
  const samples: number[] = [];
  const lookup: number[] = [];
  const engine: number[] = [];
  let at = from;
  const next = (): void => {
    model.prepare(ring, at);
    at = (at + 1) % ring.count;
  };
  for (let i = 0; i < WARM_UP_CALLS; i++) {
    next();
    await model.run();
  }
  const end = performance.now() + ms;
  do {
    next();
    const start = performance.now();
    const pending = model.run();
    if (pending !== undefined) await pending;
    samples.push((performance.now() - start) * 1e6);
    const stages = model.stages?.();
    if (stages !== undefined) {
      lookup.push(stages.lookup);
      engine.push(stages.engine);
    }
  } while (performance.now() < end);
  const stages =
    lookup.length === 0 ? undefined : { lookup: middle(lookup), engine: middle(engine) };
  return { samples: Float64Array.from(samples), stages, at };
}

function middle(values: number[]): number {
  return Float64Array.from(values).sort()[values.length >> 1] ?? 0;
}

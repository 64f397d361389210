/** Who is measured, and what installs them. */
import { fileURLToPath } from 'node:url';
import { Child } from './child.js';

export interface Peer {
  readonly name: string;
  readonly about: string;
  /** A Node entry beside this file, or a Python module with a variant. */
  readonly entry: { readonly node: string } | { readonly python: string };
  readonly install: string;
  readonly models: boolean;
  /** Whether it maps the tables' file, so that the first touch of a page is a fault. */
  readonly maps?: boolean;
  /** Storages of single tables that it can look up. */
  readonly bags: readonly string[];
}

const TORCH = 'pip install torch --index-url https://download.pytorch.org/whl/cpu';

export const PEERS: readonly Peer[] = [
  {
    name: 'onnxruntime-node',
    about: 'the whole graph, preallocated inputs and outputs',
    entry: { node: 'side-onnxruntime.js' },
    install: 'npm install onnxruntime-node',
    models: true,
    maps: true,
    bags: [],
  },
  {
    name: 'onnxruntime-python',
    about: 'the whole graph, IO binding, tables on huge pages',
    entry: { python: 'side_onnxruntime' },
    install: 'pip install onnxruntime numpy',
    models: true,
    bags: [],
  },
  {
    name: 'torch',
    about: 'eager, embedding_bag on an id matrix; quantised bag operators; tables on huge pages',
    entry: { python: 'side_torch' },
    install: TORCH,
    models: true,
    bags: ['f32', 'int8', 'int4'],
  },
  {
    name: 'torch-compile',
    about: 'torch.compile, static shapes, tables on huge pages',
    entry: { python: 'side_torch:compile' },
    install: `${TORCH}, and a C++ compiler`,
    models: true,
    bags: [],
  },
  {
    name: 'tensorflow',
    about: 'embedding_lookup_sparse in a tf.function',
    entry: { python: 'side_tensorflow' },
    install: 'pip install tensorflow-cpu',
    models: false,
    bags: ['f32'],
  },
];

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url));
/** Python sources stay where they are: this file runs from build/bench/bench/peers. */
const sources = here('../../../../bench/peers/python/serve.py');

/** As many threads as cores. */
export function startPeer(peer: Peer, cores: readonly number[], python: string): Child {
  if ('node' in peer.entry) return startNode(peer.entry.node, cores);
  const threads = cores.length;
  return new Child(python, ['-u', sources, peer.entry.python], cores, {
    OMP_NUM_THREADS: String(threads),
    MKL_NUM_THREADS: String(threads),
    PYTHONDONTWRITEBYTECODE: '1',
    // Compiled kernels are cached between processes by default, those of other models too.
    TORCHINDUCTOR_FX_GRAPH_CACHE: '1',
  });
}

export function startOurs(cores: readonly number[]): Child {
  return startNode('side-gyrfalcon.js', cores);
}

function startNode(entry: string, cores: readonly number[]): Child {
  return new Child(process.execPath, ['--max-semi-space-size=16', here(entry)], cores, {});
}

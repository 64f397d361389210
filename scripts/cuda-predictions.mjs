// What lookups should take on GPUs that nobody here has: `npm run cuda:predict`. The model and its
// assumptions are in docs/cuda.md; nothing in it was measured.

/** Bandwidth of the memory and of the bus, in bytes a second. */
const DEVICES = [
  { name: 'H100', memory: 3.35e12, bus: 25e9 },
  { name: 'A100', memory: 2.04e12, bus: 25e9 },
  { name: 'L4', memory: 0.3e12, bus: 25e9 },
  { name: 'T4', memory: 0.32e12, bus: 12e9 },
];
const F32_ROWS_UNDER_WAY = 8;
const INT8_ROWS_UNDER_WAY = 4;
/** `rowBytes` on the device, in whole sectors of 32. */
const WORK = [
  {
    name: '512 bags of 20 ids, f32, dim 64',
    bags: 512,
    hotness: 20,
    dim: 64,
    rowBytes: 256,
    underWay: F32_ROWS_UNDER_WAY,
  },
  {
    name: '512 bags of 20 ids, int8, dim 64',
    bags: 512,
    hotness: 20,
    dim: 64,
    rowBytes: 96,
    underWay: INT8_ROWS_UNDER_WAY,
  },
  {
    name: '512 rows of 26 tables, one id each, f32, dim 16',
    bags: 512 * 26,
    hotness: 1,
    dim: 16,
    rowBytes: 64,
    underWay: F32_ROWS_UNDER_WAY,
  },
  {
    name: '65,536 bags of 20 ids, f32, dim 64',
    bags: 65536,
    hotness: 20,
    dim: 64,
    rowBytes: 256,
    underWay: F32_ROWS_UNDER_WAY,
  },
  {
    name: '52,429 bags of 20 ids, f32, dim 128',
    bags: 52429,
    hotness: 20,
    dim: 128,
    rowBytes: 512,
    underWay: F32_ROWS_UNDER_WAY,
  },
];
const ID_BYTES = 4;
const REACHED = 0.75; // of the memory's bandwidth
const LATENCY = 0.7e-6; // of a read
const LAUNCH = 4e-6; // of a graph, with the word that says that it is done
const COPY = 5e-6; // to begin one
const MAPPED_BYTES = 16384; // ids up to here are read over the bus, in place

/** Seconds of the kernel with results on the device, and of a request whose results the CPU reads. */
function predict({ bags, hotness, dim, rowBytes, underWay }, { memory, bus }) {
  const ids = bags * hotness;
  const results = bags * dim * 4;
  const read = (ids * (rowBytes + ID_BYTES)) / (REACHED * memory);
  const write = results / (REACHED * memory);
  const latency = LATENCY * (1 + Math.ceil(hotness / underWay));
  const copy = ids * ID_BYTES < MAPPED_BYTES ? 0 : COPY + (ids * ID_BYTES) / bus;
  return {
    kernel: Math.max(read + write, latency),
    request: LAUNCH + copy + Math.max(read, latency, results / bus),
  };
}

const micros = (seconds) =>
  seconds < 1e-5 ? (seconds * 1e6).toFixed(1) : String(Math.round(seconds * 1e6));
const row = (cells) => console.log(`| ${cells.join(' | ')} |`);
row(['kernel / request, us, predicted', ...DEVICES.map(({ name }) => name)]);
row(Array(DEVICES.length + 1).fill('---'));
for (const work of WORK) {
  const cells = DEVICES.map((device) => {
    const { kernel, request } = predict(work, device);
    return `${micros(kernel)} / ${micros(request)}`;
  });
  row([work.name, ...cells]);
}

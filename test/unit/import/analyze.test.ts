import { describe, expect, it } from 'vitest';

import { analyze } from '../../../lib/import/analyze/index.js';
import type { OnnxFunction, OnnxModel, OnnxNode } from '../../../lib/import/onnx/types.js';
import { floats, graph, ids, info, int64s, model, node, real } from './analyze-graphs.js';
import { runLowered } from './analyze-support.js';
import { type Feeds, random } from './fixture-feeds.js';

const N = 12;
const D = 3;
const table = floats('table', [N, D]);
const axis1 = int64s('axis1', [1], [1]);
const last = int64s('last', [1], [-1]);
const zero = int64s('zero', [], [0]);

/** One input of ids, nodes that make `rows`, and a Relu that the dense graph keeps. */
function historyModel(
  nodes: OnnxNode[],
  more: { length?: number | string; outputs?: number } = {},
): OnnxModel {
  return model({
    inputs: [ids('hist', 'batch', more.length ?? 4), real('w', 'batch', more.length ?? 4)],
    outputs: [real('score', 'batch', D)],
    constants: [
      table,
      axis1,
      last,
      zero,
      floats('one', [], [1]),
      floats('tiny', [], [1e-8]),
      floats('four', [], [4]),
    ],
    nodes: [...nodes, node('score = Relu(rows)')],
  });
}

const lookup = node('e = Gather(table, hist)');
const mask = [
  node('eq = Equal(hist, zero)'),
  node('ne = Not(eq)'),
  node('m = Cast(ne)', { to: 1n }),
];
const masked = [lookup, ...mask, node('m3 = Unsqueeze(m, last)'), node('em = Mul(e, m3)')];
const total = node('sum = ReduceSum(em, axis1)', { keepdims: 0n });
const count = node('count = ReduceSum(m, axis1)', { keepdims: 1n });

const whole = {
  table: 'table',
  input: 'hist',
  start: 0,
  step: 1,
  count: 4,
  slot: 'lookup_0',
  offset: 0,
};

describe('pooling', () => {
  it.each([
    ['ReduceSum', 'sum'],
    ['ReduceMean', 'mean'],
  ])('%s over the ids is a %s', (op, pooling) => {
    const found = analyze(historyModel([lookup, node(`rows = ${op}(e, axis1)`, { keepdims: 0n })]));
    expect(found.bags).toEqual([{ ...whole, pooling }]);
    expect(found.slots).toEqual([{ name: 'lookup_0', shape: ['batch', D] }]);
    expect(found.denseInputs).toEqual(['lookup_0']);
    expect(found.dense.graph.initializers.has('table')).toBe(false);
  });

  it('takes axes from an attribute too', () => {
    const nodes = [lookup, node('rows = ReduceMean(e)', { axes: [-2], keepdims: 0n })];
    expect(analyze({ ...historyModel(nodes), opsets: new Map([['', 12]]) }).bags).toEqual([
      { ...whole, pooling: 'mean' },
    ]);
  });

  it('makes a mask by a padding id the bag padding', () => {
    const found = analyze(historyModel([...masked, { ...total, outputs: ['rows'] }]));
    expect(found.bags).toEqual([{ ...whole, pooling: 'sum', padding: 0 }]);
  });

  it.each([
    ['clamped', [node('safe = Max(count, one)')]],
    ['clipped', [node('safe = Clip(count, one)')]],
    ['raised a little', [node('safe = Add(count, tiny)')]],
    [
      'replaced where it is 0',
      [node('none = Equal(count, zerof)'), node('safe = Where(none, one, count)')],
    ],
  ])('makes a masked sum over a count that is %s a mean', (_, repair) => {
    const base = historyModel([...masked, total, count, ...repair, node('rows = Div(sum, safe)')]);
    base.graph.initializers.set('zerof', floats('zerof', [], [0]));
    expect(analyze(base).bags).toEqual([{ ...whole, pooling: 'mean', padding: 0 }]);
  });

  it('leaves a division by a count that may be 0 in the dense graph', () => {
    const found = analyze(historyModel([...masked, total, count, node('rows = Div(sum, count)')]));
    expect(found.bags).toEqual([{ ...whole, pooling: 'sum', padding: 0 }]);
    expect(found.dense.graph.nodes.map(({ opType }) => opType)).toContain('Div');
    expect(found.denseInputs).toEqual(['lookup_0', 'hist']);
  });

  it('does not take a count of other ids for its own', () => {
    const nodes = [
      ...masked,
      total,
      node('three = Slice(m, zero1, three1, axis1)'),
      node('count = ReduceSum(three, axis1)', { keepdims: 1n }),
      node('safe = Max(count, one)'),
      node('rows = Div(sum, safe)'),
    ];
    const base = historyModel(nodes);
    base.graph.initializers.set('zero1', int64s('zero1', [1], [0]));
    base.graph.initializers.set('three1', int64s('three1', [1], [3]));
    expect(analyze(base).bags).toEqual([{ ...whole, pooling: 'sum', padding: 0 }]);
  });

  it('divides a sum by its length, or by another number in the dense graph', () => {
    const by = (name: string): string =>
      analyze(
        historyModel([
          lookup,
          node('sum = ReduceSum(e, axis1)', { keepdims: 0n }),
          node(`rows = Div(sum, ${name})`),
        ]),
      )
        .bags.map(({ pooling }) => pooling)
        .join();
    expect(by('four')).toBe('mean');
    expect(by('tiny')).toBe('sum');
  });

  it('makes a float input that scales the rows the bag weights', () => {
    const weigh = [lookup, node('w3 = Unsqueeze(w, last)'), node('ew = Mul(w3, e)')];
    const found = analyze(
      historyModel([...weigh, node('rows = ReduceSum(ew, axis1)', { keepdims: 0n })]),
    );
    expect(found.bags).toEqual([
      { ...whole, pooling: 'sum', weights: { input: 'w', start: 0, step: 1 } },
    ]);
    expect(found.inputs).toContainEqual({
      name: 'w',
      kind: 'tensor',
      dtype: 'f32',
      shape: ['batch', 4],
    });
    expect(found.denseInputs).toEqual(['lookup_0']);
  });

  it('reads MatMul and Einsum with a mask as sums', () => {
    const byMatMul = [
      lookup,
      ...mask,
      node('m2 = Unsqueeze(m, axis1)'),
      node('p = MatMul(m2, e)'),
      node('rows = Squeeze(p, axis1)'),
    ];
    const byEinsum = [lookup, ...mask, node('rows = Einsum(e, m)', { equation: 'bld,bl->bd' })];
    for (const nodes of [byMatMul, byEinsum]) {
      expect(analyze(historyModel(nodes)).bags).toEqual([{ ...whole, pooling: 'sum', padding: 0 }]);
    }
  });

  it('counts along a free dimension', () => {
    const found = analyze(
      historyModel([lookup, node('rows = ReduceSum(e, axis1)', { keepdims: 0n })], {
        length: 'length',
      }),
    );
    expect(found.bags).toEqual([{ ...whole, count: 'length', pooling: 'sum' }]);
    expect(found.symbols).toEqual({ length: null });
  });

  it('fixes a free dimension that the options name', () => {
    const base = historyModel([lookup, node('rows = ReduceSum(e, axis1)', { keepdims: 0n })], {
      length: 'length',
    });
    const found = analyze(base, { dims: { length: 5 } });
    expect(found.bags).toEqual([{ ...whole, count: 5, pooling: 'sum' }]);
    expect(found.symbols).toEqual({});
    expect(() => analyze(base, { dims: { width: 5 } })).toThrowError(
      expect.objectContaining({ code: 'INVALID_ARGUMENT' }),
    );
  });

  it('leaves a maximum to the dense graph, and says so', () => {
    const found = analyze(
      historyModel([lookup, node('rows = ReduceMax(e, axis1)', { keepdims: 0n })]),
    );
    expect(found.bags).toEqual([{ ...whole, pooling: 'none' }]);
    expect(found.slots).toEqual([{ name: 'lookup_0', shape: ['batch', 4, D] }]);
    expect(found.report).toEqual([
      {
        level: 'info',
        text: "rows of table 'table' for input 'hist' are not pooled: ReduceMax 'rows' uses them one by one",
      },
    ]);
  });
});

describe('ids', () => {
  const columns = (nodes: OnnxNode[], more: Parameters<typeof floats>[] = []): OnnxModel =>
    model({
      inputs: [ids('x', 'N', 3)],
      outputs: [real('score', 'N', D)],
      constants: [
        table,
        axis1,
        zero,
        int64s('two', [], [-1]),
        int64s('shift', [1, 3], [0, 4, 8]),
        ...more.map((part) => floats(...part)),
      ],
      nodes,
    });

  it('selects columns, from the end too', () => {
    const found = analyze(
      columns([node('c = Gather(x, two)', { axis: 1n }), node('score = Gather(table, c)')]),
    );
    expect(found.bags).toEqual([
      {
        table: 'table',
        input: 'x',
        pooling: 'none',
        start: 2,
        step: 1,
        count: 1,
        slot: 'lookup_0',
        offset: 0,
      },
    ]);
    expect(found.outputs).toEqual([{ name: 'score', dtype: 'f32', shape: ['batch', D] }]);
  });

  it('moves ids per field', () => {
    const nodes = [
      node('s = Add(shift, x)'),
      node('e = Gather(table, s)'),
      node('score = ReduceMax(e, axis1)', { keepdims: 0n }),
    ];
    expect(analyze(columns(nodes)).bags).toEqual([
      {
        table: 'table',
        input: 'x',
        pooling: 'none',
        start: 0,
        step: 1,
        count: 3,
        add: [0, 4, 8],
        slot: 'lookup_0',
        offset: 0,
      },
    ]);
  });

  it('walks backwards only as single bags', () => {
    const nodes = [
      node('r = Slice(x, two1, far, axis1, two1)'),
      node('e = Gather(table, r)'),
      node('score = ReduceMax(e, axis1)', { keepdims: 0n }),
    ];
    const base = columns(nodes);
    base.graph.initializers.set('two1', int64s('two1', [1], [-1]));
    base.graph.initializers.set('far', int64s('far', [1], [-100]));
    expect(analyze(base).bags.map(({ start, count: n }) => [start, n])).toEqual([
      [2, 1],
      [1, 1],
      [0, 1],
    ]);
  });

  it('writes lookups of one Concat into one slot, with dense values between', () => {
    const found = analyze(
      model({
        inputs: [ids('a', 'batch'), ids('b', 'batch'), real('x', 'batch', 2), ids('c', 'batch')],
        outputs: [real('y', 'batch', 3 * D + 2)],
        constants: [table, floats('other', [5, 2])],
        nodes: [
          node('ea = Gather(table, a)'),
          node('eb = Gather(other, b)'),
          node('ec = Gather(table, c)'),
          node('y = Concat(ea, eb, x, ec)', { axis: 1n }),
        ],
      }),
    );
    expect(found.slots.map(({ shape }) => shape)).toEqual([
      ['batch', D + 2],
      ['batch', D],
    ]);
    expect(found.bags.map(({ table: name, slot, offset }) => [name, slot, offset])).toEqual([
      ['table', 'lookup_0', 0],
      ['other', 'lookup_0', D],
      ['table', 'lookup_1', 0],
    ]);
    expect(found.dense.graph.nodes).toHaveLength(1);
    expect(found.dense.graph.nodes[0]?.inputs).toEqual(['lookup_0', 'x', 'lookup_1']);
  });

  it('looks a row up once for several readers', async () => {
    const base = model({
      inputs: [ids('a', 'batch'), ids('b', 'batch')],
      outputs: [real('y', 'batch', 2 * D), real('z', 'batch', D)],
      constants: [table],
      nodes: [
        node('ea = Gather(table, a)'),
        node('eb = Gather(table, b)'),
        node('all = Concat(ea, eb)', { axis: 1n }),
        node('y = Relu(all)'),
        node('again = Gather(table, b)'),
        node('z = Neg(again)'),
      ],
    });
    const found = analyze(base);
    expect(found.bags).toHaveLength(2);
    expect(found.slots).toHaveLength(1);
    const feeds: Feeds = {
      a: { dtype: 'int64', dims: [2], data: [1, 11] },
      b: { dtype: 'int64', dims: [2], data: [0, 7] },
    };
    const [scores] = await runLowered(found, [{ batch: 2, feeds }]);
    const value = (row: number, d: number): number =>
      Math.fround(Math.sin(row * D + d + 'table'.length) * 2);
    const wanted = [0, 7].flatMap((row) => [0, 1, 2].map((d) => -value(row, d)));
    scores?.['z']?.data.forEach((got, i) => {
      expect(got).toBeCloseTo(wanted[i] as number, 6);
    });
  });

  it('narrows ids to 32 bits, with a Cast where the dense graph reads them too', () => {
    const nodes = [
      lookup,
      node('f = Cast(hist)', { to: 1n }),
      node('s = ReduceSum(f, axis1)', { keepdims: 1n }),
      node('p = ReduceSum(e, axis1)', { keepdims: 0n }),
      node('rows = Add(p, s)'),
    ];
    const narrow = analyze(historyModel(nodes));
    expect(narrow.inputs[0]).toEqual({
      name: 'hist',
      kind: 'tensor',
      dtype: 'i32',
      shape: ['batch', 4],
    });
    expect(narrow.dense.graph.inputs.find(({ name }) => name === 'hist')?.dataType).toBe(6);
    expect(narrow.dense.graph.nodes[0]?.opType).toBe('Cast');
    const wide = analyze(historyModel(nodes), { ids: 'i64' });
    expect(wide.inputs[0]).toMatchObject({ dtype: 'i64' });
    expect(wide.dense.graph.inputs.find(({ name }) => name === 'hist')?.dataType).toBe(7);
  });

  it('keeps a table whose ids have no batch axis', () => {
    const found = analyze(
      model({
        inputs: [real('x', 'batch', D), ids('fixed', 5)],
        outputs: [real('y', 'batch', 5)],
        constants: [table],
        nodes: [
          node('e = Gather(table, fixed)'),
          node('t = Transpose(e)', { perm: [1, 0] }),
          node('y = MatMul(x, t)'),
        ],
      }),
    );
    expect(found.tables).toEqual([]);
    expect(found.report[0]?.text).toContain('its ids have no batch axis');
  });
});

describe('the graph', () => {
  const call = (body: OnnxNode[]): OnnxFunction => ({
    name: 'lookup',
    domain: 'own',
    overload: '',
    inputs: ['w', 'i'],
    outputs: ['o'],
    attributes: ['how'],
    attributeDefaults: new Map(),
    nodes: body,
    opsets: new Map([['', 18]]),
  });
  const withFunction = (body: OnnxNode[]): OnnxModel => ({
    ...model({
      inputs: [ids('a', 'batch'), ids('b', 'batch')],
      outputs: [real('y', 'batch', D)],
      constants: [table],
      nodes: [
        node('p = own.lookup(table, a)', { how: 0n }),
        node('q = own.lookup(table, b)', { how: 0n }),
        node('y = Add(p, q)'),
      ],
    }),
    functions: [call(body)],
  });

  it('inlines functions, with the attributes of each call', () => {
    const gather = node('g = Gather(w, i)');
    gather.attributes.set('axis', { type: 'ref', value: 'how', attributeType: 2 });
    const found = analyze(withFunction([gather, node('o = Identity(g)')]));
    expect(found.bags.map(({ input }) => input)).toEqual(['a', 'b']);
    expect(found.dense.functions).toEqual([]);
    expect(found.dense.graph.nodes.every(({ domain }) => domain === '')).toBe(true);
  });

  it('refuses functions that call themselves', () => {
    expect(() => analyze(withFunction([node('o = own.lookup(w, i)')]))).toThrowError(
      expect.objectContaining({ code: 'ONNX_INVALID' }),
    );
  });

  it('takes the branch of an If on a constant', () => {
    const branch = (line: string): ReturnType<typeof graph> =>
      graph({ inputs: [], outputs: [real('r')], nodes: [node(line)] });
    const found = analyze(
      model({
        inputs: [ids('a', 'batch')],
        outputs: [real('y', 'batch', D)],
        constants: [table, zero],
        nodes: [
          node('c = Equal(zero, zero)'),
          node('e = If(c)', {
            then_branch: branch('r = Gather(table, a)'),
            else_branch: branch('r = Neg(table)'),
          }),
          node('y = Relu(e)'),
        ],
      }),
    );
    expect(found.tables.map(({ name }) => name)).toEqual(['table']);
    expect(found.dense.graph.nodes.map(({ opType }) => opType)).toEqual(['Relu']);
  });

  it('keeps a matrix that is also used as a whole, and takes its lookup out', () => {
    const found = analyze(
      model({
        inputs: [ids('a', 'batch')],
        outputs: [real('y', 'batch', N)],
        constants: [table],
        nodes: [node('e = Gather(table, a)'), node('y = Gemm(e, table)', { transB: 1n })],
      }),
    );
    expect(found.tables.map(({ name }) => name)).toEqual(['table']);
    expect(found.dense.graph.initializers.has('table')).toBe(true);
    expect(found.report).toContainEqual({
      level: 'info',
      text: "table 'table' is in the dense graph too: Gemm 'y' uses the whole matrix",
    });
  });

  it('imports a model without lookups', () => {
    const found = analyze(
      model({
        inputs: [real('x', 'batch', 2)],
        outputs: [real('y', 'batch', 2)],
        nodes: [node('y = Relu(x)')],
      }),
    );
    expect(found).toMatchObject({
      tables: [],
      slots: [],
      bags: [],
      denseInputs: ['x'],
      report: [],
    });
  });

  it('gives outputs that are rows, constants or inputs', async () => {
    const found = analyze(
      model({
        inputs: [ids('a', 'batch'), real('x', 'batch', 2)],
        outputs: [real('e', 'batch', D), real('k', 2), real('same', 'batch', 2)],
        constants: [table, floats('k', [2], [3, 5])],
        nodes: [node('e = Gather(table, a)'), node('same = Identity(x)')],
      }),
    );
    const feeds: Feeds = {
      a: { dtype: 'int64', dims: [1], data: [4] },
      x: { dtype: 'float32', dims: [1, 2], data: [0.5, 2] },
    };
    const [out] = await runLowered(found, [{ batch: 1, feeds }]);
    expect(out?.['k']?.data).toEqual([3, 5]);
    expect(out?.['same']?.data).toEqual([0.5, 2]);
    expect(out?.['e']?.data).toHaveLength(D);
  });

  it('keeps the number of rows of a model without free dimensions', () => {
    const found = analyze(
      model({
        inputs: [ids('a', 6, 2)],
        outputs: [real('y', 6, D)],
        constants: [table, axis1],
        nodes: [node('e = Gather(table, a)'), node('y = ReduceSum(e, axis1)', { keepdims: 0n })],
      }),
    );
    expect(found.batch).toBe(6);
    expect(found.inputs).toEqual([
      { name: 'a', kind: 'tensor', dtype: 'i32', shape: ['batch', 2] },
    ]);
    expect(found.dense.graph.inputs[0]?.dims).toEqual([6, D]);
    expect(found.outputs).toEqual([{ name: 'y', dtype: 'f32', shape: ['batch', D] }]);
  });

  it('refuses inputs that are no tensors of numbers', () => {
    const base = model({
      inputs: [info('s', 8, ['batch'])],
      outputs: [info('t', 8, ['batch'])],
      nodes: [node('t = Identity(s)')],
    });
    expect(() => analyze(base)).toThrowError(expect.objectContaining({ code: 'ONNX_UNSUPPORTED' }));
  });

  it('does not change the model that it is given', () => {
    const base = historyModel([...masked, { ...total, outputs: ['rows'] }]);
    const before = JSON.stringify(base.graph.nodes);
    analyze(base);
    expect(JSON.stringify(base.graph.nodes)).toBe(before);
    expect(base.graph.initializers.has('table')).toBe(true);
  });
});

describe('ragged bags', () => {
  const body = graph({
    inputs: [info('i', 7, []), info('go', 9, [])],
    outputs: [info('on', 9, []), real('pooled', D)],
    nodes: [
      node('from = Gather(ends, i)'),
      node('to = Gather(tails, i)'),
      node('from1 = Unsqueeze(from, zero1)'),
      node('to1 = Unsqueeze(to, zero1)'),
      node('own = Slice(indices, from1, to1, zero1)'),
      node('rows = Gather(table, own)'),
      node('pooled = ReduceSum(rows, zero1)', { keepdims: 0n }),
      node('on = Identity(go)'),
    ],
  });
  const bagModel = (extra: OnnxNode[] = [], trip = 'bags'): OnnxModel =>
    model({
      inputs: [ids('indices', 'nnz'), ids('offsets', 'batch')],
      outputs: [real('y', 'batch', D)],
      constants: [
        table,
        int64s('zero1', [1], [0]),
        int64s('one1', [1], [1]),
        int64s('max', [1], [2 ** 40]),
        int64s('three', [], [3]),
        {
          name: 'true',
          dataType: 9,
          dims: [],
          source: { kind: 'inline', bytes: Uint8Array.of(1) },
        },
      ],
      nodes: [
        node('total = Shape(indices)'),
        node('ends = Concat(offsets, total)', { axis: 0n }),
        node('tails = Slice(ends, one1, max, zero1)'),
        node('bags = Size(offsets)'),
        node(`pooled = Loop(${trip}, true)`, { body }),
        node('y = Relu(pooled)'),
        ...extra,
      ],
    });

  it('become one ragged input in place of indices and offsets', () => {
    const found = analyze(bagModel());
    expect(found.inputs).toEqual([
      {
        name: 'indices',
        kind: 'ragged',
        dtype: 'i32',
        weights: false,
        source: { offsets: 'offsets' },
      },
    ]);
    expect(found.bags).toEqual([
      { table: 'table', input: 'indices', pooling: 'sum', slot: 'lookup_0', offset: 0 },
    ]);
    expect(found.raggedSources).toEqual({
      indices: { offsets: 'offsets', includesLast: false, areLengths: false },
    });
    expect(found.symbols).toEqual({});
  });

  it('stay a Loop when the dense graph reads the offsets as well', () => {
    const base = bagModel([node('z = Neg(offsets)')]);
    base.graph.outputs.push(ids('z', 'batch'));
    const found = analyze(base);
    expect(found.tables).toEqual([]);
    expect(found.inputs.map(({ kind }) => kind)).toEqual(['tensor', 'tensor']);
    expect(found.report).toHaveLength(1);
  });

  it('stay a Loop when it does not run over all bags', () => {
    expect(analyze(bagModel([], 'three')).tables).toEqual([]);
  });
});

describe('random shapes of one lookup', () => {
  it.each([1, 2, 3, 4, 5, 6])('are scored like the original, seed %i', async (seed) => {
    const next = random(seed);
    const pickOne = <T>(...values: T[]): T => values[Math.floor(next() * values.length)] as T;
    const nodes: OnnxNode[] = [lookup];
    // Views that change nothing in sum, in random order.
    let name = 'e';
    for (let i = 0; i < 4; i++) {
      const there = `t${i}`;
      const back = `u${i}`;
      const perm = pickOne([1, 0, 2], [0, 2, 1], [2, 1, 0]);
      nodes.push(
        node(`${there} = Transpose(${name})`, { perm }),
        node(`${back} = Transpose(${there})`, { perm }),
      );
      name = back;
    }
    nodes.push(node(`rows = ReduceSum(${name}, axis1)`, { keepdims: 0n }));
    const found = analyze(historyModel(nodes));
    expect(found.bags).toEqual([{ ...whole, pooling: 'sum' }]);
  });
});

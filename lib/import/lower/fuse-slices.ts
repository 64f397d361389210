/** A part of a value is computed from parts of its operands, so that the rest is not computed. */
import type { Poly } from '../analyze/poly.js';
import * as p from '../analyze/poly.js';
import type { Graph } from './graph.js';
import type { Uses } from './optimize.js';
import type { Val } from './value.js';

/** slice(node(x)) → node(slice(x)) for nodes that work on the sliced axis position by position. */
export function sliceOperands(v: Val, g: Graph, uses: Uses): Val | null {
  if (v.op !== 'slice' && v.op !== 'gather') return null;
  const [x] = v.in as [Val];
  const axis = v.a.axis as number;
  const size = v.dims[axis] as Poly;
  if (!uses.once(x) || !isSmaller(size, x.dims[axis] as Poly)) return null;
  const rank = x.dims.length;
  /** The same part of an operand, whose axes are aligned with the result's at the right. */
  const part = (operand: Val, at = axis - (rank - operand.dims.length)): Val => {
    if (at < 0 || p.isOne(operand.dims[at] as Poly)) return operand;
    if (v.op === 'gather') return g.gather(operand, at, v.a.indices as readonly number[]);
    return g.slice(operand, at, v.a.start as number, v.a.step as number, size);
  };
  const dims = v.dims;
  switch (x.op) {
    case 'unary': {
      const { act } = x.a;
      if ((act?.slope || act?.scale) && axis === rank - 1) return null;
      return g.node('unary', [part(x.in[0] as Val)], x.a, dims);
    }
    case 'binary': {
      const { act } = x.a;
      if ((act?.slope || act?.scale) && axis === rank - 1) return null;
      const [a, b] = x.in.map((operand) => part(operand)) as [Val, Val];
      return act === undefined
        ? g.binary(x.a.fn as string, a, b)
        : g.node('binary', [a, b], x.a, dims);
    }
    case 'where': {
      const [c, a, b] = x.in.map((operand) => part(operand)) as [Val, Val, Val];
      return g.where(c, a, b);
    }
    case 'linear': {
      if (axis === rank - 1) return null;
      const { mul, add } = x.a;
      const attributes = { ...x.a, mul: mul && part(mul), add: add && part(add) };
      return g.node('linear', [part(x.in[0] as Val), x.in[1] as Val], attributes, dims);
    }
    case 'layer_norm':
      if (axis >= rank - (x.a.axes?.[0] as number)) return null;
      return g.node('layer_norm', [part(x.in[0] as Val)], x.a, dims);
    case 'softmax':
      if (x.a.axis === axis) return null;
      return g.softmax(part(x.in[0] as Val), x.a.axis as number, x.a.log === true);
    case 'expand':
      return g.expand(part(x.in[0] as Val), dims);
    case 'concat': {
      const at = x.a.axis as number;
      if (at === axis) return null;
      return g.concat(
        x.in.map((operand) => part(operand)),
        at,
      );
    }
    case 'matmul': {
      const [a, b] = x.in as [Val, Val];
      const { ta = false, tb = false, scale = 1 } = x.a;
      const place = (operand: Val, row: boolean, transposed: boolean): Val =>
        part(operand, operand.dims.length - (row !== transposed ? 2 : 1));
      if (axis === rank - 2) return g.matmul(place(a, true, ta), b, ta, tb, scale);
      if (axis === rank - 1) return g.matmul(a, place(b, false, tb), ta, tb, scale);
      return g.matmul(part(a), part(b), ta, tb, scale);
    }
    default:
      return null;
  }
}

function isSmaller(size: Poly, full: Poly): boolean {
  return p.isOne(size) ? !p.isOne(full) : p.sign(p.add(full, size, -1)) === 1;
}

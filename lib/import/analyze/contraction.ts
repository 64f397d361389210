/** Products summed over an axis: a mask or weights times rows, as MatMul and Einsum write pooling. */

import { zip } from './broadcast.js';
import * as cells from './cells.js';
import type { Grid } from './domain.js';
import { reshape, shapeOf, transpose } from './grid.js';
import * as p from './poly.js';
import { reduce } from './reduce.js';

function type(grid: Grid): string | undefined {
  return grid.cells[0]?.type;
}

/** Only rows times something that is not rows has a meaning. */
function fits(a: Grid, b: Grid): boolean {
  return (type(a) === 'row') !== (type(b) === 'row');
}

export function contractMatMul(a: Grid | null, b: Grid | null): Grid | null {
  if (a === null || b === null || !fits(a, b) || a.axes.length < 2 || b.axes.length < 2)
    return null;
  const left = reshape(a, [...shapeOf(a), p.ONE]);
  const sizes = shapeOf(b);
  const right = reshape(b, [...sizes.slice(0, -2), p.ONE, ...sizes.slice(-2)]);
  const product = left === null || right === null ? null : zip(left, right, cells.multiply);
  return product === null ? null : reduce(product, [product.axes.length - 2], 'sum', false);
}

/** Two operands, explicit or implicit output, no ellipsis. */
export function contractEinsum(equation: string, grids: readonly (Grid | null)[]): Grid | null {
  const [a, b] = grids;
  const [terms = '', given] = equation.replaceAll(' ', '').split('->');
  const [la, lb, ...more] = terms.split(',').map((term) => [...term]);
  if (
    a == null ||
    b == null ||
    la === undefined ||
    lb === undefined ||
    more.length > 0 ||
    !fits(a, b)
  )
    return null;
  if (equation.includes('.') || la.length !== a.axes.length || lb.length !== b.axes.length)
    return null;
  if (new Set(la).size !== la.length || new Set(lb).size !== lb.length) return null;
  const labels = [...new Set([...la, ...lb])];
  const once = labels.filter((label) => la.includes(label) !== lb.includes(label)).sort();
  const out = given === undefined ? once : [...given];
  const left = spread(a, la, labels);
  const right = spread(b, lb, labels);
  const product = left === null || right === null ? null : zip(left, right, cells.multiply);
  if (product === null) return null;
  const summed = labels.flatMap((label, i) => (out.includes(label) ? [] : [i]));
  const rest = labels.filter((label) => out.includes(label));
  const result = reduce(product, summed, 'sum', false);
  return result === null
    ? null
    : transpose(
        result,
        out.map((label) => rest.indexOf(label)),
      );
}

/** Axes in the order of `labels`, those that the operand lacks of size 1. */
function spread(grid: Grid, own: readonly string[], labels: readonly string[]): Grid | null {
  const order = labels.filter((label) => own.includes(label)).map((label) => own.indexOf(label));
  const moved = transpose(grid, order);
  const sizes = shapeOf(moved);
  let next = 0;
  return reshape(
    moved,
    labels.map((label) => (own.includes(label) ? (sizes[next++] as p.Poly) : p.ONE)),
  );
}

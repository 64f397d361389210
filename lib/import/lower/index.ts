/**
 * Lowers the dense ONNX graph to the fused CPU engine's own small graph.
 *
 * 1. draft (lower.ts): every ONNX node becomes values of the fused graph, by its rule (rules.ts). The
 *    batch is taken out of all shapes and its place remembered (tensor.ts).
 * 2. optimize: rules of fusion until none applies (fuse-*.ts).
 * 3. emit: numbered values, and the constants for the weights file.
 */
import type { LoweredModel } from '../lowered.js';
import { type Emitted, emit } from './emit.js';
import {
  activation,
  affineOperand,
  constantOperand,
  scaledOperand,
  shiftedAddend,
  valueOperand,
} from './fuse-linear.js';
import { dice, gates, layerNorm, layerNormScale, norms, softplus } from './fuse-patterns.js';
import { joinDots, pairwiseDot, sumOfProducts } from './fuse-products.js';
import { sliceOperands } from './fuse-slices.js';
import {
  actBeforeView,
  dropReduced,
  expandAway,
  joinColumns,
  joinFlat,
  joinProducts,
  sliceBeforeView,
  splitColumns,
} from './fuse-views.js';
import { draft } from './lower.js';
import { optimize, type Rewrite } from './optimize.js';
import { NotCovered } from './value.js';
import { graphText } from './write.js';

export type { Emitted, Product, Weight } from './emit.js';
export type { FusedGraph, FusedNode } from './format.js';

const RULES: readonly Rewrite[] = [
  gates,
  softplus,
  layerNorm,
  layerNormScale,
  norms,
  dice,
  actBeforeView,
  sliceBeforeView,
  sliceOperands,
  expandAway,
  dropReduced,
  pairwiseDot,
  joinDots,
  sumOfProducts,
  activation,
  constantOperand,
  valueOperand,
  affineOperand,
  shiftedAddend,
  scaledOperand,
  splitColumns,
  joinFlat,
  joinColumns,
  joinProducts,
];

/** The dense network as a fused graph, or why it has none. */
export function lower(model: LoweredModel): Emitted | { reason: string } {
  try {
    const { graph, inputs, outputs } = draft(model);
    return emit(inputs, optimize(graph, outputs, RULES));
  } catch (error) {
    if (error instanceof NotCovered) return { reason: error.message };
    throw error;
  }
}

/** As `lower`; what comes of it goes into the model's report. */
export function lowerDense(model: LoweredModel): Emitted | undefined {
  let lowered = lower(model);
  if ('graph' in lowered && graphText(lowered) === null)
    lowered = { reason: 'its fused graph is too long' };
  if ('graph' in lowered) return lowered;
  const text = `dense network runs in ONNX Runtime: ${lowered.reason}`;
  model.report.push({ level: 'info', text });
  return undefined;
}

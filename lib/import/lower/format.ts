/** fused.json, field by field; docs/fused-format.md is the specification. */
import type { DtypeName, Extent } from '../manifest.js';

/** An integer ≥ 1 or a symbol of the manifest. */
export type FusedExtent = number | string;

export interface FusedAct {
  fn: string;
  alpha?: number;
  beta?: number;
  min?: number;
  max?: number;
  /** Value numbers of constants. */
  slope?: number;
  scale?: number;
  shift?: number;
}

export interface FusedDice extends Omit<FusedAct, 'alpha'> {
  fn: 'dice';
  alpha: number;
}

export interface FusedNode {
  op: string;
  in: number[];
  act?: FusedAct;
  post?: FusedAct;
  bias?: number;
  mul?: number;
  add?: number;
  x_scale?: number;
  ta?: boolean;
  tb?: boolean;
  scale?: number;
  pairs?: number[];
  fn?: string;
  axes?: number[] | number;
  keep?: boolean;
  axis?: number;
  log?: boolean;
  eps?: number;
  gamma?: number;
  beta?: number;
  rms?: boolean;
  start?: number;
  step?: number;
  size?: FusedExtent;
  indices?: number[];
  shape?: FusedExtent[];
  perm?: number[];
}

export interface FusedInput {
  name: string;
  dtype: DtypeName;
  shape: Extent[];
}

export interface FusedConstant {
  name: string;
  shape: number[];
}

export interface FusedOutput {
  name: string;
  value: number;
  shape: FusedExtent[];
}

export interface FusedGraph {
  format: 'gyrfalcon-fused';
  version: 1;
  inputs: FusedInput[];
  constants: FusedConstant[];
  nodes: FusedNode[];
  outputs: FusedOutput[];
}

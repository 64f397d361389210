/** What the analysis knows about a value of the graph. See index.ts for how the parts play together. */
import type { IdStep, IdTest } from '../manifest.js';
import type { OnnxNode, OnnxTensor } from '../onnx/types.js';
import type { Poly } from './poly.js';

/**
 * A part of an axis. The content of a grid is the same along `copy`, varies implicitly along
 * `batch` and `symbol`, is listed cell by cell along `fixed`, and runs through the numbers of a
 * table row along `dim`.
 */
export type Factor =
  | { readonly kind: 'batch'; readonly size: Poly }
  | { readonly kind: 'symbol'; readonly name: string; readonly size: Poly }
  | { readonly kind: 'fixed'; readonly size: Poly; readonly n: number }
  | { readonly kind: 'copy'; readonly size: Poly }
  | { readonly kind: 'dim'; readonly size: Poly; readonly n: number };

/** One axis of a tensor: its factors, outermost first; none for an axis of size 1. */
export type Axis = readonly Factor[];

/** Element `start + step · s` of the batch row of an input, s along the grid's symbol. */
export interface IdCell {
  readonly type: 'id';
  readonly input: string;
  readonly start: number;
  readonly step: number;
  /** The input has a batch axis: each batch row has an element of its own. */
  readonly isBatched: boolean;
  /** The input is of floats, truncated. */
  readonly isFloat: boolean;
  /** From the element to the id. */
  readonly map: readonly IdStep[];
  /** Added to the id before the lookup. */
  readonly add: number;
  /** Negative ids were raised to 0: nothing to do where they are padding. */
  readonly clamped: boolean;
}

/** The same of a float32 input: a per-sample weight. */
export interface RealCell {
  readonly type: 'real';
  readonly input: string;
  readonly start: number;
  readonly step: number;
  readonly isBatched: boolean;
}

export interface NumberCell {
  readonly type: 'number';
  readonly value: number;
}

/** Numbers add, add + mul, add + 2 · mul, … along the grid's symbol. */
export interface PositionCell {
  readonly type: 'position';
  readonly add: number;
  readonly mul: number;
}

/** How an id (with what is added to it) compares with a number, or with its own position. */
export interface Comparison {
  readonly if: IdTest;
  readonly value: number | 'position';
}

/** 1 where the comparison holds, else 0. */
export interface TestCell {
  readonly type: 'test';
  readonly id: IdCell;
  readonly test: Comparison;
}

/**
 * 1 where the id is not `padding` (keep) or where it is (not keep), else 0. What the graph compares
 * is `test`; that may be an inequality, where ids on the other side of the padding cannot be.
 */
export interface MaskCell {
  readonly type: 'mask';
  readonly id: IdCell;
  readonly padding: number;
  readonly keep: boolean;
  readonly test: Comparison;
}

/** How many of the ids are not `padding`; `safe`: never 0, as a divisor of a masked sum. */
export interface CountCell {
  readonly type: 'count';
  readonly ids: Run;
  readonly padding: number;
  /** The masks compared for equality. */
  readonly exact: boolean;
  readonly safe: boolean;
}

/** Whether a count is 0. */
export interface EmptyCell {
  readonly type: 'empty';
  readonly count: CountCell;
}

/** A mask divided by its own count. */
export interface ShareCell {
  readonly type: 'share';
  readonly mask: MaskCell;
  readonly count: CountCell;
}

/** A vector: what the bags write, back to back. */
export interface RowCell {
  readonly type: 'row';
  readonly parts: readonly Bag[];
}

/** 1 where an id is negative and no multiple of `by`: what floor division takes off a truncated one. */
export interface BorrowCell {
  readonly type: 'borrow';
  readonly id: IdCell;
  readonly by: number;
}

export type Cell =
  | IdCell
  | RealCell
  | NumberCell
  | PositionCell
  | TestCell
  | BorrowCell
  | MaskCell
  | CountCell
  | EmptyCell
  | ShareCell
  | RowCell;

/** Ids `start + i·step`, i < count, of the batch row (flattened), or all ids of a ragged row. */
export interface Run {
  readonly input: string;
  readonly start: number;
  readonly step: number;
  /** A symbol's name for a free dimension; 'ragged' runs own offsets instead. */
  readonly count: number | string;
  readonly ragged: RaggedSource | null;
  readonly isBatched: boolean;
  readonly map: readonly IdStep[];
  readonly adds: readonly number[];
  readonly clamped: boolean;
}

export interface RaggedSource {
  readonly offsets: string;
  /** The offsets input holds the total as its last entry. */
  readonly complete: boolean;
  /** The offsets input holds the bags' lengths instead. */
  readonly areLengths: boolean;
}

export interface Bag {
  readonly table: Matrix;
  readonly pooling: 'sum' | 'mean' | 'none';
  readonly run: Run;
  readonly padding: number | null;
  /** What had been done to the element when it was compared with the padding: all of run.map or nothing. */
  readonly paddingMap: readonly IdStep[];
  /** Positions from this element of the batch row of an input on are left out; `first`: of the first id. */
  readonly length: {
    readonly input: string;
    readonly element: number;
    readonly first: number;
  } | null;
  readonly weights: {
    readonly input: string;
    readonly start: number;
    readonly step: number;
  } | null;
  /** The divisor that each id's row has been divided by already. */
  readonly share: CountCell | null;
}

/** A rank-2 float constant. */
export interface Matrix {
  readonly name: string;
  readonly tensor: OnnxTensor;
  readonly rows: number;
  readonly dim: number;
}

export interface Grid {
  readonly axes: readonly Axis[];
  /** Row-major over the fixed factors of all axes. */
  readonly cells: readonly Cell[];
}

/** A tensor known by value; numbers hold int64 values exactly up to 2^53. */
export interface ConstTensor {
  readonly dataType: number;
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

/** Where the offsets of ragged bags come from. */
export type OffsetSource =
  | { readonly kind: 'input'; readonly name: string; readonly length: Poly }
  /** The sums of an input of lengths. */
  | { readonly kind: 'lengths'; readonly name: string; readonly length: Poly }
  /** 0, step, 2·step, …: bags of `step` ids. */
  | { readonly kind: 'range'; readonly step: number; readonly length: Poly };

/** offsets[shift …] of a list of bag bounds that ends with the total. */
export interface Bounds {
  readonly source: OffsetSource;
  readonly complete: boolean;
  readonly shift: number;
  /** Entries, with the total, before the shift. */
  readonly length: Poly;
}

export type Value =
  | {
      readonly kind: 'const';
      readonly dataType: number;
      readonly tensor: ConstTensor;
      readonly matrix: Matrix | null;
    }
  | { readonly kind: 'matrix'; readonly dataType: number; readonly matrix: Matrix }
  /** Integers (or their float casts) that are shape arithmetic; rank 0 or 1. */
  | {
      readonly kind: 'ints';
      readonly dataType: number;
      readonly dims: readonly number[];
      readonly values: readonly Poly[];
    }
  | {
      readonly kind: 'range';
      readonly dataType: number;
      readonly start: Poly;
      readonly step: Poly;
      readonly length: Poly;
    }
  | { readonly kind: 'bounds'; readonly dataType: number; readonly bounds: Bounds }
  | LengthList
  | { readonly kind: 'grid'; readonly dataType: number; readonly grid: Grid }
  | LoopValue
  | Opaque;

/** 0 and `count` lengths of bags from an input, or the sums of that list, without the first `skip` and last `drop`. */
export interface LengthList {
  readonly kind: 'lengths';
  readonly dataType: number;
  readonly input: string;
  readonly count: Poly;
  readonly isSummed: boolean;
  readonly skip: number;
  readonly drop: number;
}

/** Values that exist only while the body of an EmbeddingBag loop is read (embedding-bag.ts). */
export type LoopValue =
  /** The number of the bag, plus `shift`. */
  | { readonly kind: 'bag-index'; readonly dataType: number; readonly shift: number }
  /** offsets[bag + shift]. */
  | {
      readonly kind: 'bound';
      readonly dataType: number;
      readonly bounds: Bounds;
      readonly shift: number;
    }
  | Segment
  | PooledSegment
  /** `total` minus the bag's first bound. */
  | {
      readonly kind: 'last-length';
      readonly dataType: number;
      readonly total: Poly;
      readonly bounds: Bounds;
    }
  | LoopTest
  /** The position within all ids, plus `shift`, in a loop over the ids of a bag. */
  | {
      readonly kind: 'position';
      readonly dataType: number;
      readonly bounds: Bounds;
      readonly shift: number;
    }
  /** The id at that position. */
  | {
      readonly kind: 'element';
      readonly dataType: number;
      readonly bounds: Bounds;
      readonly grid: Grid;
    }
  /** The positions of a bag seen so far, without padding (`before`), with the present one (`with`), or all (`filtered`). */
  | {
      readonly kind: 'kept';
      readonly dataType: number;
      readonly state: 'before' | 'with' | 'step' | 'filtered';
      readonly bounds: Bounds | null;
      readonly padding: Padding | null;
    }
  | { readonly kind: 'kept-count'; readonly dataType: number; readonly padding: Padding }
  /** The rows of the bags seen so far, and with the present one. */
  | { readonly kind: 'sequence'; readonly dataType: number; readonly item: PooledSegment | null }
  | { readonly kind: 'sequence-of'; readonly dataType: number; readonly item: Value }
  /** The largest numbers of all bags' rows: no pooling of a bundle (interpreter.ts rewrites it). */
  | { readonly kind: 'max-pooled'; readonly dataType: number; readonly segment: Segment }
  /** The bag's part of a vector `name` that the dense graph computes; `isColumn`: [ids, 1]. */
  | {
      readonly kind: 'computed';
      readonly dataType: number;
      readonly name: string;
      readonly bounds: Bounds;
      readonly isColumn: boolean;
    }
  /** Rows times such numbers, and the sums of them: no pooling of a bundle either. */
  | {
      readonly kind: 'scaled' | 'scaled-pooled';
      readonly dataType: number;
      readonly segment: Segment;
      readonly weights: string;
    };

/** Ids of `grid` that equal `id` are left out. */
export interface Padding {
  readonly id: number;
  readonly grid: Grid;
}

/** Rows [bound(bag), bound(bag + 1)) of a grid. */
export interface Segment {
  readonly kind: 'segment';
  readonly dataType: number;
  readonly grid: Grid;
  readonly bounds: Bounds;
  readonly padding: Padding | null;
  /** Up to the last row of all instead: the same for the last bag. */
  readonly toEnd: boolean;
}

/** A segment of rows, pooled; 'last-mean' is a mean if this is the last bag. */
export interface PooledSegment {
  readonly kind: 'pooled';
  readonly dataType: number;
  readonly segment: Segment;
  readonly mode: 'sum' | 'mean' | 'last-mean' | 'max';
  /** Shape [1, dim], not [dim]. */
  readonly keep: boolean;
}

/** A condition on the bag, or on the id, that the loop is at. */
export interface LoopTest {
  readonly kind: 'test';
  readonly dataType: number;
  readonly test:
    | 'bag-empty'
    | 'bag-not-empty'
    | 'last-bag'
    | 'last-not-empty'
    | 'more-bags'
    | 'more-ids'
    | 'negative-id'
    | 'padding'
    | 'not-padding';
  /** The number of bags that last-bag and more-bags compare with. */
  readonly bags: Poly | null;
  readonly bounds: Bounds | null;
  readonly padding: Padding | null;
}

/** Anything else: the dense graph computes it. */
export interface Opaque {
  readonly kind: 'opaque';
  readonly dataType: number;
  readonly shape: readonly (Poly | null)[] | null;
  /** For a reader: why the analysis ended here. */
  readonly reason: string;
}

/** A node of the flattened graph with its results. */
export type Rule = (inputs: readonly (Value | null)[], node: OnnxNode) => readonly Value[] | null;

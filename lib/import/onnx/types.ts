/**
 * An ONNX model in memory, as the importer sees it. Small values are decoded; the bytes of large
 * tensors stay in their file and are referred to by range, so that a model larger than memory can
 * be read. Field names follow onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
 */

/** TensorProto.DataType numbers that the importer names. */
export const OnnxType = {
  float: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  double: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
} as const;

/** Where a tensor's little-endian bytes are. Typed proto fields (float_data …) are decoded to inline bytes. */
export type TensorSource =
  | { readonly kind: 'inline'; readonly bytes: Uint8Array }
  | {
      readonly kind: 'file';
      /** Absolute path, already checked to lie inside the model's directory. */
      readonly path: string;
      /** Byte offset in the file. */
      readonly offset: number;
      /** Bytes. */
      readonly length: number;
    }
  /** Several, one after another: rows of a table that the graph concatenates. */
  | { readonly kind: 'joined'; readonly parts: readonly TensorSource[]; readonly length: number };

export interface OnnxTensor {
  readonly name: string;
  /** TensorProto.DataType. */
  readonly dataType: number;
  readonly dims: readonly number[];
  readonly source: TensorSource;
}

export type OnnxAttribute =
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'int'; readonly value: bigint }
  | { readonly type: 'string'; readonly value: string }
  | { readonly type: 'tensor'; readonly value: OnnxTensor }
  | { readonly type: 'graph'; readonly value: OnnxGraph }
  | { readonly type: 'floats'; readonly value: readonly number[] }
  | { readonly type: 'ints'; readonly value: readonly bigint[] }
  | { readonly type: 'strings'; readonly value: readonly string[] }
  /** A type that the importer does not interpret; its AttributeProto, byte for byte. */
  | { readonly type: 'raw'; readonly value: Uint8Array }
  /** A reference to an attribute of the enclosing function (AttributeProto.ref_attr_name). */
  | { readonly type: 'ref'; readonly value: string; readonly attributeType: number };

export interface OnnxNode {
  name: string;
  opType: string;
  /** '' for the default domain ('ai.onnx' is normalised to ''). */
  domain: string;
  /** '' marks an optional input that is left out. */
  inputs: string[];
  outputs: string[];
  attributes: Map<string, OnnxAttribute>;
}

/** A dimension: a size, a symbolic name, or nothing known. */
export type OnnxDim = number | string | null;

export interface OnnxValueInfo {
  readonly name: string;
  /** TensorProto.DataType; 0 when unknown or not a tensor. */
  readonly dataType: number;
  /** null: the rank is unknown. */
  readonly dims: readonly OnnxDim[] | null;
  /** The TypeProto, byte for byte, of a value that is not a tensor (a sequence, an optional). */
  readonly otherType?: Uint8Array;
}

export interface OnnxGraph {
  name: string;
  nodes: OnnxNode[];
  initializers: Map<string, OnnxTensor>;
  /** Without those that are initializers too (IR version 3 lists both). */
  inputs: OnnxValueInfo[];
  outputs: OnnxValueInfo[];
  valueInfo: Map<string, OnnxValueInfo>;
}

export interface OnnxFunction {
  name: string;
  domain: string;
  overload: string;
  inputs: string[];
  outputs: string[];
  attributes: string[];
  /** Attributes with default values. */
  attributeDefaults: Map<string, OnnxAttribute>;
  nodes: OnnxNode[];
  opsets: Map<string, number>;
}

export interface OnnxModel {
  irVersion: number;
  /** domain → version. */
  opsets: Map<string, number>;
  producer: string;
  graph: OnnxGraph;
  functions: OnnxFunction[];
}

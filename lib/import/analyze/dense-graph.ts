/** Writes the dense graph: slots and remaining inputs in, the model's outputs out. */

import {
  type OnnxAttribute,
  type OnnxGraph,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
  OnnxType,
  type OnnxValueInfo,
} from '../onnx/types.js';
import { encodeTensor, int64Tensor } from './constants.js';
import { batchMultiple, type Cut, type Placement, type Slot, usedNames } from './cut.js';
import { canonicalFactors, isCanonical } from './cuttable.js';
import type { Grid } from './domain.js';
import { axisSize } from './grid.js';
import { renameGraph } from './inline-functions.js';
import type { Dimensions } from './inputs.js';
import { type Interpretation, identity } from './interpreter.js';
import type { Poly } from './poly.js';
import * as p from './poly.js';

export interface DenseInput {
  readonly name: string;
  readonly dataType: number;
  readonly dims: readonly Poly[];
  /** The axis of the original that each axis is. */
  readonly order: readonly number[];
  /** The type that the graph's nodes expect. */
  readonly originalType: number;
}

export interface DensePlan {
  readonly model: OnnxModel;
  readonly interpretation: Interpretation;
  readonly dimensions: Dimensions;
  readonly cut: Cut;
  readonly slots: readonly Slot[];
  readonly placements: readonly Placement[];
  readonly inputs: readonly DenseInput[];
}

export function buildDenseGraph(plan: DensePlan): OnnxModel {
  return new Builder(plan).build();
}

class Builder {
  private readonly nodes: OnnxNode[] = [];
  private readonly initializers = new Map<string, OnnxTensor>();
  private readonly renamed = new Map<string, string>();
  private readonly opset: number;
  private readonly flat = new Map<Slot, string>();
  private batchVector = '';

  constructor(private readonly plan: DensePlan) {
    this.opset = plan.model.opsets.get('') ?? 1;
  }

  build(): OnnxModel {
    const { plan } = this;
    const { graph } = plan.model;
    for (const input of plan.inputs) this.restoreInput(input);
    for (const placement of plan.placements) this.place(placement);
    for (const name of plan.cut.constants) this.addConstant(name);
    for (const name of plan.cut.sizes) this.addSizes(name);
    for (const name of plan.cut.initializers) {
      this.initializers.set(name, plan.interpretation.initializers.get(name) as OnnxTensor);
    }
    for (const node of plan.interpretation.nodes) {
      if (plan.cut.nodes.has(node)) this.nodes.push(this.renameUses(node));
    }
    const produced = new Set(this.nodes.flatMap((node) => node.outputs));
    for (const { name } of graph.outputs)
      if (!produced.has(name)) this.nodes.push(this.output(name));
    const defined = new Set(this.nodes.flatMap((node) => node.outputs));
    const dense: OnnxGraph = {
      name: graph.name,
      nodes: this.nodes,
      initializers: this.initializers,
      inputs: this.inputInfos(),
      outputs: graph.outputs.map((info) => ({ ...info })),
      valueInfo: new Map(
        [...graph.valueInfo].filter(
          ([name, info]) =>
            defined.has(name) && info.dataType !== 0 && !graph.outputs.some((o) => o.name === name),
        ),
      ),
    };
    return { ...plan.model, opsets: this.usedOpsets(), graph: dense, functions: [] };
  }

  /** An output that no node of the dense graph computes: a slot, a constant, a size. */
  private output(name: string): OnnxNode {
    const constant = this.initializers.get(name);
    if (constant === undefined) return identity(this.renamed.get(name) ?? name, name);
    const held = this.plan.interpretation.names.fresh(`${name}_value`);
    this.initializers.delete(name);
    this.initializers.set(held, { ...constant, name: held });
    this.nodes.forEach((node, i) => {
      this.nodes[i] = {
        ...node,
        inputs: node.inputs.map((input) => (input === name ? held : input)),
      };
    });
    return identity(held, name);
  }

  private usedOpsets(): Map<string, number> {
    const domains = new Set(['']);
    const visit = (nodes: readonly OnnxNode[]): void => {
      for (const node of nodes) {
        domains.add(node.domain);
        for (const attribute of node.attributes.values())
          if (attribute.type === 'graph') visit(attribute.value.nodes);
      }
    };
    visit(this.nodes);
    return new Map([...this.plan.model.opsets].filter(([domain]) => domains.has(domain)));
  }

  private inputInfos(): OnnxValueInfo[] {
    const { dimensions, slots, inputs } = this.plan;
    const batch = dimensions.batch ?? 'batch';
    const extent = (size: Poly): number | string | null => p.constant(size) ?? p.asSymbol(size);
    return [
      ...slots.map((slot) => ({
        name: slot.name,
        dataType: OnnxType.float,
        dims: [batch, ...slot.shape],
      })),
      ...inputs.map(({ name, dataType, dims }) => ({ name, dataType, dims: dims.map(extent) })),
    ];
  }

  private renameUses(node: OnnxNode): OnnxNode {
    const inputs = node.inputs.map((name) => this.renamed.get(name) ?? name);
    const isCaptured = [...usedNames({ ...node, inputs: [] })].some((name) =>
      this.renamed.has(name),
    );
    if (!isCaptured) return { ...node, inputs };
    const attributes = new Map<string, OnnxAttribute>();
    for (const [key, attribute] of node.attributes) {
      attributes.set(
        key,
        attribute.type === 'graph'
          ? { type: 'graph', value: this.renameInside(attribute.value) }
          : attribute,
      );
    }
    return { ...node, inputs, attributes };
  }

  /** Names of outer values are never defined again inside a subgraph. */
  private renameInside(graph: OnnxGraph): OnnxGraph {
    return renameGraph(graph, (name) => this.renamed.get(name) ?? name);
  }

  private add(
    opType: string,
    inputs: string[],
    output: string,
    attributes: [string, OnnxAttribute][] = [],
  ): string {
    const name = this.plan.interpretation.names.fresh(output);
    this.nodes.push({
      name,
      opType,
      domain: '',
      inputs,
      outputs: [name],
      attributes: new Map(attributes),
    });
    return name;
  }

  private vector(values: readonly number[], base: string, scalar = false): string {
    const name = this.plan.interpretation.names.fresh(base);
    this.initializers.set(name, int64Tensor(name, values, scalar));
    return name;
  }

  /** Gives an input the type and the order of axes that the graph's nodes expect. */
  private restoreInput({ name, dataType, originalType, order }: DenseInput): void {
    let value = name;
    if (dataType !== originalType) value = this.cast(value, originalType, `${name}_ids`);
    if (order.some((axis, i) => axis !== i)) {
      const perm = order.map((_, axis) => BigInt(order.indexOf(axis)));
      value = this.add('Transpose', [value], `${name}_axes`, [
        ['perm', { type: 'ints', value: perm }],
      ]);
    }
    if (value !== name) this.renamed.set(name, value);
  }

  private cast(from: string, to: number, output: string): string {
    return this.add('Cast', [from], output, [['to', { type: 'int', value: BigInt(to) }]]);
  }

  private addConstant(name: string): void {
    const value = this.plan.interpretation.values.get(name);
    const tensor = value?.kind === 'const' ? encodeTensor(name, value.tensor) : null;
    if (tensor !== null) this.initializers.set(name, tensor);
  }

  /** Multiples of the batch size, from the shape of something that the graph takes. */
  private addSizes(name: string): void {
    const value = this.plan.interpretation.values.get(name);
    if (value?.kind !== 'ints') return;
    const parts = value.values.map((size) => {
      const multiple = batchMultiple(size);
      if (multiple === null || !multiple.batch)
        return this.vector([multiple?.factor ?? 0], `${name}_part`);
      const batch = this.batchSize();
      return multiple.factor === 1
        ? batch
        : this.add(
            'Mul',
            [batch, this.vector([multiple.factor], `${name}_factor`)],
            `${name}_part`,
          );
    });
    let result =
      parts.length === 1
        ? (parts[0] as string)
        : this.add('Concat', parts, `${name}_sizes`, [['axis', { type: 'int', value: 0n }]]);
    if (value.dims.length === 0)
      result = this.add('Reshape', [result, this.vector([], `${name}_scalar`)], `${name}_scalar`);
    if (value.dataType !== OnnxType.int64)
      result = this.cast(result, value.dataType, `${name}_cast`);
    this.renamed.set(name, result);
  }

  private batchSize(): string {
    if (this.batchVector === '') {
      const [slot] = this.plan.slots;
      const source =
        slot?.name ??
        this.plan.inputs.find((input) =>
          p.equal(input.dims[0] ?? p.ONE, this.plan.dimensions.batchSize),
        )?.name ??
        '';
      const shape = this.add('Shape', [source], 'batch_shape');
      this.batchVector = this.add('Gather', [shape, this.vector([0], 'batch_axis')], 'batch_size');
    }
    return this.batchVector;
  }

  /** Makes a looked-up value from its slots. */
  private place({ value, pieces }: Placement): void {
    const { name, grid, dataType } = value;
    const [first] = pieces;
    let result: string;
    if (
      pieces.length === 1 &&
      first !== undefined &&
      first.begin === 0 &&
      first.end === first.slot.width
    ) {
      result =
        first.slot.owner === name
          ? first.slot.name
          : this.shape(first.slot.name, grid, name, shapeText(first.slot));
    } else if (first !== undefined && first.slot.symbol !== null) {
      const parts = pieces.map((piece) => piece.slot.name);
      const joined = this.add('Concat', parts, `${name}_parts`, [
        ['axis', { type: 'int', value: 2n }],
      ]);
      result = this.shape(joined, grid, name, null);
    } else {
      const parts = pieces.map((piece) => this.slice(piece.slot, piece.begin, piece.end, name));
      const joined =
        parts.length === 1
          ? (parts[0] as string)
          : this.add('Concat', parts, `${name}_parts`, [['axis', { type: 'int', value: 1n }]]);
      result = this.shape(joined, grid, name, null);
    }
    if (dataType !== OnnxType.float) result = this.cast(result, dataType, `${name}_cast`);
    this.renamed.set(name, result);
  }

  private slice(slot: Slot, begin: number, end: number, base: string): string {
    let flat = this.flat.get(slot);
    if (flat === undefined) {
      const isFlat = slot.shape.length === 1;
      flat = isFlat
        ? slot.name
        : this.add(
            'Reshape',
            [
              slot.name,
              this.vector(
                this.sizes([this.plan.dimensions.batchSize, p.poly(slot.width)]),
                `${slot.name}_rows`,
              ),
            ],
            `${slot.name}_flat`,
          );
      this.flat.set(slot, flat);
    }
    if (begin === 0 && end === slot.width) return flat;
    const inputs = [
      flat,
      this.vector([begin], `${base}_begin`),
      this.vector([end], `${base}_end`),
      this.vector([1], `${base}_axis`),
    ];
    return this.add('Slice', inputs, `${base}_slice`);
  }

  private sizes(dims: readonly Poly[]): number[] {
    return dims.map((size) => p.constant(size) ?? -1);
  }

  /** From [batch, …] in canonical order to the axes of a grid; `have` is the present shape if that is known to matter. */
  private shape(from: string, grid: Grid, base: string, have: string | null): string {
    const wanted = grid.axes.map(axisSize);
    const factors = canonicalFactors(grid);
    let result = from;
    let current = have;
    if (!isCanonical(grid)) {
      const sizes = factors.map((factor) => factor.size);
      if (current !== polyText(sizes)) result = this.reshape(result, sizes, base);
      const order = grid.axes.flat().map((factor) => factors.indexOf(factor));
      const perm: OnnxAttribute = { type: 'ints', value: order.map(BigInt) };
      result = this.add('Transpose', [result], `${base}_order`, [['perm', perm]]);
      current = polyText(grid.axes.flat().map((factor) => factor.size));
    }
    if (current === polyText(wanted)) return result;
    const dynamic = wanted.filter((size) => p.constant(size) === null).length;
    const apart = polyText(grid.axes.flat().map((factor) => factor.size));
    if (dynamic > 1 && current === apart && grid.axes.every((axis) => axis.length <= 1))
      return this.insertAxes(result, grid, base);
    return this.reshape(result, wanted, base);
  }

  private insertAxes(from: string, grid: Grid, base: string): string {
    const axes = grid.axes.flatMap((axis, i) => (axis.length === 0 ? [i] : []));
    if (axes.length === 0) return from;
    if (this.opset < 13) {
      return this.add('Unsqueeze', [from], `${base}_axes`, [
        ['axes', { type: 'ints', value: axes.map(BigInt) }],
      ]);
    }
    return this.add('Unsqueeze', [from, this.vector(axes, `${base}_new_axes`)], `${base}_axes`);
  }

  /** At most one open size, or the batch in front and another. */
  private reshape(from: string, dims: readonly Poly[], base: string): string {
    const sizes = this.sizes(dims);
    if (sizes.filter((size) => size === -1).length > 1) sizes[0] = 0;
    return this.add('Reshape', [from, this.vector(sizes, `${base}_shape`)], `${base}_view`);
  }
}

function polyText(dims: readonly Poly[]): string {
  return dims.map((size) => p.asSymbol(size) ?? p.constant(size) ?? '?').join(',');
}

function shapeText(slot: Slot): string {
  return `${slot.batch},${slot.shape.join(',')}`;
}

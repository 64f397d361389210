/** Walks the graph once, in order, and finds out what every value is. */
import type { OnnxGraph, OnnxModel, OnnxNode, OnnxTensor } from '../onnx/types.js';
import { graphAttribute, intAttribute } from './attributes.js';
import { chooseBranch, evaluateLoopValues } from './bag-values.js';
import { ComputedTables, lookedUp } from './computed-tables.js';
import { constantNode } from './constants.js';
import type { Grid, Value } from './domain.js';
import { type Environment, evaluateLoop } from './embedding-bag.js';
import { fold } from './fold.js';
import { concat } from './grid.js';
import { inferShape } from './infer.js';
import {
  collectNames,
  definedNames,
  inlineFunctions,
  Names,
  renameGraph,
} from './inline-functions.js';
import { type Dimensions, inputValue, resolveDim } from './inputs.js';
import { evaluateLengths } from './lengths.js';
import { evaluateLookups } from './lookups.js';
import { normaliseAxis } from './operands.js';
import { cause, keepMatrix, outputType } from './plain-nodes.js';
import {
  explicitSqueeze,
  type Rewrite,
  rewriteMax,
  rewriteMean,
  rewriteScaled,
  type Setting,
} from './rewrites.js';
import { evaluateShapes } from './shapes.js';
import { constant, gridValue, initializerValue, isRows, scalarOf, valueShape } from './values.js';
import { evaluateViews } from './views.js';

type Inputs = readonly (Value | null)[];

/** The graph after the walk: flat, with what its values are. */
export interface Interpretation {
  readonly nodes: readonly OnnxNode[];
  readonly initializers: ReadonlyMap<string, OnnxTensor>;
  readonly values: ReadonlyMap<string, Value>;
  readonly producers: ReadonlyMap<string, OnnxNode>;
  /** Why bags were not taken out although they were understood, by name. */
  readonly notes: ReadonlyMap<string, string>;
  /** Names of the graph's inputs. */
  readonly inputs: ReadonlySet<string>;
  readonly names: Names;
}

const UNEVEN_MAX =
  'the largest numbers of rows of bags of different lengths are no pooling of a bundle';

const UNEVEN_WEIGHTS =
  'its weights are computed by the dense graph, and its bags may have different lengths';
const NO_POOLING: ReadonlySet<Value['kind']> = new Set(['max-pooled', 'scaled-pooled']);

/** `dense`: results (by name) that are not to be taken out, with the reason. */
export function interpret(
  model: OnnxModel,
  dimensions: Dimensions,
  dense: ReadonlyMap<string, string>,
): Interpretation {
  const names = new Names();
  collectNames(model.graph, names);
  return new Interpreter(model, dimensions, dense, names).run();
}

class Interpreter {
  private readonly values = new Map<string, Value>();
  private readonly initializers: Map<string, OnnxTensor>;
  private readonly nodes: OnnxNode[] = [];
  private readonly producers = new Map<string, OnnxNode>();
  private readonly notes = new Map<string, string>();
  private readonly environment: Environment = (name) => this.values.get(name) ?? null;
  private readonly tables: ComputedTables;

  constructor(
    private readonly model: OnnxModel,
    private readonly dimensions: Dimensions,
    private readonly dense: ReadonlyMap<string, string>,
    private readonly names: Names,
  ) {
    this.initializers = new Map(model.graph.initializers);
    const { initializers, producers, values } = this;
    this.tables = new ComputedTables({ initializers, producers, values });
  }

  run(): Interpretation {
    for (const [name, tensor] of this.initializers)
      this.values.set(name, initializerValue(name, tensor));
    for (const input of this.dimensions.inputs) this.values.set(input.info.name, inputValue(input));
    const queue = inlineFunctions(this.model, this.names).reverse();
    for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
      const branch = this.takenBranch(node);
      if (branch !== null) queue.push(...this.inlineBranch(node, branch).reverse());
      else this.step(node);
    }
    const { nodes, initializers, values, producers, notes, names } = this;
    const inputs = new Set(this.dimensions.inputs.map(({ info }) => info.name));
    return { nodes, initializers, values, producers, notes, inputs, names };
  }

  /** The branch of an If whose condition is a constant. */
  private takenBranch(node: OnnxNode): OnnxGraph | null {
    if (node.opType !== 'If' || node.domain !== '') return null;
    const condition = scalarOf(this.environment(node.inputs[0] ?? ''));
    return condition === null
      ? null
      : graphAttribute(node, condition !== 0 ? 'then_branch' : 'else_branch');
  }

  private inlineBranch(node: OnnxNode, branch: OnnxGraph): OnnxNode[] {
    const renamed = new Map<string, string>();
    for (const name of [...definedNames(branch.nodes), ...branch.initializers.keys()]) {
      renamed.set(name, this.names.fresh(name));
    }
    const copy = renameGraph(branch, (name) => renamed.get(name) ?? name);
    for (const [name, tensor] of copy.initializers) {
      this.initializers.set(name, tensor);
      this.values.set(name, initializerValue(name, tensor));
    }
    const results = copy.outputs.map((info, i) => identity(info.name, node.outputs[i] ?? ''));
    return [...copy.nodes, ...results.filter((result) => result.outputs[0] !== '')];
  }

  private step(original: OnnxNode): void {
    const node = this.withAxes(original);
    if (node.opType === 'Constant' && node.domain === '') {
      const name = node.outputs[0] ?? '';
      const tensor = constantNode(node);
      if (tensor !== null) {
        this.initializers.set(name, tensor);
        this.values.set(name, initializerValue(name, tensor));
        return;
      }
    }
    for (const name of lookedUp([node])) this.computeTable(name, node);
    const inputs = node.inputs.map((name) => (name === '' ? null : this.environment(name)));
    const rows = node.opType === 'Concat' ? this.groupLookups(node, inputs) : null;
    const final = rows ?? node;
    const results = this.evaluate(
      final,
      final.inputs.map((name) => (name === '' ? null : this.environment(name))),
      this.environment,
    );
    if (this.rewrite(final, inputs, results[0] ?? null)) return;
    this.nodes.push(final);
    final.outputs.forEach((name, i) => {
      if (name === '') return;
      this.producers.set(name, final);
      const value = results[i] ?? null;
      if (value?.kind === 'max-pooled') this.notes.set(name, UNEVEN_MAX);
      if (value?.kind === 'scaled-pooled') this.notes.set(name, UNEVEN_WEIGHTS);
      this.values.set(
        name,
        value === null || NO_POOLING.has(value.kind) || this.dense.has(name)
          ? this.opaque(final, inputs, i, this.dense.get(name))
          : value,
      );
    });
  }

  /** Makes a value that is looked up a table, if constants are all that it is computed from. */
  private computeTable(name: string, node: OnnxNode): void {
    const value = this.environment(name);
    if (value?.kind !== 'opaque' || (value.shape !== null && value.shape.length !== 2)) return;
    // A Loop's body decides itself; elsewhere only ids of an input are worth the memory.
    const ids = this.environment(node.inputs[1] ?? '');
    if (node.inputs[0] === name && ids?.kind !== 'grid') return;
    const table = this.tables.find(name);
    if (table !== null) this.values.set(name, { kind: 'matrix', ...table });
  }

  /** A node that behaves alike for every batch size. */
  private withAxes(node: OnnxNode): OnnxNode {
    const shape = valueShape(this.environment(node.inputs[0] ?? ''));
    const declared = this.model.graph.outputs.find((info) => info.name === node.outputs[0]);
    const explicit = explicitSqueeze(this.setting(), node, shape, declared);
    if (explicit === null) return node;
    if (explicit.constant !== null) this.addConstant(explicit.constant);
    return explicit.node;
  }

  private setting(): Setting {
    return { names: this.names, opset: this.model.opsets.get('') ?? 1 };
  }

  private addConstant(tensor: OnnxTensor): void {
    this.initializers.set(tensor.name, tensor);
    this.values.set(tensor.name, initializerValue(tensor.name, tensor));
  }

  /** Puts nodes in place of one whose pooling bundles do not have. */
  private rewrite(node: OnnxNode, inputs: Inputs, result: Value | null): boolean {
    const setting = this.setting();
    let rewrite: Rewrite | null = null;
    if (result?.kind === 'max-pooled') rewrite = rewriteMax(setting, node, result.segment);
    else if (result?.kind === 'scaled-pooled')
      rewrite = rewriteScaled(setting, node, result.segment, result.weights);
    else if (node.opType === 'ReduceMean' && node.domain === '' && result === null) {
      rewrite = rewriteMean(
        setting,
        node,
        inputs,
        (sum) => this.evaluatePlain(sum, inputs)?.[0] ?? null,
      );
    }
    if (rewrite === null) return false;
    for (const tensor of rewrite.initializers) this.addConstant(tensor);
    for (const [name, value] of rewrite.values) this.values.set(name, value);
    for (const part of rewrite.nodes) {
      this.nodes.push(part);
      for (const name of part.outputs) this.producers.set(name, part);
    }
    return true;
  }

  private opaque(
    node: OnnxNode,
    inputs: Inputs,
    output: number,
    reason: string | undefined,
  ): Value {
    const info = this.model.graph.valueInfo.get(node.outputs[output] ?? '');
    const declared = info?.dims?.map((dim) => resolveDim(dim, this.dimensions)) ?? null;
    const inferred = inferShape(node, inputs, output);
    const shape = declared?.map((size, i) => size ?? inferred?.[i] ?? null) ?? inferred;
    const dataType = info?.dataType || outputType(node, inputs);
    return { kind: 'opaque', dataType, shape, reason: reason ?? cause(node, inputs) };
  }

  /**
   * Lookups that stand side by side in a Concat with dense values are concatenated among
   * themselves first, so that they can be written in one piece.
   */
  private groupLookups(node: OnnxNode, inputs: Inputs): OnnxNode | null {
    const rank = inputs[0]?.kind === 'grid' ? inputs[0].grid.axes.length : null;
    const some = inputs.find((value) => isRows(value));
    if (some?.kind !== 'grid' || inputs.every((value) => isRows(value))) return null;
    const axis = normaliseAxis(intAttribute(node, 'axis', 0), rank ?? some.grid.axes.length);
    if (axis === null) return null;
    const grouped: string[] = [];
    let changed = false;
    for (let i = 0; i < inputs.length; ) {
      let end = i;
      while (end < inputs.length && isRows(inputs[end] ?? null)) end++;
      const grids = inputs
        .slice(i, end)
        .map((value) => (value?.kind === 'grid' ? value.grid : null)) as Grid[];
      const joined =
        grids.length > 1 ? gridValue(concat(grids, axis), inputs[i]?.dataType ?? 0) : null;
      if (joined === null) {
        const stop = Math.max(end, i + 1);
        grouped.push(...node.inputs.slice(i, stop));
        i = stop;
        continue;
      }
      const name = this.names.fresh(`${node.outputs[0]}_lookups`);
      const part: OnnxNode = {
        ...node,
        name: '',
        inputs: node.inputs.slice(i, end),
        outputs: [name],
      };
      this.nodes.push(part);
      this.producers.set(name, part);
      this.values.set(name, joined);
      grouped.push(name);
      changed = true;
      i = end;
    }
    return changed ? { ...node, inputs: grouped } : null;
  }

  /** What a node's outputs are; null for those that the dense graph computes. */
  private evaluate(
    node: OnnxNode,
    inputs: Inputs,
    environment: Environment,
  ): readonly (Value | null)[] {
    if (node.domain !== '') return [];
    if (node.opType === 'Loop') {
      return (
        evaluateLoop(
          node,
          inputs,
          environment,
          (graph, outer, args) => this.evaluateGraph(graph, outer, args),
          this.dimensions.batchSize,
        ) ?? []
      );
    }
    const missing = inputs.some((value, i) => value === null && (node.inputs[i] ?? '') !== '');
    if (missing) return [];
    return (
      this.evaluatePlain(node, inputs) ??
      evaluateLoopValues(node, inputs, (n, i) => this.evaluatePlain(n, i)) ??
      []
    );
  }

  private evaluatePlain(node: OnnxNode, inputs: Inputs): readonly (Value | null)[] | null {
    const kept = keepMatrix(node, inputs);
    if (kept !== null) return [kept];
    const consts = inputs.map((value) => (value?.kind === 'const' ? value.tensor : null));
    const allConst = inputs.every(
      (value, i) => value?.kind === 'const' || (node.inputs[i] ?? '') === '',
    );
    if (allConst && inputs.length > 0) {
      const folded = fold(node, consts);
      if (folded !== null)
        return folded.map((tensor) => (tensor === null ? null : constant(tensor)));
    }
    return (
      evaluateShapes(node, inputs) ??
      evaluateLengths(node, inputs) ??
      evaluateViews(node, inputs) ??
      evaluateLookups(node, inputs)
    );
  }

  /** The outputs of a subgraph, without changing the graph. */
  private evaluateGraph(
    graph: OnnxGraph,
    outer: Environment,
    args: readonly (Value | null)[],
  ): (Value | null)[] {
    const local = new Map<string, Value | null>();
    const environment: Environment = (name) =>
      local.has(name) ? (local.get(name) ?? null) : outer(name);
    for (const [name, tensor] of graph.initializers)
      local.set(name, initializerValue(name, tensor));
    for (const [i, info] of graph.inputs.entries()) local.set(info.name, args[i] ?? null);
    for (const node of graph.nodes) {
      const inputs = node.inputs.map((name) => (name === '' ? null : environment(name)));
      const results = this.evaluateInside(node, inputs, environment);
      node.outputs.forEach((name, i) => {
        if (name !== '') local.set(name, results[i] ?? null);
      });
    }
    return graph.outputs.map((info) => environment(info.name));
  }

  private evaluateInside(
    node: OnnxNode,
    inputs: Inputs,
    environment: Environment,
  ): readonly (Value | null)[] {
    if (node.opType === 'Constant') {
      const tensor = constantNode(node);
      return tensor === null ? [] : [initializerValue(node.outputs[0] ?? '', tensor)];
    }
    if (node.opType !== 'If') return this.evaluate(node, inputs, environment);
    const [condition] = inputs;
    const branch = (name: string): (Value | null)[] => {
      const graph = graphAttribute(node, name);
      return graph === null ? [] : this.evaluateGraph(graph, environment, []);
    };
    const known = scalarOf(condition ?? null);
    if (known !== null) return branch(known !== 0 ? 'then_branch' : 'else_branch');
    if (condition?.kind !== 'test') return [];
    const [yes, no] = [branch('then_branch'), branch('else_branch')];
    return node.outputs.map((_, i) => chooseBranch(condition, yes[i] ?? null, no[i] ?? null));
  }
}

export function identity(from: string, to: string): OnnxNode {
  return {
    name: '',
    opType: 'Identity',
    domain: '',
    inputs: [from],
    outputs: [to],
    attributes: new Map(),
  };
}

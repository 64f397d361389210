/** Replaces calls of a model's local functions by their bodies, in subgraphs too. */
import { GyrfalconError } from '../../errors.js';
import type { OnnxAttribute, OnnxFunction, OnnxGraph, OnnxModel, OnnxNode } from '../onnx/types.js';
import { describe } from './attributes.js';

/** Calls inside calls. */
const MAX_DEPTH = 32;
/** Nodes that all bodies together may add: a few short functions can call each other 2^n times. */
const MAX_NODES = 1 << 20;

/** Gives out names that no value of the model has. */
export class Names {
  private readonly used = new Set<string>();

  use(name: string): void {
    this.used.add(name);
  }

  fresh(base: string): string {
    let name = base;
    for (let i = 1; this.used.has(name); i++) name = `${base}_${i}`;
    this.used.add(name);
    return name;
  }
}

/** Registers every name of a graph and its subgraphs. */
export function collectNames(graph: OnnxGraph, names: Names): void {
  for (const info of [...graph.inputs, ...graph.outputs]) names.use(info.name);
  for (const name of graph.initializers.keys()) names.use(name);
  for (const node of graph.nodes) {
    for (const name of [...node.inputs, ...node.outputs]) names.use(name);
    for (const attribute of node.attributes.values()) {
      if (attribute.type === 'graph') collectNames(attribute.value, names);
    }
  }
}

/** A copy of a graph with its values renamed; names without an entry stay. */
export function renameGraph(graph: OnnxGraph, rename: (name: string) => string): OnnxGraph {
  return {
    name: graph.name,
    nodes: graph.nodes.map((node) => renameNode(node, rename)),
    initializers: new Map(
      [...graph.initializers].map(([name, tensor]) => [
        rename(name),
        { ...tensor, name: rename(name) },
      ]),
    ),
    inputs: graph.inputs.map((info) => ({ ...info, name: rename(info.name) })),
    outputs: graph.outputs.map((info) => ({ ...info, name: rename(info.name) })),
    valueInfo: new Map(
      [...graph.valueInfo].map(([name, info]) => [rename(name), { ...info, name: rename(name) }]),
    ),
  };
}

export function renameNode(node: OnnxNode, rename: (name: string) => string): OnnxNode {
  const attributes = new Map<string, OnnxAttribute>();
  for (const [key, attribute] of node.attributes) {
    attributes.set(
      key,
      attribute.type === 'graph'
        ? { type: 'graph', value: renameGraph(attribute.value, rename) }
        : attribute,
    );
  }
  return {
    ...node,
    inputs: node.inputs.map((name) => (name === '' ? '' : rename(name))),
    outputs: node.outputs.map((name) => (name === '' ? '' : rename(name))),
    attributes,
  };
}

/** Names that a list of nodes defines, subgraphs included. */
export function definedNames(
  nodes: readonly OnnxNode[],
  into: Set<string> = new Set(),
): Set<string> {
  for (const node of nodes) {
    for (const name of node.outputs) if (name !== '') into.add(name);
    for (const attribute of node.attributes.values()) {
      if (attribute.type !== 'graph') continue;
      for (const info of attribute.value.inputs) into.add(info.name);
      for (const name of attribute.value.initializers.keys()) into.add(name);
      definedNames(attribute.value.nodes, into);
    }
  }
  return into;
}

/** @throws ONNX_INVALID (a function that calls itself), LIMIT_EXCEEDED */
export function inlineFunctions(model: OnnxModel, names: Names): OnnxNode[] {
  const functions = new Map(model.functions.map((body) => [key(body.domain, body.name), body]));
  return new Inliner(functions, names).nodes(model.graph.nodes, []);
}

function key(domain: string, name: string): string {
  return `${domain}\u0000${name}`;
}

class Inliner {
  private added = 0;

  constructor(
    private readonly functions: ReadonlyMap<string, OnnxFunction>,
    private readonly names: Names,
  ) {}

  nodes(nodes: readonly OnnxNode[], calls: readonly OnnxFunction[]): OnnxNode[] {
    return nodes.flatMap((node) => {
      const body = this.functions.get(key(node.domain, node.opType));
      return body === undefined ? [this.subgraphs(node, calls)] : this.call(node, body, calls);
    });
  }

  private subgraphs(node: OnnxNode, calls: readonly OnnxFunction[]): OnnxNode {
    if (![...node.attributes.values()].some((attribute) => attribute.type === 'graph')) return node;
    const attributes = new Map(node.attributes);
    for (const [name, attribute] of attributes) {
      if (attribute.type !== 'graph') continue;
      const graph = { ...attribute.value, nodes: this.nodes(attribute.value.nodes, calls) };
      attributes.set(name, { type: 'graph', value: graph });
    }
    return { ...node, attributes };
  }

  private call(node: OnnxNode, body: OnnxFunction, calls: readonly OnnxFunction[]): OnnxNode[] {
    if (calls.includes(body) || calls.length >= MAX_DEPTH) {
      throw new GyrfalconError(
        'ONNX_INVALID',
        `expected functions that do not call themselves but received ${describe(node)}`,
      );
    }
    this.added += body.nodes.length;
    if (this.added > MAX_NODES) {
      throw new GyrfalconError(
        'LIMIT_EXCEEDED',
        `expected at most ${MAX_NODES} nodes in function bodies but received more`,
      );
    }
    const renamed = new Map<string, string>();
    const tail: OnnxNode[] = [];
    for (const [i, name] of body.inputs.entries()) renamed.set(name, node.inputs[i] ?? '');
    body.outputs.forEach((name, i) => {
      const actual = node.outputs[i] ?? '';
      const input = renamed.get(name);
      if (input === undefined) {
        renamed.set(name, actual === '' ? this.names.fresh(name) : actual);
      } else if (actual !== '') {
        tail.push({
          name: '',
          opType: 'Identity',
          domain: '',
          inputs: [input],
          outputs: [actual],
          attributes: new Map(),
        });
      }
    });
    for (const name of definedNames(body.nodes)) {
      if (!renamed.has(name)) renamed.set(name, this.names.fresh(name));
    }
    const prepared = body.nodes.map((inner) => {
      const resolved = resolveReferences(inner, node, body);
      const out = renameNode(resolved, (name) => renamed.get(name) ?? name);
      // Names help messages only; two calls would otherwise share them.
      return { ...out, name: node.name === '' ? out.name : `${node.name}/${out.name}` };
    });
    return [...this.nodes(prepared, [...calls, body]), ...tail];
  }
}

/** Puts the call's attributes where the body refers to them. */
function resolveReferences(inner: OnnxNode, call: OnnxNode, body: OnnxFunction): OnnxNode {
  const attributes = new Map<string, OnnxAttribute>();
  for (const [name, attribute] of inner.attributes) {
    if (attribute.type === 'ref') {
      const value =
        call.attributes.get(attribute.value) ?? body.attributeDefaults.get(attribute.value);
      if (value !== undefined) attributes.set(name, value);
    } else if (attribute.type === 'graph') {
      const graph = attribute.value;
      attributes.set(name, {
        type: 'graph',
        value: { ...graph, nodes: graph.nodes.map((node) => resolveReferences(node, call, body)) },
      });
    } else attributes.set(name, attribute);
  }
  return { ...inner, attributes };
}

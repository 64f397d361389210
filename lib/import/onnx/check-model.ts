/** What a model as a whole has to keep to: known operators, local functions only, unique values. */
import { GyrfalconError } from '../../errors.js';
import { ALLOWED_OPS } from './allowed-ops.js';
import { MAX_CALL_DEPTH } from './limits.js';
import type { OnnxFunction, OnnxGraph, OnnxModel, OnnxNode } from './types.js';

/** @throws ONNX_INVALID, ONNX_UNSUPPORTED */
export function checkModel(model: OnnxModel): void {
  const functions = new Map<string, OnnxFunction>();
  for (const fn of model.functions) {
    const key = functionKey(fn.domain, fn.name);
    if (fn.domain === '') {
      throw unsupported(`function ${quote(fn.name)} outside the default domain`, 'one inside it');
    }
    if (functions.has(key)) throw invalid('each function once', `${quote(key)} twice`);
    functions.set(key, fn);
  }
  checkNodes(model.graph.nodes, functions);
  checkValues(model.graph);
  for (const fn of model.functions) {
    checkNodes(fn.nodes, functions);
    checkOutputs(fn.nodes, new Set(fn.inputs), `function ${quote(fn.name)}`);
    for (const node of fn.nodes) subgraphs(node).forEach(checkValues);
  }
  checkCalls(functions);
}

/** How functions are told apart; overloads are refused by the reader. */
export function functionKey(domain: string, name: string): string {
  return `${domain}::${name}`;
}

function checkNodes(
  nodes: readonly OnnxNode[],
  functions: ReadonlyMap<string, OnnxFunction>,
): void {
  for (const node of nodes) {
    if (node.domain === '' ? !ALLOWED_OPS.has(node.opType) : !isCall(node, functions)) {
      const op = node.domain === '' ? node.opType : `${node.domain}.${node.opType}`;
      throw unsupported(
        `operators of the default domain or functions of the model at node ${quote(node.name)}`,
        `operator ${quote(op)}`,
      );
    }
    for (const graph of subgraphs(node)) checkNodes(graph.nodes, functions);
  }
}

function isCall(node: OnnxNode, functions: ReadonlyMap<string, OnnxFunction>): boolean {
  return functions.has(functionKey(node.domain, node.opType));
}

function subgraphs(node: OnnxNode): OnnxGraph[] {
  const graphs: OnnxGraph[] = [];
  for (const attribute of node.attributes.values()) {
    if (attribute.type === 'graph') graphs.push(attribute.value);
  }
  return graphs;
}

/** Every value of a graph is made once (static single assignment). */
function checkValues(graph: OnnxGraph): void {
  const names = new Set<string>(graph.initializers.keys());
  for (const input of graph.inputs) {
    if (names.has(input.name)) throw invalid('each input once', `${quote(input.name)} twice`);
    names.add(input.name);
  }
  checkOutputs(graph.nodes, names, `graph ${quote(graph.name)}`);
  for (const node of graph.nodes) subgraphs(node).forEach(checkValues);
}

function checkOutputs(nodes: readonly OnnxNode[], names: Set<string>, where: string): void {
  for (const node of nodes) {
    for (const output of node.outputs) {
      if (output === '') continue;
      if (names.has(output)) {
        throw invalid(`each value made once in ${where}`, `${quote(output)} twice`);
      }
      names.add(output);
    }
  }
}

/** Functions call each other to a limited depth and never in a circle, so inlining ends. */
function checkCalls(functions: ReadonlyMap<string, OnnxFunction>): void {
  const depths = new Map<string, number>();
  const open = new Set<string>();
  const depthOf = (key: string, fn: OnnxFunction): number => {
    const known = depths.get(key);
    if (known !== undefined) return known;
    if (open.has(key)) throw unsupported('functions that end', `${quote(key)}, which calls itself`);
    open.add(key);
    if (open.size > MAX_CALL_DEPTH) {
      throw unsupported(`function calls at most ${MAX_CALL_DEPTH} deep`, 'deeper ones');
    }
    let depth = 1;
    for (const callee of calls(fn.nodes, functions)) {
      const target = functions.get(callee) as OnnxFunction;
      depth = Math.max(depth, 1 + depthOf(callee, target));
    }
    open.delete(key);
    depths.set(key, depth);
    return depth;
  };
  for (const [key, fn] of functions) depthOf(key, fn);
}

function calls(
  nodes: readonly OnnxNode[],
  functions: ReadonlyMap<string, OnnxFunction>,
): Set<string> {
  const found = new Set<string>();
  const walk = (list: readonly OnnxNode[]): void => {
    for (const node of list) {
      if (node.domain !== '' && isCall(node, functions)) {
        found.add(functionKey(node.domain, node.opType));
      }
      for (const graph of subgraphs(node)) walk(graph.nodes);
    }
  };
  walk(nodes);
  return found;
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}

function invalid(expected: string, received: string): GyrfalconError {
  return new GyrfalconError('ONNX_INVALID', `expected ${expected} but received ${received}`);
}

function unsupported(expected: string, received: string): GyrfalconError {
  return new GyrfalconError('ONNX_UNSUPPORTED', `expected ${expected} but received ${received}`);
}

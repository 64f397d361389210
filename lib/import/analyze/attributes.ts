/** Typed access to a node's attributes. */
import type { OnnxGraph, OnnxNode } from '../onnx/types.js';

export function intAttribute(node: OnnxNode, name: string, otherwise: number): number {
  const attribute = node.attributes.get(name);
  return attribute?.type === 'int' ? Number(attribute.value) : otherwise;
}

export function intsAttribute(node: OnnxNode, name: string): number[] | null {
  const attribute = node.attributes.get(name);
  return attribute?.type === 'ints' ? attribute.value.map(Number) : null;
}

export function floatAttribute(node: OnnxNode, name: string): number | null {
  const attribute = node.attributes.get(name);
  return attribute?.type === 'float' ? attribute.value : null;
}

export function stringAttribute(node: OnnxNode, name: string): string | null {
  const attribute = node.attributes.get(name);
  return attribute?.type === 'string' ? attribute.value : null;
}

export function graphAttribute(node: OnnxNode, name: string): OnnxGraph | null {
  const attribute = node.attributes.get(name);
  return attribute?.type === 'graph' ? attribute.value : null;
}

/** A node as messages name it: by its name, else by its first output. */
export function describe(node: OnnxNode): string {
  return `${node.opType} '${node.name !== '' ? node.name : (node.outputs[0] ?? '')}'`;
}

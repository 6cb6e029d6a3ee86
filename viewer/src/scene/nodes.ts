/** Nodes: one per token and plane of each side, then one per answer. */

import type { SceneData } from "../wire/scene";

// Answers that are drawn as nodes; the panel lists all.
export const MOST_ANSWERS = 10;

export interface NodeIndex {
  readonly count: number;
  readonly first: readonly number[]; // first node of each side
  readonly firstAnswer: number;
  readonly answers: number;
  readonly lengths: readonly number[];
}

export type NodeName =
  | { kind: "token"; side: number; plane: number; token: number }
  | { kind: "answer"; answer: number };

export function indexNodes(scene: SceneData): NodeIndex {
  const first: number[] = [];
  let at = 0;
  for (const side of scene.sides) {
    first.push(at);
    at += side.planes * side.tokens.length;
  }
  const answers = Math.min(scene.outputs?.names.length ?? 0, MOST_ANSWERS);
  return { count: at + answers, first, firstAnswer: at, answers, lengths: scene.sides.map((s) => s.tokens.length) };
}

export function nodeOf(index: NodeIndex, side: number, plane: number, token: number): number {
  return index.first[side]! + plane * index.lengths[side]! + token;
}

export function nameNode(index: NodeIndex, node: number): NodeName {
  if (node >= index.firstAnswer) return { kind: "answer", answer: node - index.firstAnswer };
  let side = index.first.length - 1;
  while (side > 0 && (node < index.first[side]! || index.lengths[side] === 0)) side--;
  const length = index.lengths[side]!;
  const within = node - index.first[side]!;
  return { kind: "token", side, plane: Math.floor(within / length), token: within % length };
}

/** The story of one token across all layers: whom it attends to, who attends to it, what it is made of. */

import { fallingOrder } from "../maths/order";
import type { CallData, SceneData } from "../wire/scene";
import type { Graph } from "./build";
import { measureOfEntry, tableOf, type Part } from "./candidates";
import { drawnHeads, type Choice } from "./choice";
import { ANSWER, ATTENTION, VALUE, type Edges } from "./edges";
import { nodeOf, type NodeIndex } from "./nodes";
import { queryShift, realRows, receivedSums, rowWidth } from "./rows";

// Edges of a story: a token's strongest in each layer and direction, up to this share of what it has there.
const STORY_SHARE = 0.8;
const STORY_EDGES = 8;
const STORY_VALUES = 3; // ribbons into the token and out of it, in each layer

export interface Partner {
  readonly token: number;
  readonly weight: number; // mean over the drawn heads
}

export interface StoryLayer {
  readonly call: number;
  readonly attendsTo: readonly Partner[]; // falling; empty if the token is no query here
  readonly attendedBy: readonly Partner[];
  readonly ofKeys: number; // side of the partners in attendsTo
  readonly ofQueries: number;
  readonly residualShare: number; // residual / (residual + attention); NaN: not captured
  readonly feedForwardShare: number; // feed-forward / (stream + feed-forward)
  readonly received: number; // sum of the weights on this token; a token attends 1 in all
}

const MOST_PARTNERS = 4;

function strongest(values: Float64Array): Partner[] {
  const found: Partner[] = [];
  values.forEach((weight, token) => {
    if (weight > 0 && (found.length < MOST_PARTNERS || weight > found.at(-1)!.weight)) {
      found.push({ token, weight });
      found.sort((a, b) => b.weight - a.weight);
      found.length = Math.min(found.length, MOST_PARTNERS);
    }
  });
  return found;
}

/** Mean row of a token as query, over some heads. */
export function meanRow(call: CallData, heads: readonly number[], query: number): Float64Array {
  const row = new Float64Array(call.keys);
  const width = rowWidth(call);
  for (const head of heads) {
    const at = (head * call.queries + query) * width;
    for (let n = 0; n < width; n++) {
      const key = call.key ? call.key[at + n]! : n;
      if (key >= 0) row[key]! += call.weight[at + n]! / heads.length;
    }
  }
  return row;
}

/** Mean column of a token as key, over some heads. */
function meanColumn(call: CallData, heads: readonly number[], key: number): Float64Array {
  const column = new Float64Array(call.queries);
  const width = rowWidth(call);
  for (const head of heads) {
    for (let query = 0; query < call.queries; query++) {
      const at = (head * call.queries + query) * width;
      if (!call.key) column[query]! += call.weight[at + key]! / heads.length;
      else for (let n = at; n < at + width; n++) {
        if (call.key[n] === key) column[query]! += call.weight[n]! / heads.length;
      }
    }
  }
  return column;
}

/** What happens to a token in each layer, over the drawn heads (all heads where none is drawn). */
export function tellStory(scene: SceneData, choice: Choice, side: number, token: number): StoryLayer[] {
  const layers: StoryLayer[] = [];
  for (const call of scene.calls) {
    if (call.querySide !== side && call.keySide !== side) continue;
    const drawn = drawnHeads(choice, call.number, call.heads);
    const heads = drawn.length ? drawn : Array.from({ length: call.heads }, (_, head) => head);
    const shift = queryShift(call, scene.sides[call.querySide]!.tokens.length);
    const query = token - shift;
    const isQuery = call.querySide === side && query >= 0;
    const column = call.keySide === side && token < call.keys ? meanColumn(call, heads, token) : new Float64Array(0);
    const [own, added] = isQuery ? [call.flow[query]!, call.flow[call.queries + query]!] : [NaN, NaN];
    const [stream, forward] = isQuery
      ? [call.flow[2 * call.queries + query]!, call.flow[3 * call.queries + query]!]
      : [NaN, NaN];
    layers.push({
      call: call.number,
      attendsTo: isQuery ? strongest(meanRow(call, heads, query)) : [],
      attendedBy: strongest(column).map((partner) => ({ ...partner, token: partner.token + shift })),
      ofKeys: call.keySide,
      ofQueries: call.querySide,
      residualShare: own / (own + added),
      feedForwardShare: forward / (stream + forward),
      received: column.reduce((sum, weight) => sum + weight, 0),
    });
  }
  return layers;
}

/** Entries of a part whose edges touch a token: in its row if it is a query, and in its column if it is a key. */
function entriesTouching(part: Part, side: number, token: number): { asQuery: number[]; asKey: number[] } {
  const { rows, bin, ground } = part;
  const { call } = rows;
  const width = rowWidth(call);
  const query = token - queryShift(call, ground.scene.sides[call.querySide]!.tokens.length);
  const [asQuery, asKey]: [number[], number[]] = [[], []];
  for (let h = 0; h < rows.heads.length; h++) {
    // Of a uniform head's edges none is stronger than another: a choice among them would mean nothing.
    if (rows.flat[h]) continue;
    const at = h * call.queries * width;
    const own = call.querySide === side && query >= 0 && query < call.queries ? at + query * width : -1;
    for (let entry = own; own >= 0 && entry < own + width; entry++) if (bin[entry]! > 0) asQuery.push(entry);
    if (call.keySide !== side || token >= call.keys) continue;
    const isOwn = (entry: number) => entry >= own && entry < own + width && own >= 0;
    if (!rows.key) {
      for (let entry = at + token; entry < at + call.queries * width; entry += width) if (bin[entry]! > 0 && !isOwn(entry)) asKey.push(entry);
    } else {
      for (let entry = at; entry < at + call.queries * width; entry++) {
        if (rows.key[entry] === token && bin[entry]! > 0 && !isOwn(entry)) asKey.push(entry);
      }
    }
  }
  return { asQuery, asKey };
}

/** The first of the strongest edges that together reach the story's share. */
function strongestEntries(part: Part, entries: readonly number[], most: number): number[] {
  const measures = entries.map((entry) => measureOfEntry(part, entry));
  const total = measures.reduce((sum, measure) => sum + measure, 0);
  const order = fallingOrder(Float32Array.from(measures));
  const chosen: number[] = [];
  let sum = 0;
  for (const n of order.subarray(0, most)) {
    if (sum >= STORY_SHARE * total && total > 0) break;
    chosen.push(entries[n]!);
    sum += measures[n]!;
  }
  return chosen;
}

/** The edges of a token's story, strongest first. */
export function storyEdges(graph: Graph, side: number, token: number): Edges {
  const { parts, fixed } = graph;
  const hasAttention = graph.totals[ATTENTION]! > 0;
  const entries = parts.map((part) => {
    const { asQuery, asKey } = entriesTouching(part, side, token);
    const most = part.kind === VALUE && hasAttention ? STORY_VALUES : STORY_EDGES;
    const groups = part.kind === ATTENTION ? [[...asQuery, ...asKey]] : [asQuery, asKey];
    return groups.flatMap((group) => strongestEntries(part, group, most));
  });
  const found = tableOf(parts, entries);
  const measures = Float32Array.from({ length: found.length }, (_, n) => found.measure(n));
  const story = found.select(fallingOrder(measures));
  for (let n = 0; n < fixed.length; n++) if (touches(graph, n, side, token)) story.add(fixed.at(n));
  return story;
}

/** Tell whether a residual or answer edge touches a token in any plane. */
function touches({ fixed, ground: { scene } }: Graph, n: number, side: number, token: number): boolean {
  const isOf = fixed.kind[n] === ANSWER ? scene.outputs?.side : scene.calls[fixed.call[n]!]!.querySide;
  return isOf === side && fixed.key[n] === token;
}

/** Attention that each node receives over the drawn heads, and each token over all layers: 1 = an even share. */
export function receivedAttention(
  scene: SceneData, index: NodeIndex, choice: Choice,
): { nodes: Float32Array; tokens: Float32Array[] } {
  const nodes = new Float32Array(index.count).fill(Number.NaN);
  const tokens = scene.sides.map((side) => new Float32Array(side.tokens.length));
  const layers = scene.sides.map(() => 0);
  for (const call of scene.calls) {
    const heads = drawnHeads(choice, call.number, call.heads);
    if (heads.length === 0) continue;
    const column = new Float64Array(call.keys);
    const sums = receivedSums(call);
    let rows = 0;
    for (const head of heads) {
      rows += realRows(call, head);
      for (let key = 0; key < call.keys; key++) column[key]! += sums[head * call.keys + key]!;
    }
    const real = scene.sides[call.keySide]!.padded.reduce((sum, padded) => sum + 1 - padded, 0);
    const plane = call.kind === "self" ? call.plane : scene.sides[call.keySide]!.planes - 1;
    layers[call.keySide]!++;
    for (let key = 0; key < call.keys; key++) {
      const share = rows ? (column[key]! / rows) * real : 0;
      const node = nodeOf(index, call.keySide, plane, key);
      nodes[node] = Number.isNaN(nodes[node]!) ? share : nodes[node]! + share;
      tokens[call.keySide]![key]! += share;
    }
  }
  tokens.forEach((shares, side) => shares.forEach((sum, token) => (shares[token] = layers[side] ? sum / layers[side] : 0)));
  return { nodes, tokens };
}


/** From captured rows to edges: which there are under a choice, and what they hold in all. */

import { percent, plural } from "../maths/digits";
import type { CallData, SceneData } from "../wire/scene";
import { countEdges, findEdges, FOLDED, PADDED, type Ground, type Part, type Sums } from "./candidates";
import { drawnHeads, type Choice } from "./choice";
import { ANSWER, ATTENTION, CROSS, Edges, FORWARD, KINDS, RESIDUAL, VALUE } from "./edges";
import { nodeOf, type NodeIndex } from "./nodes";
import { meanRows, queryShift, rowsOfHeads, type Rows } from "./rows";
import { findSinks } from "./sinks";

export interface Graph {
  readonly ground: Ground;
  readonly parts: readonly Part[]; // edges that a threshold chooses from
  readonly fixed: Edges; // residual and answer edges: always drawn
  readonly total: number; // edges of all parts
  readonly totals: readonly number[]; // the same for each kind
  readonly mass: number; // attention of all drawn rows, 1 a row; of differences their sizes
  readonly holds: "attention" | "difference"; // what mass is of
  readonly carried: number; // contribution of all value edges
  readonly dropped: readonly string[]; // what is in none of the parts, in sentences
  readonly flatHeads: readonly string[];
}

/** Which of a call's edges a view draws. */
export function drawnKinds(choice: Choice, call: CallData): number[] {
  if (choice.view === "layer" && call.number !== choice.layer) return [];
  const isFront = choice.view === "front";
  if (call.kind === "cross" || call.querySide !== call.keySide) {
    return choice.attention || choice.values || isFront ? [CROSS] : [];
  }
  if (isFront) return [VALUE];
  if (choice.view === "layer") return [ATTENTION];
  return [...(choice.attention ? [ATTENTION] : []), ...(choice.values ? [VALUE] : [])];
}

/** Rows of a call that a choice draws; null if it draws none. */
function chooseRows(call: CallData, choice: Choice, dropped: string[]): Rows | null {
  const heads = drawnHeads(choice, call.number, call.heads);
  if (heads.length === 0) return null;
  const rows = choice.heads === "mean" && heads.length > 1 ? meanRows(call, heads) : rowsOfHeads(call, heads);
  if (!rows) dropped.push(`layer ${call.layer} is too large for a mean of its kept weights: heads are drawn one by one`);
  return rows ?? rowsOfHeads(call, heads);
}

/** Build the graph of a scene under a choice. */
export function buildGraph(scene: SceneData, index: NodeIndex, choice: Choice): Graph {
  const parts: Part[] = [];
  const dropped: string[] = [];
  const flatHeads: string[] = [];
  const sinks = choice.sinks === "folded" ? findSinks(scene) : scene.sides.map(() => []);
  const ground: Ground = { scene, index, direction: choice.direction, hidden: hiddenKeys(scene, sinks) };
  const sums: Sums = { mass: 0, carried: 0, folded: 0, unpaired: 0 };
  let first = 0;
  for (const call of scene.calls) {
    const kinds = drawnKinds(choice, call);
    const rows = kinds.length ? chooseRows(call, choice, dropped) : null;
    if (!rows) continue;
    for (const kind of kinds) {
      const before = { ...sums };
      parts.push(findEdges(ground, rows, kind, first, sums));
      first += parts.at(-1)!.bin.length;
      // Attention that is drawn twice, within a plane and as ribbons, is counted once.
      if (kind === VALUE && kinds.includes(ATTENTION)) [sums.mass, sums.folded] = [before.mass, before.folded];
    }
    rows.flat.forEach((flat, n) => {
      if (flat) flatHeads.push(rows.heads[n]! < 0 ? `layer ${call.layer} (mean)` : `layer ${call.layer} head ${rows.heads[n]!}`);
    });
    if (!call.isWhole && call.k !== null && call.k < call.keys) dropped.push(describeKept(call));
    if (call.sums) dropped.push(`layer ${call.layer}: ${call.sums}`);
    if (call.nanRows) dropped.push(`${plural(call.nanRows, "row")} of layer ${call.layer} ${call.nanRows === 1 ? "holds" : "hold"} NaN`);
  }
  const holds = parts.some((part) => part.kind === ATTENTION) && choice.direction === "asymmetry" ? "difference" : "attention";
  if (sums.unpaired) dropped.push(`${plural(sums.unpaired, "weight")} without the other direction, which was not kept: no difference`);
  if (choice.sinks === "folded") dropped.unshift(describeSinks(scene, sinks, holds === "difference" ? Number.NaN : sums.folded / sums.mass));
  const totals = Array<number>(KINDS).fill(0);
  for (const part of parts) totals[part.kind]! += countEdges(part);
  return {
    ground, parts, totals, holds, flatHeads, fixed: fixedEdges(scene, index, choice), mass: sums.mass, carried: sums.carried,
    total: totals.reduce((sum, count) => sum + count, 0), dropped: [...new Set(dropped)],
  };
}

/** Of each side, which keys are not drawn and why. */
function hiddenKeys(scene: SceneData, sinks: readonly (readonly number[])[]): Uint8Array[] {
  return scene.sides.map((side, s) => {
    const hidden = side.padded.map((isPadded) => (isPadded ? PADDED : 0));
    for (const token of sinks[s]!) hidden[token] = FOLDED;
    return hidden;
  });
}

// Sinks that are named; more are counted.
const MOST_NAMED = 4;

function describeSinks(scene: SceneData, sinks: readonly (readonly number[])[], share: number): string {
  const names = sinks.flatMap((tokens, side) => tokens.map((token) => scene.sides[side]!.tokens[token]!.trim().slice(0, 20) || `token ${token}`));
  if (!names.length) return "no sink to fold";
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : "";
  const held = Number.isFinite(share) ? `: ${percent(share)} of attention` : "";
  return `${names.length > 1 ? "sinks" : "sink"} ${names.slice(0, MOST_NAMED).join(" ")}${more} folded${held}`;
}

function describeKept(call: CallData): string {
  let kept = 0;
  let rows = 0;
  call.kept!.forEach((share, row) => {
    if (call.visible[row]! > 0 && share === share) {
      kept += share;
      rows++;
    }
  });
  const share = rows ? (100 * kept) / rows : 0;
  return `layer ${call.layer}: the page holds ${call.k} of ${call.keys} keys a row, ${share.toFixed(1)} % of the attention`;
}

// Parts of a score below this share of the largest are not drawn; the token's panel has them.
const LEAST_PART = 0.1;
// Parts of one answer that are drawn.
const MOST_PARTS = 16;

const NO_EDGE = { head: -1, reverse: Number.NaN, mass: 0, lift: Number.NaN, judged: 0, flat: false, sign: 0 };

/** Each real token's own state carried on, and each answer's parts. */
function fixedEdges(scene: SceneData, index: NodeIndex, choice: Choice): Edges {
  const edges = new Edges();
  if (choice.view === "layer") return edges;
  for (const call of choice.residual || choice.feedForward ? scene.calls : []) {
    const side = scene.sides[call.querySide]!;
    const shift = queryShift(call, side.tokens.length);
    for (let query = 0; query < call.queries; query++) {
      const token = query + shift;
      if (side.padded[token]) continue;
      const at = (part: number) => call.flow[part * call.queries + query]!;
      const [own, added, stream, forward] = [at(0), at(1), at(2), at(3)];
      const edge = {
        ...NO_EDGE, call: call.number, query: token, key: token,
        from: nodeOf(index, call.querySide, call.plane, token),
        to: nodeOf(index, call.querySide, call.plane + 1, token),
      };
      if (choice.residual) edges.add({ ...edge, kind: RESIDUAL, weight: own / (own + added), contribution: own });
      const share = forward / (stream + forward);
      for (const head of choice.feedForward && share > 0 ? [0, 1] : []) edges.add({ ...edge, kind: FORWARD, head, weight: share, contribution: forward });
    }
  }
  const parts = choice.classes ? scene.outputs?.contribution : null;
  if (!scene.outputs || !parts) return edges;
  const side = scene.sides[scene.outputs.side]!;
  const drawn = parts.subarray(0, index.answers * side.tokens.length);
  const least = LEAST_PART * drawn.reduce((most, part) => (Math.abs(part) > most ? Math.abs(part) : most), 0);
  for (let answer = 0; answer < index.answers; answer++) {
    const own = parts.slice(answer * side.tokens.length, (answer + 1) * side.tokens.length).map(Math.abs).sort().reverse();
    for (let token = 0; token < side.tokens.length; token++) {
      const weight = parts[answer * side.tokens.length + token]!;
      if (side.padded[token] || !weight || Math.abs(weight) < Math.max(least, own[MOST_PARTS - 1] ?? 0)) continue;
      edges.add({
        ...NO_EDGE, kind: ANSWER, call: -1, query: answer, key: token, weight, contribution: weight,
        from: nodeOf(index, scene.outputs.side, side.planes - 1, token),
        to: index.firstAnswer + answer,
      });
    }
  }
  return edges;
}

/** Which edges and nodes stand out: those of what is selected, or under the pointer. */

import { graphChoice } from "../scene/choice";
import { ANSWER, Edges } from "../scene/edges";
import { nameNode } from "../scene/nodes";
import { sightOf } from "../scene/sight";
import { storyEdges } from "../scene/story";
import { endsOf } from "./looks";
import type { Model } from "./model";

export interface Marks {
  readonly edges: Edges;
  readonly lit: Set<number> | null; // nodes that are not dimmed; null: all
  readonly sight: Float32Array | null; // of each node: brightness of a patch, NaN where that says nothing
}

/** Collect what stands out now. */
export function markSelection(model: Model): Marks {
  const shown = model.selection ?? model.hover;
  const over = model.selection && model.hover?.kind === "edge" ? model.hover : null;
  let edges = new Edges();
  if (shown?.kind === "token") {
    edges = storyEdges(model.graph, shown.side, shown.token);
  } else if (shown?.kind === "answer") {
    const { fixed } = model.graph;
    for (let n = 0; n < fixed.length; n++) {
      if (fixed.kind[n] === ANSWER && fixed.query[n] === shown.answer) edges.add(fixed.at(n));
    }
  } else if (shown) edges.add(shown.edge);
  if (over) edges.add(over.edge);
  if (!shown || (!model.selection && shown.kind === "edge")) return { edges, lit: null, sight: null };
  const lit = endsOf(edges);
  if (shown.kind === "token") {
    for (let node = 0; node < model.index.firstAnswer; node++) {
      const name = nameNode(model.index, node);
      if (name.kind === "token" && name.side === shown.side && name.token === shown.token) lit.add(node);
    }
  }
  if (shown.kind === "answer") lit.add(model.index.firstAnswer + shown.answer);
  const sight = shown.kind === "token" ? sightOf(model.scene, model.index, graphChoice(model.choice), shown.side, shown.token) : null;
  return { edges, lit, sight };
}

/** The views that stand in the graph's place, in the order of their buttons. */

import type { GraphViewName, ViewName } from "../../scene/choice";
import { makeHeads } from "./heads";
import { makeMatrix } from "./matrix";
import { makeNeuron } from "./neuron";
import { makeTable } from "./table";
import type { MakeView } from "./view";

export interface CentreEntry {
  readonly label: string;
  readonly title: string;
  readonly make: MakeView;
}

export const CENTRE: Partial<Record<Exclude<ViewName, GraphViewName>, CentreEntry>> = {
  matrix: { label: "Matrix", title: "Every head's attention as a matrix", make: makeMatrix },
  heads: { label: "Heads", title: "Who looks at whom in one layer, head by head", make: makeHeads },
  neuron: { label: "Neurons", title: "Why a token attends: query, keys, products, scores, weights", make: makeNeuron },
  table: { label: "Table", title: "The visible edges in numbers", make: makeTable },
};

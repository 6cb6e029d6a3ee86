/** The views that stand in the graph's place, in the order of their buttons. */

import type { GraphViewName, ViewName } from "../../scene/choice";
import { makeTable } from "./table";
import type { MakeView } from "./view";

export interface CentreEntry {
  readonly label: string;
  readonly title: string;
  readonly make: MakeView;
}

export const CENTRE: Partial<Record<Exclude<ViewName, GraphViewName>, CentreEntry>> = {
  table: { label: "Table", title: "The visible edges in numbers", make: makeTable },
};

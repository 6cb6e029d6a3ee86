/** The views that stand in the graph's place, in the order of their buttons. */

import type { GraphViewName, ViewName } from "../../scene/choice";
import type { MakeView } from "./view";

export interface CentreEntry {
  readonly label: string;
  readonly title: string;
  readonly make: MakeView;
}

export const CENTRE: Partial<Record<Exclude<ViewName, GraphViewName>, CentreEntry>> = {};

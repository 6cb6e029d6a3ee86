/** What is known of the one head that is looked at. */

import { headFacts, sayFacts } from "../scene/measures";
import { make } from "./element";
import { knockSection } from "./knock_panel";
import { focusedHead } from "./knocking";
import type { Model } from "./model";
import { topologySection } from "./topology_panel";

/** The sections of the head in focus; empty where several are seen. */
export function headSections(model: Model): HTMLElement[] {
  const head = focusedHead(model);
  const facts = head && headFacts(model.scene).find((one) => one.call === head.call && one.head === head.head);
  if (!facts) return [];
  const { role } = facts;
  const knock = knockSection(model);
  return [
    make("h3", { text: `${model.layerName(facts.call)}, head ${facts.head}` }),
    ...(role ? [make("p", { class: "role" }, make("b", { text: role.name }), role.evidence && ` ${role.evidence}`)] : []),
    make("p", { class: "note", text: sayFacts({ ...facts, role: null }, model.scene.before !== null).join(" · ") }),
    ...(knock ? [knock] : []),
    topologySection(model, facts.call, facts.head),
  ];
}

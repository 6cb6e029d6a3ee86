/** A token's whole story, layer by layer. */

import { percent, quantity, signed } from "../maths/digits";
import { tellStory, type Partner, type StoryLayer } from "../scene/story";
import { bars, signedBar } from "./bars";
import { button, labelOf, make, PANEL_LETTERS, tokenText } from "./element";
import { knockSection } from "./knock_panel";
import type { Model, Selection } from "./model";
import { rawOf } from "./tooltip";

const MOST_ANSWERS = 8;

export function tokenPanel(model: Model, selection: Extract<Selection, { kind: "token" }>): HTMLElement {
  const { scene } = model;
  const { side, token } = selection;
  const text = scene.sides[side]!.tokens[token]!;
  const panel = make("div", {},
    patch(model, side, token),
    make("h3", {}, tokenText(text === "" ? "(empty string)" : text.slice(0, PANEL_LETTERS) + (text.length > PANEL_LETTERS ? "…" : ""))),
    make("p", { class: "note", text: place(model, side, token, text) }),
  );
  const parts = contributions(model, side, token);
  if (parts) panel.append(parts);
  const knock = knockSection(model);
  if (knock) panel.append(knock);
  const layers = tellStory(scene, model.choice, side, token);
  panel.append(
    make("h2", { text: "Through the layers" }),
    make("div", { class: "keys" },
      key("var(--residual)", "own state"), key("var(--accent)", "attention"), key("var(--plus)", "feed-forward")),
  );
  const story = make("div", { class: "story" });
  for (const layer of layers) story.append(storyLayer(model, layer));
  panel.append(story);
  panel.append(make("p", {
    class: "note",
    text: "Weights are means over the heads drawn. Bars: shares of the norms that are added up, first own state and attention, then the feed-forward's part of what follows.",
  }));
  return panel;
}

/** The token's own picture; null where it has none. */
function patch(model: Model, side: number, token: number): HTMLCanvasElement | null {
  const patches = model.scene.sides[side]!.patches;
  if (!patches || patches.unpictured.has(token)) return null;
  const { width, height, rgb } = patches;
  const canvas = make("canvas", { class: "patch", attributes: { role: "img", "aria-label": "this token's patch" } });
  [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  if (!context || !width || !height) return null;
  const image = context.createImageData(width, height);
  const from = token * width * height * 3;
  for (let n = 0; n < width * height; n++) image.data.set([rgb[from + 3 * n]!, rgb[from + 3 * n + 1]!, rgb[from + 3 * n + 2]!, 255], 4 * n);
  context.putImageData(image, 0, 0);
  return canvas;
}

function key(colour: string, text: string): HTMLElement {
  return make("span", {}, make("i", { style: { background: colour } }), text);
}

function place(model: Model, side: number, token: number, text: string): string {
  const { scene, received } = model;
  const parts = [`token ${token} of 0 to ${scene.sides[side]!.tokens.length - 1}`];
  if (scene.sides.length > 1) parts.push(scene.sides[side]!.name);
  const raw = rawOf(model, side, token);
  if (raw) parts.push(raw.slice(2, -1));
  if (text.length > PANEL_LETTERS) parts.push(`${text.length.toLocaleString("en").replaceAll(",", "\u202f")} characters, the first ${PANEL_LETTERS} shown`);
  const share = received.tokens[side]![token]!;
  parts.push(`receives ${share.toFixed(2)} × an even share of the attention drawn`);
  return parts.join(" · ");
}

function contributions(model: Model, side: number, token: number): HTMLElement | null {
  const { outputs } = model.scene;
  if (!outputs?.contribution || outputs.side !== side) return null;
  const tokens = model.scene.sides[side]!.tokens.length;
  const largest = outputs.contribution.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
  const rows = outputs.names.slice(0, MOST_ANSWERS).map((name, answer) => {
    const value = outputs.contribution![answer * tokens + token]!;
    return { name: tokenText(labelOf(name, 18)), bar: signedBar(value / largest), value: signed(value) };
  });
  const method = outputs.method === "exact" ? "exact" : outputs.method;
  const all = outputs.names.length;
  return make("section", {}, make("h2", { text: `Adds to the scores (${method})` }), bars(rows),
    all > rows.length && make("p", { class: "note", text: `The first ${rows.length} of ${all} answers.` }));
}

function storyLayer(model: Model, layer: StoryLayer): HTMLElement {
  const call = model.scene.calls[layer.call]!;
  const known = Number.isFinite(layer.residualShare);
  const forward = Number.isFinite(layer.feedForwardShare);
  const shares = make("div", { class: "shares", title: "own state and attention" });
  if (known) {
    shares.append(
      make("i", { style: { width: `${100 * layer.residualShare}%`, background: "var(--residual)" } }),
      make("i", { style: { width: `${100 * (1 - layer.residualShare)}%`, background: "var(--accent)" } }),
    );
  }
  const second = make("div", { class: "shares", title: "feed-forward" }, forward && make("i", { style: { width: `${100 * layer.feedForwardShare}%`, background: "var(--plus)" } }));
  const said = known
    ? `attention ${percent(1 - layer.residualShare)}, feed-forward ${percent(layer.feedForwardShare)}`
    : "shares not captured";
  const mark = call.kind === "cross" ? "×" : "";
  return make("div", { class: "layer" },
    make("div", { class: "top" },
      make("b", { text: `L${call.layer}${mark}`, title: call.site }), known && shares, forward && second,
      make("span", { class: known ? "unseen" : "soft", text: said })),
    partners(model, layer.attendsTo, layer.ofKeys, "→", "attends to"),
    partners(model, layer.attendedBy, layer.ofQueries, "←", "attended by"),
  );
}

function partners(model: Model, list: readonly Partner[], side: number, sign: string, meaning: string): HTMLElement | null {
  if (!list.length) return null;
  const line = make("div", { class: "partners" }, make("span", { text: sign, title: meaning, attributes: { "aria-hidden": "true" } }), make("span", { class: "unseen", text: meaning }));
  for (const { token, weight } of list.slice(0, 3)) {
    const text = model.scene.sides[side]!.tokens[token]!;
    line.append(button({
      class: "partner", title: `${meaning} ${labelOf(text, 60)}: ${quantity(weight)}`,
      on: { click: () => model.select({ kind: "token", side, token, plane: 0 }) },
    }, tokenText(labelOf(text, 12)), make("span", { class: "number", text: shortWeight(weight) })));
  }
  return line;
}

/** Two digits: a share at a glance; the edge's panel has more. */
function shortWeight(weight: number): string {
  return weight >= 0.995 ? "1.0" : weight >= 0.0995 ? weight.toFixed(2).slice(1) : weight.toFixed(3).slice(1);
}

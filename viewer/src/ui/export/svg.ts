/** A picture of the graph as vectors: an SVG document of its own. */

import { FLOATS_PER_NODE } from "../../gl/nodes/index";
import { widthOf } from "../../gl/edges/width";
import { RAMP_STEPS } from "../../gl/renderer";
import { projectPoints } from "../../maths/camera";
import { cubicAt } from "../../maths/curve";
import { make } from "../element";
import { drawLabels, type LabelPen } from "../labels";
import { rampBytes, ROWS } from "../theme";
import type { Shot, ShotEdges } from "./shot";

const SVG = "http://www.w3.org/2000/svg";
// Edges of one file: drawing programs open it still.
export const MOST_SVG_EDGES = 20_000;
// Straight pieces of the rim of an edge that grows thinner.
const TAPER_PIECES = 12;

type Attributes = Record<string, string | number>;

/** Characters that XML forbids make a file that nothing opens. */
const clean = (text: string) => text.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd");

const short = (value: number) => String(Math.round(value * 100) / 100);

export function tag(name: string, attributes: Attributes = {}, ...children: (Node | string)[]): SVGElement {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, typeof value === "number" ? short(value) : clean(value));
  element.append(...children.map((child) => (typeof child === "string" ? clean(child) : child)));
  return element;
}

/** An empty document of a size in CSS pixels, on paper. */
export function page(width: number, height: number, paper: string, title: string, caption: string): SVGElement {
  const root = tag("svg", { width, height, viewBox: `0 0 ${width} ${height}` });
  root.append(tag("title", {}, title), tag("desc", {}, caption), tag("rect", { width: "100%", height: "100%", fill: paper }));
  return root;
}

/** The text of an SVG file. */
export function svgText(root: SVGElement): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${new XMLSerializer().serializeToString(root)}\n`;
}

/** Draw a picture of the graph, from the back to the front. */
export function shotSvg(shot: Shot, title: string, caption: string): SVGElement {
  const [width, height] = shot.size;
  const root = page(width, height, shot.theme.paper, title, caption);
  const ramp = rampBytes(shot.theme);
  const colour = (row: number, strength: number) => {
    const at = 4 * (row * RAMP_STEPS + Math.min(RAMP_STEPS - 1, Math.floor(strength * RAMP_STEPS)));
    return `#${[...ramp.subarray(at, at + 3)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  };
  const group = (name: string, children: SVGElement[]) => root.append(tag("g", { class: name }, ...children));
  group("planes", planes(shot));
  // Patches are pixels in any case: one picture of them all.
  if (shot.pictures) group("pictures", [tag("image", { width, height, href: shot.pictures })]);
  // Where lines keep room free, it shows what lies behind: paper, or in the stack mostly planes.
  const ground = shot.planes.length ? shot.theme.plane : shot.theme.paper;
  for (const name of ["fixed", "main", "marked"] as const) group(`edges ${name}`, edges(shot.edges[name], colour, ground));
  group("nodes", dots(shot, colour));
  const pen = new SvgPen();
  drawLabels(pen, width, height, shot);
  group("labels", pen.texts);
  return root;
}

type Ramp = (row: number, strength: number) => string;

function edges({ flat, looks, style, count }: ShotEdges, colour: Ramp, ground: string): SVGElement[] {
  const out: SVGElement[] = [];
  for (let n = Math.min(count, MOST_SVG_EDGES) - 1; n >= 0; n--) {
    const c = flat.subarray(8 * n, 8 * n + 8);
    if (!c.every(Number.isFinite)) continue;
    const strength = looks[4 * n]! / 255;
    const width = widthOf(strength, style.width);
    // Not at the ends, where a line meets others.
    if (style.casing > 0) {
      const points = Array.from({ length: 9 }, (_, at) => cubicAt(c, 0.12 + 0.095 * at).map(short).join(" "));
      out.push(tag("path", { class: "casing", d: `M${points.join("L")}`, fill: "none", stroke: ground, "stroke-width": width + 2 * style.casing }));
    }
    const alpha = style.alpha[0] + (style.alpha[1] - style.alpha[0]) * strength;
    const paint = colour(looks[4 * n + 1]!, strength);
    if (looks[4 * n + 3]! > 127) {
      out.push(tag("path", { class: "edge", d: tapered(c, width), fill: paint, "fill-opacity": alpha }));
      continue;
    }
    const [p, q, r, s] = [0, 2, 4, 6].map((at) => `${short(c[at]!)} ${short(c[at + 1]!)}`);
    out.push(tag("path", {
      class: "edge", d: `M${p}C${q} ${r} ${s}`, fill: "none", stroke: paint, "stroke-width": width, "stroke-opacity": alpha,
      ...(looks[4 * n + 2]! > 127 ? { pathLength: 14, "stroke-dasharray": "0.62 0.38" } : {}),
    }));
  }
  return out;
}

/** Outline of a line that is wide where it starts. */
function tapered(c: ArrayLike<number>, width: number): string {
  const [left, right]: [string[], string[]] = [[], []];
  for (let n = 0; n <= TAPER_PIECES; n++) {
    const t = n / TAPER_PIECES;
    const [x, y] = cubicAt(c, t);
    const [[ax, ay], [bx, by]] = [cubicAt(c, Math.max(0, t - 0.02)), cubicAt(c, Math.min(1, t + 0.02))];
    const half = (width * (1.45 - 0.95 * t)) / 2 / (Math.hypot(bx - ax, by - ay) || 1);
    left.push(`${short(x - (by - ay) * half)} ${short(y + (bx - ax) * half)}`);
    right.unshift(`${short(x + (by - ay) * half)} ${short(y - (bx - ax) * half)}`);
  }
  return `M${[...left, ...right].join("L")}Z`;
}

function dots({ nodes, screen }: Shot, colour: Ramp): SVGElement[] {
  const out: SVGElement[] = [];
  for (let n = nodes.dots.length / FLOATS_PER_NODE - 1; n >= 0; n--) {
    const [, , , r, fill, rim, , opacity] = nodes.dots.subarray(n * FLOATS_PER_NODE, (n + 1) * FLOATS_PER_NODE) as unknown as number[];
    const [x, y] = [screen[3 * n]!, screen[3 * n + 1]!];
    if (!Number.isFinite(x) || !opacity) continue;
    out.push(tag("circle", {
      cx: x, cy: y, r: r!, fill: colour(fill!, 1), stroke: colour(rim!, 1), "paint-order": "stroke", opacity,
      "stroke-width": 2 * Math.min(1.75, 0.6 * r!), "stroke-opacity": rim === ROWS.paper ? 0.85 : 1,
    }));
  }
  return out;
}

// Corners of sheets are round, world units.
const CORNER = 0.08;

/** Outline of a plane in its own two axes. */
function outline(isRound: boolean, [wide, high]: readonly [number, number]): [number, number][] {
  return Array.from({ length: 48 }, (_, n) => {
    const angle = ((n + 0.5) * Math.PI) / 24;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const r = Math.min(CORNER, wide, high);
    return isRound ? [wide * cos, high * sin] : [Math.sign(cos) * (wide - r) + r * cos, Math.sign(sin) * (high - r) + r * sin];
  });
}

function planes({ places, planes, camera, size }: Shot): SVGElement[] {
  const [across, up] = places.axes;
  const paint = (colour: readonly number[]) => `rgb(${colour.slice(0, 3).map((v) => Math.round(255 * v)).join(",")})`;
  return [...planes].reverse().map(({ centre, isRound, half, fill, rim }) => {
    const rounds = outline(isRound, half).flatMap(([a, b]) => centre.map((at, n) => at + a * across[n]! + b * up[n]!));
    const seen = projectPoints(Float32Array.from(rounds), camera, size[0], size[1]);
    const points = Array.from({ length: seen.length / 3 }, (_, n) => `${short(seen[3 * n]!)} ${short(seen[3 * n + 1]!)}`);
    return tag("path", { d: `M${points.join("L")}Z`, fill: paint(fill), "fill-opacity": fill[3], stroke: paint(rim), "stroke-opacity": rim[3] });
  });
}

/** Takes labels as a canvas would, and keeps them as text. */
class SvgPen implements LabelPen {
  readonly texts: SVGElement[] = [];
  font = "";
  globalAlpha = 1;
  fillStyle: LabelPen["fillStyle"] = "";
  strokeStyle: LabelPen["strokeStyle"] = "";
  lineWidth = 1;
  textBaseline: CanvasTextBaseline = "middle";
  lineJoin: CanvasLineJoin = "round";
  textAlign: CanvasTextAlign = "left";
  direction: CanvasDirection = "ltr";
  private readonly ruler = make("canvas").getContext("2d");

  measureText(text: string): { width: number } {
    if (!this.ruler) return { width: 7 * text.length };
    this.ruler.font = this.font;
    return this.ruler.measureText(text);
  }

  strokeText(): void {} // the halo is drawn with the letters

  fillText(text: string, x: number, y: number): void {
    const [, weight = "400", size = "12", family = "sans-serif"] = /^(?:(\d+) )?([\d.]+)px (.*)$/.exec(this.font) ?? [];
    this.texts.push(tag("text", {
      x, y: y + 0.35 * Number(size), "font-family": family, "font-size": size, "font-weight": weight,
      fill: String(this.fillStyle), "fill-opacity": this.globalAlpha, stroke: String(this.strokeStyle), "stroke-width": this.lineWidth,
      "stroke-linejoin": "round", "paint-order": "stroke", "xml:space": "preserve", direction: "ltr",
    }, text));
  }
}

/** Pictures of a head's weights, coloured by the square root of the weight. */

import { parseHex } from "../maths/colour";
import { rough } from "../maths/digits";
import { cellsOf, MASKED, pool, type Pooled } from "../scene/cells";
import type { HeadFacts } from "../scene/measures";
import type { SceneData } from "../wire/scene";
import { make } from "./element";
import { heatTable, type Theme } from "./theme";

export interface HeatLook {
  readonly rose: Uint8Array; // 256 colours from 0 to the largest weight, or change
  readonly fell: Uint8Array;
  readonly unknown: readonly number[];
}

/** Colours of weights in one hue, or of changes in two. */
export function heatLook(theme: Theme, hex: string, isChange: boolean): HeatLook {
  return {
    rose: heatTable(theme, isChange ? theme.plus : hex), fell: heatTable(theme, theme.minus),
    unknown: parseHex(theme.plane).map((value) => Math.round(255 * value)),
  };
}

/** Draw cells pixel by pixel; `largest` is the weight with the fullest colour. What is masked stays clear. */
export function drawHeat(canvas: HTMLCanvasElement, pooled: Pooled, look: HeatLook, largest: number): void {
  canvas.width = Math.max(pooled.width, 1);
  canvas.height = Math.max(pooled.height, 1);
  const image = new ImageData(canvas.width, canvas.height);
  pooled.cells.forEach((weight, n) => {
    if (weight === MASKED) return;
    const step = 3 * Math.min(255, Math.round(255 * Math.sqrt(weight / largest)) || 0);
    const table = weight < 0 ? look.unknown : pooled.sign?.[n] === -1 ? look.fell : look.rose;
    for (let c = 0; c < 3; c++) image.data[4 * n + c] = table[weight < 0 ? c : step + c]!;
    image.data[4 * n + 3] = 255;
  });
  // A canvas that is read often is painted with the page: hundreds of layers of their own would make every frame slow.
  canvas.getContext("2d", { willReadFrequently: true })?.putImageData(image, 0, 0);
}

// Pixels of a thumbnail: a longer text is reduced to the largest weight of each block.
const MOST_PIXELS = 48;
// Milliseconds of a frame that drawing may take.
const SLICE_MS = 24;

/** Draws pictures of heads when they scroll into sight, a few in each frame. */
export class Thumbnails {
  private readonly wishes = new Map<Element, () => void>();
  private readonly due = new Set<Element>();
  private request = 0;
  private readonly observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) this.due[isIntersecting ? "add" : "delete"](target);
    this.request ||= requestAnimationFrame(() => this.work());
  }, { rootMargin: "160px" });

  /** A canvas that shows a whole head once it is seen. */
  add(scene: SceneData, { call, head }: HeadFacts, look: HeatLook, largest: number): HTMLCanvasElement {
    const canvas = make("canvas", { attributes: { "aria-hidden": "true" } });
    this.wishes.set(canvas, () => {
      const cells = cellsOf(scene, scene.calls[call]!, head);
      const box = { top: 0, left: 0, bottom: cells.rows.length, right: cells.columns.length };
      drawHeat(canvas, pool(cells, box, MOST_PIXELS, MOST_PIXELS), look, largest);
    });
    this.observer.observe(canvas);
    return canvas;
  }

  clear(): void {
    this.observer.disconnect();
    this.wishes.clear();
    this.due.clear();
  }

  private work(): void {
    const end = performance.now() + SLICE_MS;
    for (const element of this.due) {
      if (performance.now() > end) break;
      this.due.delete(element);
      this.observer.unobserve(element);
      this.wishes.get(element)?.();
      this.wishes.delete(element);
    }
    this.request = this.due.size ? requestAnimationFrame(() => this.work()) : 0;
  }
}

/** What the colours of cells mean. */
export function heatLegend(look: HeatLook, isChange: boolean, largest: number, isWhole: boolean): HTMLElement[] {
  const strip = (table: Uint8Array, angle: number) => {
    const stops = [0, 64, 128, 191, 255].map((n) => `rgb(${[...table.subarray(3 * n, 3 * n + 3)].join()})`);
    return make("i", { class: "scale", style: { background: `linear-gradient(${angle}deg,${stops.join()})` } });
  };
  const end = `${rough(largest)} (√)`;
  const title = "Depth of colour is the square root of the weight: half the depth is a quarter of the weight";
  const patch = (name: string, text: string) => make("span", {}, make("i", { class: `square ${name}` }), text);
  return [
    make("span", { title }, ...(isChange ? ["fell", strip(look.fell, 270)] : []), "0", strip(look.rose, 90), isChange ? `rose by ${end}` : `weight ${end}`),
    patch("masked", "masked"),
    ...(isWhole ? [] : [patch("unknown", "not kept")]),
  ];
}

import { describe, expect, it } from "vitest";
import { placeLabels } from "../src/maths/boxes";
import { fitCamera, projectPoints } from "../src/maths/camera";
import { indexNodes } from "../src/scene/nodes";
import { placeNodes } from "../src/scene/layout";
import { labelOf } from "../src/ui/element";
import { drawLabels } from "../src/ui/labels";
import { Model } from "../src/ui/model";
import { THEMES } from "../src/ui/theme";
import { fitPoints, marginsOf, startView } from "../src/ui/views";
import { pack, smallScene } from "./blocks";

type Box = [left: number, top: number, right: number, bottom: number];

/** Numbers from 0 to 1 that are the same in every run. */
function random(seed: number): () => number {
  let state = seed * 2654435761 + 1;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 2246822519) + 0x9e3779b9) | 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
}

function overlaps(boxes: readonly Box[]): number {
  let count = 0;
  boxes.forEach((a, n) => boxes.slice(n + 1).forEach((b) => {
    if (a[0] < b[2] && a[2] > b[0] && a[1] < b[3] && a[3] > b[1]) count++;
  }));
  return count;
}

// Letters are taken to be this wide and high, with a font of 12 px.
const LETTER = 7;
const HIGH = { "12px": 15, "11px": 11 };

/** Remembers where texts were drawn. */
class Pen {
  font = "";
  boxes: Box[] = [];
  texts: string[] = [];
  measureText(text: string): { width: number } {
    return { width: text.length * LETTER };
  }
  strokeText(): void {}
  fillText(text: string, x: number, y: number): void {
    const high = this.font.includes("11px") ? HIGH["11px"] : HIGH["12px"];
    this.boxes.push([x, y - high / 2, x + text.length * LETTER, y + high / 2]);
    this.texts.push(text);
  }
}

async function modelOf(tokens: string[], seed: number): Promise<Model> {
  const next = random(seed);
  const weights = [Array.from({ length: tokens.length }, () => {
    const row = tokens.map(() => next() ** 4);
    const sum = row.reduce((total, w) => total + w, 0);
    return row.map((w) => w / sum);
  })];
  const { arrays, meta } = smallScene({ weights, tokens, parts: [tokens.map(next), tokens.map(next), tokens.map(next)] });
  const stream = new Blob([pack(arrays, meta) as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new CompressionStream("gzip"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const model = new Model({ title: "", note: "", createdBy: "", frames: [{ label: "", group: "example", number: 0, bytes, against: null }] } as never);
  await model.showFrame(0);
  return model;
}

describe("labels", () => {
  it("of a thousand random wishes never overlap and stay inside", () => {
    const next = random(1);
    const wishes = Array.from({ length: 1000 }, () => ({
      width: 10 + 90 * next(), height: 12 + 4 * next(), priority: next(),
      spots: Array.from({ length: 3 }, () => [700 * next() - 20, 500 * next() - 20] as const),
    }));
    const placed = placeLabels(wishes, 640, 480, 400);
    const boxes = placed.map(({ wish, left, top }): Box => [left, top, left + wishes[wish]!.width, top + wishes[wish]!.height]);
    expect(placed.length).toBeGreaterThan(60);
    expect(overlaps(boxes)).toBe(0);
    expect(boxes.every(([l, t, r, b]) => l >= 0 && t >= 0 && r <= 640 && b <= 480)).toBe(true);
    expect(overlaps([[0, 0, 10, 10], [9, 9, 20, 20]])).toBe(1);
  });

  it.each(["3d", "front", "layer"] as const)("never collide in the %s view, however it is turned", async (view) => {
    const next = random(7);
    let drawn = 0;
    for (let n = 0; n < 24; n++) {
      const tokens = Array.from({ length: 3 + Math.floor(next() * 60) }, (_, at) => "w".repeat(1 + Math.floor(next() * 20)) + at);
      const model = await modelOf(tokens, n);
      model.choose({ view, layout: (["ring", "line", "grid"] as const)[n % 3]! });
      if (n % 2) model.select({ kind: "token", side: 0, token: 1, plane: n % 4 === 1 ? 0 : 1 });
      const size = [300 + Math.floor(next() * 1000), 200 + Math.floor(next() * 700)] as const;
      const places = placeNodes(model.scene, indexNodes(model.scene), model.choice, size[0] / size[1]);
      const fitted = fitCamera(fitPoints(places, new Float32Array(0)), startView(model), size[0], size[1], marginsOf(model, size));
      const turned = n % 3 ? { ...fitted, yaw: fitted.yaw + next() * 6, pitch: next() * 2 - 1, scale: fitted.scale * (0.5 + 2 * next()) } : fitted;
      const pen = new Pen();
      drawLabels(pen as never, size[0], size[1], {
        model, places, screen: projectPoints(places.positions, view === "3d" ? turned : fitted, size[0], size[1]),
        radii: new Float32Array(model.index.count).fill(4), lit: null, theme: THEMES.light,
      });
      expect(overlaps(pen.boxes)).toBe(0);
      expect(pen.boxes.every(([l, t, r, b]) => l >= 0 && t >= 0 && r <= size[0] && b <= size[1])).toBe(true);
      drawn += pen.boxes.length;
    }
    expect(drawn).toBeGreaterThan(24 * 6);
  });

  it("of a column's rows are all there while rows are fourteen pixels apart", async () => {
    const tokens = Array.from({ length: 20 }, (_, n) => `word${n}`);
    const model = await modelOf(tokens, 3);
    model.choose({ view: "front" });
    const size = [640, 372] as const;
    const places = placeNodes(model.scene, indexNodes(model.scene), model.choice, size[0] / size[1]);
    const camera = fitCamera(fitPoints(places, new Float32Array(0)), startView(model), size[0], size[1], marginsOf(model, size));
    const pen = new Pen();
    const screen = projectPoints(places.positions, camera, size[0], size[1]);
    expect(screen[4]! - screen[1]!).toBeCloseTo(14, 0);
    drawLabels(pen as never, size[0], size[1], {
      model, places, screen,
      radii: new Float32Array(model.index.count).fill(4), lit: null, theme: THEMES.light,
    });
    expect(tokens.filter((token) => !pen.texts.includes(token))).toEqual([]);
  });
});

describe("a label", () => {
  it.each([
    ["a\nb", "a⏎b"], ["\t", "⇥"], [" ", "(space)"], ["   ", "(3 spaces)"], ["", "(empty)"], ["\u202eabc", "·abc"], ["\u2028", "⏎"],
    ["\u200b\ufeff", "··"], ["x".repeat(40), `${"x".repeat(15)}…`], ["👩‍👩‍👧‍👦", "👩‍👩‍👧‍👦"], ["می‌خواهم", "می‌خواهم"], ["·ing", "·ing"],
  ])("writes %j as %j", (token, label) => {
    expect(labelOf(token)).toBe(label);
  });
});

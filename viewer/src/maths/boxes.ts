/** Labels that never collide. */

export interface LabelWish {
  readonly width: number; // CSS pixels
  readonly height: number;
  readonly priority: number; // larger is placed first
  /** Corners (left, top) where the label may stand, the best first. */
  readonly spots: readonly (readonly [number, number])[];
}

export interface LabelSpot {
  readonly wish: number; // index among the wishes
  readonly left: number;
  readonly top: number;
}

// Cell of the search grid: about one label.
const CELL = 64;
// Free pixels around a label.
const AIR = 1;

/** Place as many labels as fit without overlap, by falling priority; equal priorities keep their order. */
export function placeLabels(wishes: readonly LabelWish[], width: number, height: number, most: number): LabelSpot[] {
  const order = wishes.map((_, n) => n).sort((a, b) => wishes[b]!.priority - wishes[a]!.priority || a - b);
  const cells = new Map<number, [number, number, number, number][]>();
  const placed: LabelSpot[] = [];
  for (const n of order) {
    if (placed.length >= most) break;
    const wish = wishes[n]!;
    for (const [left, top] of wish.spots) {
      const box: [number, number, number, number] = [left - AIR, top - AIR, left + wish.width + AIR, top + wish.height + AIR];
      const isInside = box[0] >= 0 && box[1] >= 0 && box[2] <= width && box[3] <= height;
      if (!isInside || hits(cells, box)) continue;
      for (const name of cellsOf(box)) {
        const cell = cells.get(name);
        if (cell) cell.push(box);
        else cells.set(name, [box]);
      }
      placed.push({ wish: n, left, top });
      break;
    }
  }
  return placed;
}

function cellsOf(box: readonly [number, number, number, number]): number[] {
  const names: number[] = [];
  for (let x = Math.floor(box[0] / CELL); x <= Math.floor(box[2] / CELL); x++) {
    for (let y = Math.floor(box[1] / CELL); y <= Math.floor(box[3] / CELL); y++) names.push(x * 65536 + y);
  }
  return names;
}

function hits(cells: Map<number, [number, number, number, number][]>, box: readonly [number, number, number, number]): boolean {
  for (const name of cellsOf(box)) {
    for (const other of cells.get(name) ?? []) {
      if (box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1]) return true;
    }
  }
  return false;
}

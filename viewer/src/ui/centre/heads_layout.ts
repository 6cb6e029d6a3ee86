/** Where the tokens of the head view stand: two columns, queries on the left, keys on the right. */

// CSS pixels.
const TALLEST_ROW = 28;
const EDGE = 10;
const FEW_BARS = 96; // a few heads share this width
const WIDEST_LABEL = 150;
const NARROWEST_LABEL = 56;
const WIDEST_GAP = 620;
const NARROWEST_GAP = 110;
export const HEADROOM = 24; // for the names of the columns

export interface Column {
  readonly tokens: readonly number[]; // real ones, top to bottom
  readonly place: ReadonlyMap<number, number>; // of each token among them
  readonly x: number; // where lines end
  readonly step: number;
}

export interface HeadsLayout {
  readonly query: Column;
  readonly key: Column;
  readonly label: number; // width of the labels
  readonly cell: number; // width of one head's bar
  readonly top: number; // of the first row: less than HEADROOM when scrolled
  readonly reach: number; // how far can be scrolled
}

export interface Room {
  readonly width: number;
  readonly height: number;
  readonly label: number; // widest label
  readonly heads: number; // that have bars
  readonly zoom: number; // 1: everything fits
  readonly scroll: number;
}

/** Real tokens from `first` on. */
export function realFrom(padded: ArrayLike<number>, first: number): number[] {
  return Array.from({ length: padded.length - first }, (_, n) => n + first).filter((n) => !padded[n]);
}

export function layHeads(queries: readonly number[], keys: readonly number[], room: Room): HeadsLayout {
  const label = Math.max(NARROWEST_LABEL, Math.min(WIDEST_LABEL, room.label, 0.22 * room.width));
  const free = (room.width - NARROWEST_GAP - 2 * (label + EDGE)) / 2;
  const cell = Math.max(2, Math.min(Math.max(12, FEW_BARS / room.heads), free / Math.max(1, room.heads)));
  const side = EDGE + label + cell * room.heads;
  const gap = Math.min(WIDEST_GAP, Math.max(NARROWEST_GAP, room.width - 2 * side));
  const height = Math.max(1, room.height - HEADROOM - EDGE);
  const step = (count: number) => room.zoom * Math.min(TALLEST_ROW, height / Math.max(1, count));
  const column = (tokens: readonly number[], x: number): Column =>
    ({ tokens, place: new Map(tokens.map((token, n) => [token, n])), x, step: step(tokens.length) });
  const left = (room.width - gap) / 2;
  const [query, key] = [column(queries, left), column(keys, left + gap)];
  const length = Math.max(query.step * queries.length, key.step * keys.length);
  const reach = Math.max(0, length - height);
  return { query, key, label, cell, reach, top: HEADROOM - Math.min(reach, Math.max(0, room.scroll)) };
}

/** Middle of a token's row; NaN for one that is not there. */
export function rowOf(layout: HeadsLayout, column: Column, token: number): number {
  return layout.top + ((column.place.get(token) ?? Number.NaN) + 0.5) * column.step;
}

/** The token at a height; null where there is none. */
export function tokenAt(layout: HeadsLayout, column: Column, y: number): number | null {
  return y < HEADROOM ? null : column.tokens[Math.floor((y - layout.top) / column.step)] ?? null;
}

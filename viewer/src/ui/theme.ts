/** Colours of the light and the dark theme. */

import { cssColour, lightnessRamp, parseHex, toOklab, type Colour } from "../maths/colour";
import { RAMP_ROWS, RAMP_STEPS } from "../gl/renderer";

export interface Theme {
  readonly name: "light" | "dark";
  readonly paper: string; // behind the graph
  readonly panel: string;
  readonly raised: string;
  readonly ink: string;
  readonly soft: string;
  readonly line: string;
  readonly accent: string;
  readonly plane: string;
  readonly rim: string;
  readonly node: string;
  readonly residual: string;
  readonly one: string; // edges that no head's hue names
  readonly plus: string; // speaks for an answer
  readonly minus: string;
  readonly mark: string; // what is selected
  readonly heads: readonly string[]; // searched for: far apart for colour-blind readers too, a test says how far
  readonly pale: number; // OKLab lightness of the weakest edge
}

const LIGHT: Theme = {
  name: "light", paper: "#ffffff", panel: "#f6f8fa", raised: "#ffffff", ink: "#1b1f24", soft: "#59636e",
  line: "#d5dae1", accent: "#1f5fbf", plane: "#eef1f6", rim: "#cfd6df", node: "#3b4450", residual: "#b4bdc9",
  one: "#1f4fa3", plus: "#00705a", minus: "#c2410c", mark: "#e0006c",
  heads: ["#1e76ff", "#d19200", "#019361", "#803a00", "#22a9f2", "#89638e", "#183586", "#00212d"],
  pale: 0.85,
};

const DARK: Theme = {
  name: "dark", paper: "#0d1117", panel: "#141a22", raised: "#1c242e", ink: "#e6edf3", soft: "#97a3b0",
  line: "#2b3440", accent: "#6cb0ff", plane: "#161d27", rim: "#303b49", node: "#d5dee8", residual: "#465261",
  one: "#8ab8ff", plus: "#4fd1b0", minus: "#ff9b5c", mark: "#ff5fa8",
  heads: ["#5ec5fd", "#ba8800", "#049f5a", "#f149a9", "#9970ff", "#e2d974", "#a4e5af", "#daf5ff"],
  pale: 0.4,
};

export const THEMES = { light: LIGHT, dark: DARK };

// Rows of the ramp texture: 0 to 7 are the heads.
export const ROWS = { one: 8, residual: 9, node: 10, mark: 11, plus: 12, minus: 13, rim: 14, paper: 15 } as const;

/** Bytes of the ramp texture: hues from weak to strong. */
export function rampBytes(theme: Theme): Uint8Array {
  const rows: Colour[][] = [];
  const even = (hex: string) => Array.from({ length: RAMP_STEPS }, () => parseHex(hex));
  for (const head of theme.heads) rows.push(lightnessRamp(parseHex(head), theme.pale, RAMP_STEPS));
  rows[ROWS.one] = lightnessRamp(parseHex(theme.one), theme.pale, RAMP_STEPS);
  rows[ROWS.residual] = even(theme.residual);
  rows[ROWS.node] = even(theme.node);
  rows[ROWS.mark] = even(theme.mark);
  rows[ROWS.plus] = lightnessRamp(parseHex(theme.plus), theme.pale, RAMP_STEPS);
  rows[ROWS.minus] = lightnessRamp(parseHex(theme.minus), theme.pale, RAMP_STEPS);
  rows[ROWS.rim] = even(theme.rim);
  rows[ROWS.paper] = even(theme.paper);
  const bytes = new Uint8Array(RAMP_ROWS * RAMP_STEPS * 4);
  rows.forEach((row, r) => row.forEach((colour, n) => {
    bytes.set([...colour.map((value) => Math.round(value * 255)), 255], 4 * (r * RAMP_STEPS + n));
  }));
  return bytes;
}

/** Hue of a head as CSS; -1 is the neutral one. */
export function headColour(theme: Theme, hue: number): string {
  return hue < 0 ? theme.one : theme.heads[hue % theme.heads.length]!;
}

/** Colours of a small heat map, 256 steps: paper to the full hue. */
export function heatTable(theme: Theme, hex: string): Uint8Array {
  const ground = toOklab(parseHex(theme.raised))[0];
  const table = new Uint8Array(256 * 3);
  const colours = lightnessRamp(parseHex(hex), ground, 256);
  colours.forEach((colour, n) => table.set(colour.map((value) => Math.round(value * 255)), 3 * n));
  return table;
}

/** Set the theme's colours as CSS variables. */
export function applyTheme(element: HTMLElement, theme: Theme): void {
  for (const [name, value] of Object.entries(theme)) {
    if (typeof value === "string") element.style.setProperty(`--${name}`, value);
  }
  theme.heads.forEach((hex, n) => element.style.setProperty(`--head${n}`, hex));
  element.style.setProperty("--veil", cssColour(parseHex(theme.paper), 0.82));
  // Behind letters a light accent may be no stronger than leaves them readable.
  element.style.setProperty("--tint", theme.name === "dark" ? "0.66" : "1");
  element.style.setProperty("color-scheme", theme.name);
}

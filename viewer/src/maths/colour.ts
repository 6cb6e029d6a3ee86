/** Colours in OKLab (Ottosson 2020): ramps of even lightness. */

export type Colour = readonly [number, number, number]; // sRGB, 0 to 1

export function parseHex(hex: string): Colour {
  const part = (at: number) => Number.parseInt(hex.slice(at, at + 2), 16) / 255;
  return [part(1), part(3), part(5)];
}

export function cssColour(colour: Colour, alpha = 1): string {
  const [r, g, b] = colour.map((value) => Math.round(value * 255));
  return `rgb(${r} ${g} ${b} / ${alpha})`;
}

const toLinear = (v: number) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
const fromLinear = (v: number) => (v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055);

/** Lightness and two hue axes. */
export function toOklab(colour: Colour): Colour {
  const [r, g, b] = [toLinear(colour[0]), toLinear(colour[1]), toLinear(colour[2])];
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

export function fromOklab(lab: Colour): Colour {
  const [L, a, b] = lab;
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const clip = (v: number) => fromLinear(Math.min(1, Math.max(0, v)));
  return [
    clip(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    clip(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    clip(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

/** Colours from weak to strong: even steps of lightness from `pale`, a weak edge keeps a third of its chroma. */
export function lightnessRamp(colour: Colour, pale: number, steps: number): Colour[] {
  const [L, a, b] = toOklab(colour);
  return Array.from({ length: steps }, (_, n) => {
    const t = steps > 1 ? n / (steps - 1) : 1;
    const chroma = 0.35 + 0.65 * t;
    return fromOklab([pale + (L - pale) * t, a * chroma, b * chroma]);
  });
}

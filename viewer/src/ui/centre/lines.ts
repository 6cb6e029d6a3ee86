/** Straight lines between two columns: stroked while they are few, written as pixels when there are thousands. */

import { cssColour, lightnessRamp, parseHex, type Colour } from "../../maths/colour";
import type { Theme } from "../theme";

// Steps of strength from pale to full.
export const STEPS = 12;
// Lines that a canvas strokes one by one; more would take it seconds where no graphics card helps.
const MOST_STROKED = 1500;

export interface Line {
  readonly from: number; // heights at the left and the right column
  readonly to: number;
  readonly hex: string;
  readonly level: number; // 0 to STEPS - 1
  readonly width: number;
  readonly alpha: number;
}

export interface Gap {
  readonly left: number;
  readonly width: number;
  readonly top: number;
  readonly height: number;
}

/** Draw lines, the thinnest first. */
export function drawLines(context: CanvasRenderingContext2D, lines: Line[], gap: Gap, theme: Theme): void {
  lines.sort((a, b) => a.width - b.width);
  const ramps = new Map<string, readonly Colour[]>();
  const colour = ({ hex, level }: Line) => {
    let ramp = ramps.get(hex);
    if (!ramp) ramps.set(hex, (ramp = lightnessRamp(parseHex(hex), theme.pale, STEPS)));
    return ramp[level]!;
  };
  if (lines.length > MOST_STROKED) {
    writeLines(context, lines, gap, theme, colour);
    return;
  }
  for (const line of lines) {
    context.strokeStyle = cssColour(colour(line), line.alpha);
    context.lineWidth = line.width;
    context.beginPath();
    context.moveTo(gap.left, line.from);
    context.lineTo(gap.left + gap.width, line.to);
    context.stroke();
  }
}

/** Write lines into a picture, pixel by pixel: the strongest lie on top. */
function writeLines(
  context: CanvasRenderingContext2D, lines: readonly Line[], gap: Gap, theme: Theme, colour: (line: Line) => Colour,
): void {
  const [width, height] = [Math.max(1, Math.round(gap.width)), Math.max(1, Math.round(gap.height))];
  const picture = new ImageData(width, height);
  const pixels = new Uint32Array(picture.data.buffer);
  const paper = parseHex(theme.paper);
  for (const line of lines) {
    const [r, g, b] = colour(line).map((value, n) => Math.round(255 * (paper[n]! + (value - paper[n]!) * line.alpha))) as [number, number, number];
    const ink = (255 << 24) | (b << 16) | (g << 8) | r;
    const slope = (line.to - line.from) / width;
    const thick = Math.max(1, Math.round(line.width * Math.hypot(1, slope)));
    let y = line.from - gap.top - (thick - 1) / 2;
    for (let x = 0; x < width; x++, y += slope) {
      const row = Math.round(y);
      const end = Math.min(height, row + thick);
      for (let at = Math.max(0, row); at < end; at++) pixels[at * width + x] = ink;
    }
  }
  const sheet = new OffscreenCanvas(width, height);
  sheet.getContext("2d")!.putImageData(picture, 0, 0);
  context.drawImage(sheet, gap.left, gap.top);
}

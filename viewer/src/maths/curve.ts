/** Cubic Bézier curves: four control points, as the edge shader draws them. */

/** Point of a cubic in the plane at `t`; `c` holds x, y of its four control points. */
export function cubicAt(c: ArrayLike<number>, t: number): [number, number] {
  const u = 1 - t;
  const [a, b, d, e] = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t];
  return [
    a * c[0]! + b * c[2]! + d * c[4]! + e * c[6]!,
    a * c[1]! + b * c[3]! + d * c[5]! + e * c[7]!,
  ];
}

/** Squared distance of a point from the segment from (ax, ay) to (bx, by). */
function segmentDistance2(x: number, y: number, ax: number, ay: number, bx: number, by: number): number {
  const [dx, dy] = [bx - ax, by - ay];
  const length2 = dx * dx + dy * dy;
  const t = length2 > 0 ? Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / length2)) : 0;
  return (x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2;
}

// Straight pieces that a picked curve is cut into: within a pixel of the drawn one up to 1000 px of length.
const PIECES = 16;

/** Distance of a point from a cubic in the plane; Infinity beyond `reach` of its control points' box. */
export function curveDistance(c: ArrayLike<number>, x: number, y: number, reach: number): number {
  // A cubic lies within the box of its control points.
  const lowX = Math.min(c[0]!, c[2]!, c[4]!, c[6]!);
  const highX = Math.max(c[0]!, c[2]!, c[4]!, c[6]!);
  if (!(x >= lowX - reach && x <= highX + reach)) return Infinity;
  const lowY = Math.min(c[1]!, c[3]!, c[5]!, c[7]!);
  const highY = Math.max(c[1]!, c[3]!, c[5]!, c[7]!);
  if (!(y >= lowY - reach && y <= highY + reach)) return Infinity;
  let best = Infinity;
  let [ax, ay] = [c[0]!, c[1]!];
  for (let n = 1; n <= PIECES; n++) {
    const [bx, by] = cubicAt(c, n / PIECES);
    best = Math.min(best, segmentDistance2(x, y, ax, ay, bx, by));
    [ax, ay] = [bx, by];
  }
  return Math.sqrt(best);
}

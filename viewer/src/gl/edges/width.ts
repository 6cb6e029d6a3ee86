/** Width of a line, in CSS pixels, by its strength: the shader and whoever asks say the same. */

/** `range` is that of the weakest and the strongest line. */
export function widthOf(strength: number, range: readonly [number, number]): number {
  return range[0] + (range[1] - range[0]) * strength * strength;
}

export const WIDTH_GLSL = "float widthOf(float strength, vec2 range) { return mix(range.x, range.y, strength * strength); }";

export const frag = `#version 300 es
precision highp float;
in vec2 vAt;
uniform vec2 uHalf;
uniform vec4 uFill, uRim;
uniform float uRound;   // 1: an ellipse, 0: a sheet with round corners
out vec4 colour;
void main() {
  float from; // negative inside, in steps of fwidth below
  if (uRound > 0.5) from = (length(vAt / uHalf) - 1.0) * min(uHalf.x, uHalf.y);
  else {
    float r = min(0.08, min(uHalf.x, uHalf.y));
    vec2 d = abs(vAt) - uHalf + r;
    from = length(max(d, 0.0)) + min(max(d.x, d.y), 0.0) - r;
  }
  float px = max(fwidth(from), 1e-5);
  float inside = clamp(0.5 - from / px, 0.0, 1.0);
  float rim = clamp(1.2 - abs(from / px + 0.6), 0.0, 1.0);
  vec4 fill = mix(uFill, uRim, rim);
  float alpha = fill.a * max(inside, rim);
  if (alpha < 0.003) discard;
  colour = vec4(fill.rgb * alpha, alpha);
}`;

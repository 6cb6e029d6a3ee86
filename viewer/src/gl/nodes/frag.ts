export const frag = `#version 300 es
precision highp float;
in vec2 vAt;
in float vRadius;
in vec2 vPicture;
flat in ivec2 vRows;
flat in float vAlpha;
uniform highp sampler2D uRamp;
uniform sampler2D uPictures;
uniform float uDpr;
out vec4 colour;
vec3 strong(int row) { return texture(uRamp, vec2(1.0, (float(row) + 0.5) / 16.0)).rgb; }
void main() {
  if (vPicture.x >= 0.0) {
    vec2 inner = 1.0 - abs(vAt);
    float rim = min(inner.x / max(fwidth(vAt.x), 1e-4), inner.y / max(fwidth(vAt.y), 1e-4)) / uDpr; // CSS px
    float wide = vRows.y != 15 ? 2.5 : 0.75;
    vec3 fill = rim < wide ? strong(vRows.y != 15 ? vRows.y : 14) : texture(uPictures, vPicture).rgb;
    colour = vec4(fill * vAlpha, vAlpha);
    return;
  }
  float from = length(vAt);
  float disc = clamp((vRadius - from) * uDpr + 0.5, 0.0, 1.0);
  float halo = clamp((vRadius + min(1.75, vRadius * 0.6) - from) * uDpr + 0.5, 0.0, 1.0);
  if (halo <= 0.0) discard;
  // row 15 is the paper: a rim that parts the node from the edges under it
  vec3 fill = strong(vRows.x), rim = strong(vRows.y);
  float alpha = max(disc, halo * (vRows.y == 15 ? 0.85 : 1.0)) * vAlpha;
  colour = vec4(mix(rim, fill, disc) * alpha, alpha);
}`;

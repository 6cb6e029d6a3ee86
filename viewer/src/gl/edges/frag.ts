export const frag = `#version 300 es
precision highp float;
in vec4 vColour;
in float vAcross;
in float vHalf;
in float vDash;
uniform float uDpr;
out vec4 colour;
void main() {
  if (vDash >= 0.0 && fract(vDash) > 0.62) discard;
  // Lines thinner than a device pixel stay one pixel wide and fade instead.
  float half_ = max(vHalf, 0.5 / uDpr);
  float cover = clamp((half_ - abs(vAcross)) * uDpr + 0.5, 0.0, 1.0) * min(1.0, vHalf / half_);
  float alpha = vColour.a * cover;
  if (alpha < 0.004) discard;
  colour = vec4(vColour.rgb * alpha, alpha);
}`;

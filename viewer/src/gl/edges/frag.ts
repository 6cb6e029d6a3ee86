export const frag = `#version 300 es
precision highp float;
in vec4 vColour;
in float vAcross;
in float vHalf;
in float vDash;
uniform float uDpr;
uniform float uCasing; // CSS px on each side of a line that weaker lines leave free; < 0: lines are seen through
in float vInner; // 0 at the ends of a line, where it meets others, to 1
out vec4 colour;
void main() {
  if (vDash >= 0.0 && fract(vDash) > 0.62) discard;
  // Lines thinner than a device pixel stay one pixel wide and fade instead.
  float half_ = max(vHalf, 0.5 / uDpr);
  float cover = clamp((half_ - abs(vAcross)) * uDpr + 0.5, 0.0, 1.0) * min(1.0, vHalf / half_);
  float alpha = vColour.a * cover;
  if (alpha < 0.004) {
    // Nothing is drawn in the casing, but its depth keeps weaker lines out.
    if (abs(vAcross) > half_ + uCasing * vInner) discard;
    alpha = 0.0;
  }
  colour = vec4(vColour.rgb * alpha, alpha);
}`;

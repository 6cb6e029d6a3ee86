import { WIDTH_GLSL } from "./width";

// One edge is a strip of `uPieces` quads along a cubic; vertices are pulled by gl_VertexID.
export const vert = `#version 300 es
precision highp float;
precision highp int;
uniform highp sampler2D uCurves; // four texels an edge: control points in world units
uniform highp sampler2D uLooks;  // one texel an edge: strength, hue row, dashes, taper
uniform highp sampler2D uRamp;   // hue rows of colours from weak to strong
uniform mat4 uMatrix;
uniform vec2 uSize;    // CSS px
uniform vec2 uWidth;   // CSS px, weakest and strongest
uniform vec2 uAlpha;   // weakest and strongest
uniform float uDpr;
uniform int uPieces;
uniform float uCasing;
uniform vec2 uDepth; // of the first edge, and from one to the next: earlier edges are nearer
out vec4 vColour;
out float vAcross;     // CSS px from the middle of the line
out float vHalf;       // half of its width, CSS px
out float vDash;
out float vInner;

const int WIDTH = 2048;
${WIDTH_GLSL}
vec3 control(int edge, int n) {
  int at = edge * 4 + n;
  return texelFetch(uCurves, ivec2(at % WIDTH, at / WIDTH), 0).xyz;
}
vec4 project(vec3 a, vec3 b, vec3 c, vec3 d, float t) {
  float u = 1.0 - t;
  return uMatrix * vec4(u * u * u * a + 3.0 * u * u * t * b + 3.0 * u * t * t * c + t * t * t * d, 1.0);
}
void main() {
  int perEdge = uPieces * 6;
  int edge = gl_VertexID / perEdge;
  int within = gl_VertexID - edge * perEdge;
  int piece = within / 6;
  int corner = within - piece * 6;
  // corners of two triangles: 0 1 2, 2 1 3
  int c = corner < 3 ? corner : (corner == 3 ? 2 : (corner == 4 ? 1 : 3));
  float t = float(piece + (c >> 1)) / float(uPieces);
  float side = (c & 1) == 0 ? -1.0 : 1.0;

  vec3 p0 = control(edge, 0), p1 = control(edge, 1), p2 = control(edge, 2), p3 = control(edge, 3);
  vec4 look = texelFetch(uLooks, ivec2(edge % WIDTH, edge / WIDTH), 0);
  float step = 0.5 / float(uPieces);
  vec4 here = project(p0, p1, p2, p3, t);
  vec4 before = project(p0, p1, p2, p3, max(t - step, 0.0));
  vec4 after = project(p0, p1, p2, p3, min(t + step, 1.0));
  vec2 along = (after.xy / after.w - before.xy / before.w) * uSize;
  float length2 = dot(along, along);
  vec2 normal = length2 > 1e-12 ? vec2(-along.y, along.x) * inversesqrt(length2) : vec2(0.0, 1.0);

  float strength = look.r;
  float width = widthOf(strength, uWidth);
  // Directed edges are wide where they start.
  if (look.a > 0.5) width *= mix(1.45, 0.5, t);
  vHalf = width * 0.5;
  vInner = smoothstep(0.0, 0.15, min(t, 1.0 - t));
  // One more device pixel on each side for a smooth rim.
  float reach = vHalf + max(uCasing, 0.0) + 1.0 / uDpr;
  vAcross = side * reach;
  vDash = look.b > 0.5 ? t * 14.0 : -1.0;

  int row = int(look.g * 255.0 + 0.5);
  vec3 colour = texture(uRamp, vec2(strength, (float(row) + 0.5) / 16.0)).rgb;
  vColour = vec4(colour, mix(uAlpha.x, uAlpha.y, strength));
  gl_Position = vec4(here.xy + normal * vAcross * 2.0 / uSize * here.w, (uDepth.x + uDepth.y * float(edge)) * here.w, here.w);
}`;

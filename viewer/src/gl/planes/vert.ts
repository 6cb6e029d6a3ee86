export const vert = `#version 300 es
precision highp float;
uniform mat4 uMatrix;
uniform vec3 uCentre, uAcross, uUp;
uniform vec2 uHalf;     // world units
out vec2 vAt;           // world units from the centre
void main() {
  vec2 at = vec2((gl_VertexID & 1) == 0 ? -1.0 : 1.0, (gl_VertexID >> 1) == 0 ? -1.0 : 1.0);
  vAt = at * (uHalf + 0.05);
  gl_Position = uMatrix * vec4(uCentre + uAcross * vAt.x + uUp * vAt.y, 1.0);
}`;

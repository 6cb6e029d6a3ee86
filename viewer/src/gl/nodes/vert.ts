export const vert = `#version 300 es
precision highp float;
precision highp int;
uniform highp sampler2D uNodes; // two texels a node: x y z radius, colour row, ring row, picture, alpha
uniform mat4 uMatrix;
uniform vec2 uSize;     // CSS px
uniform vec3 uAcross;   // axes of planes, for pictures
uniform vec3 uUp;
uniform float uDpr;
uniform ivec2 uAtlas;   // columns and rows of pictures
out vec2 vAt;           // -1 to 1 within the node and its rim
out float vRadius;      // CSS px
out vec2 vPicture;      // texture coordinates; x < 0: a plain disc
flat out ivec2 vRows;
flat out float vAlpha;

const int WIDTH = 2048;
void main() {
  int node = gl_VertexID / 6;
  int corner = gl_VertexID - node * 6;
  int c = corner < 3 ? corner : (corner == 3 ? 2 : (corner == 4 ? 1 : 3));
  vec2 at = vec2((c & 1) == 0 ? -1.0 : 1.0, (c >> 1) == 0 ? -1.0 : 1.0);
  int first = node * 2;
  vec4 place = texelFetch(uNodes, ivec2(first % WIDTH, first / WIDTH), 0);
  vec4 look = texelFetch(uNodes, ivec2((first + 1) % WIDTH, (first + 1) / WIDTH), 0);
  vRows = ivec2(look.xy);
  vAlpha = look.w;
  vAt = at;
  vPicture = vec2(-1.0);
  vRadius = place.w;
  if (!(place.x > -1e30) || look.w <= 0.0) { // not drawn
    gl_Position = vec4(2.0, 2.0, 0.0, 1.0);
    return;
  }
  if (look.z >= 0.0) { // a picture lies in its plane; its radius is in world units
    int picture = int(look.z);
    vec2 cell = vec2(float(picture % uAtlas.x), float(picture / uAtlas.x));
    vPicture = (cell + vec2(at.x, -at.y) * 0.5 + 0.5) / vec2(uAtlas);
    gl_Position = uMatrix * vec4(place.xyz + (uAcross * at.x + uUp * at.y) * place.w, 1.0);
    return;
  }
  vec4 clip = uMatrix * vec4(place.xyz, 1.0);
  float reach = place.w + 2.5; // room for rim and smooth edge
  vAt = at * reach;
  gl_Position = vec4(clip.xy + at * reach * 2.0 / uSize * clip.w, 0.0, clip.w);
}`;

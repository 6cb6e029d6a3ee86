// Bundles the viewer into the one script that the Python package embeds in its pages.
import { build } from "esbuild";
import { mkdir, readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const OUTPUT = new URL("../src/headscape/view/static/viewer.js", import.meta.url).pathname;
// The script travels in every page and every notebook cell.
const MOST_GZIP_BYTES = 96 * 1024;

await mkdir(new URL(".", `file://${OUTPUT}`), { recursive: true });
await build({
  entryPoints: [new URL("src/entry/index.ts", import.meta.url).pathname],
  outfile: OUTPUT,
  bundle: true,
  format: "iife",
  minify: true,
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
});
const size = gzipSync(await readFile(OUTPUT)).length;
console.log(`viewer.js: ${(size / 1024).toFixed(1)} kB gzip`);
if (size > MOST_GZIP_BYTES) {
  console.error(`viewer.js has ${size} bytes gzip; at most ${MOST_GZIP_BYTES} are allowed.`);
  process.exit(1);
}

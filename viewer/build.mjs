// Bundles the viewer into the one script that the Python package embeds in its pages.
import { build } from "esbuild";
import { mkdir, readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const FOLDER = new URL("../src/headscape/view/static/", import.meta.url).pathname;
// The viewer, which travels in every page and every notebook cell; and what only a widget or the served page adds.
const SCRIPTS = { index: "viewer.js", widget: "widget.js", served: "served.js" };
const MOST_GZIP_BYTES = 90 * 1024;

await mkdir(FOLDER, { recursive: true });
for (const [entry, output] of Object.entries(SCRIPTS)) {
  await build({
    entryPoints: [new URL(`src/entry/${entry}.ts`, import.meta.url).pathname],
    outfile: FOLDER + output,
    bundle: true,
    format: "iife",
    minify: true,
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
  });
}
const size = gzipSync(await readFile(`${FOLDER}viewer.js`)).length;
console.log(`viewer.js: ${(size / 1024).toFixed(1)} kB gzip`);
if (size > MOST_GZIP_BYTES) {
  console.error(`viewer.js has ${size} bytes gzip; at most ${MOST_GZIP_BYTES} are allowed.`);
  process.exit(1);
}

// Bundles the viewer into the one script that the Python package embeds in its pages.
import { build } from "esbuild";
import { mkdir, readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";

const FOLDER = new URL("../src/headscape/view/static/", import.meta.url).pathname;
// The viewer, which travels in every page and every notebook cell; and what only a widget or the served page adds.
const SCRIPTS = { index: "viewer.js", widget: "widget.js", served: "served.js" };
// Roles, knock-outs and topology are part of every page; a page of MiniLM holds 400 kB of weights beside it.
const MOST_GZIP_BYTES = 96 * 1024;

/** What a browser does not read of a style sheet, and of a shader's source, whose # lines stay lines. */
const shorterStyle = (text) => text.replace(/\s+/g, " ").replace(/ ?([{};,>]) ?/g, "$1").replace(/: /g, ":").replace(/;}/g, "}");
const shorterShader = (text) => text.replace(/\/\/.*$/gm, "").replace(/^\s+|\s+$/gm, "").replace(/\n+/g, "\n").replace(/ ?([=+*/<>,;{}?:|&]) ?/g, "$1");
const texts = {
  name: "texts",
  setup({ onLoad }) {
    const shorten = (filter, change) => onLoad({ filter }, async ({ path }) => ({
      loader: "ts",
      contents: (await readFile(path, "utf8")).replace(/(?<== )`[^`]*`(?=;$)/gm, (text) => `\`${change(text.slice(1, -1))}\``),
    }));
    shorten(/ui\/style\.ts$/, shorterStyle);
    shorten(/gl\/\w+\/(vert|frag|width)\.ts$/, shorterShader);
  },
};

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
    plugins: [texts],
  });
}
const size = gzipSync(await readFile(`${FOLDER}viewer.js`)).length;
console.log(`viewer.js: ${(size / 1024).toFixed(1)} kB gzip`);
if (size > MOST_GZIP_BYTES) {
  console.error(`viewer.js has ${size} bytes gzip; at most ${MOST_GZIP_BYTES} are allowed.`);
  process.exit(1);
}

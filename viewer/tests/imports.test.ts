import { expect, it } from "vitest";

// Each folder imports only from itself and from those after it.
const LAYERS = ["entry", "ui", "gl", "scene", "wire", "maths"];

/** Imports of one file that go the wrong way, or to a package. */
function wrongImports(path: string, source: string): string[] {
  const folder = path.replace(/^.*src\//, "").split("/")[0]!;
  const wrong: string[] = [];
  for (const [, from] of source.matchAll(/from "([^"]+)"/g)) {
    const depth = path.replace(/^.*src\//, "").split("/").length - 1;
    const up = (from!.match(/\.\.\//g) ?? []).length;
    if (!from!.startsWith(".")) wrong.push(`${path} imports the package ${from}`);
    const target = up >= depth ? from!.replaceAll("../", "").split("/")[0]! : folder;
    if (LAYERS.indexOf(target) < LAYERS.indexOf(folder)) wrong.push(`${path} imports ${from}`);
  }
  return wrong;
}

it("imports go from entry to maths and to no package", () => {
  const files = import.meta.glob<string>("../src/**/*.ts", { query: "?raw", import: "default", eager: true });
  expect(Object.keys(files).length).toBeGreaterThan(30);
  expect(Object.entries(files).flatMap(([path, source]) => wrongImports(path, source))).toEqual([]);
});

it("a wrong import is noticed", () => {
  expect(wrongImports("../src/maths/a.ts", 'import { b } from "../wire/b";')).toHaveLength(1);
  expect(wrongImports("../src/gl/edges/a.ts", 'import { b } from "../../ui/b";')).toHaveLength(1);
  expect(wrongImports("../src/gl/edges/a.ts", 'import { b } from "../context";')).toEqual([]);
  expect(wrongImports("../src/ui/a.ts", 'import { b } from "three";')).toHaveLength(1);
});

const MARKUP = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|new Worker|\beval\(|new Function/;
const ASKING = /\bfetch\b\s*[(?.]|XMLHttpRequest|WebSocket|EventSource|sendBeacon|\bimport\(/;
// The page of `headscape serve` asks its own server; this file is in no other page.
const MAY_ASK = ["../src/entry/served.ts"];

const banned = (path: string, source: string) => MARKUP.test(source) || (ASKING.test(source) && !MAY_ASK.includes(path));

it("no text becomes markup, and nothing is asked for but by the served page's own script", () => {
  const files = import.meta.glob<string>("../src/**/*.ts", { query: "?raw", import: "default", eager: true });
  expect(Object.entries(files).filter(([path, source]) => banned(path, source)).map(([path]) => path)).toEqual([]);
  expect(Object.entries(files).filter(([, source]) => ASKING.test(source)).map(([path]) => path)).toEqual(MAY_ASK);
});

it("nothing imports the script that asks", () => {
  const files = import.meta.glob<string>("../src/**/*.ts", { query: "?raw", import: "default", eager: true });
  expect(Object.entries(files).filter(([, source]) => /from "[^"]*\/served"/.test(source)).map(([path]) => path)).toEqual([]);
});

it("markup and asking are noticed", () => {
  expect(banned("../src/ui/a.ts", "a.innerHTML = b")).toBe(true);
  expect(banned("../src/ui/a.ts", "await fetch(b)")).toBe(true);
  expect(banned("../src/ui/a.ts", "globalThis.fetch?.(b)")).toBe(true);
  expect(banned(MAY_ASK[0]!, "a.innerHTML = b")).toBe(true);
  expect(banned("../src/ui/a.ts", "a.textContent = b")).toBe(false);
});

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

it("no text becomes markup, and nothing is fetched", () => {
  const files = import.meta.glob<string>("../src/**/*.ts", { query: "?raw", import: "default", eager: true });
  const banned = /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\bfetch\(|XMLHttpRequest|new Worker|\beval\(|new Function/;
  expect(Object.entries(files).filter(([, source]) => banned.test(source)).map(([path]) => path)).toEqual([]);
  expect(banned.test("a.innerHTML = b")).toBe(true);
});

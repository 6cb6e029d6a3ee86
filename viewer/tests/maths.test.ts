import { describe, expect, it } from "vitest";
import { placeLabels } from "../src/maths/boxes";
import { cameraMatrix, fitCamera, projectPoints } from "../src/maths/camera";
import { lightnessRamp, parseHex, toOklab } from "../src/maths/colour";
import { cubicAt, curveDistance } from "../src/maths/curve";
import { codeError, count, percent, quantity, roundPercent, signed } from "../src/maths/digits";
import { fallingOrder, fallingPlaces, rankShares, risingOrder } from "../src/maths/order";
import { labelOf } from "../src/ui/element";

describe("orders", () => {
  it("sort any floats, and keep the order of equal ones", () => {
    const values = Float32Array.of(3, -1, 0, 3, -1e-30, Infinity, -Infinity, 1e30);
    expect([...risingOrder(values)]).toEqual([6, 1, 4, 2, 0, 3, 7, 5]);
  });

  it("agree with the built-in sort on many numbers", () => {
    let seed = 1;
    const values = Float32Array.from({ length: 5000 }, () => ((seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5) * 10 ** (seed % 7));
    expect(Array.from(risingOrder(values), (n) => values[n])).toEqual([...values].sort((a, b) => a - b));
  });

  it("count places and ranks within groups", () => {
    const group = Uint32Array.of(0, 1, 0, 0, 1);
    const values = Float32Array.of(1, 5, 3, 4, 5);
    expect([...fallingPlaces(group, fallingOrder(values), 2)]).toEqual([2, 0, 1, 0, 1]);
    expect([...rankShares(group, values, 2)].map((share) => Number(share.toFixed(4)))).toEqual([0.3333, 1, 0.6667, 1, 1]);
  });
});

describe("curves", () => {
  const line = [0, 0, 1, 0, 2, 0, 3, 0];
  it("pass through their ends and middle", () => {
    expect(cubicAt([0, 0, 0, 3, 3, 3, 3, 0], 0)).toEqual([0, 0]);
    expect(cubicAt([0, 0, 0, 4, 4, 4, 4, 0], 0.5)).toEqual([2, 3]);
  });

  it("are picked along the drawn curve, not along its chord", () => {
    const arc = [0, 0, 0, 400, 400, 400, 400, 0];
    expect(curveDistance(arc, 200, 300, 5)).toBeLessThan(1); // its top
    expect(curveDistance(arc, 200, 0, 5)).toBeGreaterThan(5); // on the chord
  });

  it("measure the distance from a line", () => {
    expect(curveDistance(line, 1.5, 2, 5)).toBeCloseTo(2, 6);
    expect(curveDistance(line, 100, 0, 5)).toBe(Infinity);
    expect(curveDistance([Number.NaN, 0, 1, 0, 2, 0, 3, 0], 1, 0, 5)).toBe(Infinity);
  });
});

describe("the camera", () => {
  const cube = Float32Array.from([-1, 1].flatMap((x) => [-1, 1].flatMap((y) => [-1, 1].flatMap((z) => [x * 3, y, z]))));
  const margins = { left: 50, right: 20, top: 30, bottom: 10 };

  it.each([[0, 0, Infinity], [0.5, 0.3, 7], [-1.2, 1.1, 4]])("shows all within the margins (yaw %f, pitch %f, lens %f)", (yaw, pitch, lens) => {
    const camera = fitCamera(cube, { yaw, pitch, lens }, 800, 600, margins);
    const seen = projectPoints(cube, camera, 800, 600);
    const [xs, ys] = [0, 1].map((axis) => [...seen].filter((_, n) => n % 3 === axis)) as [number[], number[]];
    expect(Math.min(...xs)).toBeGreaterThanOrEqual(50 - 0.01);
    expect(Math.max(...xs)).toBeLessThanOrEqual(780.01);
    expect(Math.min(...ys)).toBeGreaterThanOrEqual(30 - 0.01);
    expect(Math.max(...ys)).toBeLessThanOrEqual(590.01);
    const fills = Math.max((Math.max(...xs) - Math.min(...xs)) / 730, (Math.max(...ys) - Math.min(...ys)) / 560);
    expect(fills).toBeCloseTo(1, 3);
  });

  it("gives the same pixels to the graphics card as to picking", () => {
    const camera = fitCamera(cube, { yaw: 0.5, pitch: 0.3, lens: 7 }, 800, 600, margins);
    const m = cameraMatrix(camera, 800, 600);
    const seen = projectPoints(cube, camera, 800, 600);
    for (let n = 0; n < cube.length; n += 3) {
      const clip = [0, 1, 3].map((row) => m[row]! * cube[n]! + m[4 + row]! * cube[n + 1]! + m[8 + row]! * cube[n + 2]! + m[12 + row]!);
      expect((clip[0]! / clip[2]! + 1) * 400).toBeCloseTo(seen[n]!, 2);
      expect((1 - clip[1]! / clip[2]!) * 300).toBeCloseTo(seen[n + 1]!, 2);
    }
  });

  it("fits nothing without failing", () => {
    expect(fitCamera(new Float32Array(3).fill(Number.NaN), { yaw: 0, pitch: 0, lens: 7 }, 800, 600, margins).scale).toBeGreaterThan(0);
  });
});

describe("labels", () => {
  it("never overlap, and the important ones stay", () => {
    const wishes = Array.from({ length: 200 }, (_, n) => ({
      width: 60, height: 14, priority: n, spots: [[(n * 37) % 300, (n * 53) % 200] as const, [(n * 11) % 300, (n * 7) % 200] as const],
    }));
    const placed = placeLabels(wishes, 400, 250, 400);
    expect(placed[0]!.wish).toBe(199);
    for (const a of placed) for (const b of placed) {
      if (a === b) continue;
      const apart = Math.abs(a.left - b.left) >= 60 || Math.abs(a.top - b.top) >= 14;
      expect(apart).toBe(true);
    }
    expect(placed.length).toBeGreaterThan(10);
  });

  it("stay on the canvas", () => {
    expect(placeLabels([{ width: 60, height: 14, priority: 1, spots: [[380, 10], [-5, 10]] }], 400, 250, 9)).toEqual([]);
  });

  it("show any text, cut with an ellipsis, and nothing invisible", () => {
    expect(labelOf("crew")).toBe("crew");
    expect(labelOf("")).toBe("(empty)");
    expect(labelOf(" ")).toBe("(space)");
    expect(labelOf("a\nb")).toBe("a⏎b");
    expect(labelOf("a\u202eb")).toBe("a·b"); // would turn around what follows
    expect([...labelOf("x".repeat(1_000_000))]).toHaveLength(16);
    expect(labelOf("👩‍👩‍👧".repeat(3), 5)).toBe("👩‍👩‍👧".repeat(3));
    expect(labelOf("</script>")).toBe("</script>");
  });
});

describe("numbers", () => {
  it("have no more digits than the data", () => {
    expect(quantity(0.123456)).toBe("0.1235");
    expect(quantity(12.3456)).toBe("12.35");
    expect(quantity(0.00012346)).toBe("0.0001235");
    expect(quantity(0.25, codeError(0.25, "sqrt_u16"))).toBe("0.2500");
    expect(quantity(0.00012345, codeError(0.00012345, "sqrt_u16"))).toBe("0.000123");
    expect(quantity(0.25, codeError(0.25, "sqrt_u8"))).toBe("0.2500");
    expect(quantity(0.0123456, codeError(0.0123456, "sqrt_u8"))).toBe("0.012");
    expect(quantity(0.5, 0.01)).toBe("0.5");
    expect(quantity(Number.NaN)).toBe("not captured");
    expect(quantity(0)).toBe("0");
  });

  it("are written for people", () => {
    expect(count(1234567)).toBe("1\u202f234\u202f567");
    const shares = [0, 1e-9, 0.0099, 0.01, 0.96, 0.9901, 1];
    expect(shares.map(roundPercent)).toEqual(["0 %", "< 1 %", "< 1 %", "1 %", "96 %", "> 99 %", "100 %"]);
    expect(percent(0.61)).toBe("61\u202f%");
    expect(percent(1)).toBe("100\u202f%");
    expect(percent(0.00001)).toBe("< 0.01\u202f%");
    expect(signed(-0.5)).toBe("−0.5000");
    expect(signed(2)).toBe("+2.000");
  });
});

it("ramps have even steps of lightness", () => {
  const steps = lightnessRamp(parseHex("#0072b2"), 0.85, 5).map((colour) => toOklab(colour)[0]);
  const gaps = steps.slice(1).map((value, n) => steps[n]! - value);
  for (const gap of gaps) expect(gap).toBeCloseTo(gaps[0]!, 1);
});

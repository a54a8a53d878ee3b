import { describe, expect, it } from "vitest";
import { move, neighbour, type Box } from "../src/inside/grid";
import { around, cellAt, cellCount, covers, inSight, isFineEnough, wholeTicks } from "../src/inside/tiles";
import { fit, hold, wheelFactor, zoomAt } from "../src/inside/viewport";

const SHAPE: [number, number] = [1152, 384];
const SCREEN = { width: 500, height: 400 };

describe("windows of a matrix", () => {
  it("all is in sight when it fits", () => {
    const view = fit({ width: 384, height: 1152 }, SCREEN);
    expect(inSight(view, SCREEN, SHAPE)).toEqual({ rows: [0, 1152], cols: [0, 384] });
    expect(around(inSight(view, SCREEN, SHAPE), SHAPE)).toEqual({ rows: [0, 1152], cols: [0, 384] });
  });
  it("whole weights, and none beyond the edge", () => {
    expect(inSight({ x: -5, y: -30, k: 10 }, SCREEN, SHAPE)).toEqual({ rows: [3, 43], cols: [0, 51] });
    expect(inSight({ x: 450, y: 0, k: 10 }, SCREEN, SHAPE).cols).toEqual([0, 5]);
    expect(inSight({ x: -99999, y: 0, k: 10 }, SCREEN, SHAPE).cols).toEqual([384, 384]);
  });
  it("what is asked for covers what is seen, with a margin, on a raster", () => {
    for (let from = 0; from < 300; from += 7) {
      const sight = { rows: [from, from + 60] as [number, number], cols: [3, 70] as [number, number] };
      const asked = around(sight, SHAPE);
      expect(covers(asked, sight)).toBe(true);
      expect(asked.rows[0] % 8).toBe(0);
      expect(asked.rows[1] - asked.rows[0]).toBeLessThanOrEqual(60 * 1.25 + 16);
    }
  });
  it("a small movement asks for the same", () => {
    const one = around({ rows: [40, 100], cols: [40, 100] }, SHAPE);
    const two = around({ rows: [41, 101], cols: [42, 102] }, SHAPE);
    expect(two).toEqual(one);
  });
  it("knows when a tile is as fine as can be", () => {
    const sight = { rows: [0, 1152] as [number, number], cols: [0, 384] as [number, number] };
    expect(isFineEnough({ ...sight, cell: [6, 2] }, sight, 256)).toBe(true);
    expect(isFineEnough({ ...sight, cell: [12, 4] }, sight, 256)).toBe(false);
    const close = { rows: [0, 50] as [number, number], cols: [0, 50] as [number, number] };
    expect(isFineEnough({ ...sight, cell: [5, 2] }, close, 256)).toBe(false);
    expect(isFineEnough({ ...sight, cell: [1, 1] }, close, 256)).toBe(true);
  });
  it("finds the cell over a weight; the last one is smaller", () => {
    const tile = { rows: [10, 31] as [number, number], cols: [0, 9] as [number, number], cell: [5, 4] as [number, number] };
    expect([cellCount(tile.rows, 5), cellCount(tile.cols, 4)]).toEqual([5, 3]);
    expect(cellAt(tile, 30, 8)).toEqual({ at: 14, rows: [30, 31], cols: [8, 9] });
    expect(cellAt(tile, 9, 0)).toBeNull();
    expect(cellAt(tile, 31, 0)).toBeNull();
  });
  it("marks an axis at round numbers", () => {
    expect(wholeTicks(0, 1152, 6)).toEqual([0, 200, 400, 600, 800, 1000]);
    expect(wholeTicks(7, 12, 20)).toEqual([7, 8, 9, 10, 11]);
  });
});

describe("view", () => {
  it("zooms around a point", () => {
    const view = zoomAt({ x: 10, y: 20, k: 2 }, 110, 70, 3, { smallest: 0.1, largest: 100 });
    expect(view.k).toBe(6);
    expect((110 - view.x) / view.k).toBeCloseTo((110 - 10) / 2);
    expect((70 - view.y) / view.k).toBeCloseTo((70 - 20) / 2);
  });
  it("does not leave its limits, nor lose the world", () => {
    expect(zoomAt({ x: 0, y: 0, k: 2 }, 0, 0, 1000, { smallest: 1, largest: 8 }).k).toBe(8);
    const held = hold({ x: 9999, y: -9999, k: 1 }, { width: 1000, height: 1000 }, { width: 400, height: 300 });
    expect(held).toEqual({ k: 1, x: 0, y: -700 });
  });
  it("the wheel enlarges upwards", () => {
    expect(wheelFactor({ deltaY: -100, deltaMode: 0, ctrlKey: false })).toBeGreaterThan(1);
    expect(wheelFactor({ deltaY: 3, deltaMode: 1, ctrlKey: false })).toBeLessThan(1);
  });
});

describe("keys in a grid", () => {
  const lengths = [3, 3, 1];
  it("moves, and stops at the edges", () => {
    expect(move("ArrowRight", { row: 0, col: 2 }, lengths)).toEqual({ row: 0, col: 2 });
    expect(move("ArrowDown", { row: 0, col: 1 }, lengths)).toEqual({ row: 1, col: 1 });
    expect(move("ArrowLeft", { row: 1, col: 0 }, lengths)).toEqual({ row: 1, col: 0 });
  });
  it("a shorter row holds the column inside", () => expect(move("ArrowDown", { row: 1, col: 2 }, lengths)).toEqual({ row: 2, col: 0 }));
  it("goes to the ends", () => {
    expect(move("End", { row: 0, col: 0 }, lengths)).toEqual({ row: 0, col: 2 });
    expect(move("Home", { row: 2, col: 0 }, lengths, { ctrl: true })).toEqual({ row: 0, col: 0 });
    expect(move("PageDown", { row: 0, col: 1 }, lengths)).toEqual({ row: 2, col: 0 });
  });
  it("leaves other keys alone", () => expect(move("a", { row: 0, col: 0 }, lengths)).toBeNull());

  const box = (id: string, x: number, y: number): Box => ({ id, x, y, width: 10, height: 10 });
  const boxes = [box("a", 0, 0), box("b", 50, 0), box("c", 0, 50), box("d", 55, 48)];
  it("finds what lies next", () => {
    expect(neighbour("ArrowRight", boxes[0]!, boxes)?.id).toBe("b");
    expect(neighbour("ArrowDown", boxes[0]!, boxes)?.id).toBe("c");
    expect(neighbour("ArrowDown", boxes[1]!, boxes)?.id).toBe("d");
    expect(neighbour("ArrowUp", boxes[0]!, boxes)).toBeNull();
  });
});

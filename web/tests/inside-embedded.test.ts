import { gzipSync } from "node:zlib";
import { beforeEach, describe, expect, it } from "vitest";
import type { Tensor } from "../src/documents";
import { EmbeddedSource, MissingDocument, outward } from "../src/inside/embeddedSource";

function embed(key: string, document: unknown, { gzip = false } = {}) {
  const script = Object.assign(window.document.createElement("script"), { type: "application/json" });
  script.dataset.key = key;
  const text = JSON.stringify(document);
  if (gzip) {
    script.dataset.encoding = "gzip";
    script.textContent = gzipSync(text).toString("base64");
  } else script.textContent = text;
  window.document.body.append(script);
}

const floats = (values: number[], shape: number[]) => ({
  dtype: "float32",
  shape,
  data: Buffer.from(Float32Array.from(values).buffer).toString("base64"),
});

beforeEach(() => window.document.body.replaceChildren());

describe("documents in the page", () => {
  it("reads plain and compressed ones, Chinese too", async () => {
    embed("structure", { nodes: [1] });
    embed("heads", { label: "连衣裙 </script>", n: 2 }, { gzip: true });
    const source = new EmbeddedSource();
    expect(source.keys.sort()).toEqual(["heads", "structure"]);
    expect(await source.get("structure")).toEqual({ nodes: [1] });
    expect(await source.get("heads", { at: "best" })).toEqual({ label: "连衣裙 </script>", n: 2 });
  });

  it("says what is missing or broken, with a status", async () => {
    embed("filters", {}, { gzip: true });
    window.document.querySelector("script")!.textContent = "H4sIAAAA";
    const source = new EmbeddedSource(window.document, (error) => `${error.kind} ${error.key}!`);
    await expect(source.get("attention/3")).rejects.toMatchObject({ status: 404, message: "missing attention/3!" });
    await expect(source.get("filters")).rejects.toMatchObject({ message: "broken filters!" });
    await expect(source.get("filters")).rejects.toBeInstanceOf(MissingDocument);
  });

  it("knows one moment, the best", async () => {
    const moments = [
      { id: "initial", step: 0, is_checkpoint: true },
      { id: "best", step: 5, is_checkpoint: true },
      { id: "step-9", step: 9, is_checkpoint: false },
    ];
    embed("overview", { moments, pinned: [{ id: "a" }, { id: "b" }] });
    expect(await new EmbeddedSource().get("overview")).toEqual({ moments: [moments[1]], pinned: [{ id: "a" }] });
  });
});

describe("parts of a layer", () => {
  // 5 × 6 weights in cells of 2 × 3: three rows of two cells, the last row half as high.
  const tile = {
    index: 0,
    shape: [5, 6],
    rows: [0, 5],
    cols: [0, 6],
    cell: [2, 3],
    mean: floats([1, 2, 3, 4, 5, 6], [3, 2]),
    low: floats([0, 0, 0, 0, 0, -6], [3, 2]),
    high: floats([9, 9, 9, 9, 9, 9], [3, 2]),
    scale: 9,
    biases: floats([10, 11, 12, 13, 14], [5]),
  };

  it("are cut at the cells there are", async () => {
    embed("layer/0", tile);
    const got = await new EmbeddedSource().get<{ rows: number[]; cols: number[]; cell: number[]; mean: Tensor; low: Tensor; biases: Tensor }>(
      "layer/0",
      { rows: "3:5", cols: "4:6", cells: "256" },
    );
    expect([got.rows, got.cols, got.cell]).toEqual([
      [2, 5],
      [3, 6],
      [2, 3],
    ]);
    expect([got.mean.shape, [...got.mean.values]]).toEqual([
      [2, 1],
      [4, 6],
    ]);
    expect([...got.low.values]).toEqual([0, -6]);
    expect([...got.biases.values]).toEqual([12, 13, 14]);
  });

  it("of single weights, which have no extremes", async () => {
    embed("layer/1", {
      ...tile,
      shape: [2, 2],
      rows: [0, 2],
      cols: [0, 2],
      cell: [1, 1],
      mean: floats([1, 2, 3, 4], [2, 2]),
      low: null,
      high: null,
      biases: null,
    });
    const got = await new EmbeddedSource().get<{ mean: Tensor; low: Tensor | null; biases: Tensor | null }>("layer/1", { rows: "1:2", cols: "0:2" });
    expect([[...got.mean.values], got.low, got.biases]).toEqual([[3, 4], null, null]);
  });

  it("widens to whole cells and no further than there is", () => {
    expect([outward("3:5", [0, 5], 2), outward("0:1", [0, 5], 2), outward("4:99", [0, 5], 2)]).toEqual([
      [2, 5],
      [0, 2],
      [4, 5],
    ]);
  });
});

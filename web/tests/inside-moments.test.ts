import { describe, expect, it } from "vitest";
import { chosen, stops } from "../src/inside/moments";
import type { Moment, Overview } from "../src/inside/types";

const snapshot = (step: number): Moment => ({
  id: `step-${String(step).padStart(8, "0")}`,
  step,
  epoch: step / 100,
  is_checkpoint: false,
  label: "",
});
const checkpoint = (id: string, step: number): Moment => ({ id, step, epoch: null, is_checkpoint: true, label: "" });
const MOMENTS = [
  checkpoint("initial", 0),
  snapshot(40),
  snapshot(80),
  checkpoint("best", 80),
  checkpoint("step-00000120", 120),
  checkpoint("last", 120),
  snapshot(160),
];

function overview(status: string | null, moments = MOMENTS): Overview {
  return {
    model: {
      name: "m",
      family: "vit",
      parameters: 1,
      flops: 1,
      image_size: 32,
      patch_size: [8, 8],
      grid: [4, 4],
      prefix_tokens: 1,
      has_class_token: true,
      embed_dim: 8,
      depth: 1,
      num_heads: 1,
      classes: [],
    },
    attention: { kind: "global", reason: "" },
    moments,
    pinned: [],
    run: status === null ? null : { id: "r", name: "r", status, step: 1, total_steps: 2 },
  };
}

describe("the time line", () => {
  it("has one stop a step, and shows there what answers most", () => {
    const all = stops(MOMENTS);
    expect(all.map(({ step }) => step)).toEqual([0, 40, 80, 120, 160]);
    expect(all.map(({ shown }) => shown.id)).toEqual(["initial", "step-00000040", "best", "step-00000120", "step-00000160"]);
    expect(all.map(({ isBest, isLast }) => [isBest, isLast])).toEqual([
      [false, false],
      [false, false],
      [true, false],
      [false, true],
      [false, false],
    ]);
    expect(all[2]?.epoch).toBe(0.8);
  });

  it("a run that has ended begins at its best", () => expect(chosen(overview("finished"), null)).toEqual({ moment: MOMENTS[3], follows: false }));
  it("one that learns follows the newest", () => expect(chosen(overview("running"), null)).toEqual({ moment: MOMENTS[6], follows: true }));
  it("until a person goes elsewhere", () => expect(chosen(overview("running"), "step-00000040")).toEqual({ moment: MOMENTS[1], follows: false }));
  it("a moment that was replaced gives the nearest", () => expect(chosen(overview("finished"), "step-00000110").moment?.id).toBe("step-00000120"));
  it("what is unknown counts as nothing", () => expect(chosen(overview("finished"), "nonsense").moment?.id).toBe("best"));
  it("there may be none", () => expect(chosen(overview(null, []), null)).toEqual({ moment: null, follows: false }));
});

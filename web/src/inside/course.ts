/** What the moments of training say of the layers, taken together. */
import { unpack } from "../documents";
import type { TimelineLayers } from "./types";

/** The largest cell of each layer over all moments. */
export function largestOf({ layers, moments }: TimelineLayers): number[] {
  const most = new Array<number>(layers.length).fill(0);
  for (const moment of moments) {
    const { shape, values } = unpack(moment.maps);
    const size = (shape[1] ?? 24) * (shape[2] ?? 24);
    most.forEach((_, layer) => {
      for (let i = layer * size; i < (layer + 1) * size; i++) most[layer] = Math.max(most[layer]!, Math.abs(values[i]!));
    });
  }
  return most.map((each) => each || 1);
}

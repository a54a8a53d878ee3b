/** The map of a layer and head for the token that is looked at, from whatever is at hand: matrices or thumbnails. */
import { unpack, type Tensor } from "../documents";
import type { Inspection } from "./inspection.svelte";
import { MOST_BYTES, Matrices } from "./matrices.svelte";
import { look, MEAN, placeOf, reach, tokenAt, tokenCount } from "./tokens";
import { gridOf, lookInWindow } from "./windows";

export interface Read {
  /** Where the colours end; see `reach`. */
  scale: number;
  /** Whether the map is of the token that was asked for; else of the class token (or the mean). */
  isExact: boolean;
  /** Shares of the prefix tokens, where they are known. */
  prefix: Float32Array | null;
  /** Among how many tokens the attention is shared. */
  among: number;
  /** The patches of this layer, where it has others than the picture. */
  grid: { rows: number; cols: number } | null;
}

export class AttentionMaps {
  readonly matrices: Matrices;
  /** The token under the pointer or the keys; a pinned one is in the address. */
  hovered = $state<number | null>(null);
  /** The layer and head under the pointer in the grid. */
  previewed = $state.raw<{ layer: number; head: number } | null>(null);

  readonly token: number = $derived.by(
    () => this.hovered ?? (this.asksWhoLooks && this.inspection.token === MEAN ? this.middle : this.inspection.token),
  );
  /** Who looks at all tokens together is no question; it begins with the patch in the middle. */
  private readonly asksWhoLooks = $derived.by(() => this.inspection.direction === "to" && this.canChoose);
  private readonly middle = $derived.by(() =>
    tokenAt(Math.floor(this.inspection.grid.rows / 2), Math.floor(this.inspection.grid.cols / 2), this.inspection.grid),
  );
  readonly layer: number = $derived.by(() => this.previewed?.layer ?? this.inspection.layer);
  readonly head: number = $derived.by(() => (this.previewed ? this.previewed.head : this.inspection.head));
  /** The token whose map the thumbnails show. */
  readonly usual: number = $derived.by(() => (this.inspection.grid.readsClassToken ? 0 : MEAN));
  /** Whether any token can be asked for. */
  readonly canChoose: boolean = $derived.by(
    () => !this.inspection.isSnapshot && ["global", "window"].includes(this.inspection.attention.value?.kind ?? "none"),
  );

  private readonly thumbnails = $derived.by(() => {
    const from = this.inspection.isSnapshot ? this.inspection.snapshot : this.inspection.attention.value;
    return from?.thumbnails && from.thumbnail_max ? { maps: unpack(from.thumbnails), most: unpack(from.thumbnail_max) } : null;
  });
  private whole = new Float32Array(0);
  private layerMap = new Float32Array(0);

  /** Call while a component is made. */
  constructor(private readonly inspection: Inspection) {
    this.matrices = new Matrices(inspection.documents, () => {
      const summary = inspection.attention.value;
      // The matrices go with the summary that is shown: while another is on its way, none are asked for.
      if (inspection.view !== "attention" || inspection.isSnapshot || !summary || inspection.attention.isStale || summary.kind === "none" || summary.layers === 0) return null;
      const bytes = summary.heads.reduce((sum, heads) => sum + heads * summary.tokens * (summary.kind === "class" ? 1 : summary.tokens) * 2, 0);
      const query = inspection.withImage;
      return {
        name: JSON.stringify([query, inspection.version, summary.image.id]),
        layers: summary.layers,
        layer: this.layer,
        all: summary.kind !== "global" || bytes < MOST_BYTES,
        ask: (layer) => ({ key: `attention/${layer}`, query, version: inspection.version }),
      };
    });
  }

  has(layer: number): boolean {
    return this.matrices.layers[layer] !== undefined;
  }

  /** Into `out` (rows × cols of patches): how much attention each patch has. Null where nothing is known yet. */
  read(layer: number, head: number, out: Float32Array): Read | null {
    const { grid, direction } = this.inspection;
    const matrix = this.matrices.layers[layer];
    const { token } = this;
    if (matrix?.windows) {
      const place = placeOf(token, grid);
      if (place) return this.readWindow(layer, head, place, out);
    } else if (matrix && matrix.weights.shape[2] === tokenCount(grid)) {
      const count = tokenCount(grid);
      if (this.whole.length !== count) this.whole = new Float32Array(count);
      look(matrix.weights, head, token, direction, this.whole, this.inspection.grid.prefix);
      out.set(this.whole.subarray(grid.prefix, grid.prefix + out.length));
      return { scale: reach(out), isExact: true, prefix: this.whole.slice(0, grid.prefix), among: count, grid: null };
    }
    return this.readThumbnail(layer, head, out);
  }

  private readWindow(layer: number, head: number, place: { row: number; col: number }, out: Float32Array): Read {
    const { weights, windows } = this.matrices.layers[layer]!;
    const { grid } = this.inspection;
    const [rows, cols] = gridOf(windows!);
    if (this.layerMap.length !== rows * cols) this.layerMap = new Float32Array(rows * cols);
    const [down, across] = [rows / grid.rows, cols / grid.cols]; // later layers have larger patches
    lookInWindow(weights, windows!, head, Math.floor(place.row * down), Math.floor(place.col * across), this.layerMap);
    for (let r = 0; r < grid.rows; r++)
      for (let c = 0; c < grid.cols; c++) out[r * grid.cols + c] = this.layerMap[Math.floor(r * down) * cols + Math.floor(c * across)]!;
    return { scale: reach(out), isExact: true, prefix: null, among: weights.shape[2] ?? 1, grid: { rows, cols } };
  }

  private readThumbnail(layer: number, head: number, out: Float32Array): Read | null {
    const known = this.thumbnails;
    if (!known) return null;
    const [, heads = 0] = known.maps.shape;
    const size = out.length;
    const [first, last] = head === MEAN ? [0, this.inspection.heads[layer] ?? heads] : [head, head + 1];
    out.fill(0);
    for (let h = first; h < last; h++) {
      const at = layer * heads + h;
      const step = known.most.values[at]! / 255 / (last - first);
      for (let i = 0; i < size; i++) out[i]! += known.maps.values[at * size + i]! * step;
    }
    return {
      scale: reach(out),
      isExact: this.token === this.usual && this.inspection.direction === "from",
      prefix: null,
      among: tokenCount(this.inspection.grid),
      grid: null,
    };
  }
}

/** Rollout of each layer on the grid, and what it gives the prefix tokens where that is known. */
export function rolloutOf(inspection: Inspection): { maps: Float32Array[]; layers: number } | null {
  const { grid } = inspection;
  const size = grid.rows * grid.cols;
  if (inspection.isSnapshot) {
    const { snapshot } = inspection;
    if (!snapshot?.rollout || !snapshot.rollout_max) return null;
    const [bytes, most] = [unpack(snapshot.rollout), unpack(snapshot.rollout_max)];
    const layers = bytes.shape[0] ?? 0;
    return {
      layers,
      maps: Array.from({ length: layers }, (_, l) =>
        Float32Array.from(bytes.values.subarray(l * size, (l + 1) * size), (v) => (v / 255) * most.values[l]!),
      ),
    };
  }
  const packed = inspection.attention.value?.rollout;
  if (!packed) return null;
  const all: Tensor = unpack(packed);
  const [layers = 0, tokens = 0] = all.shape;
  return {
    layers,
    maps: Array.from({ length: layers }, (_, l) => Float32Array.from(all.values.subarray(l * tokens + grid.prefix, (l + 1) * tokens))),
  };
}

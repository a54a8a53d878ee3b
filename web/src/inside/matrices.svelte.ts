/** The attention matrices of a picture: the chosen layer first, the others after it while they are few enough. */
import { untrack } from "svelte";
import { connection } from "../connection.svelte";
import { unpack, type Tensor } from "../documents";
import { isAbort, troubleOf, type Ask, type Documents, type Trouble } from "./documents.svelte";
import { windowsOf, type Windows } from "./windows";
import type { AttentionLayer } from "./types";

/** All layers together, as they come (half precision). */
export const MOST_BYTES = 40_000_000;

export interface LayerMatrix {
  /** As the kind has it: (H, N, N), (W, H, M, M), (H, C, C) or (H, 1, N). */
  weights: Tensor;
  windows: Windows | null;
}

interface Wanted {
  /** Of layer l. */
  ask(layer: number): Ask;
  /** What they belong to: another picture or moment begins anew. */
  name: string;
  layers: number;
  layer: number;
  all: boolean;
}

export class Matrices {
  layers = $state.raw<readonly (LayerMatrix | undefined)[]>([]);
  trouble = $state.raw<Trouble | null>(null);
  isLoading = $state(false);
  private wanted: Wanted | null = null;
  private running: AbortController | null = null;
  private name = "";

  /** Call while a component is made. `wanted` is read as state; null rests. */
  constructor(
    private readonly documents: Documents,
    wanted: () => Wanted | null,
  ) {
    $effect(() => {
      this.wanted = wanted();
      if (!this.wanted) {
        this.running?.abort(); // what is here stays, for when it is looked at again
        this.running = null;
        this.isLoading = false;
        return;
      }
      if (this.wanted.name !== this.name) {
        this.running?.abort();
        this.running = null;
        this.name = this.wanted.name;
        this.layers = [];
        this.trouble = null;
      }
      if (!this.running) void this.load();
    });
    $effect(() => {
      if (connection.returns > 0) untrack(this.retry);
    });
    $effect(() => () => this.running?.abort());
  }

  retry = (): void => {
    this.trouble = null;
    if (!this.running) void this.load();
  };

  private next(): number | null {
    const { wanted } = this;
    if (!wanted || wanted.layers === 0) return null;
    if (!this.layers[wanted.layer]) return wanted.layer;
    if (!wanted.all) return null;
    for (let layer = wanted.layers - 1; layer >= 0; layer--) if (!this.layers[layer]) return layer;
    return null;
  }

  private async load(): Promise<void> {
    const mine = new AbortController();
    this.running = mine;
    this.isLoading = true;
    try {
      for (let layer = this.next(); layer !== null; layer = this.next()) {
        const document = await this.documents.load<AttentionLayer>(this.wanted!.ask(layer), mine.signal, { keep: false });
        if (mine.signal.aborted) return;
        const weights = unpack(document.weights);
        const windows = document.windows ? windowsOf(weights, document.windows, document.shift) : null;
        const layers = this.wanted!.all ? [...this.layers] : [];
        layers[layer] = { weights, windows };
        this.layers = layers;
        this.trouble = null;
        await new Promise((resolve) => setTimeout(resolve)); // the page answers in between
      }
    } catch (error) {
      if (!mine.signal.aborted && !isAbort(error)) this.trouble = troubleOf(error);
    } finally {
      if (this.running === mine) {
        this.running = null;
        this.isLoading = false;
      }
    }
  }
}

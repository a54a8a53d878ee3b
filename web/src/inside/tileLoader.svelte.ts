/** The parts of a weight matrix that are in sight, as they come. */
import { untrack } from "svelte";
import { connection } from "../connection.svelte";
import { isAbort, troubleOf, type Ask, type Documents, type Trouble } from "./documents.svelte";
import { prepared, type Shown } from "./matrixTile";
import { around, covers, isFineEnough, type Span } from "./tiles";
import type { Tile } from "./types";

/** Cells of a tile, a side. */
export const CELLS = 256;
const WAIT_MS = 90; // a movement asks once it rests

export interface Wanted {
  /** Tells matrices apart: another one begins without tiles. */
  matrix: string;
  /** Tells their numbers apart: of another moment, or their change. The old ones stay until the new ones are here. */
  numbers: string;
  shape: [number, number];
  sight: Span;
  ask(part: Span): Ask;
}

export class TileLoader {
  tile = $state.raw<Shown | null>(null);
  /** Of the whole matrix, for where the fine one has not come yet. */
  coarse = $state.raw<Shown | null>(null);
  trouble = $state.raw<Trouble | null>(null);
  isLoading = $state(false);
  private attempts = $state(0);
  /** The numbers that `tile` shows, and the part that was asked for. */
  private shows = $state("");
  private answered = $state("");
  private matrix = "";

  private readonly now = $derived.by(() => this.wanted());
  /** Whether the tile holds other numbers than those that are named. */
  readonly isStale: boolean = $derived(this.tile !== null && this.now !== null && this.shows !== nameOf(this.now));
  readonly isWaiting: boolean = $derived(this.isLoading && (this.tile === null || this.isStale));
  /** Whether what is in sight was asked for and has come no finer than this. */
  readonly isAtItsFinest: boolean = $derived.by(() => {
    const { now, tile } = this;
    if (!now || !tile || this.trouble || this.answered !== partName(now)) return false;
    return covers(tile, now.sight) && !isFineEnough(tile, now.sight, CELLS);
  });

  /** `wanted` is read as state; null rests. Call while a component is made. */
  constructor(
    private readonly documents: Documents,
    private readonly wanted: () => Wanted | null,
  ) {
    $effect(() => {
      const { now } = this;
      if (!now) return;
      untrack(() => this.begin(now));
      void this.attempts;
      void connection.returns;
      const { tile } = this;
      const hasNumbers = this.shows === nameOf(now);
      if (tile && hasNumbers && covers(tile, now.sight) && isFineEnough(tile, now.sight, CELLS)) {
        this.trouble = null;
        return;
      }
      if (this.answered === partName(now)) return; // there is no finer one
      const mine = new AbortController();
      this.isLoading = true;
      const timer = setTimeout(() => void this.load(now, mine.signal), tile && hasNumbers ? WAIT_MS : 0);
      return () => {
        clearTimeout(timer);
        mine.abort();
        this.isLoading = false;
      };
    });
  }

  private begin(now: Wanted): void {
    if (now.matrix !== this.matrix) this.tile = null;
    if (now.matrix !== this.matrix || this.shows !== nameOf(now)) this.coarse = null;
    this.matrix = now.matrix;
  }

  private async load(now: Wanted, signal: AbortSignal): Promise<void> {
    const part = around(now.sight, now.shape);
    try {
      const tile = prepared(await this.documents.load<Tile>(now.ask(part), signal));
      if (signal.aborted) return;
      this.tile = tile;
      this.shows = nameOf(now);
      this.answered = partName(now);
      if (covers(part, { rows: [0, now.shape[0]], cols: [0, now.shape[1]] })) this.coarse = tile;
      this.trouble = null;
    } catch (error) {
      if (!signal.aborted && !isAbort(error)) this.trouble = troubleOf(error);
    } finally {
      if (!signal.aborted) this.isLoading = false;
    }
  }

  retry = (): void => {
    this.attempts++;
  };
}

function nameOf({ matrix, numbers }: Wanted): string {
  return `${matrix} ${numbers}`;
}

function partName(now: Wanted): string {
  const { rows, cols } = around(now.sight, now.shape);
  return `${nameOf(now)} ${rows.join("–")} ${cols.join("–")}`;
}

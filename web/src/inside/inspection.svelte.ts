/** What is looked at: the moment, the picture, layer, head and token. All of it is in the address. */
import { untrack } from "svelte";
import { SvelteSet } from "svelte/reactivity";
import type { DocumentSource } from "../documents";
import type { UrlState } from "../state";
import { Documents, Watched, type Ask } from "./documents.svelte";
import { chosen, isLive, stops } from "./moments";
import { MEAN, type Direction, type TokenGrid } from "./tokens";
import type { AttentionSummary, Guess, Moment, Overview, Picture, Structure, Timeline } from "./types";

export const VIEWS = ["overview", "layers", "attention", "heads"] as const;
export type ViewName = (typeof VIEWS)[number];

export interface Wrong {
  name: "view" | "at" | "layer" | "head" | "token";
  asked: string;
  instead: string | null;
}

export class Inspection {
  readonly documents: Documents;
  readonly overview: Watched<Overview>;
  readonly structure: Watched<Structure>;
  /** Of the picture at a checkpoint. */
  readonly attention: Watched<AttentionSummary>;
  /** Of the picture at all snapshots; only loaded while one is looked at. */
  readonly timeline: Watched<Timeline>;
  /** Counts the moments that came since the page was opened. */
  private arrivals = $state(0);
  /** Counts the jumps to another view, after which the focus is led there. */
  jumps = $state(0);
  private readonly loaders = new SvelteSet<{ readonly isWaiting: boolean }>();
  /** Whether what is shown is not yet that of the moment that is named. */
  readonly isWaiting: boolean = $derived.by(() => [...this.loaders].some((loader) => loader.isWaiting));

  readonly view: ViewName = $derived.by(() => VIEWS.find((name) => name === this.state.get("view")) ?? "overview");
  private readonly chosen = $derived.by(() =>
    this.overview.value ? chosen(this.overview.value, this.state.get("at")) : { moment: null, follows: false },
  );
  readonly moment: Moment | null = $derived(this.chosen.moment);
  readonly follows: boolean = $derived(this.chosen.follows);
  readonly stops = $derived.by(() => stops(this.overview.value?.moments ?? []));
  readonly isLive = $derived.by(() => (this.overview.value ? isLive(this.overview.value) : false));
  readonly isSnapshot = $derived(this.moment !== null && !this.moment.is_checkpoint);

  private readonly asked = $derived.by(() => this.state.get("image"));
  /** The picture that is shown. Snapshots know the pinned ones alone. */
  readonly image: string | null = $derived.by(() => {
    const pinned = this.overview.value?.pinned ?? [];
    if (this.isSnapshot && !pinned.some(({ id }) => id === this.asked)) return pinned[0]?.id ?? null;
    return this.asked ?? pinned[0]?.id ?? null;
  });
  /** Whether another picture was asked for than a snapshot can show. */
  readonly isOtherImage: boolean = $derived(this.isSnapshot && this.asked !== null && this.asked !== this.image);

  /** What the picture's numbers come from. */
  readonly pictured: Watched<AttentionSummary> | Watched<Timeline> = $derived.by(() => (this.isSnapshot ? this.timeline : this.attention));
  readonly picture: Picture | null = $derived.by(() => (this.isSnapshot ? this.timeline.value?.image : this.attention.value?.image) ?? null);
  readonly prediction: Guess[] | null = $derived.by(() => (this.isSnapshot ? this.snapshot?.prediction : this.attention.value?.prediction) ?? null);
  readonly snapshot = $derived.by(() => (this.isSnapshot ? (this.timeline.value?.moments.find((m) => m.step === this.moment?.step) ?? null) : null));

  readonly grid: TokenGrid = $derived.by(() => {
    const model = this.overview.value?.model;
    const summary = this.attention.value;
    const [rows, cols] = summary?.grid ?? model?.grid ?? [0, 0];
    const hasClassToken = model?.has_class_token ?? false;
    const readsClassToken = hasClassToken && model?.reads !== "patches";
    return { prefix: summary?.prefix_tokens ?? model?.prefix_tokens ?? 0, hasClassToken, readsClassToken, rows, cols };
  });
  /** Heads of each layer whose attention can be shown. */
  readonly heads: number[] = $derived.by(() => {
    if (this.isSnapshot) {
      const [layers = 0, heads = 0] = this.snapshot?.thumbnails?.shape ?? [];
      return new Array<number>(layers).fill(heads);
    }
    return this.attention.value?.heads ?? [];
  });
  readonly layer: number = $derived.by(() => whole(this.state.get("layer"), 0, this.heads.length - 1) ?? Math.max(0, this.heads.length - 1));
  /** MEAN: all of the layer together. */
  readonly head: number = $derived.by(() => whole(this.state.get("head"), 0, (this.heads[this.layer] ?? 1) - 1) ?? MEAN);
  /** The pinned token; MEAN where a model that averages its patches is seen as a whole. */
  readonly token: number = $derived.by(() => {
    const last = this.grid.prefix + this.grid.rows * this.grid.cols - 1;
    return whole(this.state.get("token"), 0, last) ?? (this.grid.readsClassToken ? 0 : MEAN);
  });
  readonly direction: Direction = $derived.by(() => (this.state.get("direction") === "to" ? "to" : "from"));

  /** What to ask of a checkpoint. */
  readonly at: Record<string, string> = $derived.by((): Record<string, string> => (this.moment ? { at: this.moment.id } : {}));
  readonly version: string = $derived.by(() => String(this.moment?.step ?? ""));

  /** What the address asks for and is not there, each with what takes its place (null: what is shown without being asked). */
  readonly wrong: Wrong[] = $derived.by(() => {
    const found: Wrong[] = [];
    const check = (name: Wrong["name"], isThere: boolean, instead: string | null = null) => {
      const asked = this.state.get(name);
      if (asked !== null && !isThere) found.push({ name, asked, instead });
    };
    const overview = this.overview.value;
    if (!overview) return found;
    check("view", this.view === this.state.get("view"));
    const at = this.state.get("at") ?? "";
    const isSameStep = Number(/^step-0*(\d+)$/.exec(at)?.[1] ?? NaN) === this.moment?.step; // by another name, "best" say
    check("at", overview.moments.length === 0 || isSameStep || overview.moments.some(({ id }) => id === at), this.follows || !/^step-\d+$/.test(at) ? null : (this.moment?.id ?? null));
    if (this.heads.length) {
      const layer = whole(this.state.get("layer"), 0, this.heads.length - 1);
      check("layer", layer !== null);
      check("head", whole(this.state.get("head"), 0, (this.heads[this.layer] ?? 1) - 1) !== null);
    }
    const tokens = this.grid.prefix + this.grid.rows * this.grid.cols;
    if (tokens) check("token", whole(this.state.get("token"), 0, tokens - 1) !== null);
    return found;
  });

  constructor(
    source: DocumentSource,
    readonly state: UrlState,
  ) {
    this.documents = new Documents(source);
    this.overview = this.watch(() => ({ key: "overview", version: this.arrivals, grows: true }));
    this.structure = this.watch(() => ({ key: "structure" }));
    this.attention = this.watch(() =>
      this.overview.value && !this.isSnapshot && this.view !== "layers" ? { key: "attention", query: this.withImage, version: this.version } : null,
    );
    this.timeline = this.watch(() =>
      this.isSnapshot && this.image && this.view !== "layers" ? { key: "timeline", query: { image: this.image }, version: this.arrivals, grows: true } : null,
    );
  }

  /** A document for as long as the component that is being made is there. */
  watch<T>(ask: () => Ask | null): Watched<T> {
    const made = new Watched<T>(this.documents, ask);
    this.attend(made);
    return made;
  }

  /** Counts in what a component loads, for those who wait until all is shown. */
  attend(loader: { readonly isWaiting: boolean }): void {
    $effect(() => {
      untrack(() => this.loaders.add(loader));
      return () => untrack(() => this.loaders.delete(loader));
    });
  }

  get withImage(): Record<string, string> {
    return this.image ? { ...this.at, image: this.image } : this.at;
  }

  /** Counts up with every new moment, for documents that grow. */
  get revision(): number {
    return this.arrivals;
  }

  /** A new moment is there. What failed for want of one is tried again. */
  arrived(): void {
    this.arrivals++;
    for (const watched of [this.structure, this.attention]) if (watched.trouble) watched.retry();
  }

  choose(
    values: Record<string, string | number | null>,
    options?: { push?: boolean; now?: boolean },
  ): void {
    const texts = Object.entries(values).map(([name, value]) => [name, value === null || value === MEAN ? null : String(value)] as const);
    this.state.set(Object.fromEntries(texts), options);
  }

  /** Leads the person elsewhere: to another view, or to where the control that was used is no more. */
  jump(values: Record<string, string | number | null>): void {
    this.choose(values, { push: true });
    this.jumps++;
  }
}

/** A whole number of an address. */
export function whole(text: string | null, least: number, most: number): number | null {
  if (text === null || !/^\d+$/.test(text)) return null;
  const value = Number(text);
  return value >= least && value <= most ? value : null;
}

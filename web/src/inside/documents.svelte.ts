/** Documents, kept once they are here, and what a view needs of them as it changes. */
import { untrack } from "svelte";
import { connection } from "../connection.svelte";
import type { DocumentSource } from "../documents";

const KEPT = 120;

export interface Ask {
  key: string;
  query?: Record<string, string>;
  /** Tells apart answers to the same words at different times: "last" is another checkpoint as training goes on. */
  version?: string | number;
  /** A later version only adds: what an earlier one says stays right. */
  grows?: boolean;
}

export interface Trouble {
  /** As HTTP has it; 0 where nothing answered. */
  status: number;
  message: string;
}

export class Documents {
  private readonly kept = new Map<string, unknown>();

  constructor(readonly source: DocumentSource) {}

  static name({ key, query = {}, version = "" }: Ask): string {
    return `${key}?${new URLSearchParams(Object.entries(query).sort())}#${version}`;
  }

  peek<T>(ask: Ask): T | undefined {
    return this.kept.get(Documents.name(ask)) as T | undefined;
  }

  forget(ask: Ask | null): void {
    if (ask) this.kept.delete(Documents.name(ask));
  }

  /** Raises what the source raises; an abort stays an abort. */
  async load<T>(ask: Ask, signal?: AbortSignal, { keep = true } = {}): Promise<T> {
    const name = Documents.name(ask);
    const known = this.kept.get(name);
    if (known !== undefined) {
      this.kept.delete(name); // to the end: what was used last goes last
      this.kept.set(name, known);
      return known as T;
    }
    const document = await this.source.get<T>(ask.key, ask.query ?? {}, signal);
    if (keep) this.kept.set(name, document);
    if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value!);
    return document;
  }
}

export function troubleOf(error: unknown): Trouble {
  const status = typeof error === "object" && error !== null && "status" in error ? Number(error.status) : 500;
  return { status, message: error instanceof Error ? error.message : String(error) };
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** A document that is kept in step with what is asked for. What was shown stays until the next one is here. */
export class Watched<T> {
  value = $state.raw<T | undefined>();
  trouble = $state.raw<Trouble | null>(null);
  isLoading = $state(false);
  private attempts = $state(0);
  /** What `value` answers, and what is asked for now. */
  private answers = $state("");
  private readonly asked = $derived.by(() => {
    const now = this.ask();
    return now ? identity(now) : "";
  });

  /** Whether `value` is of an earlier ask: of another moment or picture than the page names. */
  readonly isStale: boolean = $derived(this.value !== undefined && this.answers !== this.asked);
  /** Whether the first answer to what is asked for is still on its way. */
  readonly isWaiting: boolean = $derived(this.isLoading && (this.value === undefined || this.isStale));

  /**
   * `ask` is read as state; null asks for nothing, and forgets. What failed is tried again once the server is back.
   * Call while a component is made.
   */
  constructor(
    private readonly documents: Documents,
    private readonly ask: () => Ask | null,
  ) {
    const name = $derived.by(() => {
      const now = ask();
      return now ? Documents.name(now) : "";
    });
    $effect(() => {
      void name;
      void this.attempts;
      void connection.returns;
      const now = untrack(ask);
      if (!now) {
        this.value = undefined;
        this.trouble = null;
        this.isLoading = false;
        return;
      }
      const known = documents.peek<T>(now);
      if (known !== undefined) {
        this.take(known, now);
        return;
      }
      const mine = new AbortController();
      this.isLoading = true;
      documents.load<T>(now, mine.signal).then(
        (value) => !mine.signal.aborted && this.take(value, now),
        (error: unknown) => {
          if (mine.signal.aborted) return;
          this.trouble = troubleOf(error);
          this.isLoading = false;
        },
      );
      return () => mine.abort();
    });
  }

  private take(value: T, ask: Ask): void {
    this.value = value;
    this.answers = identity(ask);
    this.trouble = null;
    this.isLoading = false;
  }

  retry = (): void => {
    this.attempts++;
  };

  /** Asks again for what came unfinished. */
  again = (): void => {
    this.documents.forget(this.ask());
    this.attempts++;
  };
}

function identity(ask: Ask): string {
  return Documents.name(ask.grows ? { ...ask, version: "" } : ask);
}

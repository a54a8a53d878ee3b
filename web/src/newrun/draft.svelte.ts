/** What was filled in, kept for this tab: neither leaving the form, nor an error of the server, nor a reload loses it. */
import type { Mapping } from "../api";
import { typed } from "./schema";

export interface Draft {
  source: string;
  recipe: string;
  name: string;
  /** What was typed, by the option's path. An empty text is not sent. */
  values: Record<string, string>;
}

const KEY = "vitscope.newrun";

export const draft: Draft = $state({ source: "", recipe: "", name: "", values: {}, ...kept() });

/** Call while a component is made. */
export function keepDraft(): void {
  $effect(() => {
    const text = JSON.stringify(draft);
    try {
      sessionStorage.setItem(KEY, text);
    } catch {
      // storage is switched off: it is kept while the page lives
    }
  });
}

/** Fills the form in with what another run was asked for. */
export function fillIn(asked: Mapping): void {
  const { "data.source": source = "", recipe = "", name = "", version: _, ...values } = typed(asked);
  Object.assign(draft, { source, recipe: recipe === "auto" ? "" : recipe, name, values });
}

function kept(): Partial<Draft> {
  try {
    const found: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    if (typeof found !== "object" || found === null) return {};
    const { source, recipe, name, values } = found as Record<string, unknown>;
    const areTexts = typeof values === "object" && values !== null && Object.values(values).every((value) => typeof value === "string");
    return [source, recipe, name].every((value) => typeof value === "string") && areTexts ? (found as Draft) : {};
  } catch {
    return {};
  }
}

import type { Catalogue, Texts } from "./catalogue";

export type Language = "en" | "zh";
const KEY = "vitscope.language";

function initial(): Language {
  const kept = read();
  if (kept) return kept;
  return navigator.languages.some((l) => l.toLowerCase().startsWith("zh")) && !navigator.language.toLowerCase().startsWith("en") ? "zh" : "en";
}

function read(): Language | null {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "en" || kept === "zh" ? kept : null;
  } catch {
    return null; // storage is switched off: the browser's language then
  }
}

let current = $state<Language>(initial());

export const language = {
  get current() {
    return current;
  },
  /** Intl's name of the language, for numbers and dates. */
  get locale() {
    return current === "zh" ? "zh-CN" : "en";
  },
  set(next: Language) {
    current = next;
    document.documentElement.lang = next === "zh" ? "zh-CN" : "en";
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // kept for this page only
    }
  },
};

/** A function that gives an area's texts in the language of the moment, `{name}` filled from `values`. */
export function texts<T extends Texts>(area: Catalogue<T>) {
  return (key: keyof T, values: Record<string, string | number> = {}): string =>
    area[current][key].replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

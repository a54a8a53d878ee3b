import type { Catalogue, Texts } from "./catalogue";

export type Language = "en" | "zh";
const KEY = "vitscope.language";

function initial(): Language {
  return read() ?? preferred(navigator.languages);
}

/** The first of somebody's languages that the page speaks, else English. */
export function preferred(languages: readonly string[]): Language {
  const spoken = languages.map((name) => name.toLowerCase().split("-")[0]);
  return spoken.find((name) => name === "zh" || name === "en") === "zh" ? "zh" : "en";
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

/**
 * A function that gives an area's texts in the language of the moment, `{name}` filled from `values`. Of a text in forms,
 * "{count} file | {count} files", the one is taken that the number `count` asks for in that language.
 */
export function texts<T extends Texts>(area: Catalogue<T>) {
  return (key: keyof T, values: Record<string, string | number> = {}): string => {
    const { count } = values;
    const text = typeof count === "number" ? form(area[current][key], count) : area[current][key];
    return text.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? written(name, values[name]!) : whole));
  };
}

const FORMS = " | ";

/** The first form is for one, the last for all others. */
function form(text: string, count: number): string {
  const forms = text.split(FORMS);
  return (new Intl.PluralRules(language.locale).select(count) === "one" ? forms[0] : forms.at(-1)) ?? text;
}

function written(name: string, value: string | number): string {
  return name === "count" && typeof value === "number" ? new Intl.NumberFormat(language.locale).format(value) : String(value);
}

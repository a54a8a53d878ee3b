/** Words that follow a count: "[picture|pictures]" in a text becomes the one that the language wants. */
import { language } from "../i18n/language.svelte";

const made = new Map<string, Intl.PluralRules>();

export function counted(text: string, count: number): string {
  const { locale } = language;
  const rules = made.get(locale) ?? new Intl.PluralRules(locale);
  made.set(locale, rules);
  return text.replace(/\[([^|\]]*)\|([^\]]*)\]/g, (_, one: string, other: string) => (rules.select(count) === "one" ? one : other));
}

/** One area's texts in both languages. A key that is missing in Chinese, or left over, does not compile. */
export type Texts = Record<string, string>;

export interface Catalogue<T extends Texts> {
  en: T;
  zh: Record<keyof T, string>;
}

export function catalogue<const T extends Texts>(en: T, zh: Record<keyof NoInfer<T>, string>): Catalogue<T> {
  return { en, zh };
}

import { describe, expect, it } from "vitest";
import type { Catalogue, Texts } from "../src/i18n/catalogue";
import { language, texts } from "../src/i18n/language.svelte";

const areas = Object.values(import.meta.glob("../src/i18n/*.ts", { eager: true })).flatMap((module) =>
  Object.values(module as Record<string, unknown>).filter((value): value is Catalogue<Texts> => typeof value === "object" && value !== null && "en" in value && "zh" in value),
);
const placeholders = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();

describe("the catalogues", () => {
  it("are found", () => {
    expect(areas.length).toBeGreaterThanOrEqual(4);
  });

  it("have every text in both languages, with the same places to fill", () => {
    for (const { en, zh } of areas) {
      expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
      for (const [key, text] of Object.entries(en)) {
        expect(text.trim(), key).not.toBe("");
        expect(zh[key]!.trim(), key).not.toBe("");
        expect(placeholders(zh[key]!), key).toEqual(placeholders(text));
      }
    }
  });

  it("use Chinese punctuation in Chinese sentences", () => {
    for (const { zh } of areas) for (const [key, text] of Object.entries(zh)) expect(text, key).not.toMatch(/[\u4e00-\u9fff][,;:!?]|[\u4e00-\u9fff]\.(\s|$)/);
  });

  it("change with the language, fill what is given and leave what is not", () => {
    const t = texts({ en: { hello: "Hello {name}, {other}" }, zh: { hello: "你好 {name}，{other}" } });
    language.set("en");
    expect(t("hello", { name: "A{other}" })).toBe("Hello A{other}, {other}");
    language.set("zh");
    expect(t("hello", { name: "甲" })).toBe("你好 甲，{other}");
    expect(document.documentElement.lang).toBe("zh-CN");
    language.set("en");
  });
});

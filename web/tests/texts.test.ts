import { describe, expect, it } from "vitest";
import type { Catalogue, Texts } from "../src/i18n/catalogue";
import { language, preferred, texts } from "../src/i18n/language.svelte";

const areas = Object.values(import.meta.glob("../src/i18n/*.ts", { eager: true })).flatMap((module) =>
  Object.values(module as Record<string, unknown>).filter((value): value is Catalogue<Texts> => typeof value === "object" && value !== null && "en" in value && "zh" in value),
);
const files = import.meta.glob("../src/**/*.{ts,svelte}", { eager: true, query: "?raw", import: "default" }) as Record<string, string>;
const sources = Object.entries(files).flatMap(([file, text]) => (file.includes("/i18n/") ? [] : [text]));
const pages = Object.entries(files).filter(([file]) => file.endsWith(".svelte") && !file.includes("/inside/"));
const own = Object.entries(import.meta.glob(["../src/i18n/*.ts", "!../src/i18n/inside.ts"], { eager: true })).map(([file, module]) => ({
  file,
  catalogues: Object.values(module as Record<string, unknown>).filter((value): value is Catalogue<Texts> => typeof value === "object" && value !== null && "en" in value && "zh" in value),
}));
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

  it("count as the language does", () => {
    const t = texts({ en: { files: "{count} file | {count} files" }, zh: { files: "{count} 个文件" } });
    expect([0, 1, 2, 1234].map((count) => t("files", { count }))).toEqual(["0 files", "1 file", "2 files", "1,234 files"]);
    language.set("zh");
    expect(t("files", { count: 1 })).toBe("1 个文件");
    language.set("en");
  });

  it("begin in the first of somebody's languages that the page speaks", () => {
    expect([["fr", "en", "zh"], ["zh-TW", "en"], ["en-GB", "zh"], ["fr"], []].map(preferred)).toEqual(["en", "zh", "en", "en", "en"]);
  });

  it("have no text that nobody shows", () => {
    for (const { file, catalogues } of own) {
      for (const { en } of catalogues) {
        for (const key of Object.keys(en)) {
          const family = key.slice(0, key.indexOf("_") + 1); // group_data, where the code has `group_${…}`
          const isUsed = sources.some((text) => text.includes(`"${key}"`) || text.includes(`'${key}'`) || (family && text.includes(`\`${family}\${`)));
          expect(isUsed, `${file}: ${key}`).toBe(true);
        }
      }
    }
  });

  it("are where the pages' words are: none stands in the markup itself", () => {
    for (const [file, text] of pages) {
      const markup = text
        .replace(/<(script|style)[\s\S]*?<\/\1>|<!--[\s\S]*?-->/g, "")
        .replace(/\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}/g, "");
      const words = markup.replace(/<[^>]*>/g, "\n").match(/[A-Za-z]{3,}.*/g) ?? [];
      expect(words.filter((word) => !word.startsWith("ViTScope")), file).toEqual([]);
      expect(markup.match(/(?:aria-label|placeholder|title|alt)="[^"]*[A-Za-z]{3,}[^"]*"/g) ?? [], file).toEqual([]);
    }
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

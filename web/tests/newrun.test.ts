import { describe, expect, it } from "vitest";
import type { Mapping, Recipe } from "../src/api";
import { asCommand, fieldsOf, nested, parse, withRecipe, type Field } from "../src/newrun/schema";
import { filterChoices } from "../src/parts/choices";

// As pydantic writes it, by hand.
const schema: Mapping = {
  $defs: {
    OptimConfig: {
      properties: {
        lr: { default: 0.001, description: "Peak.", exclusiveMinimum: 0, maximum: 100, flag: "--lr", type: "number" },
        betas: { default: [0.9, 0.999], type: "array", minItems: 2, maxItems: 2, prefixItems: [{ type: "number" }, { type: "number" }] },
        clip: { anyOf: [{ exclusiveMinimum: 0, type: "number" }, { type: "null" }], default: 1 },
      },
      type: "object",
    },
    ModelConfig: {
      properties: {
        size: { anyOf: [{ minimum: 8, maximum: 4096, type: "integer" }, { type: "null" }], default: null, unit: "pixels", flag: "--size" },
        interpolation: { anyOf: [{ enum: ["bilinear", "bicubic"], type: "string" }, { type: "null" }], default: null },
        pretrained: { default: false, type: "boolean", flag: "--pretrained" },
        kwargs: { additionalProperties: true, default: {}, type: "object" },
      },
      type: "object",
    },
  },
  properties: {
    version: { const: 1, default: 1, type: "integer" },
    seed: { default: 0, minimum: 0, type: "integer" },
    optim: { $ref: "#/$defs/OptimConfig", default: { lr: 0.001 } },
    model: { allOf: [{ $ref: "#/$defs/ModelConfig" }], default: {} },
    dummy: { default: "x", type: "string", description: "An option nobody has heard of." },
  },
};

const fields = fieldsOf(schema);
const field = (path: string): Field => fields.find((each) => each.path === path)!;
const value = (path: string, text: string) => parse(field(path), text);

describe("the form", () => {
  it("has every option of the schema, one that nobody has heard of too", () => {
    expect(fields.map((f) => [f.path, f.group, f.kind, f.isNullable])).toEqual([
      ["seed", "", "integer", false],
      ["optim.lr", "optim", "number", false],
      ["optim.betas", "optim", "pair", false],
      ["optim.clip", "optim", "number", true],
      ["model.size", "model", "integer", true],
      ["model.interpolation", "model", "choice", true],
      ["model.pretrained", "model", "boolean", false],
      ["model.kwargs", "model", "mapping", false],
      ["dummy", "", "text", false],
    ]);
    expect(field("optim.lr").bounds).toEqual([{ kind: "atMost", value: 100 }, { kind: "above", value: 0 }]);
    expect([field("model.size").unit, field("optim.lr").flag, field("dummy").help]).toEqual(["pixels", "--lr", "An option nobody has heard of."]);
    expect(field("model.interpolation").choices).toEqual(["bilinear", "bicubic"]);
  });

  it("shows a recipe's values as the defaults, and which of them wait for a recipe to be chosen", () => {
    const recipes: Recipe[] = [
      { name: "warm", help: "", options: { optim: { lr: 0.5 }, model: { kwargs: { depth: 6 } } } },
      { name: "cold", help: "", options: { optim: { lr: 0.1 }, seed: 7 } },
    ];
    const of = (name: string) => withRecipe(fields, recipes, name).map((f) => [f.path, f.default, f.isByRecipe]).slice(0, 3);
    expect(of("cold")).toEqual([["seed", 7, false], ["optim.lr", 0.1, false], ["optim.betas", [0.9, 0.999], false]]);
    expect(of("warm").slice(0, 2)).toEqual([["seed", 0, false], ["optim.lr", 0.5, false]]);
    expect(of("")).toEqual([["seed", 0, true], ["optim.lr", 0.001, true], ["optim.betas", [0.9, 0.999], false]]);
    expect(withRecipe(fields, recipes, "warm").find((f) => f.path === "model.kwargs")!.default).toEqual({ depth: 6 });
  });

  it("reads values and says what is wrong with others", () => {
    expect(value("optim.lr", " 3e-4 ")).toEqual({ value: 3e-4 });
    expect(value("optim.lr", "fast")).toEqual({ problem: { key: "notNumber" } });
    expect(value("optim.lr", "0")).toEqual({ problem: { key: "tooSmall", bound: { kind: "above", value: 0 } } });
    expect(value("seed", "1.5")).toEqual({ problem: { key: "notInteger" } });
    expect(value("optim.clip", "none")).toEqual({ value: null });
    expect(value("optim.betas", "[0.8, 0.99]")).toEqual({ value: [0.8, 0.99] });
    expect(value("optim.betas", "0.8")).toEqual({ problem: { key: "notPair" } });
    expect(value("model.kwargs", '{"depth": 6}')).toEqual({ value: { depth: 6 } });
    expect(value("model.kwargs", "[1]")).toEqual({ problem: { key: "notMapping" } });
    expect(value("model.pretrained", "true")).toEqual({ value: true });
  });

  it("sends a nested mapping, and shows the same as a command", () => {
    const values = { "optim.lr": 0.0003, "model.size": 64, "model.pretrained": true, "optim.betas": [0.8, 0.99], seed: 3 };
    expect(nested(values)).toEqual({ optim: { lr: 0.0003, betas: [0.8, 0.99] }, model: { size: 64, pretrained: true }, seed: 3 });
    expect(asCommand("vitscope --workspace '/w s'", "my photos", "digits", "it's", values, fields)).toBe(
      "vitscope --workspace '/w s' train 'my photos' --recipe digits --name 'it'\\''s' --lr 0.0003 --size 64 --set model.pretrained=true --set 'optim.betas=[0.8,0.99]' --set seed=3",
    );
  });
});

describe("choices", () => {
  const all = ["vit_tiny", "deit_tiny", "vit_base", "tiny_vit"].map((name) => ({ value: name, note: name.split("_")[0]! }));
  it("hold every word, those that begin with it first, and not too many", () => {
    expect(filterChoices(all, "TINY", 9).map((c) => c.value)).toEqual(["tiny_vit", "vit_tiny", "deit_tiny"]);
    expect(filterChoices(all, "tiny deit", 9).map((c) => c.value)).toEqual(["deit_tiny"]);
    expect(filterChoices(all, "", 2)).toHaveLength(2);
  });
});

/** The form's fields, made of `RunConfig`'s JSON Schema: what is declared there appears here. */
import type { Mapping, Recipe, Value } from "../api";

export type Kind = "number" | "integer" | "boolean" | "choice" | "text" | "pair" | "mapping";

export interface Field {
  path: string; // "optim.lr", or "seed" at the top
  group: string; // "" at the top
  name: string;
  help: string;
  kind: Kind;
  isNullable: boolean;
  default: Value;
  isByRecipe: boolean; // which recipe, and so which value, is chosen once the pictures are known
  choices: string[];
  bounds: Bound[];
  unit: string;
  flag: string;
}

export interface Bound {
  kind: "atLeast" | "atMost" | "above" | "below";
  value: number;
}

const BOUNDS = { minimum: "atLeast", maximum: "atMost", exclusiveMinimum: "above", exclusiveMaximum: "below" } as const;

/** Every option of the schema, in the order of its declaration. */
export function fieldsOf(schema: Mapping, group = ""): Field[] {
  const root = schema;
  const walk = (of: Mapping, within: string): Field[] =>
    Object.entries((of.properties ?? {}) as Record<string, Mapping>).flatMap(([name, property]) => {
      const target = resolved(root, property);
      if (target.properties) return walk(target, name);
      return "const" in property ? [] : [fieldOf(root, property, name, within)];
    });
  return walk(schema, group);
}

/** The fields with what the named recipe sets as their defaults; where none is named, with those marked that some recipe sets. */
export function withRecipe(fields: Field[], recipes: Recipe[], name: string): Field[] {
  const set = ({ options }: Recipe, field: Field) => (field.group ? (options[field.group] as Mapping | undefined)?.[field.name] : options[field.name]);
  const named = recipes.find((recipe) => recipe.name === name);
  return fields.map((field) => {
    if (!named) return recipes.some((recipe) => set(recipe, field) !== undefined) ? { ...field, isByRecipe: true } : field;
    const value = set(named, field);
    return value === undefined ? field : { ...field, default: value };
  });
}

function fieldOf(root: Mapping, property: Mapping, name: string, group: string): Field {
  const alternatives = ((property.anyOf ?? [property]) as Mapping[]).map((each) => resolved(root, each));
  const typed = alternatives.find((each) => each.type !== "null") ?? {};
  return {
    path: group ? `${group}.${name}` : name,
    group,
    name,
    help: String(property.description ?? ""),
    kind: kindOf(typed),
    isNullable: alternatives.some((each) => each.type === "null"),
    default: property.default ?? null,
    isByRecipe: false,
    choices: ((typed.enum ?? []) as Value[]).map(String),
    bounds: Object.entries(BOUNDS).flatMap(([key, kind]) => (typeof typed[key] === "number" ? [{ kind, value: typed[key] }] : [])),
    unit: String(property.unit ?? ""),
    flag: String(property.flag ?? ""),
  };
}

function resolved(root: Mapping, of: Mapping): Mapping {
  const ref = typeof of.$ref === "string" ? of.$ref : (((of.allOf ?? []) as Mapping[])[0]?.$ref ?? null);
  if (typeof ref !== "string") return of;
  return (ref.replace(/^#\//, "").split("/").reduce<Value | undefined>((at, key) => (at as Mapping | undefined)?.[key], root) ?? {}) as Mapping;
}

function kindOf(typed: Mapping): Kind {
  if (typed.enum) return "choice";
  switch (typed.type) {
    case "number":
    case "integer":
    case "boolean":
      return typed.type;
    case "array":
      return "pair";
    case "object":
      return "mapping";
    default:
      return "text";
  }
}

export type Problem = { key: "notNumber" | "notInteger" | "notPair" | "notMapping" } | { key: "tooSmall"; bound: Bound };
export type Parsed = { value: Value } | { problem: Problem };

/** What somebody typed into a field, as its value; `none` where the field may have none. */
export function parse(field: Field, text: string): Parsed {
  const typed = text.trim();
  if (field.isNullable && typed === "none") return { value: null };
  switch (field.kind) {
    case "boolean":
      return { value: typed === "true" };
    case "number":
    case "integer": {
      const value = Number(typed);
      if (typed === "" || !Number.isFinite(value)) return { problem: { key: "notNumber" } };
      if (field.kind === "integer" && !Number.isInteger(value)) return { problem: { key: "notInteger" } };
      const broken = field.bounds.find((bound) => !holds(bound, value));
      return broken ? { problem: { key: "tooSmall", bound: broken } } : { value };
    }
    case "pair": {
      const numbers = typed.replace(/^[[(]|[\])]$/g, "").split(/[,\s]+/).filter(Boolean).map(Number);
      return numbers.length === 2 && numbers.every(Number.isFinite) ? { value: numbers } : { problem: { key: "notPair" } };
    }
    case "mapping":
      try {
        const value: unknown = JSON.parse(typed);
        if (typeof value === "object" && value !== null && !Array.isArray(value)) return { value: value as Mapping };
      } catch {
        // told below
      }
      return { problem: { key: "notMapping" } };
    default:
      return { value: typed };
  }
}

function holds({ kind, value: limit }: Bound, value: number): boolean {
  if (kind === "atLeast") return value >= limit;
  if (kind === "atMost") return value <= limit;
  return kind === "above" ? value > limit : value < limit;
}

/** Values by their paths, as the nested mapping that `RunConfig` takes. */
export function nested(values: Record<string, Value>): Mapping {
  const out: Mapping = {};
  for (const [path, value] of Object.entries(values)) {
    const [first, second] = path.split(".") as [string, string?];
    if (second === undefined) out[first] = value;
    else (out[first] ??= {} as Mapping) && ((out[first] as Mapping)[second] = value);
  }
  return out;
}

/** A request as it was sent, as somebody would type it into the form. */
export function typed(asked: Mapping): Record<string, string> {
  const out: Record<string, string> = {};
  for (const [name, value] of Object.entries(asked)) {
    if (isMapping(value) && !name.includes(".")) for (const [inner, each] of Object.entries(value)) out[`${name}.${inner}`] = written(each);
    else out[name] = written(value);
  }
  return out;
}

function isMapping(value: Value): value is Mapping {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function written(value: Value): string {
  if (value === null) return "none";
  if (Array.isArray(value)) return value.join(", ");
  return isMapping(value) ? JSON.stringify(value) : String(value);
}

/** The same request as a command line; `program` is how it begins. */
export function asCommand(program: string, source: string, recipe: string, name: string, values: Record<string, Value>, fields: Field[]): string {
  const words = ["train", source || "SOURCE"];
  if (recipe) words.push("--recipe", recipe);
  if (name) words.push("--name", name);
  for (const [path, value] of Object.entries(values)) {
    const field = fields.find((each) => each.path === path);
    if (field?.flag && ["number", "integer", "text", "choice"].includes(field.kind) && value !== null) words.push(field.flag, String(value));
    else words.push("--set", `${path}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  }
  return [program, ...words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))].join(" ");
}

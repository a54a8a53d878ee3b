/** Which sentence explains a module, by its type. */
import type { StructureNode } from "./types";
import { IMAGE, RESULT, TOKENS } from "./graph";

export type Words =
  | "wordsImage"
  | "wordsTokens"
  | "wordsResult"
  | "wordsPatch"
  | "wordsBlock"
  | "wordsAttention"
  | "wordsQkv"
  | "wordsProj"
  | "wordsMlp"
  | "wordsFc1"
  | "wordsFc2"
  | "wordsAct"
  | "wordsNorm"
  | "wordsScale"
  | "wordsHead"
  | "wordsConv"
  | "wordsLinear"
  | "wordsSequence"
  | "wordsMerging";

export function wordsFor({ id, name, type }: Pick<StructureNode, "id" | "name" | "type">): Words | "" {
  if (id === IMAGE) return "wordsImage";
  if (id === TOKENS) return "wordsTokens";
  if (id === RESULT) return "wordsResult";
  if (/merging|downsample/i.test(`${type} ${name}`)) return "wordsMerging";
  if (/embed|stem/i.test(type)) return "wordsPatch";
  if (name === "head" || id === "head.fc") return "wordsHead";
  if (name === "qkv") return "wordsQkv";
  if (name === "proj" && type === "Linear") return "wordsProj";
  if (/^(fc1|w1|w2|fc1_g|fc1_x)$/.test(name)) return "wordsFc1";
  if (/^(fc2|w3)$/.test(name)) return "wordsFc2";
  if (/mlp|swiglu|feedforward/i.test(type)) return "wordsMlp";
  if (/attn|attention|XCA$/i.test(type)) return /block/i.test(type) ? "wordsBlock" : "wordsAttention";
  if (/block/i.test(type)) return "wordsBlock";
  if (/norm/i.test(type)) return "wordsNorm";
  if (/gelu|relu|silu|activation|tanh/i.test(type)) return "wordsAct";
  if (/scale/i.test(type)) return "wordsScale";
  if (/conv/i.test(type)) return "wordsConv";
  if (type === "Linear") return "wordsLinear";
  if (/sequential|modulelist|stage/i.test(type)) return "wordsSequence";
  return "";
}

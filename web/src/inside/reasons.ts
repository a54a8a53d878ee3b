/**
 * Why something of a model cannot be shown, as the server says it, in the language of the page.
 *
 * The server speaks English; a reason that is not known here stays as it is.
 */
import type { inside } from "../i18n/inside";
import { language } from "../i18n/language.svelte";

type Key = keyof (typeof inside)["en"];

const KNOWN: [RegExp, Key][] = [
  [/^It has no attention layers\.$/, "whyNoLayers"],
  [/^Its attention layers \((?<names>.+)\) keep their weights/, "whyHidden"],
  [/^Its layers attend in ways that one map cannot show \((?<names>.+)\)/, "whyMixed"],
  [/^Only (?<shown>\d+) of its (?<all>\d+) attention layers/, "whySome"],
  [/^Its attention weights are not shares/, "whyNoShares"],
  [/^Its attention layers do not compare every token/, "whyNotEvery"],
  [/^Its layers work on different numbers of tokens/, "whyDifferent"],
  [/^A patch sees its window alone/, "whyWindow"],
  [/^Its channels look at each other/, "whyChannel"],
  [/^The class token alone looks/, "whyClass"],
  [/^No convolution looks at the picture/, "whyNoConvolution"],
  [/^Its first convolution sees no colours/, "whyNoColours"],
  [/^Its position embedding has (?<places>\d+) places, the picture (?<patches>\d+) patches/, "whyOtherPlaces"],
  [/^Its position embedding is all zeros/, "whyZeros"],
  [/\(RoPE\)\.$/, "whyRotated"],
  [/attention adds a bias for how far/, "whyBias"],
  [/^Its positions are computed from sines/, "whySines"],
  [/^It has no position embedding/, "whyNoPositions"],
];

export function translated(reason: string, t: (key: Key, values?: Record<string, string>) => string): string {
  if (language.current === "en") return reason;
  for (const [pattern, key] of KNOWN) {
    const found = pattern.exec(reason);
    if (found) return t(key, { ...found.groups });
  }
  return reason;
}

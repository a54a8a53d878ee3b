/** What the list of keys tells, by where they work. A view that has keys of its own is named here. */
import type { frame } from "../i18n/frame";

type Text = keyof typeof frame.en;

export const KEYS: { where: Text; keys: [string[], Text][] }[] = [
  {
    where: "everywhere",
    keys: [
      [["g", "r"], "goRuns"],
      [["g", "n"], "goNew"],
      [["t"], "keyTheme"],
      [["l"], "keyLanguage"],
      [["?"], "keyHelp"],
    ],
  },
  { where: "ofLists", keys: [[["/"], "keyFilter"]] },
  { where: "ofRun", keys: [[["1 … 3"], "keyTabs"]] },
  {
    where: "ofCharts",
    keys: [
      [["← →"], "keyCross"],
      [["Home", "End"], "keyEnds"],
      [["+ −"], "keyZoom"],
      [["0"], "keyReset"],
      [["Esc"], "keyAway"],
    ],
  },
  {
    where: "ofInside",
    keys: [
      [["← →"], "keyViews"],
      [["← →"], "keyMoments"],
      [["Home", "End"], "keyMomentEnds"],
      [["← → ↑ ↓"], "keyGraph"],
      [["Enter"], "keyGraphOpen"],
      [["Esc"], "keyGraphOut"],
      [["+ −", "0"], "keyGraphZoom"],
      [["← → ↑ ↓"], "keyLayers"],
      [["← → ↑ ↓"], "keyHeads"],
      [["Enter", "Space"], "keyPatch"],
      [["Esc"], "keyPatchAway"],
    ],
  },
];

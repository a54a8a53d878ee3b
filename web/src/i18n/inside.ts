/** Texts of Inside, view by view, in one catalogue. */
import { architecture } from "./inside/architecture";
import { attention } from "./inside/attention";
import { heads } from "./inside/heads";
import { layers } from "./inside/layers";
import { offline } from "./inside/offline";
import { page } from "./inside/page";
import { pictures } from "./inside/pictures";
import { timeline } from "./inside/timeline";

export const inside = {
  en: { ...page.en, ...architecture.en, ...layers.en, ...attention.en, ...pictures.en, ...heads.en, ...timeline.en, ...offline.en },
  zh: { ...page.zh, ...architecture.zh, ...layers.zh, ...attention.zh, ...pictures.zh, ...heads.zh, ...timeline.zh, ...offline.zh },
};

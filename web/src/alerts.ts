/** What went wrong, by its kind. */
import type { Notice } from "./api";
import { alerts } from "./i18n/alerts";
import { texts } from "./i18n/language.svelte";

const t = texts(alerts);

/** The name of an alert's kind; `otherwise` for a notice of no kind, or of one that this page does not know. */
export function titleOf(kind: Notice["alert"], otherwise: string): string {
  const key = `alert_${kind}`;
  return key in alerts.en ? t(key as keyof typeof alerts.en) : otherwise;
}

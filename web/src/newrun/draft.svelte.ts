/** What was filled in, kept while the page lives: leaving the form and an error of the server lose nothing. */
export interface Draft {
  source: string;
  recipe: string;
  name: string;
  /** What was typed, by the option's path. An empty text is not sent. */
  values: Record<string, string>;
}

export const draft: Draft = $state({ source: "", recipe: "", name: "", values: {} });

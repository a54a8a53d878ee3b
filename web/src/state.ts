/** The state of a view, kept in its address: any view can be shared or reloaded. */
export interface UrlState {
  get(name: string): string | null;
  /** Change some values (null removes); `push` adds a step to the browser's history; `now` writes it at once,
   * where it is no slider that is moved. */
  set(values: Record<string, string | null>, options?: { push?: boolean; now?: boolean }): void;
}

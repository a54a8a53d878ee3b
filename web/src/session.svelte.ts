/** What the server says of itself, asked once. */
import { api, type Session } from "./api";

let current = $state.raw<Session | null>(null);

export const session = {
  get current() {
    return current;
  },
  get isReadOnly() {
    return current?.read_only ?? false;
  },
  /** How a command line on this workspace begins. */
  get command() {
    return current?.command ?? "vitscope";
  },
  async load() {
    current = await api.session();
  },
};

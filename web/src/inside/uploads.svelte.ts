/** One's own pictures of this tab, with their files' names, so that an earlier one can be gone back to. */
export interface Own {
  id: string;
  name: string;
}

const KEY = "vitscope.pictures";
const MOST = 8;
let list = $state.raw<Own[]>(kept());

export const uploads = {
  /** The newest last. */
  get list() {
    return list;
  },
  add(own: Own): void {
    if (list.some(({ id, name }) => id === own.id && name === own.name)) return;
    list = [...list.filter(({ id }) => id !== own.id), own].slice(-MOST);
    try {
      sessionStorage.setItem(KEY, JSON.stringify(list));
    } catch {
      // storage is switched off: they are kept while the page lives
    }
  },
};

function kept(): Own[] {
  try {
    const found: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found.filter((each): each is Own => typeof each?.id === "string" && typeof each?.name === "string") : [];
  } catch {
    return [];
  }
}

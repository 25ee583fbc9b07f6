/** What the page's address stands for: a frame and what of it is shown, or something of the whole gateway. Pure. */

/** What can be looked at of a frame. */
export const TABS = ["talk", "logs", "events", "usage", "terminal"] as const;
export type Tab = (typeof TABS)[number];

/** What can be looked at of the whole gateway. */
export const VIEWS = ["new", "search", "events", "runs", "spending", "schedules", "settings"] as const;
export type View = (typeof VIEWS)[number];

export type Address =
  | { kind: "home" }
  | { kind: "frame"; name: string; tab: Tab; session: string | null }
  | { kind: "view"; view: View; id: string | null };

const HOME: Address = { kind: "home" };

/** Reads what stands behind the `#`. What is no address is the list of frames. */
export function addressOf(hash: string): Address {
  const [, name, tab = "talk", session = null] = /^#\/([a-z0-9-]+)(?:\/([a-z]+)(?:\/(\w+))?)?$/.exec(hash) ?? [];
  if (name !== undefined) {
    const known = TABS.find((one) => one === tab);
    return known === undefined ? HOME : { kind: "frame", name, tab: known, session: known === "talk" ? session : null };
  }
  const [, view, id = null] = /^#view\/([a-z]+)(?:\/(\w+))?$/.exec(hash) ?? [];
  const known = VIEWS.find((one) => one === view);
  return known === undefined ? HOME : { kind: "view", view: known, id };
}

/** The address of a frame. */
export function frameAt(name: string, tab: Tab = "talk", session: string | null = null): string {
  if (session !== null) return `#/${name}/talk/${session}`;
  return tab === "talk" ? `#/${name}` : `#/${name}/${tab}`;
}

/** The address of a view. */
export function viewAt(view: View, id: string | null = null): string {
  return id === null ? `#view/${view}` : `#view/${view}/${id}`;
}

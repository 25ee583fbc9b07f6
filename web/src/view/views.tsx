/** What can be looked at of the whole gateway, and the links to it. */
import { VIEWS, type View, viewAt } from "../address";
import type { Desk } from "../desk";
import { Create } from "./create";
import { Events } from "./happened";
import { Runs } from "./runs";
import { Schedules } from "./schedules";
import { Search } from "./search";
import { Settings } from "./settings";
import { Spending } from "./spending";

export const NAMES: Record<View, string> = {
  new: "New frame",
  search: "Search",
  events: "Events",
  runs: "Runs",
  spending: "Spending",
  schedules: "Schedules",
  settings: "Settings",
};

export function Links({ shown }: { shown: View | null }) {
  return (
    <nav class="links" aria-label="views">
      {VIEWS.map((view) => (
        <a key={view} href={viewAt(view)} aria-current={view === shown ? "page" : undefined}>
          {NAMES[view]}
        </a>
      ))}
    </nav>
  );
}

export function Shown({ desk, view, id }: { desk: Desk; view: View; id: string | null }) {
  return (
    <main class="chosen" aria-label={NAMES[view]}>
      <header class="head">
        <a class="back" href="#/" aria-label="all frames">
          ‹
        </a>
        <h2 class="grow">{NAMES[view]}</h2>
      </header>
      <Body desk={desk} view={view} id={id} />
    </main>
  );
}

function Body({ desk, view, id }: { desk: Desk; view: View; id: string | null }) {
  switch (view) {
    case "new":
      return <Create desk={desk} />;
    case "search":
      return <Search desk={desk} />;
    case "events":
      return <Events desk={desk} frame={null} />;
    case "runs":
      return <Runs desk={desk} id={id} />;
    case "spending":
      return <Spending desk={desk} />;
    case "schedules":
      return <Schedules desk={desk} />;
    case "settings":
      return <Settings desk={desk} />;
  }
}

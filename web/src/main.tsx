import { render } from "preact";
import { Desk } from "./desk";
import { comeIn, isKnown, whenElsewhere, whenStranger, wordsOf } from "./gateway";
import { install } from "./install";
import { App } from "./view/app";
import { Login } from "./view/login";
import { Watch } from "./view/watch";
import "./style.css";
import "./views.css";
import "./terminal.css";

install();

const CODE = "#code=";
/** A link to look at a terminal. It stays in the address, so that the page can be loaded again. */
const WATCH = "#watch=";

let desk: Desk | null = null;

function place(): HTMLElement {
  const found = document.getElementById("app");
  if (found === null) throw new Error("the page has no place");
  return found;
}

/** The page for whoever came in. */
function showDesk(): Desk {
  desk?.end();
  const shown = new Desk();
  desk = shown;
  render(<App desk={shown} onLeft={(failed) => showLogin(leftWords(failed, shown.name))} />, place());
  shown.begin();
  return shown;
}

/** What became of the session that somebody left. */
function leftWords(failed: unknown, name: string | null): string {
  if (failed === null) return "You left. The session is over, at the gateway too.";
  const end = name === null ? "`mimir token list` shows it as web-…, and `mimir token revoke` ends it." : `\`mimir token revoke ${name}\` ends it.`;
  return `This browser has left, but the gateway did not end the session (${wordsOf(failed)}). On the gateway's machine ${end}`;
}

/** The page for everybody else. */
function showLogin(why: string | null): void {
  desk?.end();
  desk = null;
  render(<Login why={why} onIn={() => void showDesk()} />, place());
}

/** The page for whoever was shown a terminal, whether they may do more or not. */
function showWatch(secret: string): void {
  desk?.end();
  desk = null;
  render(<Watch key={secret} secret={secret} />, place());
}

/** Takes the code out of the address before anything else can see it. */
function takeCode(): string | null {
  if (!location.hash.startsWith(CODE)) return null;
  const code = location.hash.slice(CODE.length);
  history.replaceState(null, "", "/");
  return code;
}

async function begin(): Promise<void> {
  if (location.hash.startsWith(WATCH)) return showWatch(location.hash.slice(WATCH.length));
  const code = takeCode();
  if (code !== null) {
    try {
      await comeIn(code);
    } catch (error) {
      // Whoever is in already stays in.
      if (isKnown()) (desk ?? showDesk()).say(wordsOf(error), true);
      else showLogin(wordsOf(error));
      return;
    }
  }
  if (isKnown()) showDesk();
  else showLogin(null);
}

/** Nothing of a session stays on the screen after it. */
function showOver(): void {
  if (desk !== null) showLogin("This session is over.");
}

whenStranger(showOver);
whenElsewhere(() => {
  if (location.hash.startsWith(WATCH)) return;
  if (isKnown()) showDesk();
  else showOver();
});
window.addEventListener("hashchange", () => {
  if (location.hash.startsWith(CODE) || location.hash.startsWith(WATCH)) void begin();
});
void begin();

import { render } from "preact";
import { Desk } from "./desk";
import { comeIn, forget, isKnown, whenStranger, wordsOf } from "./gateway";
import { App } from "./view/app";
import { Login } from "./view/login";
import "./style.css";

const CODE = "#code=";

let desk: Desk | null = null;

function place(): HTMLElement {
  const found = document.getElementById("app");
  if (found === null) throw new Error("the page has no place");
  return found;
}

/** The page for whoever came in. */
function showDesk(): void {
  desk?.end();
  desk = new Desk();
  render(<App desk={desk} onLeft={() => showLogin("You left. The session is over, at the gateway too.")} />, place());
  desk.begin();
}

/** The page for everybody else. */
function showLogin(why: string | null): void {
  desk?.end();
  desk = null;
  render(<Login why={why} />, place());
}

/** Takes the code out of the address before anything else can see it. */
function takeCode(): string | null {
  if (!location.hash.startsWith(CODE)) return null;
  const code = decodeURIComponent(location.hash.slice(CODE.length));
  history.replaceState(null, "", "/");
  return code;
}

async function begin(): Promise<void> {
  const code = takeCode();
  if (code !== null) {
    try {
      await comeIn(code);
    } catch (error) {
      showLogin(wordsOf(error));
      return;
    }
  }
  if (isKnown()) showDesk();
  else showLogin(null);
}

whenStranger(() => {
  if (!isKnown()) return;
  forget();
  showLogin("This session is over.");
});
window.addEventListener("hashchange", () => {
  if (location.hash.startsWith(CODE)) void begin();
});
void begin();

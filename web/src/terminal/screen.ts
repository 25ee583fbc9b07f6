/**
 * xterm.js, as the page's policy allows it. A file of its own (vite.config.ts), fetched when somebody opens a terminal;
 * it imports nothing of the page.
 */
import { FitAddon } from "@xterm/addon-fit";
import { WebglAddon } from "@xterm/addon-webgl";
import { type ITheme, Terminal } from "@xterm/xterm";

export interface ScreenWish {
  place: HTMLElement;
  readOnly: boolean;
  label: string;
  onInput: (text: string | Uint8Array<ArrayBuffer>) => void;
  onSize: () => void;
}

/** Lines of a terminal that no tmux keeps. */
const SCROLLBACK = 5_000;

const DARK: ITheme = { background: "#16181d", foreground: "#e6e8ec", cursor: "#e6e8ec", selectionBackground: "#3b5b86" };
/** The usual colours, as dark as a light background needs them. */
const LIGHT: ITheme = {
  background: "#ffffff",
  foreground: "#1a1c20",
  cursor: "#1a1c20",
  selectionBackground: "#b5d3f5",
  black: "#1a1c20",
  red: "#a3161f",
  green: "#14682f",
  yellow: "#7d4e00",
  blue: "#0b57a4",
  magenta: "#86279a",
  cyan: "#0b6470",
  white: "#565c68",
  brightBlack: "#565c68",
  brightRed: "#a3161f",
  brightGreen: "#14682f",
  brightYellow: "#7d4e00",
  brightBlue: "#0b57a4",
  brightMagenta: "#86279a",
  brightCyan: "#0b6470",
  brightWhite: "#1a1c20",
};

export class Screen {
  readonly #terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #styles = new Styles();
  readonly #resizes: ResizeObserver;
  readonly #dark = matchMedia("(prefers-color-scheme: dark)");
  readonly #recolour = () => {
    this.#terminal.options.theme = this.#dark.matches ? DARK : LIGHT;
  };

  constructor(readonly wish: ScreenWish) {
    this.#terminal = new Terminal({
      documentOverride: this.#styles.document,
      disableStdin: wish.readOnly,
      cursorBlink: false,
      fontFamily: 'ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace',
      fontSize: matchMedia("(max-width: 720px)").matches ? 12 : 14,
      scrollback: SCROLLBACK,
      minimumContrastRatio: 4.5,
      screenReaderMode: false,
      macOptionIsMeta: true,
      rightClickSelectsWord: false,
      theme: this.#dark.matches ? DARK : LIGHT,
    });
    this.#terminal.loadAddon(this.#fit);
    this.#styles.during(() => this.#terminal.open(wish.place));
    this.#terminal.textarea?.setAttribute("aria-label", wish.label);
    this.#draw();
    this.#fit.fit();
    this.#terminal.onData((text) => wish.onInput(text));
    this.#terminal.onBinary((text) => wish.onInput(Uint8Array.from(text, (one) => one.charCodeAt(0))));
    this.#terminal.onResize(() => wish.onSize());
    this.#terminal.attachCustomKeyEventHandler((event) => this.#isForTerminal(event));
    this.#resizes = new ResizeObserver(() => this.#fit.fit());
    this.#resizes.observe(wish.place);
    this.#dark.addEventListener("change", this.#recolour);
    this.#hearFingers();
  }

  get size(): { columns: number; rows: number } {
    return { columns: this.#terminal.cols, rows: this.#terminal.rows };
  }

  /** Whether a program asked for the other kind of arrows. */
  get applicationCursor(): boolean {
    return this.#terminal.modes.applicationCursorKeysMode;
  }

  /** What is selected. */
  get selection(): string {
    return this.#terminal.getSelection();
  }

  write(bytes: Uint8Array, taken: () => void): void {
    this.#terminal.write(bytes, taken);
  }

  reset(): void {
    this.#terminal.reset();
  }

  focus(): void {
    this.#terminal.focus();
  }

  /** Types a text as one that was pasted: programs that ask for it are told so. */
  paste(text: string): void {
    this.#terminal.paste(text);
  }

  end(): void {
    this.#resizes.disconnect();
    this.#dark.removeEventListener("change", this.#recolour);
    this.#styles.during(() => this.#terminal.dispose());
    this.#styles.end();
  }

  /** With the graphics card, and without when there is none or it goes away. */
  #draw(): void {
    try {
      const webgl = new WebglAddon();
      webgl.onContextLoss(() => this.#styles.during(() => webgl.dispose()));
      this.#styles.during(() => this.#terminal.loadAddon(webgl));
    } catch {
      // Drawn by the document itself, then; slower, and the same.
    }
  }

  /** A finger that goes up and down turns the wheel: what scrolled by is tmux's, and tmux hears wheels. */
  #hearFingers(): void {
    const { place } = this.wish;
    const height = () => Math.max(1, place.clientHeight / this.#terminal.rows);
    let last: number | null = null;
    const begin = ({ touches }: TouchEvent) => {
      last = touches.length === 1 ? (touches[0]?.clientY ?? null) : null;
    };
    const move = ({ touches }: TouchEvent) => {
      const touch = touches[0];
      if (last === null || touch === undefined) return;
      const lines = Math.trunc((last - touch.clientY) / height());
      if (lines === 0) return;
      last -= lines * height();
      const { clientX, clientY } = touch;
      const turned = { deltaY: lines, deltaMode: WheelEvent.DOM_DELTA_LINE, clientX, clientY, bubbles: true, cancelable: true };
      place.querySelector(".xterm-screen")?.dispatchEvent(new WheelEvent("wheel", turned));
    };
    // They go with the place that they listen to.
    place.addEventListener("touchstart", begin, { passive: true });
    place.addEventListener("touchmove", move, { passive: true });
  }

  /** Copying and pasting are the browser's; all other keys are the terminal's. */
  #isForTerminal(event: KeyboardEvent): boolean {
    // The way out for whoever has no mouse: Escape alone and Tab are the programs'.
    if (event.key === "Escape" && event.shiftKey) {
      this.#terminal.blur();
      return false;
    }
    const key = event.key.toLowerCase();
    const isCopy = key === "c" && ((event.ctrlKey && event.shiftKey) || event.metaKey);
    const isPaste = key === "v" && ((event.ctrlKey && event.shiftKey) || event.metaKey);
    if (isCopy && event.type === "keydown" && this.selection !== "") {
      event.preventDefault();
      void navigator.clipboard?.writeText(this.selection);
    }
    return !isCopy && !isPaste;
  }
}

/**
 * Lets xterm.js write styles under a policy that allows none to be written into the page: what it writes into style
 * elements becomes style sheets of the document, and style attributes are set as properties.
 */
class Styles {
  readonly document: Document;
  readonly #sheets: CSSStyleSheet[] = [];

  constructor() {
    const create = (name: string) => this.#create(name);
    this.document = new Proxy(document, {
      get(target, name) {
        if (name === "createElement") return create;
        const value: unknown = Reflect.get(target, name);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  }

  /** Does something during which the document itself is asked for elements. */
  during(act: () => void): void {
    const own = document as { createElement: unknown };
    own.createElement = (name: string) => this.#create(name);
    try {
      act();
    } finally {
      // The document's own is its class's.
      delete (own as { createElement?: unknown }).createElement;
    }
  }

  end(): void {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => !this.#sheets.includes(sheet));
  }

  #create(name: string): HTMLElement {
    // A browser refuses a style element whatever its type says, and complains; a template is never shown and holds the same text.
    const element = Document.prototype.createElement.call(document, name === "style" ? "template" : name);
    if (name === "style") this.#adopt(element);
    if (name === "span") {
      element.setAttribute = (attribute: string, value: string) => {
        if (attribute === "style") element.style.cssText = value;
        else Element.prototype.setAttribute.call(element, attribute, value);
      };
    }
    return element;
  }

  #adopt(element: HTMLElement): void {
    const sheet = new CSSStyleSheet();
    this.#sheets.push(sheet);
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    new MutationObserver(() => sheet.replaceSync(element.textContent ?? "")).observe(element, {
      childList: true,
      characterData: true,
      subtree: true,
    });
  }
}

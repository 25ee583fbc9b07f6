// A frame's terminal in the page: typed in, resized, shown to somebody, and back after the network was away.
import assert from "node:assert/strict";
import { join } from "node:path";

/** Browsers without WebGL draw with the document, where the words can be read. Runs in the page before everything else. */
function withoutWebgl() {
  const get = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
    return kind === "webgl2" ? null : get.call(this, kind, ...rest);
  };
}

/** The colour of a word, and that of all words. Runs in the page. */
function colours(word) {
  const spans = [...document.querySelectorAll(".xterm-rows span")];
  const found = spans.find((span) => span.textContent.includes(word));
  return [found && getComputedStyle(found).color, getComputedStyle(document.querySelector(".xterm-rows")).color];
}

export function addTerminal(play) {
  const { step, until, home, wanted, watch, PATIENCE_MS } = play;
  const rows = async (page) => (await page.locator(".xterm-rows").innerText()).replaceAll("\u00a0", " ");
  const shows = (page, words) => until(`${words} on the screen`, async () => words.test(await rows(page).catch(() => "")));
  const isOpen = (page) =>
    until("it is open", async () => (await page.locator(".terminal [role=status]").first().innerText()).trim() === "");
  const press = (page, name) => page.getByRole("toolbar", { name: "keys" }).getByRole("button", { name, exact: true }).click();
  let context, page;
  const shot = (name) => page.screenshot({ path: join(wanted("SHOTS"), `${name}.png`) });
  const open = async (width, height, more = {}) => {
    const made = await play.browser().newContext({ viewport: { width, height }, serviceWorkers: "block", ...more });
    await made.addInitScript(withoutWebgl);
    return made;
  };

  step("a key opens a frame's terminal, and what is typed gets there", async () => {
    context = await open(1400, 900, { permissions: ["clipboard-read", "clipboard-write"] });
    page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    watch(page);
    await page.goto(`${home}/#code=${wanted("CODE_TERMINAL")}`);
    await page.getByRole("link", { name: /blog/ }).first().click();
    assert.equal(await page.locator(".xterm").count(), 0);
    await page.locator("h2", { hasText: "blog" }).first().waitFor();
    await page.keyboard.press("t");
    await until("its address", () => page.url().endsWith("#/blog/terminal"));
    await shows(page, /size \d+x\d+/);
    await page.locator(".screen").click();
    await page.keyboard.type("hello-browser");
    await shows(page, /hello-browser/);
    // Keys of the page are no keys while one types.
    assert.ok(page.url().endsWith("#/blog/terminal"));
    await page.keyboard.press("Enter");
    await page.keyboard.type("hostile");
    await page.keyboard.press("Enter");
    await shows(page, /drawn/);
    const [red, usual] = await page.evaluate(colours, "drawn");
    assert.ok(red !== undefined && red !== usual, "colours come without styles that are written into the page");
    await page.evaluate(() => navigator.clipboard.writeText("pasted-text"));
    await page.getByRole("button", { name: "Paste" }).click();
    await shows(page, /pasted-text/);
    await shot("terminal");
    await page.keyboard.press("Shift+Escape");
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "BODY", "there is a way out");
  });

  step("a phone has the keys that it lacks, and the terminal its size", async () => {
    await page.setViewportSize({ width: 360, height: 740 });
    for (const name of ["escape", "tab", "up", "interrupt"]) await press(page, name);
    assert.ok((await page.locator(".screen").boundingBox()).height > 200, "what is asked leaves it room");
    await press(page, "Ctrl");
    await page.locator(".screen").click();
    await page.keyboard.type("e");
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), "wider than the phone");
    await shot("terminal-phone");
    await page.setViewportSize({ width: 1400, height: 900 });
  });

  step("a terminal comes back after the network was away", async () => {
    await play.away(async () => {
      await page.getByText("The terminal is away").waitFor();
    });
    await isOpen(page);
    await shows(page, /size \d+x\d+/);
    await page.locator(".screen").click();
    await page.keyboard.type("back-again");
    await shows(page, /back-again/);
  });

  step("somebody else is shown the terminal, can do nothing in it, and only as long as they may", async () => {
    await page.getByRole("button", { name: "Share for an hour" }).click();
    const link = await page.getByLabel("link to look at this terminal").inputValue();
    const others = await open(900, 700);
    const other = await others.newPage();
    other.setDefaultTimeout(PATIENCE_MS);
    watch(other);
    await other.goto(`${home}/${link.slice(link.indexOf("#"))}`);
    await shows(other, /size \d+x\d+/);
    await other.locator(".screen").click();
    await other.keyboard.type("forbidden");
    assert.equal(await other.evaluate(async () => (await fetch("/v1/frames")).status), 401, "it opens nothing else");
    await page.getByRole("button", { name: /^Take back/ }).click();
    await other.getByText("This is over").waitFor();
    await others.close();
  });

  step("with a graphics card it is drawn as well", async () => {
    const state = await context.storageState();
    const usual = await play.browser().newContext({ viewport: { width: 1400, height: 900 }, serviceWorkers: "block", storageState: state });
    const drawn = await usual.newPage();
    drawn.setDefaultTimeout(PATIENCE_MS);
    watch(drawn);
    await drawn.goto(`${home}/#/blog/terminal`);
    await drawn.locator(".xterm-screen").waitFor();
    await isOpen(drawn);
    await drawn.screenshot({ path: join(wanted("SHOTS"), "terminal-drawn.png") });
    await usual.close();
    await context.close();
  });
}

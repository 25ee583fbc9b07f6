// What there is to see besides conversations, and what can be done to frames: played by a second browser that may do more.
import assert from "node:assert/strict";
import { join } from "node:path";

let boss;

/** Lets it in while its code still opens something. */
export function addBoss(play) {
  const { step, home, wanted, watch, PATIENCE_MS } = play;
  step("another browser comes in with a link that gives more", async () => {
    const context = await play.browser().newContext({ viewport: { width: 1400, height: 900 }, serviceWorkers: "block" });
    boss = await context.newPage();
    boss.setDefaultTimeout(PATIENCE_MS);
    watch(boss);
    await boss.goto(`${home}/#code=${wanted("CODE_ALL")}`);
    await boss.getByRole("link", { name: /blog/ }).first().waitFor();
  });
}

const link = (name) => boss.getByRole("navigation", { name: "views" }).getByRole("link", { name });
const tab = (name) => boss.locator(".tabs").getByRole("link", { name });
const dialog = () => boss.getByRole("alertdialog");
/** Answers what is asked, with words if it wants some. */
async function say(verb, words = null) {
  await dialog().waitFor();
  if (words !== null) await dialog().getByRole("textbox").fill(words);
  await dialog().getByRole("button", { name: verb, exact: true }).click();
  await dialog().waitFor({ state: "detached" });
}

/** What has no name for those who do not see it. Runs in the page. */
function nameless() {
  const nameOf = (element) =>
    [element.getAttribute("aria-label"), element.textContent, ...[...(element.labels ?? [])].map((label) => label.textContent)].join("").trim();
  const shown = [...document.querySelectorAll("a, button, input, select, textarea, summary, [role=img]")].filter((element) => element.checkVisibility());
  return shown.filter((element) => nameOf(element) === "").map((element) => element.outerHTML.slice(0, 120));
}

export function addViews(play) {
  const { step, until, wanted, contrast, PATIENCE_MS } = play;
  const seen = (words) => boss.getByText(words).first().waitFor({ timeout: PATIENCE_MS });
  const shot = (name) => boss.screenshot({ path: join(wanted("SHOTS"), `${name}.png`) });
  const word = (name) => until(`it is ${name}`, async () => (await boss.locator(".head .word").innerText()).includes(name));

  step("a frame is made by a form, which says what is wrong", async () => {
    await link("New frame").click();
    await boss.getByLabel("name", { exact: true }).fill("No Name");
    await boss.getByLabel("folder", { exact: true }).fill(wanted("FOLDER"));
    await boss.getByRole("button", { name: "Create" }).click();
    await boss.getByRole("alert").waitFor();
    assert.equal(await boss.evaluate(() => document.activeElement.id), "new-name");
    await shot("new");
    await boss.getByLabel("name", { exact: true }).fill("made");
    await boss.getByRole("button", { name: "Create" }).click();
    await until("the new frame", () => boss.url().endsWith("#/made"));
    await word("idle");
  });

  step("a frame's log is read as it is written", async () => {
    await boss.goto(`${play.home}/#/blog/logs`);
    await boss.locator(".log .line", { hasText: "listening" }).first().waitFor();
    const text = await boss.locator(".log .line", { hasText: "listening" }).innerText();
    assert.ok(text.includes("listening <b>\\u{202e}") && !text.includes("[32m"), text);
    await boss.keyboard.press("P");
    await dialog().waitFor();
    await boss.keyboard.press("Escape");
    await dialog().waitFor({ state: "detached" });
    await boss.keyboard.press("P");
    await shot("dialog");
    await say("Pause");
    await boss.locator(".log .life", { hasText: "paused" }).first().waitFor();
    await word("paused");
    // Nothing is taken away by going on: nobody is asked.
    await boss.keyboard.press("P");
    await boss.locator(".log .life", { hasText: "-> running" }).first().waitFor();
    await boss.getByLabel("only lines with these letters").fill("LISTEN");
    await until("only that line", async () => (await boss.locator(".log .line").count()) === 1);
    await shot("logs");
  });

  step("events are heard, found, and looked back for", async () => {
    await tab("Events").click();
    const events = boss.locator(".log details.line");
    await events.filter({ hasText: "frame.moved" }).first().waitFor();
    const before = await events.count();
    await boss.getByRole("button", { name: "What happened before" }).click();
    await until("older ones", async () => (await events.count()) > before);
    await boss.getByLabel("only events with these letters").fill("running · to paused");
    await until("one is left", async () => (await events.count()) === 1);
    await events.first().locator("summary").click();
    await boss.locator(".log pre", { hasText: "paused" }).first().waitFor();
    await shot("events");
    await link("Events").click();
    await boss.locator(".log a", { hasText: "made" }).first().waitFor();
  });

  step("graphs say what they show", async () => {
    await boss.goto(`${play.home}/#/blog/usage`);
    await boss.getByRole("img", { name: /^memory: 200 MiB now/ }).waitFor();
    await boss.getByRole("img", { name: /^processor: 0\.10 cores now/ }).waitFor();
    await until("a second look", async () => (await boss.locator(".chart .curve").first().getAttribute("d")).includes("L"));
    await shot("usage");
    await link("Spending").click();
    await boss.getByRole("img", { name: /^spent:/ }).waitFor();
    await boss.locator("progress").first().waitFor();
    await boss.getByLabel("US dollars").fill("much");
    await boss.getByRole("button", { name: "Set", exact: true }).click();
    await boss.getByRole("alert").waitFor();
    await boss.getByLabel("whose").selectOption("frame");
    await boss.getByLabel("frame", { exact: true }).selectOption("blog");
    await boss.getByLabel("US dollars").fill("1.50");
    await boss.getByRole("button", { name: "Set", exact: true }).click();
    await seen("frame blog a day");
    await boss.getByRole("button", { name: "Remove the budget: frame blog a day" }).click();
    await say("Remove");
    await until("it is gone", async () => (await boss.getByText("frame blog a day").count()) === 0);
    await shot("spending");
  });

  step("what was said is found, and leads to its conversation", async () => {
    await boss.keyboard.press("f");
    await boss.getByRole("searchbox", { name: "words" }).waitFor();
    // What is typed before the field has the focus is a key of the page's.
    await until("it has the focus", () => boss.evaluate(() => document.activeElement?.getAttribute("type") === "search"));
    await boss.keyboard.type("there");
    // What an agent elsewhere said is taken in a moment after it said so.
    await until("it is found", async () => {
      await boss.keyboard.press("Enter");
      await boss.waitForTimeout(200);
      return (await boss.locator("mark", { hasText: "there" }).count()) > 0;
    });
    await shot("search");
    await boss.locator(".card a").first().click();
    await until("the conversation", () => boss.url().includes("#/far/talk/"));
    await boss.locator(".turn.agent strong", { hasText: "there" }).first().waitFor();
  });

  step("schedules and runs are seen and decided upon", async () => {
    await link("Schedules").click();
    await boss.getByRole("button", { name: "Run now" }).click();
    await say("Do it");
    await seen(/last now:/);
    await boss.getByRole("button", { name: "Pause", exact: true }).click();
    await say("Pause", "holidays");
    await seen(/paused: .*holidays/);
    await boss.getByRole("button", { name: "Resume" }).click();
    await boss.getByRole("button", { name: "Pause", exact: true }).waitFor();
    await boss.getByText("history", { exact: true }).click();
    await boss.getByRole("link", { name: "the run" }).click();
    await boss.getByRole("button", { name: "Cancel" }).click();
    await say("Cancel", "not today");
    await seen(/cancelled by .*: not today/);
    await shot("run");
    await boss.getByRole("link", { name: "all runs" }).click();
    await seen("□ cancelled");
  });

  step("tokens are seen and revoked", async () => {
    await link("Settings").click();
    await seen("this session");
    await boss.getByRole("button", { name: "Revoke phone" }).click();
    await say("Revoke");
    await boss.getByRole("button", { name: "Revoke phone" }).waitFor({ state: "detached" });
    await shot("settings");
  });

  step("everything has a name, is readable, and fits on a phone", async () => {
    const places = ["#/blog", "#/blog/logs", "#/blog/events", "#/blog/usage", "#view/new", "#view/search", "#view/events", "#view/runs", "#view/spending", "#view/schedules", "#view/settings"];
    await boss.setViewportSize({ width: 360, height: 740 });
    for (const place of places) {
      await boss.goto(`${play.home}/${place}`);
      await boss.locator("main.chosen .head").waitFor();
      assert.deepEqual(await boss.evaluate(nameless), [], place);
      const [wide, there] = await boss.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
      assert.ok(wide <= there, `${place} is ${wide} wide`);
      for (const colorScheme of ["light", "dark"]) {
        await boss.emulateMedia({ colorScheme });
        const { least, worst } = await boss.evaluate(contrast);
        assert.ok(least >= 4.5, `${place}, ${colorScheme}: ${least} of ${worst}`);
      }
      await shot(`phone-${place.replace(/\W+/g, "-")}`);
    }
    await boss.setViewportSize({ width: 1400, height: 900 });
  });

  step("keys alone lead everywhere", async () => {
    await boss.goto(`${play.home}/#/made`);
    await word("idle");
    await boss.locator("body").click({ position: { x: 5, y: 5 } });
    for (const [key, hash] of [["2", "#/made/logs"], ["3", "#/made/events"], ["4", "#/made/usage"], ["1", "#/made"], ["c", "#view/new"]]) {
      await boss.keyboard.press(key);
      await until(`${key} leads to ${hash}`, () => boss.url().endsWith(hash));
      // Where the focus is in a field, a key is a letter.
      await boss.evaluate(() => document.activeElement.blur());
    }
    const focused = () => boss.evaluate(() => document.activeElement.textContent.trim());
    await until("the tabulator comes to the runs", async () => {
      await boss.keyboard.press("Tab");
      return (await focused()) === "Runs";
    });
    await boss.keyboard.press("Enter");
    await until("the runs", () => boss.url().endsWith("#view/runs"));
  });

  step("a frame is destroyed when its name was typed", async () => {
    await boss.goto(`${play.home}/#/made`);
    await word("idle");
    await boss.locator(".more summary").click();
    await boss.getByRole("button", { name: /^Destroy/ }).click();
    await dialog().waitFor();
    const button = dialog().getByRole("button", { name: "Destroy" });
    await dialog().getByRole("textbox").fill("mad");
    assert.ok(await button.isDisabled());
    await say("Destroy", "made");
    await until("it is gone", async () => (await boss.locator(".frames a", { hasText: "made" }).count()) === 0);
    await boss.context().close();
  });
}

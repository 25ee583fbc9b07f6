// Plays the page in a real browser against a real gateway. tests/it/web.rs makes the gateway and calls this with:
//   MIMIR_WEB_BROWSER  the browser's program
//   MIMIR_WEB_PORT     where the gateway listens
//   MIMIR_WEB_WAY      a port on which this script passes on to it, and breaks off when it likes
//   MIMIR_WEB_CODE     the code of a link
//   MIMIR_WEB_CODE_ALL the code of one whose session may do more
//   MIMIR_WEB_CODE_TERMINAL  the code of one whose session may use terminals
//   MIMIR_WEB_FOLDER   a folder for a frame
//   MIMIR_WEB_SHOTS    a folder for pictures of the page
import assert from "node:assert/strict";
import { createServer as createHttp, request } from "node:http";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { addApp } from "./app.mjs";
import { addTerminal } from "./terminal.mjs";
import { addBoss, addViews } from "./views.mjs";

const wanted = (name) => {
  const value = process.env[`MIMIR_WEB_${name}`];
  assert.ok(value, `MIMIR_WEB_${name} is missing`);
  return value;
};
const [port, way] = [Number(wanted("PORT")), Number(wanted("WAY"))];
const home = `http://127.0.0.1:${way}`;
const PATIENCE_MS = 20_000;

/** A way to the gateway that can be cut. */
class Way {
  #open = new Set();
  #isCut = false;
  #server = createServer((near) => {
    if (this.#isCut) return near.destroy();
    const far = connect(port, "127.0.0.1");
    this.#open.add(near);
    const end = () => {
      this.#open.delete(near);
      near.destroy();
      far.destroy();
    };
    for (const side of [near, far]) side.on("error", end).on("close", end);
    near.pipe(far).pipe(near);
  });

  begin() {
    return new Promise((resolve) => this.#server.listen(way, "127.0.0.1", resolve));
  }

  cut() {
    this.#isCut = true;
    for (const near of this.#open) near.destroy();
  }

  mend() {
    this.#isCut = false;
  }

  end() {
    this.cut();
    this.#server.close();
  }
}

/** What a frame serves on a port of the same host. It keeps what browsers bring. */
function stranger() {
  const heard = [];
  const server = createHttp((asked, answer) => {
    heard.push(asked.headers.cookie ?? "");
    answer.setHeader("content-type", "text/html");
    // Comes before ours in whatever the browser asks the gateway.
    answer.setHeader("set-cookie", `mimir_${port}=${"0".repeat(64)}; Path=/v1`);
    answer.end(`<!doctype html><title>stranger</title><iframe src="${home}/"></iframe>`);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve({ server, heard, port: server.address().port })));
}

/** The status of an answer to a request that is no browser's. */
function status(path, headers) {
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port: way, path, headers }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer.statusCode));
    });
    asked.on("error", reject).end();
  });
}

/** Both halves of the session, as headers. */
async function halves() {
  const half = await page.evaluate(() => localStorage.getItem("mimir.page"));
  const [{ name, value }] = (await context.cookies(home)).filter((one) => one.name.startsWith("mimir_"));
  return { cookie: `${name}=${value}`, "mimir-page": half };
}

const steps = [];
/** One thing that is played; its name stands in the output when it fails. */
function step(name, act) {
  steps.push([name, act]);
}

const troubles = [];
let page, context, browser;
const cutWay = new Way();
let isCutting = false;

/** Looks until it is so. */
async function until(what, look) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    assert.ok(Date.now() < end, `${what} never happened; the page says:\n${await page.locator("body").innerText()}`);
    await page.waitForTimeout(50);
  }
}

const shows = (text) => page.getByText(text, { exact: false }).first().waitFor({ timeout: PATIENCE_MS });
const shot = (name) => page.screenshot({ path: join(wanted("SHOTS"), `${name}.png`) });
/** The conversation is there, so that a picture shows it. */
const isTold = () => page.locator(".turn.agent strong", { hasText: "there" }).waitFor({ timeout: PATIENCE_MS });
const isWithinWidth = () => page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth);

function watch(of) {
  of.on("pageerror", (error) => troubles.push(`error: ${error.message}`));
  of.on("console", (said) => {
    // Without a session, and while the way is cut, requests fail, and the browser says so; the stream of a session that is
    // over ends in the middle.
    const isKnown = /the server responded with a status of 4|ERR_INCOMPLETE_CHUNKED_ENCODING/;
    if (said.type() === "error" && !isCutting && !isKnown.test(said.text())) {
      troubles.push(said.text());
    }
  });
  of.on("request", (asked) => {
    if (!asked.url().startsWith(home)) troubles.push(`it asked ${asked.url()}`);
  });
}

step("a stranger sees how to come in, and nothing else", async () => {
  await page.goto(home);
  await shows("mimir web");
  await shot("login");
});

step("a link lets in, and its code leaves the address", async () => {
  await page.goto("about:blank");
  await page.goto(`${home}/#code=${wanted("CODE")}`);
  await shows("far");
  await shows("blog");
  assert.ok(!page.url().includes("code"), page.url());
});

step("the cookie is for no script, and opens nothing alone", async () => {
  const [cookie, ...others] = await context.cookies(home);
  assert.ok(cookie !== undefined && others.length === 0);
  assert.deepEqual([cookie.name, cookie.httpOnly, cookie.sameSite], [`mimir_${port}`, true, "Strict"]);
  assert.equal(await page.evaluate(() => document.cookie), "");
  const alone = await page.evaluate(async () => (await fetch("/v1/frames")).status);
  assert.equal(alone, 401);
});

step("a link opens once", async () => {
  const other = await browser.newContext();
  const second = await other.newPage();
  await second.goto(`${home}/#code=${wanted("CODE")}`);
  await second.getByRole("alert").waitFor({ timeout: PATIENCE_MS });
  assert.match(await second.getByRole("alert").innerText(), /opens nothing/);
  await other.close();
});

step("another browser comes in with the password and a code, and is told nothing when one is wrong", async () => {
  const other = await browser.newContext();
  const second = await other.newPage();
  await second.goto(home);
  const come = async (password) => {
    await second.getByLabel("Password", { exact: true }).fill(password);
    await second.getByLabel(/Code of your phone/).fill(wanted("TOTP"));
    await second.getByRole("button", { name: "Come in" }).click();
  };
  await come("a lantern by the lake");
  await second.getByRole("alert").waitFor({ timeout: PATIENCE_MS });
  assert.match(await second.getByRole("alert").innerText(), /wrong password or code/);
  await come(wanted("PASSWORD"));
  await second.getByText("blog", { exact: false }).first().waitFor({ timeout: PATIENCE_MS });
  assert.equal(await second.evaluate(() => document.cookie), "");
  await other.close();
});

/** What steps in other files use. */
const play = {
  step,
  until,
  watch,
  wanted,
  home,
  contrast,
  PATIENCE_MS,
  browser: () => browser,
  /** Takes the gateway away, does something, and waits until the page has it back. */
  async away(act) {
    isCutting = true;
    cutWay.cut();
    await shows("The gateway is away");
    await act();
    cutWay.mend();
    await until("it is back", async () => (await page.getByText("The gateway is away").count()) === 0);
    isCutting = false;
  },
};

addBoss(play);

addTerminal(play);

step("a message is sent, and its answer is text with structure and nothing more", async () => {
  await page.getByRole("link", { name: /far/ }).click();
  await page.locator("#message").fill("hi");
  await page.locator("#message").press("Enter");
  await until("the answer", () => page.locator(".turn.agent strong", { hasText: "there" }).count());
  const answer = page.locator(".turn.agent").last();
  await until("its end", async () => (await page.locator(".live").count()) === 0);
  assert.equal(await answer.locator("img, script, iframe").count(), 0, "HTML is text");
  const text = await answer.innerText();
  assert.ok(text.includes("<img src=x onerror=alert(1)>"), text);
  assert.ok(text.includes("\\u{202e}") && !text.includes("\u202e"), text);
  assert.equal(await answer.locator("a").count(), 1, "only what leads to the web is a link");
  await shot("wide");
});

/** Counts answers as they are asked for, and presses `y` as soon as a question is drawn. Runs in the page. */
function watchAnswers() {
  window.answers = 0;
  window.pressed = 0;
  const asks = window.fetch;
  window.fetch = (path, init) => {
    if (String(path).endsWith("/answer")) window.answers += 1;
    return asks(path, init);
  };
  new MutationObserver((_, watcher) => {
    if (document.querySelector(".asked") === null) return;
    watcher.disconnect();
    window.pressed += 1;
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "y", bubbles: true }));
  }).observe(document.body, { childList: true, subtree: true });
}

step("what is asked is answered by a key, but not at once, and not by one that is held", async () => {
  const seen = () => page.evaluate(() => [window.pressed, window.answers]);
  await page.locator("body").click({ position: { x: 5, y: 5 } });
  await page.evaluate(watchAnswers);
  // Nothing is asked in this frame.
  await page.keyboard.down("y");
  assert.deepEqual(await seen(), [0, 0]);
  await page.keyboard.press("w");
  // The list of frames says what is asked before the question itself is drawn.
  await until("the question", async () => (await seen())[0] === 1);
  await page.locator(".asked", { hasText: "git push" }).waitFor({ timeout: PATIENCE_MS });
  // A key that comes with the question was meant for something else.
  assert.deepEqual(await seen(), [1, 0], "it was answered at once");
  await shot("asked");
  assert.equal(await page.locator(".asked").count(), 2);
  await page.waitForTimeout(500);
  // Down already: this is its repetition.
  await page.keyboard.down("y");
  await page.keyboard.down("y");
  assert.deepEqual(await seen(), [1, 0], "a held key answered");
  await page.keyboard.up("y");
  await page.keyboard.press("y");
  await until("the permission is gone", async () => (await page.locator(".asked").count()) === 1);
  assert.deepEqual(await seen(), [1, 1]);
});

step("a question is answered in place", async () => {
  await page.waitForTimeout(500);
  await page.getByLabel("SQLite").check();
  // All of them are answered together.
  const fields = page.getByPlaceholder("in your own words");
  for (let at = 1; at < (await fields.count()); at += 1) await fields.nth(at).fill("as you like");
  await page.getByRole("button", { name: "Answer" }).click();
  await until("nothing is asked", async () => (await page.locator(".asked").count()) === 0);
});

step("keys do what they say", async () => {
  await page.keyboard.press("?");
  await page.getByRole("complementary", { name: "keys" }).waitFor();
  await page.keyboard.press("Escape");
  await until("the keys are closed", async () => (await page.getByRole("complementary", { name: "keys" }).count()) === 0);
  await page.keyboard.press("/");
  await page.keyboard.type("fa");
  await until("only one frame is left", async () => (await page.locator(".frames li").count()) === 1);
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.press("Delete");
  await page.keyboard.press("Escape");
  await page.keyboard.press("j");
  await until("the next frame", () => page.url().endsWith("#/far"));
  await page.keyboard.press("k");
  await until("the one before", () => page.url().endsWith("#/blog"));
  // This session came without the scope that makes and starts frames.
  assert.equal(await page.getByRole("button", { name: /^(?:Start|Stop) [SX]$/ }).count(), 0);
  for (const [key, verb] of [["S", "start"], ["X", "stop"]]) {
    await page.keyboard.press(key);
    await shows(`may not ${verb} frames`);
    await page.locator(".said").getByRole("button", { name: "Close" }).click();
  }
  await page.keyboard.press("q");
  await page.getByRole("complementary", { name: "queue" }).waitFor();
  await page.keyboard.press("q");
});

step("a phone of 360 pixels shows one thing at a time, and all of it", async () => {
  await page.getByRole("link", { name: /far/ }).click();
  await isTold();
  await page.setViewportSize({ width: 360, height: 740 });
  assert.ok(await isWithinWidth(), "the frame is wider than the phone");
  assert.equal(await page.locator(".frames").isVisible(), false);
  await shot("phone-frame");
  await page.getByRole("link", { name: "all frames" }).click();
  await page.locator(".frames").waitFor({ state: "visible" });
  assert.ok(await isWithinWidth(), "the list is wider than the phone");
  await shot("phone-list");
  await page.setViewportSize({ width: 1400, height: 900 });
  await page.getByRole("link", { name: /far/ }).click();
  assert.ok(await page.locator(".frames").isVisible() && (await isWithinWidth()));
});

step("it is dark where the machine is, and readable in both", async () => {
  await isTold();
  const looks = [];
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    looks.push(await page.evaluate(contrast));
    await shot(colorScheme);
  }
  assert.notEqual(looks[0].back, looks[1].back);
  for (const look of looks) assert.ok(look.least >= 4.5, JSON.stringify(look));
});

addViews(play);

step("that the gateway went away is said, and that it is back", () => play.away(() => shot("away")));

addApp(play);

step("what a frame serves gets the cookie and nothing for it", async () => {
  const { server, heard, port: theirs } = await stranger();
  const tab = await context.newPage();
  await tab.goto(`http://127.0.0.1:${theirs}/`);
  // Strict is about sites, and a port is no part of a site.
  const cookie = heard.find((brought) => brought.includes(`mimir_${port}=`));
  assert.ok(cookie !== undefined, "a browser would send it: this is why it opens nothing alone");
  assert.equal(await status("/v1/frames", { cookie }), 401);
  assert.equal(await status("/v1/frames", { cookie, "mimir-page": "0".repeat(64) }), 401);
  // Even with both halves a page of another port is another origin, and browsers say so.
  const headers = await halves();
  assert.equal(await status("/v1/frames", { ...headers, "sec-fetch-site": "same-origin" }), 200);
  assert.equal(await status("/v1/frames", { ...headers, "sec-fetch-site": "same-site" }), 403);
  assert.equal(await status("/v1/frames", { ...headers, origin: `http://127.0.0.1:${theirs}` }), 403);
  for (const frame of tab.frames().filter((one) => one !== tab.mainFrame())) {
    assert.ok(!(await frame.content()).includes("/assets/"), "nobody shows the page inside of theirs");
  }
  await tab.close();
  server.close();
  // It also set a cookie of the same name.
  const names = (await context.cookies(`${home}/v1/frames`)).map((one) => one.name);
  assert.deepEqual(names, [`mimir_${port}`, `mimir_${port}`]);
  await page.reload();
  await shows("far");
});

step("whoever leaves while nobody answers is told that the session goes on", async () => {
  const headers = await halves();
  const path = "**/v1/tokens/current";
  await page.route(path, (route) => (route.request().method() === "DELETE" ? route.abort() : route.continue()));
  isCutting = true;
  await page.getByRole("button", { name: "Leave" }).click();
  await shows("mimir token revoke web-");
  assert.equal(await page.evaluate(() => localStorage.length), 0);
  assert.equal(await status("/v1/frames", headers), 200);
  isCutting = false;
  await page.unroute(path);
  // In again, for what follows.
  await page.evaluate((half) => localStorage.setItem("mimir.page", half), headers["mimir-page"]);
  await page.reload();
  await shows("far");
});

step("whoever leaves is out in all tabs, and so are the halves", async () => {
  const headers = await halves();
  assert.equal(await status("/v1/frames", headers), 200);
  const other = await context.newPage();
  await other.goto(home);
  await other.getByText("far").first().waitFor({ timeout: PATIENCE_MS });
  await page.getByRole("button", { name: "Leave" }).click();
  await shows("You left");
  await other.getByText("This session is over").waitFor({ timeout: PATIENCE_MS });
  assert.equal(await other.getByText("far").count(), 0, "nothing of it stays on the screen");
  await other.close();
  assert.equal(await status("/v1/frames", headers), 401);
  assert.equal(await page.evaluate(() => localStorage.length), 0);
});

/** The least contrast between words and what they stand on (WCAG 2), and the page's own background. Runs in the page. */
function contrast() {
  const numbers = (colour) => (colour.match(/[\d.]+/g) ?? []).map(Number);
  const light = (colour) => {
    const [r, g, b] = numbers(colour).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backOf = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if ((numbers(colour)[3] ?? 1) > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  let [least, worst] = [99, ""];
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].filter((node) => node.nodeType === 3).map((node) => node.data.trim()).join("");
    if (words === "" || element.matches("button:disabled, noscript")) continue;
    const [a, b] = [light(getComputedStyle(element).color), light(backOf(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least) [least, worst] = [ratio, words];
  }
  return { least, worst, back: getComputedStyle(document.body).backgroundColor };
}

await cutWay.begin();
browser = await chromium.launch({ executablePath: wanted("BROWSER"), args: ["--no-sandbox"] });
try {
  // What goes through a service worker cannot be held up here; app.mjs plays with one.
  context = await browser.newContext({ viewport: { width: 1400, height: 900 }, serviceWorkers: "block" });
  page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  watch(page);
  for (const [name, act] of steps) {
    try {
      await act();
      console.log(`ok: ${name}`);
    } catch (error) {
      await shot("failed").catch(() => {});
      throw new Error(`${name}: ${error.stack ?? error}\n${troubles.join("\n")}`);
    }
  }
  assert.deepEqual(troubles, [], "what the browser complained about");
} finally {
  await browser.close();
  cutWay.end();
}

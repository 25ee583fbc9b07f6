// The page as an app: what is needed to install it, and that it opens while the gateway is away.
import assert from "node:assert/strict";
import { createServer } from "node:http";

/** Reads what an app is made of. Runs in the page. */
async function app() {
  const manifest = await (await fetch(document.querySelector('link[rel="manifest"]').href)).json();
  const width = (src) =>
    new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => resolve(`${image.naturalWidth}x${image.naturalHeight}`);
      image.onerror = () => reject(new Error(`${src} is no picture`));
      image.src = src;
    });
  const sizes = await Promise.all(manifest.icons.map(({ src }) => width(src)));
  return { manifest, sizes };
}

/** What the browser keeps for the page, as paths. Runs in the page. */
async function kept() {
  const all = await Promise.all((await caches.keys()).map(async (name) => (await caches.open(name)).keys()));
  return all.flat().map(({ url }) => new URL(url).pathname).sort();
}

/** Tries to make what turns text into a script. Runs in the page. */
function makers() {
  return ["mimir-worker", "default", "other"].map((name) => {
    try {
      trustedTypes.createPolicy(name, { createScriptURL: (url) => url });
      return `${name} was made`;
    } catch (error) {
      return error.name;
    }
  });
}

/** A page of another site with a link to ours. */
function elsewhere(home) {
  const server = createServer((_, answer) => {
    answer.setHeader("content-type", "text/html");
    answer.end(`<!doctype html><title>elsewhere</title><a href="${home}/">there</a>`);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve({ server, url: `http://localhost:${server.address().port}/` })));
}

export function addApp(play) {
  const { step, until, home, PATIENCE_MS } = play;

  step("the page can be installed, and opens while the gateway is away", async () => {
    const context = await play.browser().newContext({ viewport: { width: 360, height: 740 } });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    await page.goto(home);
    const { manifest, sizes } = await page.evaluate(app);
    assert.deepEqual(sizes, manifest.icons.map((icon) => icon.sizes));
    assert.deepEqual([manifest.display, manifest.start_url, manifest.scope], ["standalone", "/", "/"]);
    assert.ok(manifest.icons.some(({ purpose }) => purpose === "maskable"));

    await until("the worker", () => page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.active?.state === "activated"));
    await until("it has the page", () => page.evaluate(() => navigator.serviceWorker.controller !== null));
    const paths = await page.evaluate(kept);
    assert.ok(paths.includes("/") && paths.some((path) => path.endsWith(".js")), JSON.stringify(paths));
    // Something of the gateway's is asked for; it is not kept.
    assert.equal(await page.evaluate(async () => (await fetch("/v1/frames")).status), 401);
    const strange = (await page.evaluate(kept)).filter((path) => path !== "/" && !path.startsWith("/assets/"));
    assert.deepEqual(strange, []);

    // The gateway still sees who sends somebody here, and refuses it.
    const { server, url } = await elsewhere(home);
    await page.goto(url);
    const [refused] = await Promise.all([page.waitForResponse((answer) => answer.url() === `${home}/`), page.getByText("there").click()]);
    assert.equal(refused.status(), 403);
    server.close();
    await page.goto(home);
    await page.getByText("mimir web").first().waitFor();

    await play.away(async () => {
      await page.reload();
      await page.getByText("mimir web").first().waitFor();
      // What is kept comes under the same policy.
      assert.deepEqual(await page.evaluate(makers), ["TypeError", "TypeError", "TypeError"]);
      assert.equal(await page.evaluate(() => fetch("/v1/frames").then(() => "answered", () => "nobody")), "nobody");
    });
    await page.reload();
    await page.getByText("mimir web").first().waitFor();
    await context.close();
  });
}

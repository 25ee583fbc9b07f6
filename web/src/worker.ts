/** The service worker: keeps the page itself, so that it opens when the gateway is away. shell.ts says what is kept. */
import { SHELL, how, isKept, named } from "./shell";

/** What of a service worker's surroundings is used; the types of a page have none of it. */
interface Surroundings {
  location: { origin: string };
  clients: { claim(): Promise<void> };
  registration: { navigationPreload?: { enable(): Promise<void> }; unregister(): Promise<boolean> };
  skipWaiting(): Promise<void>;
  addEventListener(kind: "install" | "activate", act: (event: { waitUntil(done: Promise<unknown>): void }) => void): void;
  addEventListener(kind: "fetch", act: (event: Asked) => void): void;
}
interface Asked {
  request: Request;
  preloadResponse: Promise<Response | undefined>;
  respondWith(answer: Promise<Response>): void;
}
const here = self as unknown as Surroundings;

/** Under this the page is kept, whatever stands behind its `#`. */
const PAGE = "/";

/**
 * The gateway's answer, or what is kept when there is none. The browser asks by itself, and says who sent it here; asked
 * by us that would be this page, and the gateway could not refuse a link from elsewhere.
 */
async function page(preload: Promise<Response | undefined>): Promise<Response> {
  const kept = await caches.open(SHELL);
  try {
    const answer = await preload;
    if (answer === undefined) throw new TypeError("nobody asked");
    // A disk that is full is no gateway that is away.
    if (isKept(answer)) await keep(kept, answer.clone()).catch(() => {});
    return answer;
  } catch (error) {
    const old = await kept.match(PAGE);
    if (old === undefined) throw error;
    return old;
  }
}

/** Keeps a page, and of the files only those that it names. */
async function keep(kept: Cache, answer: Response): Promise<string[]> {
  const files = named(await answer.clone().text());
  await kept.put(PAGE, answer);
  for (const { url } of await kept.keys()) {
    const { pathname } = new URL(url);
    if (pathname !== PAGE && !files.includes(pathname)) await kept.delete(url);
  }
  return files;
}

/** A file's name changes with what is in it, so one that is kept is the right one. */
async function file(request: Request): Promise<Response> {
  const kept = await caches.open(SHELL);
  const { pathname } = new URL(request.url);
  const old = await kept.match(pathname);
  if (old !== undefined) return old;
  const answer = await fetch(request);
  if (isKept(answer)) await kept.put(pathname, answer.clone());
  return answer;
}

/** Keeps all that the page needs before it is needed. */
async function fill(): Promise<void> {
  const answer = await fetch(PAGE, { cache: "no-store" });
  if (!isKept(answer)) throw new TypeError("this is not the page");
  const files = await keep(await caches.open(SHELL), answer);
  await Promise.all(files.map((name) => file(new Request(name))));
  await here.skipWaiting();
}

/** Where the browser will not ask by itself, the kept page would be there for good: then there is no worker. */
async function begin(): Promise<void> {
  try {
    await here.registration.navigationPreload?.enable();
  } catch {
    await here.registration.unregister();
  }
  await here.clients.claim();
}

here.addEventListener("install", (event) => event.waitUntil(fill()));
here.addEventListener("activate", (event) => event.waitUntil(begin()));
here.addEventListener("fetch", (event) => {
  const { method, url, mode } = event.request;
  const act = how(method, url, mode, here.location.origin);
  // What is not ours to keep goes past us, streams and answers alike; so does the page where the browser cannot ask by itself.
  if (act === "page" && here.registration.navigationPreload !== undefined) event.respondWith(page(event.preloadResponse));
  if (act === "file") event.respondWith(file(event.request));
});

/** The service worker: keeps the page itself, so that it opens when the gateway is away. shell.ts says what is kept. */
import { SHELL, how, isKept, named } from "./shell";

/** What of a service worker's surroundings is used; the types of a page have none of it. */
interface Surroundings {
  location: { origin: string };
  clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(kind: "install" | "activate", act: (event: { waitUntil(done: Promise<unknown>): void }) => void): void;
  addEventListener(kind: "fetch", act: (event: { request: Request; respondWith(answer: Promise<Response>): void }) => void): void;
}
const here = self as unknown as Surroundings;

/** Under this the page is kept, whatever stands behind its `#`. */
const PAGE = "/";

async function page(): Promise<Response> {
  const kept = await caches.open(SHELL);
  try {
    const answer = await fetch(PAGE, { cache: "no-store" });
    if (isKept(answer)) await keep(kept, answer.clone());
    return answer;
  } catch (error) {
    const old = await kept.match(PAGE);
    if (old === undefined) throw error;
    return old;
  }
}

/** Keeps a page, and of the files only those that it names. */
async function keep(kept: Cache, answer: Response): Promise<void> {
  const files = named(await answer.clone().text());
  await kept.put(PAGE, answer);
  for (const { url } of await kept.keys()) {
    const { pathname } = new URL(url);
    if (pathname !== PAGE && !files.includes(pathname)) await kept.delete(url);
  }
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

/** Keeps all that a page needs before it is needed. */
async function fill(): Promise<void> {
  const answer = await page();
  const files = named(await answer.clone().text());
  await Promise.all(files.map((name) => file(new Request(name))));
  await here.skipWaiting();
}

here.addEventListener("install", (event) => event.waitUntil(fill()));
here.addEventListener("activate", (event) => event.waitUntil(here.clients.claim()));
here.addEventListener("fetch", (event) => {
  const act = how(event.request.method, event.request.url, here.location.origin);
  // What is not ours to keep goes past us, streams and answers alike.
  if (act === "page") event.respondWith(page());
  if (act === "file") event.respondWith(file(event.request));
});

/** Lets browsers install the page: registers its service worker. */

interface Policy {
  createScriptURL(url: string): unknown;
}
interface PolicyMaker {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): Policy;
}

/** As the gateway's policy names it. */
const POLICY = "mimir-worker";
const WORKER = /^\/assets\/worker-[0-9a-f]{16}\.js$/;

/** Only the worker's own place; everything else is refused. */
export function workerOnly(url: string): string {
  if (!WORKER.test(url)) throw new TypeError(`${url} is no worker of this page`);
  return url;
}

/**
 * Called first of all. The page's policy (trusted types) allows one maker of addresses of scripts, of this name, once;
 * it is made here and kept by nobody, so nothing else on the page can turn text into a script.
 */
export function install(): void {
  const makers = (globalThis as { trustedTypes?: PolicyMaker }).trustedTypes;
  const policy = makers?.createPolicy(POLICY, { createScriptURL: workerOnly });
  const place = document.querySelector<HTMLMetaElement>('meta[name="mimir-worker"]')?.content;
  // Browsers have none on an address that is neither loopback nor TLS with a certificate that they trust.
  if (place === undefined || !("serviceWorker" in navigator)) return;
  const url = policy?.createScriptURL(place) ?? workerOnly(place);
  // Without one the page works all the same; it cannot be opened while the gateway is away.
  navigator.serviceWorker.register(url as string, { scope: "/" }).catch(() => {});
}

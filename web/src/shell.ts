/**
 * What the service worker keeps: the page and the files that it names, and nothing that a gateway says. Pure.
 * With them the installed page opens when the gateway is away, and says so.
 */

/** Under this name, among what the browser keeps for this origin. */
export const SHELL = "mimir-shell";

/** What is done about a request: `page` waits for the gateway first, `file` looks into what is kept, `pass` is the browser's. */
export type How = "page" | "file" | "pass";

export function how(method: string, url: string, mode: string, origin: string): How {
  const asked = new URL(url);
  if (method !== "GET" || asked.origin !== origin || asked.search !== "") return "pass";
  if (asked.pathname === "/") return mode === "navigate" ? "page" : "pass";
  return /^\/assets\/[\w.-]+$/.test(asked.pathname) ? "file" : "pass";
}

/** Whether an answer is kept: whole, our own, and with the policy that it is shown under. */
export function isKept(answer: { status: number; type: string; redirected: boolean; headers: Headers }): boolean {
  return answer.status === 200 && answer.type === "basic" && !answer.redirected && answer.headers.has("content-security-policy");
}

/** The files that a page names. */
export function named(page: string): string[] {
  return [...new Set(page.match(/\/assets\/[\w.-]+/g) ?? [])];
}

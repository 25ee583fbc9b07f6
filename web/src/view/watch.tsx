/** What whoever has a shared link sees: a terminal, and nothing else of the gateway. */
import { TerminalShown } from "./terminal";

export function Watch({ secret }: { secret: string }) {
  return (
    <main class="watch fills terminal" aria-label="shared terminal">
      <header class="bar">
        <h1>mimir</h1>
        <span class="faint">A terminal that somebody shows you. Nothing that you type reaches it.</span>
      </header>
      <TerminalShown label="shared terminal" ticket={() => Promise.resolve(secret)} window={null} readOnly />
    </main>
  );
}

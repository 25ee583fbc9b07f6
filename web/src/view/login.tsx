import { LoginForm } from "./login-form";

/** For whoever has not come in. */
export function Login({ why, onIn }: { why: string | null; onIn: () => void }) {
  return (
    <main class="login">
      <h1>mimir</h1>
      {why !== null && (
        <p class="bad" role="alert">
          {why}
        </p>
      )}
      <LoginForm onIn={onIn} />
      <p>Or type this on the gateway's machine and open the link that it prints:</p>
      <pre>
        <code>mimir web</code>
      </pre>
      <p class="faint">A link opens once, within a minute. The session that it begins lasts twelve hours, in this browser alone.</p>
    </main>
  );
}

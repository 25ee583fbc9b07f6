/** For whoever has not come in. */
export function Login({ why }: { why: string | null }) {
  return (
    <main class="login">
      <h1>mimir</h1>
      {why !== null && (
        <p class="bad" role="alert">
          {why}
        </p>
      )}
      <p>To come in, type this on the gateway's machine and open the link that it prints:</p>
      <pre>
        <code>mimir web</code>
      </pre>
      <p class="faint">A link opens once, within a minute. The session that it begins lasts twelve hours, in this browser alone.</p>
    </main>
  );
}

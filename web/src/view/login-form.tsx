/** Coming in with the owner's password. The gateway says no more than yes or no, and how long to wait. */
import { useState } from "preact/hooks";
import { logIn, wordsOf } from "../gateway";

export function LoginForm({ onIn }: { onIn: () => void }) {
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const [why, setWhy] = useState<string | null>(null);
  const [isAsked, setAsked] = useState(false);
  const come = async () => {
    if (isAsked || password === "") return;
    setAsked(true);
    setWhy(null);
    try {
      await logIn(password, code.trim());
      onIn();
    } catch (error) {
      setWhy(wordsOf(error));
      // A code opens once; the password may have been right.
      setCode("");
      setAsked(false);
    }
  };
  return (
    <form
      class="login-form"
      aria-label="come in with the password"
      onSubmit={(event) => {
        event.preventDefault();
        void come();
      }}
    >
      <input class="hidden" type="text" autocomplete="username" value="owner" readOnly tabIndex={-1} aria-hidden="true" />
      <label>
        Password
        <input
          type="password"
          autocomplete="current-password"
          value={password}
          onInput={(event) => setPassword(event.currentTarget.value)}
        />
      </label>
      <label>
        Code of your phone, or a recovery code, if you set that up
        <input
          type="text"
          autocomplete="one-time-code"
          autocapitalize="none"
          spellcheck={false}
          value={code}
          onInput={(event) => setCode(event.currentTarget.value)}
        />
      </label>
      <button type="submit" class="good" disabled={isAsked || password === ""}>
        Come in
      </button>
      {why !== null && (
        <p class="bad" role="alert">
          {why}
        </p>
      )}
    </form>
  );
}

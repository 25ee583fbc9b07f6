/** The form of a new frame. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { frameAt } from "../address";
import type { Desk } from "../desk";
import { post } from "../gateway";
import type { Project } from "../types";
import { line } from "../visible";
import { EMPTY, type Form, type Wrong, isWrong, wishOf } from "../wish";
import { useRead } from "./read";
import { useFocus } from "./use";

const NETWORKS: [Form["network"], string][] = [
  ["", "as configured"],
  ["sealed", "sealed: models alone"],
  ["allow", "allow: models and the hosts on its list"],
  ["open", "open: everything"],
];

export function Create({ desk }: { desk: Desk }) {
  if (desk.whoami === null) return null;
  if (desk.may("frames")) return <FrameForm desk={desk} />;
  return (
    <p class="faint">
      This session may not make frames (it lacks the scope `frames`). On the gateway's machine: <code>mimir web --scope read,send,approve,frames</code>, or{" "}
      <code>mimir frame create NAME</code>
    </p>
  );
}

function FrameForm({ desk }: { desk: Desk }) {
  const [form, setForm] = useState<Form>(EMPTY);
  const [wrong, setWrong] = useState<Wrong | null>(null);
  const [isSent, setSent] = useState(false);
  const { value: projects } = useRead<Project[]>(desk, "/v1/projects");
  const name = useFocus<HTMLInputElement>();
  const set = (change: Partial<Form>) => setForm((before) => ({ ...before, ...change }));
  const text = (field: "name" | "workspace" | "cpus" | "memory" | "hours", placeholder: string) => ({
    id: `new-${field}`,
    value: form[field],
    placeholder,
    autocomplete: "off",
    autocapitalize: "off" as const,
    spellcheck: false,
    "aria-invalid": wrong?.field === field ? ("true" as const) : undefined,
    "aria-describedby": wrong?.field === field ? "new-wrong" : undefined,
    onInput: (event: InputEvent) => set({ [field]: (event.currentTarget as HTMLInputElement).value }),
  });
  const send = async () => {
    const wish = wishOf(form);
    if (isWrong(wish)) {
      setWrong(wish);
      document.getElementById(`new-${wish.field}`)?.focus();
      return;
    }
    setWrong(null);
    setSent(true);
    const done = await desk.change(() => post("/v1/frames", wish), `${wish.name} is made`, "frames");
    setSent(false);
    if (done) location.hash = frameAt(wish.name);
  };
  const why = (field: keyof Form) =>
    wrong?.field === field && (
      <p class="bad" id="new-wrong" role="alert">
        {wrong.why}
      </p>
    );
  return (
    <form
      class="form scrolls fills"
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
    >
      <Field words="name" of="name">
        <input ref={name} {...text("name", "blog")} />
        {why("name")}
      </Field>
      <fieldset>
        <legend>works in</legend>
        <label class="option">
          <input type="radio" name="place" checked={form.place === "workspace"} onChange={() => set({ place: "workspace" })} /> a folder of the gateway's machine
        </label>
        <label class="option">
          <input type="radio" name="place" checked={form.place === "project"} onChange={() => set({ place: "project" })} /> a project
        </label>
        {form.place === "workspace" ? (
          <>
            <input aria-label="folder" {...text("workspace", "/home/me/src/blog")} />
            {why("workspace")}
          </>
        ) : (
          <>
            <select id="new-project" aria-label="project" value={form.project} onChange={(event) => set({ project: event.currentTarget.value })}>
              <option value="">choose…</option>
              {(projects ?? []).map((project) => (
                <option key={project.id} value={project.name}>
                  {line(project.name)} ({line(project.path)})
                </option>
              ))}
            </select>
            {why("project")}
          </>
        )}
      </fieldset>
      <Field words="network" of="network">
        <select id="new-network" value={form.network} onChange={(event) => set({ network: event.currentTarget.value as Form["network"] })}>
          {NETWORKS.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      </Field>
      <Field words="processor cores" of="cpus">
        <input inputMode="decimal" {...text("cpus", "as configured")} />
        {why("cpus")}
      </Field>
      <Field words="memory" of="memory">
        <input {...text("memory", "as configured, or 4g")} />
        {why("memory")}
      </Field>
      <label class="option">
        <input type="checkbox" checked={form.isThrowaway} onChange={(event) => set({ isThrowaway: event.currentTarget.checked })} /> it destroys itself after some hours
      </label>
      {form.isThrowaway && (
        <Field words="hours" of="hours">
          <input inputMode="decimal" {...text("hours", "2")} />
          {why("hours")}
        </Field>
      )}
      <label class="option">
        <input type="checkbox" checked={form.starts} onChange={(event) => set({ starts: event.currentTarget.checked })} /> start it at once
      </label>
      <div class="row">
        <button type="submit" class="good" disabled={isSent}>
          Create
        </button>
      </div>
    </form>
  );
}

function Field({ words, of, children }: { words: string; of: keyof Form; children: ComponentChildren }) {
  return (
    <div>
      <label for={`new-${of}`}>{words}</label>
      {children}
    </div>
  );
}

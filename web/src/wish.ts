/** What somebody wrote into the form of a new frame, as the gateway takes it. Pure. */
import type { CreateFrame, NetworkMode } from "./types";

/** The form, as it was written. */
export interface Form {
  name: string;
  place: "workspace" | "project";
  workspace: string;
  project: string;
  network: "" | NetworkMode;
  cpus: string;
  memory: string;
  isThrowaway: boolean;
  hours: string;
  starts: boolean;
}

export const EMPTY: Form = {
  name: "",
  place: "workspace",
  workspace: "",
  project: "",
  network: "",
  cpus: "",
  memory: "",
  isThrowaway: false,
  hours: "2",
  starts: true,
};

/** What is wrong with a field. */
export interface Wrong {
  field: keyof Form;
  why: string;
}

const UNITS: Record<string, number> = { m: 1024 ** 2, g: 1024 ** 3 };

/** Bytes of `512m`, `4g`, `1.5g`. */
export function bytesOf(text: string): number | null {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*([mg])(?:i?b)?$/i.exec(text.trim()) ?? [];
  if (number === undefined || unit === undefined) return null;
  return Math.round(Number(number) * (UNITS[unit.toLowerCase()] ?? 1));
}

/** The wish, or what is wrong with the form. The gateway looks at it again. */
export function wishOf(form: Form): CreateFrame | Wrong {
  const name = form.name.trim();
  if (!/^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$/.test(name)) return { field: "name", why: "1 to 40 of a–z, 0–9 and inner -" };
  const wish: Record<string, unknown> = { name, start: form.starts };
  if (form.place === "workspace") {
    const workspace = form.workspace.trim();
    if (!workspace.startsWith("/")) return { field: "workspace", why: "the whole path of a folder on the gateway's machine, from / on" };
    wish["workspace"] = workspace;
  } else {
    if (form.project === "") return { field: "project", why: "choose one" };
    wish["project"] = form.project;
  }
  if (form.network !== "") wish["network"] = form.network;
  if (form.cpus.trim() !== "") {
    const cpus = Number(form.cpus);
    if (!(cpus >= 0.1 && cpus <= 1024)) return { field: "cpus", why: "cores, such as 1.5" };
    wish["cpus"] = cpus;
  }
  if (form.memory.trim() !== "") {
    const bytes = bytesOf(form.memory);
    if (bytes === null || bytes < 512 * 1024 ** 2) return { field: "memory", why: "such as 4g; no less than 512m" };
    wish["memory_bytes"] = bytes;
  }
  if (form.isThrowaway) {
    const seconds = Math.round(Number(form.hours) * 3600);
    if (!(seconds >= 1 && seconds <= 2_592_000)) return { field: "hours", why: "hours, up to 720" };
    Object.assign(wish, { throwaway: true, ttl_seconds: seconds });
  }
  return wish as CreateFrame;
}

/** Whether it is one. */
export function isWrong(made: CreateFrame | Wrong): made is Wrong {
  return "field" in made;
}

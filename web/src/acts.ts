/** What can be done to a frame, with what is asked before. */
import type { Desk } from "./desk";
import { post, remove } from "./gateway";
import type { Frame } from "./types";

export type Verb = "start" | "stop" | "restart" | "pause" | "resume" | "destroy";

/** As a button says it. */
export function nameOf(verb: Verb): string {
  return verb.charAt(0).toUpperCase() + verb.slice(1);
}

/** What takes something away is asked about first, with these words. */
const ASKED: Partial<Record<Verb, string>> = {
  stop: "Whatever runs in it ends; its files and conversations stay.",
  restart: "Whatever runs in it ends, and it begins anew; its files and conversations stay.",
  pause: "Whatever runs in it stands still until it is resumed.",
  destroy:
    "Its container, its home folder and what is in it are removed for good, also work that was never committed or pushed there. The project's folder and the conversations stay.",
};

/** What is possible in the state that it is in, the usual thing first. */
export function possible(frame: Frame): Verb[] {
  // A server elsewhere is somebody else's.
  if (frame.engine === "external") return [];
  switch (frame.state) {
    case "running":
    case "starting":
      return frame.state === "running" ? ["stop", "restart", "pause", "destroy"] : ["stop", "destroy"];
    case "paused":
      return ["resume", "stop", "destroy"];
    default:
      return ["start", "destroy"];
  }
}

/** Does it to the chosen frame, or says why not. */
export function act(desk: Desk, verb: Verb): void {
  const frame = desk.frame;
  if (frame === null) return;
  if (!desk.may("frames")) {
    desk.say(`This session may not ${verb} frames (it lacks the scope \`frames\`; \`mimir web --scope\` gives it).`, true);
    return;
  }
  if (!possible(frame).includes(verb)) {
    desk.say(`${frame.name} is ${frame.state}: there is nothing to ${verb}.`, true);
    return;
  }
  const detail = ASKED[verb];
  if (detail === undefined) return void ask(desk, frame, verb);
  desk.ask({
    text: `${nameOf(verb)} ${frame.name}?`,
    detail,
    verb: nameOf(verb),
    isBad: true,
    ...(verb === "destroy" ? { typed: frame.name } : {}),
    act: () => void ask(desk, frame, verb),
  });
}

function ask(desk: Desk, frame: Frame, verb: Verb): Promise<boolean> {
  const path = `/v1/frames/${encodeURIComponent(frame.name)}`;
  const call = verb === "destroy" ? () => remove(path) : () => post(`${path}/${verb}`);
  return desk.change(call, `${verb} of ${frame.name} was asked for`, "frames");
}

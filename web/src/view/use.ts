import type { RefObject } from "preact";
import { useEffect, useReducer, useRef } from "preact/hooks";
import type { Desk } from "../desk";

/** Draws a component again after changes of the desk. */
export function useDesk(desk: Desk): void {
  const [, again] = useReducer<number, void>((count) => count + 1, 0);
  useEffect(() => desk.watch(() => again()), [desk]);
}

/** The time, anew every so often. */
export function useNow(everyMs: number): number {
  const [now, again] = useReducer<number, void>(() => Date.now(), Date.now());
  useEffect(() => {
    const timer = setInterval(() => again(), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

/** For what is to have the focus as soon as it is there. */
export function useFocus<T extends HTMLElement>(): RefObject<T | null> {
  const ref = useRef<T | null>(null);
  useEffect(() => ref.current?.focus(), []);
  return ref;
}

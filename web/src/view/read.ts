import { useCallback, useEffect, useState } from "preact/hooks";
import type { Desk } from "../desk";
import { get, wordsOf } from "../gateway";
import type { Event } from "../types";

/** What was read, or why it was not. */
export interface ReadOf<T> {
  value: T | null;
  error: string | null;
  /** Reads it again. */
  again: () => void;
}

/** So long after something happened it is read again. */
const SOON_MS = 400;

/** Reads something, and again when `wakes` says so of an event, and when the gateway is back. `null` reads nothing. */
export function useRead<T>(desk: Desk, path: string | null, wakes: (event: Event) => boolean = () => false): ReadOf<T> {
  const [read, setRead] = useState<{ path: string | null; value: T | null; error: string | null }>({ path: null, value: null, error: null });
  const [times, setTimes] = useState(0);
  const again = useCallback(() => setTimes((before) => before + 1), []);
  const isAway = desk.link === "away";
  useEffect(() => {
    if (path === null || isAway) return;
    let isLeft = false;
    get<T>(path).then(
      (value) => isLeft || setRead({ path, value, error: null }),
      (error: unknown) => isLeft || setRead((before) => ({ path, value: before.path === path ? before.value : null, error: wordsOf(error) })),
    );
    return () => {
      isLeft = true;
    };
  }, [path, times, isAway]);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const unlisten = desk.listen((event) => {
      if (timer !== undefined || !wakes(event)) return;
      timer = setTimeout(() => {
        timer = undefined;
        again();
      }, SOON_MS);
    });
    return () => {
      unlisten();
      clearTimeout(timer);
    };
    // What wakes it is the same for a path.
  }, [desk, path]);
  // What was read of another path is none of this one's.
  const isOf = read.path === path;
  return { value: isOf ? read.value : null, error: isOf ? read.error : null, again };
}

/** Something that views look at: they are told of changes, and of events. */
import type { Event } from "./types";

export class Watched {
  #drawn = 0;
  #watchers = new Set<() => void>();
  #listeners = new Set<(event: Event) => void>();

  /** Calls `watcher` after changes, at most once for each picture. Gives what ends that. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** Calls `listener` for what happens. Gives what ends that. */
  listen(listener: (event: Event) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  protected tell(event: Event): void {
    for (const listener of this.#listeners) listener(event);
  }

  protected changed(): void {
    if (this.#drawn !== 0) return;
    this.#drawn = requestAnimationFrame(() => {
      this.#drawn = 0;
      for (const watcher of this.#watchers) watcher();
    });
  }
}

/** What can be looked at of a frame, as links: each has an address. */
import { TABS, type Tab, frameAt } from "../address";

const WORDS: Record<Tab, string> = { talk: "Conversation", logs: "Logs", events: "Events", usage: "Usage", terminal: "Terminal" };

export function Tabs({ frame, tab }: { frame: string; tab: Tab }) {
  return (
    <nav class="tabs" aria-label={`of ${frame}`}>
      {TABS.map((one) => (
        <a key={one} href={frameAt(frame, one)} aria-current={one === tab ? "page" : undefined}>
          {WORDS[one]}
        </a>
      ))}
    </nav>
  );
}

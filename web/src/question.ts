/** What is asked before something is done. */
export interface Question {
  text: string;
  /** What then happens. */
  detail?: string;
  /** What the button says. */
  verb: string;
  isBad?: boolean;
  /** What has to be typed first. */
  typed?: string;
  /** Asks for words, and what they are. */
  why?: string;
  act: (why: string) => void;
}

/** What is said over `GET /v1/terminal`, as `wire::web_terminal` has it. Input and output are binary messages. */
import type { Problem } from "../types";

export type ToGateway =
  | { type: "auth"; ticket: string }
  | { type: "attach"; columns: number; rows: number; window?: string; read_only?: boolean }
  | { type: "resize"; columns: number; rows: number }
  | { type: "ack"; bytes: number }
  | { type: "detach" };

export type FromGateway =
  | {
      type: "authenticated";
      frame: string;
      read_only: boolean;
      expires_at: number | null;
      output_window_bytes: number;
      input_window_bytes: number;
    }
  | { type: "attached"; columns: number; rows: number }
  | { type: "input_ack"; bytes: number }
  | { type: "frame_event"; event: { kind: string; data: Record<string, unknown> } }
  | { type: "detached"; code: number | null }
  | { type: "error"; problem: Problem };

/** The gateway's words, as its description has them. */
import type { components } from "./api";

type Schemas = components["schemas"];
export type Approval = Schemas["ApprovalView"];
export type AnswerApproval = Schemas["AnswerApproval"];
export type Frame = Schemas["FrameSummary"];
export type Message = Schemas["MessageView"];
export type Part = Schemas["PartView"];
export type Problem = Schemas["Problem"];
export type Session = Schemas["SessionSummary"];
export type SessionDetails = Schemas["SessionDetails"];
export type Spending = Schemas["Spending"];
export type Status = Schemas["Status"];
export type StatusWord = Schemas["StatusWord"];
export type ToolStatus = Schemas["ToolStatus"];
export type Turn = Schemas["TurnView"];
export type Whoami = Schemas["Whoami"];
export type OpenedSession = Schemas["WebSession"];

/** An event of `/v1/events`; the description leaves its data open. */
export interface Event {
  id: number;
  at: number;
  kind: string;
  frame?: string | null;
  session?: string | null;
  message?: string | null;
  data: Record<string, unknown>;
}

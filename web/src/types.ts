/** The gateway's words, as its description has them. */
import type { components } from "./api";

type Schemas = components["schemas"];
export type Approval = Schemas["ApprovalView"];
export type AnswerApproval = Schemas["AnswerApproval"];
export type Budget = Schemas["BudgetView"];
export type CreateFrame = Schemas["CreateFrame"];
export type Frame = Schemas["FrameSummary"];
export type FrameStats = Schemas["FrameStats"];
export type Hit = Schemas["SearchHit"];
export type LogLine = Schemas["FrameLogLine"];
export type Message = Schemas["MessageView"];
export type NetworkMode = Schemas["NetworkMode"];
export type Part = Schemas["PartView"];
export type Problem = Schemas["Problem"];
export type Project = Schemas["ProjectView"];
export type Run = Schemas["RunView"];
export type RunDetails = Schemas["RunDetails"];
export type Schedule = Schemas["ScheduleView"];
export type Session = Schemas["SessionSummary"];
export type SessionDetails = Schemas["SessionDetails"];
export type SetBudget = Schemas["SetBudget"];
export type Spending = Schemas["Spending"];
export type Status = Schemas["Status"];
export type StatusWord = Schemas["StatusWord"];
export type Tick = Schemas["TickView"];
export type Token = Schemas["TokenView"];
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

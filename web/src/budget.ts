/** A limit that somebody wrote, as the gateway takes it. Pure. */
import type { Budget, SetBudget } from "./types";

/** Whose spending may be limited from the page; those of sessions and runs are set where they begin. */
export const SCOPES = ["home", "project", "frame"] as const;
export const PERIODS = ["day", "month", "total"] as const;

export interface Limit {
  scope: (typeof SCOPES)[number];
  subject: string;
  period: (typeof PERIODS)[number];
  dollars: string;
}

/** The wish, or what is wrong with it. */
export function limitOf({ scope, subject, period, dollars }: Limit): SetBudget | string {
  const amount = dollars.trim().replace(",", ".");
  if (!/^\d{1,6}(?:\.\d+)?$/.test(amount)) return "dollars, such as 5 or 0.50";
  if (scope !== "home" && subject === "") return `which ${scope}?`;
  return { scope, period, limit_microusd: Math.round(Number(amount) * 1_000_000), ...(scope === "home" ? {} : { subject }) };
}

/** A budget's name for people. */
export function nameOf({ scope, subject, period }: Pick<Budget, "scope" | "subject" | "period">): string {
  return [scope, subject ?? "", period === "total" ? "in all" : `a ${period}`].filter((part) => part !== "").join(" ");
}

/** Where one is taken away. */
export function placeOf({ scope, subject, period }: Pick<Budget, "scope" | "subject" | "period">): string {
  const query = new URLSearchParams({ scope, period, ...(subject ? { subject } : {}) });
  return `/v1/budgets?${query.toString()}`;
}

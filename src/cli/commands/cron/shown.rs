//! Schedules, and what became of their times, on the screen.

use crate::cli::context::Context;
use crate::cli::exit::Failure;
use crate::cli::output::told;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column, inked};
use crate::clock;
use crate::model::quantity::{money, took};
use crate::model::run::RunState;
use crate::model::schedule::{ScheduleAction, ScheduleSource, TickCause, TickOutcome, Zone};
use crate::wire::schedules::{ScheduleView, TickView};

/// An instant on the schedule's clock.
pub fn at(schedule: &ScheduleView, at_ms: u64) -> String {
    match Zone::parse(&schedule.zone) {
        Ok(zone) => zone.written(at_ms),
        // Another version's database of zones, or another machine's.
        Err(_) => format!("{} UTC", clock::utc(at_ms)),
    }
}

/// All of them, each with its next three times.
pub fn list(schedules: &[ScheduleView]) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("WHEN").shrinks(),
        column("DOES").shrinks(),
        column("NEXT"),
        column("LAST").spare(1),
    ]);
    for schedule in schedules {
        let last = schedule.last.as_ref().map_or(("-".to_owned(), Ink::Dim), in_a_word);
        let first = match (&schedule.paused_because, schedule.next.first()) {
            (Some(_), _) => inked(Ink::Yellow, "paused"),
            (None, Some(next)) => at(schedule, *next).into(),
            (None, None) => "-".into(),
        };
        table.row(vec![
            schedule.name.as_str().into(),
            clean(&schedule.words).into(),
            clean(&schedule.does.words()).into(),
            first,
            inked(last.1, &last.0),
        ]);
        for next in schedule.next.iter().skip(1) {
            table.row(vec!["".into(), "".into(), "".into(), at(schedule, *next).into(), "".into()]);
        }
    }
    table
}

/// One of them, with all that is said of it.
pub fn whole(schedule: &ScheduleView, context: &Context) -> Result<(), Failure> {
    let out = &context.out;
    out.line(out.paint.ink(Ink::Bold, &schedule.name))?;
    let row = |name: &str, text: String| out.line(format!("  {name:<9} {}", clean(&text)));
    row("when", format!("{} ({})", schedule.words, schedule.expression))?;
    row("zone", schedule.zone.clone())?;
    row("does", schedule.does.words())?;
    if let ScheduleAction::Prompt { text, .. } = &schedule.does {
        row("asks", text.clone())?;
    }
    if let ScheduleAction::Workflow { variables, .. } = &schedule.does {
        for (name, value) in variables {
            row("with", format!("{name}={value}"))?;
        }
    }
    match &schedule.paused_because {
        Some(why) => row("paused", told(why))?,
        None => {
            for (n, next) in schedule.next.iter().enumerate() {
                row(if n == 0 { "next" } else { "" }, at(schedule, *next))?;
            }
        }
    }
    row("overlap", schedule.overlap.to_string())?;
    row("catch-up", schedule.catch_up.to_string())?;
    if schedule.jitter_seconds > 0 {
        row("jitter", format!("up to {}", took(schedule.jitter_seconds * 1000)))?;
    }
    if let Some(gate) = &schedule.gate {
        row("gate", gate.clone())?;
    }
    if let Some(failures) = schedule.pause_after_failures {
        row("pauses", format!("after {failures} failures in a row"))?;
    }
    if let Some(cost) = schedule.pause_at_microusd {
        row("pauses", format!("at {} within 24 hours", money(cost)))?;
    }
    if let Some(budget) = schedule.budget_microusd {
        row("budget", format!("{} a run", money(budget)))?;
    }
    if schedule.source == ScheduleSource::Configuration {
        row("from", "the configuration".to_owned())?;
    }
    if let Some(last) = &schedule.last {
        row("last", format!("{}: {}", at(schedule, last.instant), in_a_word(last).0))?;
    }
    Ok(())
}

/// What became of its times.
pub fn history(schedule: &ScheduleView, ticks: &[TickView]) -> Table {
    let mut table = Table::new(&[
        column("TIME"),
        column("BY").spare(2),
        column("END"),
        column("COST").right(),
        column("RUN"),
        column("WHY").shrinks(),
    ]);
    for tick in ticks {
        let (word, ink) = in_a_word(tick);
        let by = match tick.cause {
            TickCause::Time => "time",
            TickCause::CatchUp => "catch-up",
            TickCause::Person => "hand",
        };
        let why = tick.run_reason.as_deref().filter(|_| tick.outcome == TickOutcome::Run);
        let why = told(why.or(tick.reason.as_deref()).unwrap_or("-"));
        table.row(vec![
            at(schedule, tick.instant).into(),
            by.into(),
            inked(ink, &word),
            if tick.cost_microusd > 0 { money(tick.cost_microusd).into() } else { "-".into() },
            tick.run.as_deref().unwrap_or("-").into(),
            clean(&why).into(),
        ]);
    }
    table
}

/// What became of a time: of its run, where there is one.
fn in_a_word(tick: &TickView) -> (String, Ink) {
    match (tick.outcome, tick.run_state) {
        (TickOutcome::Run, Some(state)) => {
            let ink = match state {
                RunState::Succeeded => Ink::Green,
                RunState::Failed => Ink::Red,
                _ => Ink::Yellow,
            };
            (state.to_string(), ink)
        }
        (TickOutcome::Run, None) => ("run".to_owned(), Ink::Yellow),
        (outcome, _) => (outcome.to_string(), Ink::Dim),
    }
}

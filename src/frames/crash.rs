//! What the end of a container means, and when to try again. Pure.

use std::time::Duration;

use super::settings::CrashSettings;
use crate::model::container::{ContainerDetails, Observation};
use crate::model::frame::Limits;

/// The notes that count as an end nobody asked for.
pub(super) const ENDED: &str = "exited";

/// What to do after an end that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Start it again after a pause.
    Again(Duration),
    /// It would only end again: leave it in `error`.
    GiveUp,
}

/// Decides by how often it has ended within the window, this end included.
pub(super) fn judge(exit_code: Option<i64>, ends: u32, settings: &CrashSettings) -> Verdict {
    if is_hopeless(exit_code) || ends >= settings.limit {
        return Verdict::GiveUp;
    }
    match ends {
        0 | 1 => Verdict::Again(Duration::ZERO),
        _ => {
            let doubled = 2_u32.saturating_pow(ends - 2);
            Verdict::Again((settings.first_pause * doubled).min(settings.longest_pause))
        }
    }
}

/// Ends that say that the next start goes the same way (the image's contract).
fn is_hopeless(exit_code: Option<i64>) -> bool {
    matches!(exit_code, Some(66..=68 | 71))
}

/// Why it ended, as a sentence without a full stop.
pub(super) fn why(seen: &Observation, limits: &Limits) -> String {
    let Some(details) = &seen.details else {
        return "its container was removed from outside".into();
    };
    match details.exit_code {
        _ if ran_out_of_memory(details) => {
            format!("it ran out of memory (its limit is {} MiB) and was killed", limits.memory_bytes >> 20)
        }
        Some(0) => "its container was stopped from outside".into(),
        Some(66) => "its workspace is missing or closed to it".into(),
        Some(67) => "what it reads at its start is missing or unreadable".into(),
        Some(68) => "its home or link folder is not writable for it".into(),
        Some(69) => "its terminal cannot start".into(),
        Some(70) => "opencode keeps crashing in it".into(),
        Some(71) => "it is not kept apart as it must be".into(),
        Some(137) => "its container was killed".into(),
        Some(code) => format!("its container ended with exit code {code}"),
        None => "its container ended (the machine was restarted, perhaps)".into(),
    }
}

/// A killed first process and a kernel that killed something for memory: the one follows from the other.
fn ran_out_of_memory(details: &ContainerDetails) -> bool {
    details.exit_code == Some(137) && details.oom_kills.is_some_and(|kills| kills > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(exit_code: i64, oom_kills: u64) -> Observation {
        let details = ContainerDetails {
            container_id: "c".into(),
            generation: 1,
            image_id: "i".into(),
            exit_code: Some(exit_code),
            started_at: Some(1),
            pid: None,
            oom_kills: Some(oom_kills),
            stuck: None,
            less_isolated: false,
            mounts: Vec::new(),
            workspace: None,
        };
        Observation { observed: crate::model::frame::Observed::Halted, details: Some(details) }
    }

    #[test]
    fn pauses_grow_and_end_in_giving_up() {
        let settings = CrashSettings::default();
        let pauses: Vec<Verdict> = (1..=5).map(|ends| judge(Some(1), ends, &settings)).collect();
        let seconds = |s| Verdict::Again(Duration::from_secs(s));
        assert_eq!(pauses, [seconds(0), seconds(10), seconds(20), seconds(40), Verdict::GiveUp]);

        let patient = CrashSettings { limit: 100, ..settings };
        assert_eq!(judge(Some(1), 60, &patient), seconds(300));
    }

    #[test]
    fn a_missing_workspace_is_not_tried_five_times() {
        assert_eq!(judge(Some(66), 1, &CrashSettings::default()), Verdict::GiveUp);
    }

    #[test]
    fn out_of_memory_that_is_never_reported_is_named_all_the_same() {
        let limits = Limits { cpus_milli: 1, memory_bytes: 4 << 30, pids: 1 };
        assert!(why(&ended(137, 1), &limits).contains("out of memory (its limit is 4096 MiB)"));
        assert_eq!(why(&ended(137, 0), &limits), "its container was killed");
        assert_eq!(why(&Observation::missing(), &limits), "its container was removed from outside");
    }
}

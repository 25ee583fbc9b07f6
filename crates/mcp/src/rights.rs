//! What whoever speaks with the server may do. Pure.

use mimir_model::wire::problem::Problem;
use rmcp::model::ToolAnnotations;

/// What is allowed, as the server was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Looking, and nothing else.
    pub read_only: bool,
    /// Answering what agents ask. Off unless somebody wants it: an agent must not approve itself.
    pub approvals: bool,
}

/// What a tool does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Looks,
    /// Something is there that was not there before, and an agent may change all of a folder.
    Makes,
    /// Something runs; once more changes nothing.
    Starts,
    /// Something ends; once more changes nothing.
    Ends,
    /// An agent works: whatever it may do in its frame.
    Sends,
    /// An agent gets the leave that it asked for, or does not.
    Decides,
}

impl Effect {
    /// The same in the words of the protocol.
    pub fn annotations(self, title: &str) -> ToolAnnotations {
        let (looks, destroys, repeats, reaches_out) = match self {
            Self::Looks => (true, false, true, false),
            Self::Makes => (false, true, false, true),
            Self::Starts => (false, false, true, false),
            Self::Ends => (false, true, true, false),
            Self::Sends => (false, true, false, true),
            Self::Decides => (false, true, true, true),
        };
        ToolAnnotations::with_title(title)
            .read_only(looks)
            .destructive(destroys)
            .idempotent(repeats)
            .open_world(reaches_out)
    }
}

impl Rights {
    /// Whether tools of that kind are there.
    pub fn have(self, effect: Effect) -> bool {
        match effect {
            Effect::Looks => true,
            Effect::Decides => self.approvals && !self.read_only,
            Effect::Makes | Effect::Starts | Effect::Ends | Effect::Sends => !self.read_only,
        }
    }

    /// What is said to whoever uses a tool that is not there for them.
    pub fn refusal(self, tool: &str) -> Problem {
        let title = format!("`{tool}` is not allowed here");
        let hint = if self.read_only {
            "this server was started with `--read-only`; a person decides whether it is started without"
        } else {
            "a person answers with `mimir approvals`, or starts this server with `--allow-approvals`"
        };
        Problem::new(403, "mcp.not_allowed", title).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Effect; 6] =
        [Effect::Looks, Effect::Makes, Effect::Starts, Effect::Ends, Effect::Sends, Effect::Decides];

    #[test]
    fn an_agent_does_not_approve_itself_unless_somebody_wants_it() {
        let usual = Rights::default();
        assert!(!usual.have(Effect::Decides));
        assert!(ALL.iter().filter(|effect| usual.have(**effect)).count() == ALL.len() - 1);
        assert!(Rights { approvals: true, read_only: false }.have(Effect::Decides));
        assert!(usual.refusal("approval_answer").hint.expect("advice").contains("--allow-approvals"));
    }

    #[test]
    fn a_server_that_only_looks_changes_nothing() {
        for approvals in [false, true] {
            let rights = Rights { read_only: true, approvals };
            let had: Vec<Effect> = ALL.into_iter().filter(|effect| rights.have(*effect)).collect();
            assert_eq!(had, [Effect::Looks]);
            assert!(rights.refusal("frame_stop").hint.expect("advice").contains("--read-only"));
        }
    }

    #[test]
    fn what_destroys_says_so() {
        for effect in ALL {
            let told = effect.annotations("x");
            assert_eq!(told.read_only_hint, Some(effect == Effect::Looks), "{effect:?}");
            let harmless = matches!(effect, Effect::Looks | Effect::Starts);
            assert_eq!(told.destructive_hint, Some(!harmless), "{effect:?}");
            // An agent works, or is let.
            let reaches_out = matches!(effect, Effect::Makes | Effect::Sends | Effect::Decides);
            assert_eq!(told.open_world_hint, Some(reaches_out), "{effect:?}");
        }
    }
}

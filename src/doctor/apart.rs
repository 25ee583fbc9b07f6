//! Whether frames that run are kept apart as far as this mimir can keep them.

use std::time::Duration;

use super::Subject;
use super::check::{About, Finding};
use crate::model::doctor::Check;
use crate::model::frame::FrameState;
use crate::store;

const WITHIN: Duration = Duration::from_secs(15);
/// So many are named, each with its reason.
const NAMED: usize = 3;

/// A frame that runs, and why its users are users of this machine.
type Seen = (String, Option<String>);

/// Whether frames that run have users of their own. Each of them was told of it at its start; here all are.
pub(super) async fn users(subject: &Subject) -> Check {
    let about = About {
        id: "frames.users",
        title: "frames that run have users of their own",
        why: "who gets out of one that has not is a user of this machine",
    };
    let (Some(store), Some(frames)) = (subject.store.clone(), subject.frames.clone()) else {
        return about.found(Finding::skipped("no gateway runs, and so no frame"), Duration::ZERO);
    };
    let attempt = async {
        let all = match store.read(|db| store::frames::list(db)).await {
            Ok(all) => all,
            Err(error) => return Finding::skipped(error.to_string()),
        };
        let mut seen: Vec<Seen> = Vec::new();
        for frame in all.iter().filter(|frame| frame.state == FrameState::Running) {
            match frames.apart(frame).await {
                Ok(apart) => {
                    seen.push((frame.name.to_string(), apart.isolation.and_then(|is| is.machines_users)));
                }
                Err(error) => return Finding::skipped(format!("{}: {error}", frame.name)),
            }
        }
        judge(&seen)
    };
    about.attempt(WITHIN, attempt).await
}

fn judge(seen: &[Seen]) -> Finding {
    let without: Vec<(&String, &String)> =
        seen.iter().filter_map(|(name, why)| Some((name, why.as_ref()?))).collect();
    let Some((first, _)) = without.first() else {
        return Finding::ok(format!("{} run", seen.len()));
    };
    let mut named: Vec<String> =
        without.iter().take(NAMED).map(|(name, why)| format!("{name} ({why})")).collect();
    let more = without.len().saturating_sub(NAMED);
    named.extend((more > 0).then(|| format!("and {more} more")));
    // It is looked at again at each start.
    let fix = format!("mend what is named, then: mimir frame restart {first}");
    Finding::warning(format!("users of this machine: {}", named.join(", ")), fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::doctor::Outcome;

    #[test]
    fn frames_with_users_of_this_machine_are_named_with_the_reason() {
        let frame = |name: &str, why: Option<&str>| (name.to_owned(), why.map(str::to_owned));
        let all = judge(&[frame("blog", None), frame("shop", None)]);
        assert_eq!((all.outcome, all.found.as_str()), (Outcome::Ok, "2 run"));
        let some = judge(&[frame("blog", None), frame("shop", Some("it is NFS"))]);
        assert_eq!(some.outcome, Outcome::Warning);
        assert_eq!(some.found, "users of this machine: shop (it is NFS)");
        assert!(some.fix.is_some_and(|fix| fix.ends_with("mimir frame restart shop")));
        let many = judge(&["a", "b", "c", "d"].map(|name| frame(name, Some("x"))));
        assert!(many.found.ends_with("c (x), and 1 more"), "{}", many.found);
    }
}

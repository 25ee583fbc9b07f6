//! Whether frames that run are kept apart as far as this mimir can keep them.

use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, timeout_at};

use super::Subject;
use super::check::{About, Finding};
use crate::frames::Frames;
use crate::model::doctor::Check;
use crate::model::frame::{Frame, FrameState};
use crate::store;

const WITHIN: Duration = Duration::from_secs(15);
/// Whoever has not answered by then is not waited for: what others said is judged.
const ASKED_WITHIN: Duration = Duration::from_secs(12);
/// So many are asked at a time.
const AT_A_TIME: usize = 4;
/// So many are named, each with its reason.
const NAMED: usize = 3;

/// Whose the users of a frame that runs are.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Users {
    Own,
    /// This machine's, with the reason.
    Machines(String),
    /// It does not run here, or we may not look.
    Unseen,
}

/// What was asked, and who answered.
#[derive(Debug, Default)]
struct Answers {
    all: usize,
    seen: Vec<(String, Users)>,
    /// Why one did not answer.
    trouble: Option<String>,
}

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
        judge(&ask(&frames, all).await)
    };
    about.attempt(WITHIN, attempt).await
}

async fn ask(frames: &Frames, all: Vec<Frame>) -> Answers {
    let running: Vec<Frame> = all.into_iter().filter(|frame| frame.state == FrameState::Running).collect();
    let mut asked = Answers { all: running.len(), ..Answers::default() };
    let frames = frames.clone();
    let answers = stream::iter(running).map(move |frame: Frame| {
        let frames = frames.clone();
        async move { (frame.name.to_string(), frames.apart(&frame).await) }
    });
    let mut answers = pin!(answers.buffer_unordered(AT_A_TIME));
    let end = Instant::now() + ASKED_WITHIN;
    while let Ok(Some((name, answer))) = timeout_at(end, answers.next()).await {
        match answer.map(|apart| apart.isolation) {
            Ok(None) => asked.seen.push((name, Users::Unseen)),
            Ok(Some(is)) => asked.seen.push((name, is.machines_users.map_or(Users::Own, Users::Machines))),
            Err(error) => asked.trouble = asked.trouble.or_else(|| Some(format!("{name}: {error}"))),
        }
    }
    asked.seen.sort_by(|one, other| one.0.cmp(&other.0));
    asked
}

fn judge(asked: &Answers) -> Finding {
    let without: Vec<(&String, &String)> = asked
        .seen
        .iter()
        .filter_map(|(name, users)| match users {
            Users::Machines(why) => Some((name, why)),
            Users::Own | Users::Unseen => None,
        })
        .collect();
    let missing = asked.all.saturating_sub(asked.seen.len());
    let unasked = (missing > 0).then(|| {
        let late = format!("no answer within {} s", ASKED_WITHIN.as_secs());
        let why = asked.trouble.as_deref().unwrap_or(&late);
        format!("{missing} of {} could not be asked ({why})", asked.all)
    });
    let Some((first, _)) = without.first() else {
        if let Some(unasked) = unasked {
            return Finding::skipped(unasked);
        }
        let unseen = asked.seen.iter().filter(|(_, users)| *users == Users::Unseen).count();
        let own = asked.seen.len() - unseen;
        return match (own, unseen) {
            (_, 0) => Finding::ok(format!("{own} run")),
            (0, _) => Finding::skipped(format!("the users of {unseen} that run cannot be seen from here")),
            _ => Finding::ok(format!("{own} run; the users of {unseen} more cannot be seen from here")),
        };
    };
    let mut named: Vec<String> =
        without.iter().take(NAMED).map(|(name, why)| format!("{name} ({why})")).collect();
    let more = without.len().saturating_sub(NAMED);
    named.extend((more > 0).then(|| format!("and {more} more")));
    let unasked = unasked.map(|text| format!("; {text}")).unwrap_or_default();
    // It is looked at again at each start.
    let fix = format!("mend what is named, then: mimir frame restart {first}");
    Finding::warning(format!("users of this machine: {}{unasked}", named.join(", ")), fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::doctor::Outcome;

    /// Frames by name, each with why its users are this machine's.
    fn asked(frames: &[(&str, Option<&str>)]) -> Answers {
        let users = |why: &Option<&str>| why.map_or(Users::Own, |why| Users::Machines(why.to_owned()));
        let seen = frames.iter().map(|(name, why)| ((*name).to_owned(), users(why))).collect();
        Answers { all: frames.len(), seen, trouble: None }
    }

    #[test]
    fn frames_with_users_of_this_machine_are_named_with_the_reason() {
        let all = judge(&asked(&[("blog", None), ("shop", None)]));
        assert_eq!((all.outcome, all.found.as_str()), (Outcome::Ok, "2 run"));
        let some = judge(&asked(&[("blog", None), ("shop", Some("it is NFS"))]));
        assert_eq!(some.outcome, Outcome::Warning);
        assert_eq!(some.found, "users of this machine: shop (it is NFS)");
        assert!(some.fix.is_some_and(|fix| fix.ends_with("mimir frame restart shop")));
        let many = judge(&asked(&["a", "b", "c", "d"].map(|name| (name, Some("x")))));
        assert!(many.found.ends_with("c (x), and 1 more"), "{}", many.found);
    }

    #[test]
    fn who_does_not_answer_hides_nobody_and_is_no_failure() {
        let some = Answers { all: 3, ..asked(&[("shop", Some("it is NFS"))]) };
        let some = judge(&some);
        assert_eq!(some.outcome, Outcome::Warning);
        let text =
            "users of this machine: shop (it is NFS); 2 of 3 could not be asked (no answer within 12 s)";
        assert_eq!(some.found, text);
        let trouble = Some("blog: it is busy".to_owned());
        let none = judge(&Answers { all: 2, trouble, ..asked(&[("shop", None)]) });
        assert_eq!(none.outcome, Outcome::Skipped);
        assert_eq!(none.found, "1 of 2 could not be asked (blog: it is busy)");
    }

    #[test]
    fn where_nobody_can_look_is_counted_apart() {
        let mut some = asked(&[("blog", None), ("far", None)]);
        some.seen[1].1 = Users::Unseen;
        let found = judge(&some);
        assert_eq!(found.outcome, Outcome::Ok);
        assert_eq!(found.found, "1 run; the users of 1 more cannot be seen from here");
        some.seen[0].1 = Users::Unseen;
        assert_eq!(judge(&some).outcome, Outcome::Skipped);
    }
}

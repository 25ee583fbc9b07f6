//! The table of rules, and what stands against a run.

use super::*;
use crate::model::git::Repository;
use crate::model::webhook::Level;
use std::convert::Infallible;
use std::time::Duration;

const HOUR: u64 = 3_600_000;
const NOW: u64 = 1_800_000_000_000;

fn rule(change: impl FnOnce(&mut Rule)) -> Rule {
    let mut rule = Rule { cooldown: Duration::from_secs(24 * 3600), limit: 5, ..Rule::example() };
    change(&mut rule);
    rule
}

fn alert(change: impl FnOnce(&mut Matter)) -> Notice {
    let mut matter = Matter {
        key: "sentry:acme/7".into(),
        name: Some("sentry:acme/7".into()),
        title: "boom".into(),
        subject: RunSubject::Sentry {
            organization: "acme".into(),
            issue: "7".into(),
            short_id: None,
            event: None,
            url: None,
        },
        level: Some(Level::Error),
        environment: Some("production".into()),
        fingerprints: vec!["{{ default }}".into(), "abc".into()],
        from: Some("shop".into()),
        ..Matter::default()
    };
    change(&mut matter);
    Notice { event: "event_alert.triggered".into(), matter: Some(matter), ..Notice::default() }
}

fn issue(labels: &[&str], comment: Option<&str>) -> Notice {
    let repository = Repository::new("github.com", "acme/shop").expect("a repository");
    let matter = Matter {
        key: "issue:github.com/acme/shop#3".into(),
        subject: RunSubject::Issue {
            repository: repository.clone(),
            number: 3,
            asked_by: "octocat".into(),
            url: None,
        },
        repository: Some(repository),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        comment: comment.map(str::to_owned),
        from: Some("acme/shop".into()),
        ..Matter::default()
    };
    Notice { event: "issues.labeled".into(), matter: Some(matter), ..Notice::default() }
}

fn decided(notice: &Notice, rules: &[Rule], history: History) -> Result<Box<Wanted>, String> {
    refusal(notice, rules, history).map_err(|refusal| refusal.why)
}

fn refusal(notice: &Notice, rules: &[Rule], history: History) -> Result<Box<Wanted>, Refusal> {
    decide(notice, "errors", rules, NOW, |_, _| Ok::<_, Infallible>(history)).expect("infallible").run
}

#[test]
fn the_table() {
    type Change = fn(&mut Rule);
    let alert = alert(|_| {});
    let fits: &[(&str, Change)] = &[
        ("everything", |_| {}),
        ("its event", |rule| rule.on = vec!["issue.created".into(), "event_alert.triggered".into()]),
        ("a pattern of events", |rule| rule.on = vec!["event_*".into()]),
        ("its project", |rule| rule.from = Some("SHOP".into())),
        ("a pattern of projects", |rule| rule.from = Some("sh*".into())),
        ("its level", |rule| rule.level = Some(Level::Error)),
        ("a lower level", |rule| rule.level = Some(Level::Info)),
        ("its environment", |rule| rule.environment = vec!["staging".into(), "prod*".into()]),
        ("one of its fingerprints", |rule| rule.fingerprint = Some("a*c".into())),
        ("a repository that it does not say", |rule| {
            rule.repository = Repository::new("github.com", "a/b").ok()
        }),
    ];
    for (what, change) in fits {
        assert!(decided(&alert, &[rule(change)], History::default()).is_ok(), "{what}");
    }
    let misfits: &[(&str, Change)] = &[
        ("no rule of webhooks.rules is about errors", |rule| rule.source = "others".into()),
        ("not about event_alert.triggered", |rule| rule.on = vec!["issue.*".into()]),
        ("another project than shop", |rule| rule.from = Some("shop2".into())),
        ("at least level fatal, and this has level error", |rule| rule.level = Some(Level::Fatal)),
        ("another environment than production", |rule| rule.environment = vec!["staging".into()]),
        ("another fingerprint", |rule| rule.fingerprint = Some("ab".into())),
        ("none of its labels", |rule| rule.labels = vec!["bug".into()]),
    ];
    for (why, change) in misfits {
        let refused = decided(&alert, &[rule(change)], History::default()).expect_err(why);
        assert!(refused.contains(why), "{refused}");
    }
    assert!(decided(&alert, &[], History::default()).is_err_and(|why| why.contains("webhooks.rules")));
}

#[test]
fn what_is_not_said_fits_no_condition() {
    let bare = alert(|matter| {
        (matter.level, matter.environment, matter.from) = (None, None, None);
    });
    assert!(decided(&bare, &[rule(|_| {})], History::default()).is_ok());
    let conditions: &[fn(&mut Rule)] = &[
        |rule| rule.level = Some(Level::Debug),
        |rule| rule.environment = vec!["*".into()],
        |rule| rule.from = Some("*".into()),
    ];
    for change in conditions {
        assert!(decided(&bare, &[rule(change)], History::default()).is_err());
    }
}

#[test]
fn the_first_rule_that_fits_decides() {
    let rules = [
        rule(|rule| (rule.level, rule.workflow) = (Some(Level::Fatal), "page".into())),
        rule(|rule| (rule.priority, rule.budget_microusd) = (5, Some(2_000_000))),
        rule(|rule| rule.workflow = "third".into()),
    ];
    let wanted = decided(&alert(|_| {}), &rules, History::default()).expect("a run");
    assert_eq!((wanted.rule, wanted.run.workflow.as_str()), (2, "fix"));
    assert_eq!((wanted.run.priority, wanted.run.budget_microusd), (5, Some(2_000_000)));
    assert_eq!((wanted.run.key.as_str(), wanted.run.origin), ("sentry:acme/7", Origin::Webhook));
    let fatal = decided(&alert(|matter| matter.level = Some(Level::Fatal)), &rules, History::default());
    assert_eq!(fatal.map(|wanted| wanted.run.workflow).as_deref(), Ok("page"));
}

#[test]
fn after_a_failure_nothing_is_tried_for_a_while_and_each_one_doubles_it() {
    let ended = |hours: &[(RunState, u64)]| History {
        ended: hours.iter().map(|(state, ago)| (*state, NOW - ago * HOUR)).collect(),
        ..History::default()
    };
    use RunState::{Cancelled, Failed, Succeeded, Superseded};
    let cases: &[(&[(RunState, u64)], bool)] = &[
        (&[], true),
        (&[(Failed, 23)], false),
        (&[(Failed, 25)], true),
        (&[(Failed, 25), (Failed, 60)], false),
        (&[(Failed, 49), (Failed, 60)], true),
        (&[(Failed, 90), (Failed, 200), (Cancelled, 400)], false),
        (&[(Failed, 25), (Succeeded, 30), (Failed, 60)], true),
        (&[(Succeeded, 0)], true),
        (&[(Superseded, 0), (Failed, 1)], true),
        (&[(Cancelled, 1)], false),
    ];
    for (hours, may) in cases {
        let found = decided(&alert(|_| {}), &[rule(|_| {})], ended(hours));
        assert_eq!(found.is_ok(), *may, "{hours:?}: {found:?}");
    }
    let many: Vec<(RunState, u64)> = (0..200).map(|_| (Failed, 24 * 29)).collect();
    assert!(decided(&alert(|_| {}), &[rule(|_| {})], ended(&many)).is_err());
    let many: Vec<(RunState, u64)> = (0..200).map(|_| (Failed, 24 * 31)).collect();
    assert!(decided(&alert(|_| {}), &[rule(|_| {})], ended(&many)).is_ok(), "a month is the longest");
    let none = rule(|rule| rule.cooldown = Duration::ZERO);
    assert!(decided(&alert(|_| {}), &[none], ended(&[(Failed, 0)])).is_ok());
}

#[test]
fn one_that_goes_on_is_joined_whatever_stands_against_a_new_one() {
    let history = History {
        open: Some(RunId::from_parts(1, 1)),
        ended: vec![(RunState::Failed, NOW)],
        begun: vec![NOW; 100],
        waiting: 100,
        ..History::default()
    };
    assert!(decided(&alert(|_| {}), &[rule(|_| {})], history).is_ok());
}

#[test]
fn what_is_over_the_limit_waits_for_its_turn_behind_others_and_for_a_day_at_most() {
    const MINUTE: u64 = 60_000;
    let turn = |begun_minutes_ago: &[u64], waiting: usize| {
        let begun = begun_minutes_ago.iter().map(|ago| NOW - ago * MINUTE).collect();
        let known = History { begun, waiting, ..History::default() };
        match refusal(&alert(|_| {}), &[rule(|rule| rule.limit = 2)], known) {
            Ok(_) => Ok(0),
            Err(Refusal { why, turn: Some(turn), .. }) => {
                assert!(why.contains("2 is its limit; its turn comes at"), "{why}");
                Ok((turn.at_ms - NOW) / MINUTE)
            }
            Err(refusal) => Err(refusal.why),
        }
    };
    let cases: &[(&[u64], usize, u64)] = &[
        (&[], 0, 0),
        (&[50], 0, 0),
        (&[50, 20], 0, 10),
        (&[50, 20], 1, 40),
        (&[50, 20], 2, 70),
        (&[50, 20], 3, 100),
        // The limit was higher when they began.
        (&[55, 50, 20], 0, 10),
        (&[50, 20], 47, 23 * 60 + 40),
    ];
    for (begun, waiting, minutes) in cases {
        assert_eq!(turn(begun, *waiting).as_ref(), Ok(minutes), "{begun:?} {waiting}");
    }
    let late = turn(&[50, 20], 48).expect_err("a day and ten minutes");
    assert!(late.contains("48 wait already, and its turn would not come within a day"), "{late}");
    // Whoever has waited is not told after a day that the day is too long.
    let begun = vec![NOW - 50 * MINUTE, NOW - 20 * MINUTE];
    let known = History { begun, waiting: 4_800, has_waited: true, ..History::default() };
    let waits = refusal(&alert(|_| {}), &[rule(|rule| rule.limit = 2)], known).expect_err("not yet");
    assert_eq!(waits.turn.map(|turn| turn.at_ms - NOW), Some(24 * HOUR), "{}", waits.why);
}

#[test]
fn those_about_the_same_wait_together_up_to_a_number() {
    let refused = |count| {
        let waits = Waits { id: "wh_1".into(), until_ms: NOW + HOUR, count };
        let known = History { waits: Some(waits), ..History::default() };
        refusal(&alert(|_| {}), &[rule(|_| {})], known).expect_err("not now")
    };
    let (some, many) = (refused(19), refused(20));
    assert_eq!(some.turn.map(|turn| turn.at_ms), Some(NOW + HOUR));
    assert!(some.why.contains("delivery wh_1 is about the same"), "{}", some.why);
    assert!(many.turn.is_none() && many.why.contains("20 wait for it already"), "{many:?}");
}

#[test]
fn runs_are_counted_by_what_a_rule_says_not_by_where_it_stands() {
    let one = rule(|_| {});
    let dearer = rule(|rule| (rule.limit, rule.budget_microusd, rule.priority) = (7, Some(1), 9));
    assert_eq!(mark(&one), mark(&dearer));
    let others = [
        rule(|rule| rule.workflow = "other".into()),
        rule(|rule| rule.level = Some(Level::Error)),
        rule(|rule| rule.source = "other".into()),
        rule(|rule| rule.labels = vec!["a".into()]),
    ];
    for other in others {
        assert_ne!(mark(&one), mark(&other), "{other:?}");
    }
}

#[test]
fn an_issue_begins_a_run_when_somebody_asks_for_it() {
    let labelled = rule(|rule| rule.labels = vec!["mimir".into()]);
    let run = decided(&issue(&["mimir"], None), std::slice::from_ref(&labelled), History::default())
        .expect("a run");
    assert_eq!(run.run.input.variables["author_right"], "write");
    assert!(decided(&issue(&["bug"], None), &[labelled], History::default()).is_err());
    let any = rule(|_| {});
    assert!(
        decided(&issue(&["bug"], None), std::slice::from_ref(&any), History::default()).is_err(),
        "nobody asked"
    );
    for asked in
        ["@mimir fix this", "please, @Mimir: fix", "Look.\n\n(@mimir)", "@mimir", "over to you @mimir."]
    {
        assert!(
            decided(&issue(&[], Some(asked)), std::slice::from_ref(&any), History::default()).is_ok(),
            "{asked}"
        );
    }
    for other in
        ["@mimirs fix", "me@mimir.dev", "mimir", "> @mimir fix this\nno", "@mimir-bot", "x@mimir", ""]
    {
        assert!(
            decided(&issue(&[], Some(other)), std::slice::from_ref(&any), History::default()).is_err(),
            "{other}"
        );
    }
}

#[test]
fn what_begins_nothing_says_why_and_wakes_all_the_same() {
    let notice = Notice {
        event: "pull_request.closed".into(),
        wakes: vec!["pull:github.com/acme/shop#7".into()],
        ..Notice::default()
    };
    let decision = decide(&notice, "errors", &[rule(|_| {})], NOW, |_, _| Err("nobody asks for the history"));
    let decision = decision.expect("no history");
    assert_eq!(decision.wakes, ["pull:github.com/acme/shop#7"]);
    assert!(decision.run.is_err());
}

#[test]
fn what_was_missed_fits_by_everything_but_its_name() {
    let missed = Notice { event: "catch_up.triggered".into(), ..alert(|_| {}) };
    let of_alerts = rule(|rule| rule.on = vec!["event_alert.triggered".into()]);
    let untold = Notice { event: "untold.triggered".into(), ..alert(|_| {}) };
    let takes = |notice: &Notice, catch_up| {
        let rule = Rule { catch_up, ..of_alerts.clone() };
        decided(notice, &[rule], History::default()).is_ok()
    };
    assert!(takes(&missed, Untold::Missed) && takes(&missed, Untold::All) && !takes(&missed, Untold::Off));
    assert!(!takes(&untold, Untold::Missed) && takes(&untold, Untold::All) && !takes(&untold, Untold::Off));
}

//! What is heard in an order that nobody likes.

use crossterm::event::KeyCode;
use mimir_client::{Followed, FrameVerb};
use mimir_model::event::EventKind;
use mimir_model::frame::FrameState;
use mimir_model::wire::frames::FrameLogLine;
use mimir_model::wire::problem::Problem;

use super::{App, Screen};
use crate::effect::{Change, Effect, Heard, Read};
use crate::examples::{details, event, frame, run, session, stats, turn};
use crate::view::Kept;
use crate::view_tests::{drawn_with, key, keys, lived_in, shown};

fn tell(app: &mut App, frame: &str, what: EventKind) -> Vec<Effect> {
    app.hear(Heard::Followed(Followed::Event(Box::new(event(frame, what)))))
}

fn away() -> Box<Problem> {
    Box::new(Problem::new(503, "gateway.away", "it is away").hint("wait for it, or look at `mimir status`"))
}

#[test]
fn a_frame_made_anew_while_it_is_shown_begins_with_nothing() {
    let mut app = lived_in((80, 24));
    let mut anew = frame("blog", "running", "idle");
    (anew.id, anew.created_at) = ("frm_other".into(), 50_000);
    let effects = app.hear(Heard::Frames(vec![anew, frame("shop", "running", "busy")]));
    let is_since = |effect: &Effect| matches!(effect, Effect::Read(Read::Talk { since: 50_000, .. }));
    assert!(effects.iter().any(is_since), "{effects:?}");
    assert!(app.talk.session.is_none(), "a message would go to a conversation that is gone");
    assert_eq!(keys(&mut app, "X"), [], "that is another frame than the one that was chosen");
}

#[test]
fn the_timeline_is_that_of_the_chosen_run() {
    let mut app = lived_in((80, 24));
    app.screen = Screen::Runs;
    let (first, second) = (run("run_1", "one"), run("run_2", "two"));
    let effects = app.hear(Heard::Runs(vec![first.run.clone(), second.run.clone()]));
    assert_eq!(effects, [Effect::Read(Read::Run("run_1".into()))]);
    assert_eq!(keys(&mut app, "j"), [Effect::Read(Read::Run("run_2".into()))]);
    app.hear(Heard::Run(Box::new(second.clone())));
    app.hear(Heard::Run(Box::new(first.clone())));
    assert_eq!(app.facts.run.as_ref().map(|run| run.run.id.as_str()), Some("run_2"), "the slower answer");
    // Another one came before it: the choice is the run, not the line.
    app.hear(Heard::Runs(vec![run("run_3", "three").run, first.run, second.run]));
    assert_eq!(app.run().map(|run| run.id.as_str()), Some("run_2"));
}

#[test]
fn what_a_change_makes_old_is_read_again() {
    let mut app = lived_in((80, 24));
    let (from, to) = (FrameState::Running, FrameState::Stopped);
    let details = Effect::Read(Read::Details("blog".into()));
    let moved = EventKind::FrameMoved { from, to, reason: None };
    assert!(tell(&mut app, "blog", moved.clone()).contains(&details));
    assert!(!tell(&mut app, "shop", moved).contains(&details));
    // No event tells of a pause by hand.
    let change = Change::PauseSchedule("nightly".into());
    let effects = app.hear(Heard::Did { change, is_over: true });
    assert!(effects.contains(&Effect::Read(Read::Schedules)), "{effects:?}");
}

#[test]
fn a_change_that_takes_its_time_is_said_until_it_is_done() {
    let mut app = lived_in((80, 24));
    let change = Change::Verb("blog".into(), FrameVerb::Stop);
    app.asked_for(&change);
    app.now_ms += 3_000;
    assert!(shown(&mut app).contains("$ mimir frame stop blog … 3 s"), "{}", shown(&mut app));
    app.hear(Heard::Did { change, is_over: true });
    app.now_ms += 60_000;
    app.tick();
    assert!(!shown(&mut app).contains("mimir frame stop blog"), "{}", shown(&mut app));
    app.waits_ms = 2_500;
    assert!(shown(&mut app).contains("the gateway is slow: 2 s"), "{}", shown(&mut app));
}

#[test]
fn what_went_wrong_can_be_read_whole() {
    let mut app = lived_in((80, 24));
    let change = Change::Verb("blog".into(), FrameVerb::Stop);
    let mut problem = away();
    problem.detail = Some("the engine said nothing for as long as anybody may be asked to wait".into());
    app.hear(Heard::Failed { change, problem });
    let screen = shown(&mut app).replace('\n', " ");
    for words in ["it is away", "anybody may be", "look at `mimir status`", "mimir frame stop blog"] {
        assert!(screen.contains(words), "{}", shown(&mut app));
    }
    assert!(screen.contains("rm -rf build"), "what is asked is not covered");
}

#[test]
fn a_message_that_failed_while_the_next_one_is_written_is_not_lost() {
    let mut app = lived_in((80, 24));
    keys(&mut app, "sone");
    let effects = key(&mut app, KeyCode::Enter);
    let [Effect::Change(change)] = &effects[..] else { panic!("{effects:?}") };
    keys(&mut app, "stwo");
    app.hear(Heard::Failed { change: change.clone(), problem: away() });
    key(&mut app, KeyCode::Esc);
    assert_eq!(app.drafts["blog"], "one\n\ntwo");
    keys(&mut app, "s");
    assert!(app.drafts.is_empty(), "it is being written again");
}

#[test]
fn of_a_long_log_only_what_is_new_is_laid_out() {
    let mut app = lived_in((80, 24));
    let line = |number: usize| FrameLogLine { at: 0, source: "opencode".into(), text: format!("n{number}") };
    key(&mut app, KeyCode::Tab);
    let mut kept = Kept::default();
    for number in 0..2_000 {
        app.hear(Heard::Log("blog".into(), line(number)));
    }
    drawn_with(&mut app, &mut kept);
    key(&mut app, KeyCode::PageUp);
    let before = drawn_with(&mut app, &mut kept);
    for number in 2_000..2_050 {
        app.hear(Heard::Log("blog".into(), line(number)));
        assert_eq!(drawn_with(&mut app, &mut kept), before, "what comes below moves nothing");
    }
    assert_eq!(kept.log.made, 2_050);
    key(&mut app, KeyCode::End);
    assert!(drawn_with(&mut app, &mut kept).contains("n2049"));
}

#[test]
fn a_long_conversation_is_laid_out_as_far_as_it_is_looked_at() {
    let mut app = lived_in((80, 24));
    let turns: Vec<_> = (0..1_000).map(|at| turn("assistant", &format!("number {at}"), true)).collect();
    let tell = |app: &mut App, turns: &[_]| {
        let details = Some(Box::new(session("blog", turns)));
        app.hear(Heard::Talk { frame: "blog".into(), ends: 0, details, waiting: Vec::new() });
    };
    tell(&mut app, &turns[..990]);
    let mut kept = Kept::default();
    assert!(drawn_with(&mut app, &mut kept).contains("number 989"));
    assert!(kept.talk.made.1 <= 40, "{:?}", kept.talk.made);
    for _ in 0..10 {
        key(&mut app, KeyCode::PageUp);
        drawn_with(&mut app, &mut kept);
    }
    // What came meanwhile moves nothing.
    let before = drawn_with(&mut app, &mut kept);
    tell(&mut app, &turns);
    assert_eq!(drawn_with(&mut app, &mut kept), before);
    assert!(kept.talk.made.1 < 500, "{:?}", kept.talk.made);
    for _ in 0..1_000 {
        key(&mut app, KeyCode::PageUp);
    }
    let top = drawn_with(&mut app, &mut kept);
    assert!(top.contains("about the blog") && top.contains("number 0"), "{top}");
    key(&mut app, KeyCode::End);
    assert!(drawn_with(&mut app, &mut kept).contains("number 999"));
}

#[test]
fn a_log_that_cannot_be_read_says_why() {
    let mut app = lived_in((100, 24));
    key(&mut app, KeyCode::Tab);
    app.hear(Heard::LogEnded("blog".into(), Some(away())));
    assert!(shown(&mut app).contains("it is away: wait for it"), "{}", shown(&mut app));
}

#[test]
fn what_a_frame_uses_is_a_graph_while_somebody_looks() {
    let mut app = lived_in((100, 30));
    app.tab = super::Tab::About;
    for moment in 0..20_u64 {
        let mut now = frame("blog", "running", "busy");
        now.cost_microusd = 1_000_000 + moment / 10 * 20_000;
        app.hear(Heard::Frames(vec![now, frame("shop", "running", "busy")]));
        app.hear(Heard::Stats(stats("blog", 0.1 * moment as f64, (moment * 50) << 20)));
    }
    app.hear(Heard::Details(Box::new(details("blog"))));
    let screen = shown(&mut app);
    let line = |name: &str| screen.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    assert!(line("most 1.90 cores").contains("▃▃▄▄▅▅▅▆▆▇▇█"), "{screen}");
    assert!(line("most 950 MiB").contains("▄▄▅▅▅▆▆▇▇"), "{screen}");
    assert!(line("$0.0200 in all").contains('█'), "{screen}");
    assert!(screen.contains("/srv/blog") && screen.contains("state"), "the list stands below: {screen}");
    // Another one with the name begins anew.
    let mut anew = frame("blog", "running", "idle");
    anew.id = "frm_other".into();
    app.hear(Heard::Frames(vec![anew]));
    assert!(app.samples().is_none());
}

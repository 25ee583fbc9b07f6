//! What is typed, what it finds, and what comes of it.

use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::examples::frame;

fn picker(here: Option<&str>) -> Picker {
    let mut frames = vec![
        frame("blog", "running", "idle"),
        frame("blog-api", "running", "busy"),
        frame("shop", "stopped", "stopped"),
        frame("web", "running", "waiting"),
    ];
    for (at, frame) in frames.iter_mut().enumerate() {
        frame.last_active_at = 1_000 * u64::try_from(at).expect("few");
    }
    frames[2].project = Some("customers".to_owned());
    Picker::new(Picking {
        frames,
        here: here.map(str::to_owned),
        color: false,
        look: Look::default(),
        now_ms: 60_000,
    })
}

fn names(picker: &Picker) -> Vec<&str> {
    picker.found.iter().map(|found| picker.frames[found.at].name.as_str()).collect()
}

fn press(picker: &mut Picker, code: KeyCode) -> Option<Option<String>> {
    picker.press(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn write(picker: &mut Picker, text: &str) {
    text.chars().for_each(|letter| assert_eq!(press(picker, KeyCode::Char(letter)), None));
}

fn shown(picker: &Picker) -> String {
    let mut terminal =
        Terminal::new(TestBackend::new(picker.size.0, picker.size.1)).expect("a terminal in memory");
    terminal.draw(|to| picker.draw(to)).expect("draws");
    let buffer = terminal.backend().buffer().clone();
    let rows = buffer.content.chunks(usize::from(buffer.area.width));
    let rows = rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>());
    rows.map(|row| row.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[test]
fn who_waits_comes_first_and_then_what_was_used_last() {
    assert_eq!(names(&picker(None)), ["web", "shop", "blog-api", "blog"]);
    assert_eq!(names(&picker(Some("/srv/blog/posts"))), ["blog", "web", "shop", "blog-api"]);
}

#[test]
fn letters_narrow_it_down_and_enter_opens_the_best() {
    let mut picker = picker(None);
    write(&mut picker, "bl");
    // Equally good: the one that was used last comes first.
    assert_eq!(names(&picker).len(), 2);
    write(&mut picker, "ap");
    assert_eq!(names(&picker), ["blog-api"]);
    assert_eq!(press(&mut picker, KeyCode::Enter), Some(Some("blog-api".to_owned())));
}

#[test]
fn a_frame_is_found_by_its_project_and_its_folder_behind_those_with_such_names() {
    let mut by_project = picker(None);
    write(&mut by_project, "custom");
    assert_eq!(names(&by_project), ["shop"]);
    let mut by_folder = picker(None);
    write(&mut by_folder, "srv web");
    assert_eq!(names(&by_folder), ["web"]);
}

#[test]
fn where_nothing_fits_enter_does_nothing_and_esc_leaves() {
    let mut picker = picker(None);
    write(&mut picker, "zzz");
    assert!(shown(&picker).contains("no frame has these letters"), "{}", shown(&picker));
    assert_eq!(press(&mut picker, KeyCode::Enter), None);
    assert_eq!(press(&mut picker, KeyCode::Down), None);
    assert_eq!(press(&mut picker, KeyCode::Esc), Some(None));
    picker.press(&Event::Key(KeyEvent::new(KeyCode::Char('u'), KeyModifiers::CONTROL)));
    assert_eq!(names(&picker).len(), 4, "all of them again");
}

#[test]
fn arrows_choose_and_what_is_pasted_is_only_letters() {
    let mut picker = picker(None);
    press(&mut picker, KeyCode::Down);
    press(&mut picker, KeyCode::Down);
    press(&mut picker, KeyCode::Up);
    assert_eq!(press(&mut picker, KeyCode::Enter), Some(Some("shop".to_owned())));
    assert_eq!(picker.press(&Event::Paste("we\nb\r".into())), None);
    assert_eq!(text_of(&picker.typed), "we b ");
}

#[test]
fn a_list_of_frames() {
    let mut picker = picker(None);
    picker.size = (72, 9);
    write(&mut picker, "b");
    insta::assert_snapshot!(shown(&picker));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Whatever is pressed in whatever size: it draws, and what is opened is one of the frames.
    #[test]
    fn no_keys_break_it(codes in prop::collection::vec(0u8..30, 0..60), width in 1u16..120, height in 1u16..30) {
        let mut picker = picker(None);
        picker.size = (width, height);
        for code in codes {
            let code = match code {
                0 => KeyCode::Enter, 1 => KeyCode::Up, 2 => KeyCode::Down, 3 => KeyCode::PageUp, 4 => KeyCode::PageDown,
                5 => KeyCode::Backspace, 6 => KeyCode::Tab, 7 => KeyCode::Home,
                other => KeyCode::Char(b"blogapishwe -!^$'\\|/"[usize::from(other) % 20].into()),
            };
            if let Some(end) = press(&mut picker, code) {
                let name = end.expect("no key of these leaves");
                prop_assert!(picker.frames.iter().any(|frame| frame.name == name));
            }
            shown(&picker);
        }
    }
}

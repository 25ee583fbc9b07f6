//! Keys for what lies over the screen.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use mimir_model::wire::approvals::{AnswerApproval, Say};

use crate::app::{App, UNREAD_MS};
use crate::effect::{Change, Effect};
use crate::overlay::{Create, Overlay, Question, Typed, text_of};
use crate::palette;

/// Takes the overlay away; a message that was begun is kept.
pub fn close(app: &mut App) {
    if let Some(Overlay::Compose { frame, typed, .. }) = app.overlay.take() {
        let text = text_of(&typed);
        if !text.trim().is_empty() {
            app.keep_draft(&frame, &text);
        }
    }
}

/// Whether what lies over the screen is about something that is not asked any more.
fn is_settled(app: &App) -> bool {
    match &app.overlay {
        Some(Overlay::Deny { is_settled, .. }) => *is_settled,
        Some(Overlay::Question(question)) => question.is_settled,
        _ => false,
    }
}

/// What is pasted goes where something is typed, and does nothing else.
pub fn paste(app: &mut App, text: &str) {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let one_line = || text.replace('\n', " ");
    match &mut app.overlay {
        Some(Overlay::Compose { typed, .. }) => drop(typed.insert_str(&text)),
        Some(Overlay::Question(Question { own: Some(typed), .. })) => drop(typed.insert_str(&text)),
        Some(Overlay::Palette { typed, at }) => {
            *at = 0;
            typed.insert_str(one_line());
        }
        Some(Overlay::Deny { typed, .. }) => drop(typed.insert_str(one_line())),
        Some(Overlay::Filter(typed)) => {
            typed.insert_str(one_line());
            app.filter = text_of(typed);
        }
        Some(Overlay::Create(form)) => {
            let words = one_line();
            if let Some(typed) = field(form) {
                typed.insert_str(words);
            }
        }
        _ => {}
    }
}

fn field(form: &mut Create) -> Option<&mut Typed> {
    match form.field {
        0 => Some(&mut form.name),
        1 => Some(&mut form.workspace),
        _ => None,
    }
}

/// A key while something lies over the screen.
pub fn on_key(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    if key.code == KeyCode::Esc {
        match &mut app.overlay {
            // One step back only.
            Some(Overlay::Question(question)) if question.own.is_some() && !question.is_settled => {
                question.own = None;
            }
            Some(Overlay::Filter(_)) => {
                app.filter.clear();
                app.overlay = None;
            }
            _ => close(app),
        }
        return Vec::new();
    }
    // Whoever types does not look: the words go nowhere, until Esc.
    if is_settled(app) {
        return Vec::new();
    }
    let Some(overlay) = app.overlay.take() else { return Vec::new() };
    let (left, effects) = match overlay {
        Overlay::Help { from } => help(from, key),
        Overlay::Filter(typed) => filter(app, typed, key),
        Overlay::Palette { typed, at } => command(app, typed, at, key),
        Overlay::Compose { frame, session, typed } => compose(app, frame, session, typed, key),
        Overlay::Deny { approval, about, typed, .. } => deny(approval, about, typed, key),
        Overlay::Question(question) => answer(question, key),
        Overlay::Confirm { text, then, since } => match key.code {
            // A key that is held down asks and answers at once.
            KeyCode::Char('y' | 'Y') if app.now_ms.saturating_sub(since) >= UNREAD_MS => (None, vec![then]),
            KeyCode::Char('n' | 'N' | 'q') => (None, Vec::new()),
            _ => (Some(Overlay::Confirm { text, then, since }), Vec::new()),
        },
        Overlay::Create(form) => create(form, key),
    };
    app.overlay = left;
    effects
}

type Left = (Option<Overlay>, Vec<Effect>);

fn help(from: usize, key: KeyEvent) -> Left {
    let from = match key.code {
        KeyCode::Down | KeyCode::Char('j') => from + 1,
        KeyCode::Up | KeyCode::Char('k') => from.saturating_sub(1),
        KeyCode::PageDown => from + 10,
        KeyCode::PageUp => from.saturating_sub(10),
        _ => return (None, Vec::new()),
    };
    (Some(Overlay::Help { from: from.min(60) }), Vec::new())
}

fn filter(app: &mut App, mut typed: Typed, key: KeyEvent) -> Left {
    if key.code == KeyCode::Enter {
        let effects = match app.frames().first().map(|frame| frame.name.clone()) {
            Some(first) if !app.frames().iter().any(|frame| Some(&frame.name) == app.chosen.as_ref()) => {
                app.choose(Some(first))
            }
            _ => Vec::new(),
        };
        return (None, effects);
    }
    one_line(&mut typed, key);
    app.filter = text_of(&typed);
    (Some(Overlay::Filter(typed)), Vec::new())
}

fn command(app: &App, mut typed: Typed, at: usize, key: KeyEvent) -> Left {
    let words = text_of(&typed);
    let proposals = palette::proposals(&app.commands, &words);
    match key.code {
        KeyCode::Down => {
            let at = (at + 1).min(proposals.len().saturating_sub(1));
            (Some(Overlay::Palette { typed, at }), Vec::new())
        }
        KeyCode::Up => (Some(Overlay::Palette { typed, at: at.saturating_sub(1) }), Vec::new()),
        KeyCode::Tab => {
            let typed = proposals
                .get(at)
                .map_or(typed, |command| crate::overlay::typed(&format!("{} ", command.words)));
            (Some(Overlay::Palette { typed, at: 0 }), Vec::new())
        }
        KeyCode::Enter => match shlex::split(&words) {
            Some(arguments) if !arguments.is_empty() => {
                let is_mimir = arguments.first().is_some_and(|word| word == "mimir");
                let arguments: Vec<String> = arguments.into_iter().skip(usize::from(is_mimir)).collect();
                (None, vec![Effect::StepAside { arguments, wait: true }])
            }
            // A quote that is open.
            _ => (Some(Overlay::Palette { typed, at }), Vec::new()),
        },
        _ => {
            one_line(&mut typed, key);
            (Some(Overlay::Palette { typed, at: 0 }), Vec::new())
        }
    }
}

fn compose(app: &mut App, frame: String, session: Option<String>, mut typed: Typed, key: KeyEvent) -> Left {
    let is_new_line =
        key.modifiers.intersects(KeyModifiers::ALT | KeyModifiers::SHIFT | KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Enter if !is_new_line => {
            let text = text_of(&typed);
            if text.trim().is_empty() {
                return (None, Vec::new());
            }
            app.scroll = 0;
            (None, vec![Effect::Change(Change::Send { frame, session, text })])
        }
        KeyCode::Enter => {
            typed.insert_newline();
            (Some(Overlay::Compose { frame, session, typed }), Vec::new())
        }
        _ => {
            typed.input(key);
            (Some(Overlay::Compose { frame, session, typed }), Vec::new())
        }
    }
}

fn deny(approval: String, about: String, mut typed: Typed, key: KeyEvent) -> Left {
    if key.code == KeyCode::Enter {
        let why = Some(text_of(&typed).trim().to_owned()).filter(|why| !why.is_empty());
        let no = AnswerApproval { decision: Say::Reject, why, answers: Vec::new() };
        return (None, vec![Effect::Change(Change::Answer(approval, no))]);
    }
    one_line(&mut typed, key);
    (Some(Overlay::Deny { approval, about, typed, is_settled: false }), Vec::new())
}

fn answer(mut question: Question, key: KeyEvent) -> Left {
    if let Some(mut own) = question.own.take() {
        let words = text_of(&own);
        if key.code != KeyCode::Enter || words.trim().is_empty() {
            one_line(&mut own, key);
            question.own = Some(own);
            return (Some(Overlay::Question(question)), Vec::new());
        }
        question.say(words.trim().to_owned());
        return next_question(question);
    }
    let last = question.choices().saturating_sub(1);
    match key.code {
        KeyCode::Down | KeyCode::Char('j') => question.cursor = (question.cursor + 1).min(last),
        KeyCode::Up | KeyCode::Char('k') => question.cursor = question.cursor.saturating_sub(1),
        KeyCode::Char(' ') => drop(question.pick(false)),
        KeyCode::Char(digit @ '1'..='9') if usize::from(digit as u8 - b'1') <= last => {
            question.cursor = usize::from(digit as u8 - b'1');
            let several = question.approval.questions.get(question.at).is_some_and(|one| one.multiple);
            if question.pick(!several) {
                return next_question(question);
            }
        }
        KeyCode::Enter if question.pick(true) => return next_question(question),
        _ => {}
    }
    (Some(Overlay::Question(question)), Vec::new())
}

fn next_question(mut question: Question) -> Left {
    if question.go_on() {
        return (Some(Overlay::Question(question)), Vec::new());
    }
    let answer = AnswerApproval { decision: Say::Answer, why: None, answers: question.picked };
    (None, vec![Effect::Change(Change::Answer(question.approval.id, answer))])
}

fn create(mut form: Create, key: KeyEvent) -> Left {
    let networks = Create::NETWORKS.len();
    match key.code {
        KeyCode::Enter => {
            return (None, vec![Effect::StepAside { arguments: form.arguments(), wait: true }]);
        }
        KeyCode::Tab | KeyCode::Down => form.field = (form.field + 1) % Create::FIELDS,
        KeyCode::BackTab | KeyCode::Up => form.field = (form.field + Create::FIELDS - 1) % Create::FIELDS,
        KeyCode::Right | KeyCode::Char(' ') if form.field == 2 => {
            form.network = (form.network + 1) % networks
        }
        KeyCode::Left if form.field == 2 => form.network = (form.network + networks - 1) % networks,
        _ => {
            if let Some(typed) = field(&mut form) {
                one_line(typed, key);
            }
        }
    }
    (Some(Overlay::Create(form)), Vec::new())
}

/// A key for a place of one line.
fn one_line(typed: &mut Typed, key: KeyEvent) {
    let is_line = matches!(key.code, KeyCode::Enter)
        || (key.modifiers.contains(KeyModifiers::CONTROL) && matches!(key.code, KeyCode::Char('m' | 'j')));
    if !is_line {
        typed.input(key);
    }
}

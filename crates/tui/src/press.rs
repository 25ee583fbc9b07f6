//! Keys and the mouse: what each does. What the help shows of them is in [`crate::keys`].

use crossterm::event::{
    Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use mimir_client::FrameVerb;
use mimir_client::told::told;
use mimir_model::approval::RequestForm;
use mimir_model::frame::FrameState;
use mimir_model::run::RunState;
use mimir_model::wire::approvals::{AnswerApproval, Say};

use crate::app::{App, Screen, Tab};
use crate::effect::{Change, Effect};
use crate::overlay::{Create, Overlay, Question, typed};
use crate::typing;
use crate::view::approval;
use crate::view::areas::{Areas, areas};

/// Behind every end; drawing takes it back to what there is.
const FAR: usize = usize::MAX / 2;

/// What is to be done about what the terminal says.
pub fn press(app: &mut App, event: &Event) -> Vec<Effect> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => on_key(app, *key),
        Event::Paste(text) => {
            typing::paste(app, text);
            Vec::new()
        }
        Event::Mouse(mouse) => on_mouse(app, *mouse),
        Event::Resize(columns, rows) => {
            app.size = (*columns, *rows);
            Vec::new()
        }
        _ => Vec::new(),
    }
}

fn on_key(app: &mut App, key: KeyEvent) -> Vec<Effect> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        match key.code {
            KeyCode::Char('c') if app.overlay.is_some() => {
                typing::close(app);
                return Vec::new();
            }
            KeyCode::Char('c') => return vec![Effect::Quit],
            KeyCode::Char('z') => return vec![Effect::Suspend],
            _ => {}
        }
    }
    if app.overlay.is_some() {
        return typing::on_key(app, key);
    }
    if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        return match key.code {
            KeyCode::Char('d') => scroll(app, -half(app)),
            KeyCode::Char('u') => scroll(app, half(app)),
            _ => Vec::new(),
        };
    }
    everywhere(app, key.code).unwrap_or_else(|| match app.screen {
        Screen::Frames => on_frames(app, key.code),
        Screen::Runs => on_runs(app, key.code),
        Screen::Schedules => on_schedules(app, key.code),
        Screen::Money => Vec::new(),
    })
}

fn everywhere(app: &mut App, key: KeyCode) -> Option<Vec<Effect>> {
    Some(match key {
        KeyCode::Char('q') => vec![Effect::Quit],
        KeyCode::Char('?') => over(app, Overlay::Help { from: 0 }),
        KeyCode::Char(':') => over(app, Overlay::Palette { typed: typed(""), at: 0 }),
        KeyCode::Char('/') => {
            let begin = typed(&app.filter);
            to_screen(app, Screen::Frames);
            over(app, Overlay::Filter(begin))
        }
        KeyCode::Char(digit @ '1'..='4') => {
            let at = usize::from(digit as u8 - b'1');
            to_screen(app, Screen::ALL[at])
        }
        KeyCode::Char('w') => to_waiting(app),
        KeyCode::Char('j') | KeyCode::Down => choose(app, Step::By(1)),
        KeyCode::Char('k') | KeyCode::Up => choose(app, Step::By(-1)),
        KeyCode::Char('g') | KeyCode::Home => choose(app, Step::First),
        KeyCode::Char('G') => choose(app, Step::Last),
        KeyCode::PageUp => scroll(app, page(app)),
        KeyCode::PageDown => scroll(app, -page(app)),
        KeyCode::End => {
            app.scroll = if is_from_begin(app) { FAR } else { 0 };
            Vec::new()
        }
        _ => return None,
    })
}

fn over(app: &mut App, overlay: Overlay) -> Vec<Effect> {
    app.overlay = Some(overlay);
    Vec::new()
}

/// Asks first.
fn confirm(app: &mut App, text: String, then: Effect) -> Vec<Effect> {
    let since = app.now_ms;
    over(app, Overlay::Confirm { text, then, since })
}

fn on_frames(app: &mut App, key: KeyCode) -> Vec<Effect> {
    match key {
        KeyCode::Char('c') => {
            let form = Create::new(&app.folder);
            return over(app, Overlay::Create(form));
        }
        KeyCode::Tab | KeyCode::Right | KeyCode::Char('l') => return to_tab(app, 1),
        KeyCode::BackTab | KeyCode::Left | KeyCode::Char('h') => return to_tab(app, Tab::ALL.len() - 1),
        KeyCode::Char('x') => {
            app.unfolded = !app.unfolded;
            return Vec::new();
        }
        _ => {}
    }
    let Some(frame) = app.frame() else { return Vec::new() };
    let (name, state) = (frame.name.clone(), frame.state);
    if !app.is_choice_known() {
        return nothing(app, "another frame was chosen just now, because yours went; press the key again");
    }
    let aside = |words: &[&str], wait| {
        let arguments = words.iter().map(|word| (*word).to_owned()).collect();
        vec![Effect::StepAside { arguments, wait }]
    };
    let verb = |verb| vec![Effect::Change(Change::Verb(name.clone(), verb))];
    match key {
        KeyCode::Enter => aside(&["frame", "attach", &name, "--start"], false),
        KeyCode::Char('e') => aside(&["frame", "attach", &name, "--start", "--window", "shell"], false),
        KeyCode::Char('o') => aside(&["open", &name], true),
        KeyCode::Char('D') => aside(&["frame", "destroy", &name], true),
        KeyCode::Char('S') => verb(FrameVerb::Start),
        KeyCode::Char('X') => verb(FrameVerb::Stop),
        KeyCode::Char('R') => verb(FrameVerb::Restart),
        KeyCode::Char('P') if state == FrameState::Paused => verb(FrameVerb::Resume),
        KeyCode::Char('P') => verb(FrameVerb::Pause),
        KeyCode::Char('s' | 'i') => {
            let session = app.talk.session.as_ref().map(|session| session.id.clone());
            let begin = typed(&app.drafts.remove(&name).unwrap_or_default());
            over(app, Overlay::Compose { frame: name, session, typed: begin })
        }
        KeyCode::Char('b') => match app.talk.session.as_ref().map(|session| session.id.clone()) {
            Some(session) => {
                let then = Effect::Change(Change::Abort { session, frame: name.clone() });
                confirm(app, format!("Stop the turn of {name}?"), then)
            }
            None => nothing(app, "nothing was said to it yet"),
        },
        KeyCode::Char('y') => allow(app, Say::Once),
        KeyCode::Char('A') => allow(app, Say::Always),
        KeyCode::Char('n') => deny(app),
        KeyCode::Char('v') => match app.asked().map(|asked| asked.id.clone()) {
            Some(id) => aside(&["approvals", "show", &id], true),
            None => nothing(app, "nothing is asked here; w goes to who waits for you"),
        },
        _ => Vec::new(),
    }
}

fn allow(app: &mut App, how: Say) -> Vec<Effect> {
    let Some(asked) = app.asked().cloned() else {
        return nothing(app, "nothing is asked here; w goes to who waits for you");
    };
    if !app.was_seen(&asked.id) {
        return nothing(app, "that was asked just now; read it, then press the key again");
    }
    if asked.form == RequestForm::Question {
        return over(app, Overlay::Question(Question::new(asked)));
    }
    let answer = AnswerApproval { decision: how, why: None, answers: Vec::new() };
    let then = Effect::Change(Change::Answer(asked.id.clone(), answer));
    if !approval::is_whole(app, &asked, areas(app).asked) {
        let text = format!(
            "only a part of it is on the screen; v shows all of it ({}).\nAllow it unread?",
            asked.id
        );
        return confirm(app, text, then);
    }
    vec![then]
}

fn deny(app: &mut App) -> Vec<Effect> {
    let Some(asked) = app.asked().cloned() else {
        return nothing(app, "nothing is asked here; w goes to who waits for you");
    };
    over(app, Overlay::Deny { approval: asked.id, about: asked.text, typed: typed(""), is_settled: false })
}

fn nothing(app: &mut App, why: &str) -> Vec<Effect> {
    app.say(why, false);
    Vec::new()
}

fn on_runs(app: &mut App, key: KeyCode) -> Vec<Effect> {
    let Some(run) = app.run() else { return Vec::new() };
    let (id, state, title) = (run.id.clone(), run.state, run.title.clone());
    if !app.is_choice_known() {
        return nothing(app, "another run was chosen just now, because yours went; press the key again");
    }
    match key {
        KeyCode::Char('y') if state == RunState::Held => {
            // What a yes is bound to is read with the run.
            let Some(details) = app.facts.run.as_ref().filter(|details| details.run.id == id) else {
                return nothing(app, "it is being read; press the key again");
            };
            let reason = details.run.reason.as_deref().map(told).unwrap_or_default();
            let subject =
                details.held.as_ref().map(|held| held.subject.clone()).filter(|subject| !subject.is_empty());
            let bound =
                subject.as_ref().map(|subject| format!("\nThe yes is for {subject}.")).unwrap_or_default();
            let text = format!("Let {title} go on? {reason}{bound}");
            confirm(app, text, Effect::Change(Change::ApproveRun(id, subject)))
        }
        KeyCode::Char('y') => nothing(app, "it waits for nobody's yes"),
        KeyCode::Char('C') => {
            let text = format!("Cancel {title}?");
            confirm(app, text, Effect::Change(Change::CancelRun(id)))
        }
        KeyCode::Char('R') => vec![Effect::Change(Change::RetryRun(id))],
        KeyCode::Enter => {
            let arguments = vec!["runs".to_owned(), "show".to_owned(), id];
            vec![Effect::StepAside { arguments, wait: true }]
        }
        _ => Vec::new(),
    }
}

fn on_schedules(app: &mut App, key: KeyCode) -> Vec<Effect> {
    let Some(schedule) = app.schedule() else { return Vec::new() };
    let (name, is_paused) = (schedule.name.clone(), schedule.paused_because.is_some());
    if !app.is_choice_known() {
        return nothing(app, "another schedule was chosen just now, because yours went; press the key again");
    }
    match key {
        KeyCode::Char('r') => {
            let text = format!("Do {name} now?");
            confirm(app, text, Effect::Change(Change::RunSchedule(name)))
        }
        KeyCode::Char('P') if is_paused => vec![Effect::Change(Change::ResumeSchedule(name))],
        KeyCode::Char('P') => vec![Effect::Change(Change::PauseSchedule(name))],
        _ => Vec::new(),
    }
}

fn to_screen(app: &mut App, screen: Screen) -> Vec<Effect> {
    app.screen = screen;
    app.scroll = 0;
    let mut effects: Vec<Effect> = app.follow_log().into_iter().collect();
    effects.extend(app.read_run());
    effects.extend(app.look_again());
    effects
}

fn to_tab(app: &mut App, by: usize) -> Vec<Effect> {
    let at = Tab::ALL.iter().position(|tab| *tab == app.tab).unwrap_or(0);
    set_tab(app, Tab::ALL[(at + by) % Tab::ALL.len()])
}

fn set_tab(app: &mut App, tab: Tab) -> Vec<Effect> {
    app.tab = tab;
    app.scroll = 0;
    let mut effects: Vec<Effect> = app.follow_log().into_iter().collect();
    effects.extend(app.look_again());
    effects
}

/// To the next frame, in the order of the list, whose agent waits.
fn to_waiting(app: &mut App) -> Vec<Effect> {
    let waits = |name: &str| app.facts.asked_by(name).next().is_some();
    let names: Vec<String> = app.facts.frames.iter().map(|frame| frame.name.clone()).collect();
    let at = names.iter().position(|name| Some(name) == app.chosen.as_ref()).map_or(0, |at| at + 1);
    let next =
        (0..names.len()).map(|step| &names[(at + step) % names.len()]).find(|name| waits(name)).cloned();
    let Some(next) = next else { return nothing(app, "no agent waits for you") };
    app.filter.clear();
    let mut effects = to_screen(app, Screen::Frames);
    effects.extend(app.choose(Some(next)));
    effects
}

/// How far.
enum Step {
    By(isize),
    First,
    Last,
    At(usize),
}

fn choose(app: &mut App, step: Step) -> Vec<Effect> {
    let to = |at: usize, count: usize| match step {
        Step::By(by) => at.saturating_add_signed(by).min(count.saturating_sub(1)),
        Step::First => 0,
        Step::Last => count.saturating_sub(1),
        Step::At(at) => at.min(count.saturating_sub(1)),
    };
    match app.screen {
        Screen::Frames => {
            let names: Vec<String> = app.frames().iter().map(|frame| frame.name.clone()).collect();
            let at = names.iter().position(|name| Some(name) == app.chosen.as_ref());
            let next = names.get(at.map_or(0, |at| to(at, names.len()))).cloned();
            app.choose(next)
        }
        Screen::Runs => {
            app.run = to(app.run, app.facts.runs.len());
            app.scroll = 0;
            app.read_run()
        }
        Screen::Schedules => {
            app.schedule = to(app.schedule, app.facts.schedules.len());
            Vec::new()
        }
        Screen::Money => Vec::new(),
    }
}

fn page(app: &App) -> isize {
    isize::try_from(areas(app).body.height.saturating_sub(1)).unwrap_or(1)
}

fn half(app: &App) -> isize {
    page(app) / 2
}

/// Towards the begin with positive lines.
fn scroll(app: &mut App, lines: isize) -> Vec<Effect> {
    // What is read from its begin goes the other way.
    let lines = if is_from_begin(app) { -lines } else { lines };
    app.scroll = app.scroll.saturating_add_signed(lines);
    Vec::new()
}

fn is_from_begin(app: &App) -> bool {
    app.screen != Screen::Frames || app.tab == Tab::About
}

fn on_mouse(app: &mut App, mouse: MouseEvent) -> Vec<Effect> {
    if app.overlay.is_some() {
        return Vec::new();
    }
    let areas = areas(app);
    let place = (mouse.column, mouse.row).into();
    match mouse.kind {
        MouseEventKind::ScrollUp if areas.list.contains(place) => choose(app, Step::By(-1)),
        MouseEventKind::ScrollDown if areas.list.contains(place) => choose(app, Step::By(1)),
        MouseEventKind::ScrollUp => scroll(app, 3),
        MouseEventKind::ScrollDown => scroll(app, -3),
        MouseEventKind::Down(MouseButton::Left) => click(app, &areas, place),
        _ => Vec::new(),
    }
}

fn click(app: &mut App, areas: &Areas, place: ratatui::layout::Position) -> Vec<Effect> {
    if let Some((_, screen)) = areas.screens.iter().find(|(area, _)| area.contains(place)) {
        return to_screen(app, *screen);
    }
    if let Some((_, tab)) = areas.tabs.iter().find(|(area, _)| area.contains(place)) {
        return set_tab(app, *tab);
    }
    if areas.list.contains(place) {
        let at = areas.first + usize::from(place.y - areas.list.y);
        if at < areas.count {
            return choose(app, Step::At(at));
        }
    }
    Vec::new()
}

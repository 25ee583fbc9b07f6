//! The command lines of tmux, as they are run inside a frame. Pure.

use tmux_interface::{
    ClientFlags, HasSession, KillSession, ListSessions, ListWindows, NewSession, SelectWindow, TmuxCommand,
};

use super::{TerminalRequest, View};
use crate::model::container::inside;

/// The session that the frame's supervisor keeps. `=` asks for exactly that name.
const MAIN: &str = "=main";
/// The same as a group to join.
const MAIN_GROUP: &str = "main";

/// The beginning of the name of every viewer's session.
pub(super) const VIEW_PREFIX: &str = "view-";

/// One command line from several tmux commands; the first that fails ends it.
fn line(commands: Vec<TmuxCommand<'_>>) -> Vec<String> {
    // -u: the container's locale is UTF-8, and so is every terminal that matters.
    let mut argv: Vec<String> = ["tmux", "-u", "-S", inside::TMUX_SOCKET].map(str::to_owned).into();
    for (at, command) in commands.iter().enumerate() {
        if at > 0 {
            argv.push(";".into());
        }
        argv.extend(command.to_vec().into_iter().map(|word| one_word(&word)));
    }
    argv
}

/// tmux ends a command at a word that ends in `;`, unless that is escaped.
fn one_word(word: &str) -> String {
    word.strip_suffix(';').map_or_else(|| word.to_owned(), |rest| format!(r"{rest}\;"))
}

/// Whether the frame's session is there.
pub(super) fn has_main() -> Vec<String> {
    line(vec![HasSession::new().target_session(MAIN).build()])
}

/// Names and numbers of the frame's windows, one a line: `1 agent`.
pub(super) fn list_windows() -> Vec<String> {
    line(vec![ListWindows::new().target_session(MAIN).format("#{window_index} #{window_name}").build()])
}

/// Names of all sessions, one a line.
pub(super) fn list_sessions() -> Vec<String> {
    line(vec![ListSessions::new().format("#{session_name}").build()])
}

/// Ends sessions. One that is gone already does not keep the others.
pub(super) fn kill_session(name: &str) -> Vec<String> {
    line(vec![KillSession::new().target_session(format!("={name}")).build()])
}

/// A viewer's own session: the same windows as main, its own current window and size. Whoever opened it ends it.
///
/// Not `destroy-unattached`, which would end it by itself: tmux 3.3 dies (a segmentation fault, and all windows with
/// it) when the end of any other client makes it destroy the session of a viewer who is just leaving.
pub(super) fn view(view: &View, request: &TerminalRequest) -> Vec<String> {
    let mut session = NewSession::new().group_name(MAIN_GROUP).session_name(view.name());
    if request.read_only {
        // Somebody who only looks must not shrink what the others see either.
        session = session.flags(ClientFlags {
            read_only: Some(true),
            ignore_size: Some(true),
            active_pane: None,
            no_output: None,
            pause_after: None,
            wait_exit: None,
        });
    }
    let mut commands = vec![
        // Without it, joining a group that is not there would make one.
        HasSession::new().target_session(MAIN).build(),
        session.build(),
    ];
    if let Some(window) = &request.window {
        let target = format!("={}:{}", view.name(), exact_window(window));
        commands.push(SelectWindow::new().target_window(target).build());
    }
    line(commands)
}

/// `1` is the window with that number, everything else exactly that name.
fn exact_window(window: &str) -> String {
    if window.bytes().all(|b| b.is_ascii_digit()) { window.to_owned() } else { format!("={window}") }
}

/// Whether the supervisor inside makes this window anew when somebody closes it.
pub(super) fn is_kept(window: &str) -> bool {
    matches!(window, "agent" | "shell")
}

/// Whether `window` is one of those listed by [`list_windows`].
pub(super) fn is_listed(windows: &str, window: &str) -> bool {
    windows
        .lines()
        .filter_map(|line| line.split_once(' '))
        .any(|(number, name)| number == window || name == window)
}

/// Terminals that the frame image knows. What it does not know is treated as the one that all of them can be.
pub(super) fn known_term(wanted: Option<&str>) -> &str {
    const KNOWN: &[&str] = &[
        "xterm",
        "xterm-256color",
        "xterm-color",
        "screen",
        "screen-256color",
        "tmux",
        "tmux-256color",
        "linux",
        "vt100",
        "vt220",
        "rxvt",
    ];
    wanted.filter(|term| KNOWN.contains(term)).unwrap_or("xterm-256color")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(window: Option<&str>, read_only: bool) -> TerminalRequest {
        TerminalRequest { columns: 80, rows: 24, window: window.map(str::to_owned), read_only, term: None }
    }

    #[test]
    fn a_view_is_a_session_of_its_own_that_tmux_does_not_end_by_itself() {
        let argv = view(&View::new([0xab, 1, 2, 3]), &request(None, false)).join(" ");
        assert_eq!(
            argv,
            "tmux -u -S /run/frame/tmux.sock has-session -t =main \
             ; new-session -s view-ab010203 -t main"
        );
    }

    #[test]
    fn a_reader_touches_nothing_and_a_window_is_meant_exactly() {
        let argv = view(&View::new([0; 4]), &request(Some("shell"), true)).join(" ");
        assert!(argv.contains("-f ignore-size,read-only"), "{argv}");
        assert!(argv.ends_with("; select-window -t =view-00000000:=shell"), "{argv}");
        let by_number = view(&View::new([0; 4]), &request(Some("2"), false)).join(" ");
        assert!(by_number.ends_with("select-window -t =view-00000000:2"), "{by_number}");
    }

    #[test]
    fn a_window_whose_name_ends_a_command_ends_none() {
        let argv = view(&View::new([0; 4]), &request(Some("x;"), false));
        assert_eq!(argv.last().map(String::as_str), Some(r"=view-00000000:=x\;"));
        assert_eq!(argv.iter().filter(|word| *word == ";").count(), 2, "{argv:?}");
    }

    #[test]
    fn windows_are_found_by_number_and_by_name() {
        let windows = "1 agent\n2 shell\n3 my build\n";
        for there in ["1", "agent", "shell", "my build"] {
            assert!(is_listed(windows, there), "{there}");
        }
        for not_there in ["4", "age", "", "build"] {
            assert!(!is_listed(windows, not_there), "{not_there}");
        }
    }

    #[test]
    fn a_terminal_the_image_does_not_know_does_not_stop_the_client() {
        assert_eq!(known_term(Some("xterm-kitty")), "xterm-256color");
        assert_eq!(known_term(Some("screen-256color")), "screen-256color");
        assert_eq!(known_term(None), "xterm-256color");
    }
}

//! What people type who know other tools: what it is called here, and words that are taken as they come. Pure.

use std::ffi::OsString;

/// Options of ours that may stand before the command.
const SWITCHES: &[&str] = &[
    "-t",
    "-i",
    "-it",
    "-ti",
    "-q",
    "--tty",
    "--interactive",
    "--start",
    "--json",
    "--quiet",
    "--help",
    "-h",
];

/// What `exec` is told of words that nobody put a `--` before: whether the first is a frame's name only the gateway knows.
pub const AS_TYPED: &str = "--as-typed";

/// `mimir exec NAME ls -l` and `mimir exec ls -l` with the `--` that nobody types: what stands behind it belongs to the
/// command, whatever it looks like.
#[must_use]
pub fn with_dashes(arguments: Vec<OsString>) -> Vec<OsString> {
    let word = |at: usize| arguments.get(at).and_then(|word| word.to_str()).unwrap_or_default();
    let first = after_options(&arguments, 1);
    let exec = match word(first) {
        "exec" => first,
        "frame" | "frames" => after_options(&arguments, first + 1),
        _ => return arguments,
    };
    if word(exec) != "exec" {
        return arguments;
    }
    let words = after_options(&arguments, exec + 1);
    // An option that is none of ours is not taken for the command, and `--` says itself where that begins.
    if words >= arguments.len() || word(words).starts_with('-') {
        return arguments;
    }
    let behind_name = after_options(&arguments, words + 1);
    if word(behind_name) == "--" {
        return arguments;
    }
    let (ours, theirs) = arguments.split_at(words);
    [ours, &[OsString::from(AS_TYPED), OsString::from("--")], theirs].concat()
}

/// What `exec` is to do, of words as they were typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// The frame, if the first word names one.
    pub name: Option<String>,
    /// Options of ours behind that name.
    pub options: Vec<String>,
    /// The command.
    pub command: Vec<String>,
}

/// Takes words apart that nobody put a `--` before.
#[must_use]
pub fn as_typed(words: &[String], is_frame: impl Fn(&str) -> bool) -> Typed {
    let (name, rest) = match words.split_first() {
        Some((first, rest)) if is_frame(first) => (Some(first.clone()), rest),
        _ => (None, words),
    };
    let is_ours = |word: &&String| {
        ["-t", "-i", "-it", "-ti", "--tty", "--interactive", "--start"].contains(&word.as_str())
    };
    let count = if name.is_some() { rest.iter().take_while(is_ours).count() } else { 0 };
    let (options, command) = rest.split_at(count);
    Typed { name, options: options.to_vec(), command: command.to_vec() }
}

/// The place of the first word from there on that is no option of ours.
fn after_options(arguments: &[OsString], from: usize) -> usize {
    let mut at = from;
    while let Some(word) = arguments.get(at).and_then(|word| word.to_str()) {
        match word {
            "--color" => at += 2,
            word if SWITCHES.contains(&word) || word.starts_with("--color=") => at += 1,
            _ => break,
        }
    }
    at.min(arguments.len())
}

/// What a verb of another tool is called here: the command, and what it does.
///
/// Whoever types it gets this instead of the words that look most like it.
#[must_use]
pub fn instead(noun: Option<&str>, verb: &str) -> Option<&'static str> {
    let found = match (noun, verb) {
        (None, "run") => {
            "`mimir frame create` makes a frame, `mimir send \"…\"` asks its agent, `mimir exec NAME COMMAND` runs a command in it"
        }
        (Some("frame"), "run") => {
            "`mimir frame create` makes a frame and starts it, `mimir frame exec NAME COMMAND` runs a command in it"
        }
        (None | Some("frame"), "shell" | "sh" | "bash" | "ssh" | "enter" | "console" | "terminal") => {
            "`mimir frame attach NAME --window shell` is the frame's shell, `mimir exec -it NAME bash` another one"
        }
        (None | Some("frame"), "kill") => {
            "`mimir frame stop NAME` stops a frame, `mimir sessions abort last` what its agent does"
        }
        (None | Some("frame"), "new" | "up" | "add" | "make" | "launch") | (None, "create") => {
            "`mimir frame create` makes a frame for this folder and starts it"
        }
        (None | Some("frame"), "down" | "halt" | "shutdown") => {
            "`mimir frame stop NAME` stops a frame, `mimir serve --stop` the gateway"
        }
        (None, "destroy" | "delete" | "remove") => {
            "`mimir rm NAME` removes a frame; the project's folder stays"
        }
        (None, "inspect" | "show" | "describe" | "info") => {
            "`mimir frame show NAME` says everything about a frame, `mimir status` about the gateway"
        }
        (None | Some("frame"), "top") | (None, "stats") => "`mimir frame stats` shows what frames use",
        (None, "port" | "ports") | (Some("frame"), "port") => {
            "`mimir frame ports NAME` says what listens inside, `mimir frame show NAME` which ports lead there"
        }
        (None, "events") => "`mimir frame events NAME` tells what happened to a frame",
        (None, "unpause" | "move" | "gc" | "disconnect") => {
            "it is a verb of frames: `mimir frame pause|resume|move|gc|disconnect`"
        }
        (None | Some("frame"), "prune" | "clean" | "cleanup") => {
            "`mimir frame gc` removes what is left over from frames that are gone"
        }
        (None | Some("frame"), "cp" | "copy") | (Some("frame"), "push") => {
            "nothing has to be copied: the frame works in the project's own folder"
        }
        (None, "build" | "pull") => "`mimir image build` builds the image that frames are made from",
        (None, "ask" | "chat" | "prompt" | "message" | "msg" | "tell") => "`mimir send \"…\"` asks the agent",
        (None, "history" | "log" | "conversations") => {
            "`mimir sessions list` shows conversations, `mimir frame logs NAME` what a frame prints"
        }
        (None, "search" | "find" | "grep") => "`mimir sessions search WORDS` finds what was said",
        (None, "approve" | "allow" | "deny" | "answer") => {
            "`mimir approvals list` shows what waits, `mimir approvals allow|deny|answer` answers it"
        }
        (None, "cancel" | "abort") => {
            "`mimir queue cancel ID` takes a message back, `mimir sessions abort last` stops what runs"
        }
        (None, "login" | "auth" | "key" | "keys") => {
            "`mimir config set providers.anthropic.key --stdin` keeps the key of a provider"
        }
        (None, "settings" | "set" | "get") => {
            "`mimir config show` lists all settings, `mimir config set KEY VALUE` changes one"
        }
        (None, "daemon" | "server" | "gateway") => {
            "`mimir serve --detach` runs the gateway; any command that needs one starts it"
        }
        (None, "restore") => "`mimir backup restore` puts a copy of the database back",
        _ => return None,
    };
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> String {
        let words = with_dashes(line.split(' ').map(OsString::from).collect());
        words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_command_needs_no_dashes_before_it() {
        for (given, wanted) in [
            ("mimir exec blog ls -la", "mimir exec --as-typed -- blog ls -la"),
            ("mimir frame exec blog ls -la", "mimir frame exec --as-typed -- blog ls -la"),
            ("mimir --json frame exec blog ls", "mimir --json frame exec --as-typed -- blog ls"),
            ("mimir exec -it blog bash", "mimir exec -it --as-typed -- blog bash"),
            ("mimir exec -i -t blog sh -c x", "mimir exec -i -t --as-typed -- blog sh -c x"),
            ("mimir exec --color never blog git x", "mimir exec --color never --as-typed -- blog git x"),
            // The frame of this folder, maybe.
            ("mimir exec ls -la", "mimir exec --as-typed -- ls -la"),
            ("mimir exec ls", "mimir exec --as-typed -- ls"),
            ("mimir exec ./run --help", "mimir exec --as-typed -- ./run --help"),
            // A `--` of the command's own.
            ("mimir exec blog git -- x", "mimir exec --as-typed -- blog git -- x"),
            // As it was written before, with the dashes.
            ("mimir exec blog -- ls -la", "mimir exec blog -- ls -la"),
            ("mimir frame exec blog --tty -- sh", "mimir frame exec blog --tty -- sh"),
            ("mimir exec -- ls -la", "mimir exec -- ls -la"),
            ("mimir exec -it -- bash", "mimir exec -it -- bash"),
            // Nothing to run, and options that are none.
            ("mimir exec", "mimir exec"),
            ("mimir exec --help", "mimir exec --help"),
            ("mimir exec --unknown blog ls", "mimir exec --unknown blog ls"),
            // Other commands.
            ("mimir send exec blog ls", "mimir send exec blog ls"),
            ("mimir frame logs exec ls", "mimir frame logs exec ls"),
            ("mimir", "mimir"),
        ] {
            assert_eq!(typed(given), wanted);
        }
    }

    #[test]
    fn the_first_word_is_a_frame_when_there_is_one_of_that_name() {
        let taken = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let typed = as_typed(&words, |word| word == "blog");
            (typed.name.unwrap_or_default(), typed.options.join(" "), typed.command.join(" "))
        };
        let wanted = |name: &str, options: &str, command: &str| {
            (name.to_owned(), options.to_owned(), command.to_owned())
        };
        assert_eq!(taken("blog ls -la"), wanted("blog", "", "ls -la"));
        assert_eq!(taken("ls -la"), wanted("", "", "ls -la"));
        assert_eq!(taken("ls -t blog"), wanted("", "", "ls -t blog"), "the command's own options");
        assert_eq!(taken("blog --tty -i sh -i"), wanted("blog", "--tty -i", "sh -i"));
        assert_eq!(taken("blog"), wanted("blog", "", ""));
        assert_eq!(taken("blog git -- x"), wanted("blog", "", "git -- x"));
    }

    #[test]
    fn verbs_of_other_tools_have_a_name_here_and_our_own_are_not_among_them() {
        for verb in ["run", "shell", "kill", "inspect", "build", "up", "down", "prune", "chat", "login"] {
            assert!(instead(None, verb).is_some(), "{verb}");
        }
        for verb in ["run", "shell", "kill", "prune", "cp"] {
            assert!(instead(Some("frame"), verb).is_some(), "{verb}");
        }
        let grammar = crate::cli::command();
        let names = |command: &clap::Command| -> Vec<String> {
            let all = command.get_subcommands().flat_map(|sub| sub.get_name_and_visible_aliases());
            all.map(str::to_owned).collect()
        };
        for verb in names(&grammar) {
            assert_eq!(instead(None, &verb), None, "{verb} is ours");
        }
        let frame = grammar.find_subcommand("frame").expect("frames");
        for verb in names(frame) {
            assert_eq!(instead(Some("frame"), &verb), None, "{verb} is ours");
        }
    }
}

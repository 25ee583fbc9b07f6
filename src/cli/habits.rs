//! What people type who know other tools: what it is called here, and words that are taken as they come. Pure.

use std::ffi::OsString;

/// Options of ours that may stand between `exec`, the frame's name and the command.
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

/// `mimir exec NAME ls -l` with the `--` that nobody types: what stands behind it belongs to the command.
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
    let name = after_options(&arguments, exec + 1);
    let command = after_options(&arguments, name + 1);
    // No name and no command, or somebody typed it: then it stands where it should.
    if command >= arguments.len() || word(name).starts_with('-') || word(command) == "--" {
        return arguments;
    }
    // An option that is none of ours is not taken for the command.
    if word(command).starts_with('-') {
        return arguments;
    }
    let (ours, theirs) = arguments.split_at(command);
    [ours, &[OsString::from("--")], theirs].concat()
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
        (None | Some("frame"), "port" | "ports") => "`mimir frame show NAME` says which ports a frame has",
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
        (None, "model" | "models") => {
            "`mimir send --model PROVIDER/MODEL`, or `mimir config set opencode.default_model PROVIDER/MODEL`"
        }
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
            ("mimir exec blog ls -la", "mimir exec blog -- ls -la"),
            ("mimir frame exec blog ls -la", "mimir frame exec blog -- ls -la"),
            ("mimir --json frame exec blog ls", "mimir --json frame exec blog -- ls"),
            ("mimir exec -it blog bash", "mimir exec -it blog -- bash"),
            ("mimir exec -i -t blog sh -c x", "mimir exec -i -t blog -- sh -c x"),
            ("mimir exec blog --tty sh", "mimir exec blog --tty -- sh"),
            ("mimir exec --color never blog git -- x", "mimir exec --color never blog -- git -- x"),
            // As it was written before, with the dashes.
            ("mimir exec blog -- ls -la", "mimir exec blog -- ls -la"),
            ("mimir frame exec blog --tty -- sh", "mimir frame exec blog --tty -- sh"),
            // The frame of this folder.
            ("mimir exec -- ls -la", "mimir exec -- ls -la"),
            ("mimir exec -it -- bash", "mimir exec -it -- bash"),
            // Nothing to run, and options that are none.
            ("mimir exec blog", "mimir exec blog"),
            ("mimir exec", "mimir exec"),
            ("mimir exec blog --unknown ls", "mimir exec blog --unknown ls"),
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

//! `mimir open`

use std::io::IsTerminal;
use std::process::Stdio;
use std::time::Duration;

use clap::{Args, ValueEnum};
use mimir_tui::{Picking, UiError};
use tokio::process::Command;
use tokio::time::timeout;

use super::{guake, ui};
use crate::cli::context::{Context, own_program};
use crate::cli::exit::{DONE, Failure, INTERRUPTED, Outcome, usage};
use crate::cli::json::{Opened, Printed};
use crate::cli::{here, names};
use crate::client::GatewayClient;
use crate::model::names::FrameName;
use crate::model::shell::quoted;
use crate::wire::problem::Problem;

/// In which option of a window tmux keeps the frame that it was made for.
const FRAME_OPTION: &str = "@mimir_frame";
/// A terminal program answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// Open a frame's terminal in a tab of the terminal program you use
#[derive(Debug, Args)]
pub struct OpenArgs {
    /// Which frame; the one of this folder when absent, or one that you pick
    #[arg(value_parser = FrameName::parse, add = names::frames())]
    name: Option<FrameName>,
    /// Pick it from a list, in any folder
    #[arg(long, conflicts_with = "name")]
    pick: bool,
    /// Which terminal program
    #[arg(
        long,
        value_name = "auto|guake|kitty|wezterm|gnome|tmux",
        default_value = "auto",
        hide_possible_values = true,
        hide_default_value = true
    )]
    terminal: TerminalProgram,
    /// Which window: agent, shell or a number
    #[arg(long, short)]
    window: Option<String>,
    /// Print the command instead of running it
    #[arg(long)]
    print: bool,
}

/// Terminal programs that can be asked for a tab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TerminalProgram {
    /// The one that we are in, or else one that is there
    Auto,
    /// A tab of Guake
    Guake,
    /// A tab of kitty
    Kitty,
    /// A tab of `WezTerm`
    Wezterm,
    /// A tab of GNOME Terminal
    Gnome,
    /// A window of the tmux we are in
    Tmux,
}

pub async fn run(args: &OpenArgs, context: &Context) -> Outcome {
    let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let chosen = choose(args.terminal, &env, &is_installed)?;
    let (name, id) = match &args.name {
        // What is printed needs no gateway.
        Some(name) if args.print => (name.to_string(), None),
        name => {
            let gateway = context.gateway().await?;
            let name = match name {
                Some(name) => name.to_string(),
                None => match which(&gateway, args.pick, context).await? {
                    Picked::Frame(name) => name,
                    Picked::Ended(error) => return ui::ended(error),
                    Picked::Nothing => return Ok(INTERRUPTED),
                },
            };
            // A tab that closes at once with an error would be a poor answer to a typing mistake.
            let id = gateway.frame(&name).await?.summary.id;
            (name, Some(id))
        }
    };
    let ours = own_program().map_or_else(|_| "mimir".to_owned(), |path| path.display().to_string());
    let attach = attach_command(&ours, &name, args, &env);
    let command = command_line(chosen, &name, id.as_deref(), &attach);
    if args.print {
        let command = command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
        if context.out.json {
            context.out.document(&Opened::Printed(Printed { command }))?;
        } else {
            context.out.line(command)?;
        }
        return Ok(DONE);
    }
    let has_screen = env("DISPLAY").is_some() || env("WAYLAND_DISPLAY").is_some();
    let again = match chosen {
        TerminalProgram::Guake => {
            let kept = context.paths.runtime().join("guake").join(id.as_deref().unwrap_or(&name));
            guake::open(&name, &one_line(&attach), has_screen, &kept).await?
        }
        TerminalProgram::Gnome if !has_screen => return Err(guake::no_screen("GNOME Terminal")),
        TerminalProgram::Tmux if shown_again(id.as_deref()).await => true,
        _ => {
            start(&command).await?;
            false
        }
    };
    if context.out.json {
        let terminal = chosen.to_possible_value().map(|value| value.get_name().to_owned());
        context.out.document(&Opened::Tab { frame: name, terminal: terminal.unwrap_or_default(), again })?;
    } else if again {
        context.out.say(format!(
            "showed the tab {name} that was there; if it shows a plain shell: `mimir frame attach {name}`"
        ));
    } else {
        context.out.say(format!("opened {name} in {}", word(chosen)));
    }
    Ok(DONE)
}

/// What somebody wants opened.
enum Picked {
    Frame(String),
    /// They left.
    Nothing,
    /// Something else ended it.
    Ended(UiError),
}

/// The frame of this folder; where that does not tell, or a list is asked for, the one that somebody picks at the terminal.
async fn which(gateway: &GatewayClient, is_asked_for: bool, context: &Context) -> Result<Picked, Failure> {
    let command = |name: &str| format!("mimir open {name}");
    let can_pick = !context.out.json && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if is_asked_for && !can_pick {
        return Err(usage("a frame is picked at a terminal, and this is none")
            .hint("say which: `mimir open NAME`; `mimir frame list` shows them")
            .into());
    }
    if !is_asked_for {
        match here::frame(gateway, None, &command, context).await {
            Ok(name) => return Ok(Picked::Frame(name)),
            // The folder does not tell; whatever else is wrong would be so for a list, too.
            Err(unclear) if can_pick && unclear.problem.status == 400 => {}
            Err(failure) => return Err(failure),
        }
    }
    let frames = gateway.frames().await?;
    let here = here::current();
    if frames.is_empty() {
        return here::of_folder(&frames, &here, &command).map(Picked::Frame);
    }
    let here = context.elsewhere.is_none().then(|| here.display().to_string());
    let (color, look) = (context.out.paint.is_on(), ui::look(context));
    let picking = Picking { frames, here, color, look, now_ms: context.clock.now_ms() };
    Ok(match mimir_tui::pick(picking).await {
        Ok(Some(name)) => Picked::Frame(name),
        Ok(None) => Picked::Nothing,
        Err(error) => Picked::Ended(error),
    })
}

/// Selects the window that was made for the frame of that id, if tmux has one: a window's name is whatever anybody
/// calls it.
async fn shown_again(id: Option<&str>) -> bool {
    let Some(id) = id else { return false };
    let listed = tmux(&["list-windows", "-F", &format!("#{{window_id}} #{{{FRAME_OPTION}}}")]).await;
    let window = listed.iter().flat_map(|text| text.lines()).find_map(|line| {
        let (window, frame) = line.split_once(' ')?;
        (frame == id).then_some(window)
    });
    match window {
        Some(window) => tmux(&["select-window", "-t", window]).await.is_some(),
        None => false,
    }
}

/// What the tmux around us answers.
async fn tmux(words: &[&str]) -> Option<String> {
    let asked = Command::new("tmux").args(words).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(PATIENCE, asked).await.ok()?.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What runs in the tab; `--start` because a tab is where somebody wants to work. A terminal program has an environment of
/// its own: without ours, the tab would begin another gateway in another home.
fn attach_command(
    ours: &str,
    name: &str,
    args: &OpenArgs,
    env: &dyn Fn(&str) -> Option<String>,
) -> Vec<String> {
    let meant = |name: &&str| Some(format!("{name}={}", env(name)?));
    let known: Vec<String> = ["MIMIR_HOME", "MIMIR_URL"].iter().filter_map(meant).collect();
    let mut command = match known.is_empty() {
        true => Vec::new(),
        false => [vec!["env".to_owned()], known].concat(),
    };
    command.extend([ours, "frame", "attach", name, "--start"].map(str::to_owned));
    if let Some(window) = &args.window {
        command.extend(["--window".to_owned(), window.clone()]);
    }
    command
}

fn choose(
    wanted: TerminalProgram,
    env: &dyn Fn(&str) -> Option<String>,
    installed: &dyn Fn(&str) -> bool,
) -> Result<TerminalProgram, Failure> {
    use TerminalProgram::{Auto, Gnome, Guake, Kitty, Tmux, Wezterm};
    if wanted == Tmux && env("TMUX").is_none() {
        return Err(usage("this is not inside tmux")
            .hint("run it in a tmux window, or choose another `--terminal`")
            .into());
    }
    if wanted != Auto {
        return if installed(program(wanted)) { Ok(wanted) } else { Err(not_installed(wanted)) };
    }
    // The one that we are in comes first; tmux before the terminal around it.
    let inside = [
        ("TMUX", Tmux),
        ("KITTY_WINDOW_ID", Kitty),
        ("WEZTERM_PANE", Wezterm),
        ("GUAKE_TAB_UUID", Guake),
        ("GNOME_TERMINAL_SCREEN", Gnome),
    ];
    let here =
        inside.into_iter().find(|(name, terminal)| env(name).is_some() && installed(program(*terminal)));
    if let Some((_, terminal)) = here {
        return Ok(terminal);
    }
    let has_screen = env("DISPLAY").is_some() || env("WAYLAND_DISPLAY").is_some();
    [Guake, Wezterm, Gnome, Kitty]
        .into_iter()
        .find(|terminal| has_screen && installed(program(*terminal)))
        .ok_or_else(|| {
            Problem::new(404, "terminal.not_found", "there is no terminal program that could open a tab")
                .detail("looked for tmux around us, and for guake, wezterm, gnome-terminal and kitty")
                .hint("`mimir frame attach NAME` uses the terminal you are in")
                .into()
        })
}

fn not_installed(terminal: TerminalProgram) -> Failure {
    Problem::new(404, "terminal.not_found", format!("`{}` is not installed", program(terminal)))
        .hint("choose another `--terminal`, or use `mimir frame attach NAME` here")
        .into()
}

fn program(terminal: TerminalProgram) -> &'static str {
    match terminal {
        TerminalProgram::Auto | TerminalProgram::Tmux => "tmux",
        TerminalProgram::Guake => "guake",
        TerminalProgram::Kitty => "kitty",
        TerminalProgram::Wezterm => "wezterm",
        TerminalProgram::Gnome => "gnome-terminal",
    }
}

fn word(terminal: TerminalProgram) -> &'static str {
    match terminal {
        TerminalProgram::Auto | TerminalProgram::Tmux => "a tmux window",
        TerminalProgram::Guake => "a Guake tab",
        TerminalProgram::Kitty => "a kitty tab",
        TerminalProgram::Wezterm => "a WezTerm tab",
        TerminalProgram::Gnome => "a GNOME Terminal tab",
    }
}

/// The host's own terminal program is asked to run `mimir frame attach`; nothing of the
/// host ever connects to a terminal server inside a frame.
fn command_line(terminal: TerminalProgram, name: &str, id: Option<&str>, attach: &[String]) -> Vec<String> {
    let one = one_line(attach);
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    match terminal {
        TerminalProgram::Auto | TerminalProgram::Tmux => {
            let mut command = words(&["tmux", "new-window", "-n", name]);
            command.push(one);
            if let Some(id) = id {
                // In one go: the new window is the current one for what follows.
                command.extend(words(&[";", "set-option", "-w", FRAME_OPTION, id]));
            }
            command
        }
        TerminalProgram::Guake => {
            // It makes a tab by itself for a command.
            let mut command = words(&["guake", "--show"]);
            command.push(format!("--execute-command={one}{}", guake::THEN_CLOSE));
            command.push(format!("--rename-current-tab={name}"));
            command
        }
        TerminalProgram::Kitty => {
            let start = words(&["kitty", "@", "launch", "--type=tab", "--tab-title", name]);
            [start, attach.to_vec()].concat()
        }
        TerminalProgram::Wezterm => [words(&["wezterm", "cli", "spawn", "--"]), attach.to_vec()].concat(),
        TerminalProgram::Gnome => {
            let start = words(&["gnome-terminal", "--tab", "--title", name, "--"]);
            [start, attach.to_vec()].concat()
        }
    }
}

fn one_line(words: &[String]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

async fn start(command: &[String]) -> Result<(), Failure> {
    let failed = |why: String| {
        Problem::new(502, "terminal.refused", format!("{} did not open a tab", command[0]))
            .detail(why)
            .hint("choose another `--terminal`, or use `mimir frame attach NAME` here")
    };
    let child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(false)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    match timeout(PATIENCE, child.wait_with_output()).await {
        // A program that stays is the terminal itself.
        Err(_) => Ok(()),
        Ok(Err(error)) => Err(failed(error.to_string()).into()),
        Ok(Ok(output)) if output.status.success() => Ok(()),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim();
            Err(failed(if said.is_empty() { output.status.to_string() } else { said.to_owned() }).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(set: &[&str], there: &[&str]) -> Result<TerminalProgram, u16> {
        let env = |name: &str| set.contains(&name).then(|| "x".to_owned());
        let installed = |name: &str| there.contains(&name);
        choose(TerminalProgram::Auto, &env, &installed).map_err(|failure| failure.problem.status)
    }

    #[test]
    fn the_terminal_we_are_in_is_used() {
        let all = ["tmux", "guake", "kitty", "wezterm", "gnome-terminal"];
        assert_eq!(chosen(&["TMUX", "KITTY_WINDOW_ID", "DISPLAY"], &all), Ok(TerminalProgram::Tmux));
        assert_eq!(chosen(&["KITTY_WINDOW_ID"], &all), Ok(TerminalProgram::Kitty));
        assert_eq!(chosen(&["WEZTERM_PANE"], &all), Ok(TerminalProgram::Wezterm));
        assert_eq!(chosen(&["GNOME_TERMINAL_SCREEN"], &all), Ok(TerminalProgram::Gnome));
        assert_eq!(chosen(&["DISPLAY"], &["gnome-terminal"]), Ok(TerminalProgram::Gnome));
        assert_eq!(chosen(&[], &all), Err(404), "no screen, no tab");
        assert_eq!(chosen(&["DISPLAY"], &[]), Err(404));
    }

    #[test]
    fn every_terminal_runs_attach_and_nothing_else() {
        let attach: Vec<String> =
            ["/opt/my tools/mimir", "frame", "attach", "blog", "--start"].map(str::to_owned).to_vec();
        for terminal in [
            TerminalProgram::Tmux,
            TerminalProgram::Guake,
            TerminalProgram::Kitty,
            TerminalProgram::Wezterm,
            TerminalProgram::Gnome,
        ] {
            let line = command_line(terminal, "blog", Some("frm_1"), &attach).join("\u{1f}");
            let whole = "'/opt/my tools/mimir' frame attach blog --start";
            assert!(line.contains(whole) || line.contains(&attach.join("\u{1f}")), "{line}");
        }
    }
}

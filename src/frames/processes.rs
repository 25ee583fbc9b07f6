//! What runs inside a frame, read from the kernel's own list. Pure but for the one command that reads it.
//!
//! A process inside can call itself whatever it likes, so this decides about the frame's own comfort (its memory,
//! whether it may be stopped while nobody looks) and about nothing that protects anybody.

use std::collections::BTreeMap;

use crate::runtime::ExecSpec;

/// Prints its own process id and a line per process.
const LIST: &str = "echo $$; exec cat /proc/[0-9]*/stat 2>/dev/null";
const PAGE_BYTES: u64 = 4096;
/// What the kernel calls a tick; the same on every machine that Debian runs on.
const MS_PER_TICK: u64 = 10;

/// The command whose output [`Processes::parse`] reads.
pub(super) fn list_command() -> ExecSpec {
    ExecSpec { deadline: Some(std::time::Duration::from_secs(5)), ..ExecSpec::new(["sh", "-c", LIST]) }
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id inside.
    pub pid: u32,
    /// Its name as the kernel keeps it: 15 characters at most.
    pub name: String,
    /// Whether it is stopped (SIGSTOP, Ctrl-Z).
    pub is_stopped: bool,
    /// Whether it runs, or would if it had a processor or what it reads from the disk.
    pub is_at_work: bool,
    /// Processor time it has used, in ms.
    pub cpu_ms: u64,
    /// Resident memory.
    pub memory_bytes: u64,
    parent: u32,
    is_dead: bool,
}

/// What runs inside a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    all: BTreeMap<u32, Process>,
    /// The one that listed them.
    lister: u32,
}

impl Processes {
    /// Reads what the command of this module printed; lines that make no sense are left out.
    pub(super) fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let lister = lines.next().and_then(|line| line.trim().parse().ok()).unwrap_or(0);
        let all = lines.filter_map(process).map(|process| (process.pid, process)).collect();
        Self { all, lister }
    }

    /// opencode's server: what the supervisor started under that name. The terminal's view of it is no child of it.
    #[must_use]
    pub fn agent(&self) -> Option<&Process> {
        let supervisor = self.supervisor()?;
        self.children(supervisor).find(|process| process.name == "opencode" && !process.is_dead)
    }

    /// The first of that name: it forks before it starts others, and helpers of its own keep the name.
    fn supervisor(&self) -> Option<u32> {
        let is_one = |process: &Process| process.name == "mimir-superviso";
        let is_helper = |process: &Process| self.all.get(&process.parent).is_some_and(is_one);
        self.all.values().find(|process| is_one(process) && !is_helper(process)).map(|process| process.pid)
    }

    /// Those who inherit what nobody waits for: the first process, and the init of the image when that is another.
    fn inits(&self) -> Vec<u32> {
        let of_supervisor =
            self.supervisor().and_then(|pid| self.all.get(&pid)).map(|process| process.parent);
        let mut inits = vec![1];
        inits.extend(of_supervisor.filter(|pid| *pid != 1));
        inits
    }

    fn children(&self, of: u32) -> impl Iterator<Item = &Process> {
        self.all.values().filter(move |process| process.parent == of)
    }

    /// A command that a person runs: in a window of the terminal, in the foreground or not, or with `frame exec`.
    #[must_use]
    pub fn command(&self) -> Option<&Process> {
        let supervisor = self.supervisor()?;
        let server = self.children(supervisor).find(|process| process.name.starts_with("tmux"));
        let windows = server.map(|server| self.children(server.pid).collect::<Vec<_>>()).unwrap_or_default();
        let in_a_window = windows.into_iter().find_map(|window| match window.name.as_str() {
            "mimir-agent-win" => None,
            name if is_shell(name) => self.children(window.pid).find(|child| !child.is_dead),
            _ => Some(window).filter(|window| !window.is_dead),
        });
        let from_outside = || {
            self.children(0).find(|process| {
                let is_ours = process.pid == 1 || process.pid == self.lister;
                !is_ours && !process.is_dead && !process.name.starts_with("tmux")
            })
        };
        in_a_window.or_else(from_outside)
    }

    /// Something that was left running in the background and works: it used the processor since the list
    /// `before` was made, `elapsed_ms` ago. What only sits there, such as an agent for keys, is no work.
    #[must_use]
    pub fn background(&self, before: &Self, elapsed_ms: u64) -> Option<&Process> {
        let (inits, supervisor) = (self.inits(), self.supervisor());
        let is_orphan = |process: &&Process| {
            let is_ours = inits.contains(&process.pid) || Some(process.pid) == supervisor;
            inits.contains(&process.parent) && !is_ours && !process.is_dead
        };
        self.all.values().filter(is_orphan).find(|process| {
            let used_before = before.all.get(&process.pid).map_or(0, |earlier| earlier.cpu_ms);
            process.cpu_ms.saturating_sub(used_before) * 100 >= elapsed_ms.max(1)
        })
    }
}

fn is_shell(name: &str) -> bool {
    matches!(name.trim_start_matches('-'), "bash" | "sh" | "dash" | "zsh" | "fish" | "mimir-sh")
}

/// A line of /proc/PID/stat. The name is in brackets and may hold anything, brackets too.
fn process(line: &str) -> Option<Process> {
    let (head, rest) = line.rsplit_once(") ")?;
    let (pid, name) = head.split_once(" (")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let state = *fields.first()?;
    Some(Process {
        pid: pid.parse().ok()?,
        name: name.to_owned(),
        is_stopped: matches!(state, "T" | "t"),
        is_at_work: matches!(state, "R" | "D"),
        is_dead: matches!(state, "Z" | "X"),
        parent: u32::try_from(field(4)?).ok()?,
        cpu_ms: (field(14)? + field(15)?) * MS_PER_TICK,
        memory_bytes: field(24)? * PAGE_BYTES,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(pid: u32, name: &str, state: &str, parent: u32, ticks: u64, pages: u64) -> String {
        format!("{pid} ({name}) {state} {parent} 1 1 0 -1 0 0 0 0 0 {ticks} 0 0 0 20 0 1 0 99 1000 {pages} 1")
    }

    /// A frame at rest: what the image starts, a shell at its prompt, a viewer, and the one that lists.
    fn at_rest() -> Vec<String> {
        vec![
            "90".into(),
            line(1, "podman-init", "S", 0, 1, 10),
            line(6, "catatonit", "S", 1, 1, 10),
            line(2, "mimir-superviso", "S", 6, 50, 900),
            line(17, "mimir-superviso", "S", 2, 50, 900),
            line(7, "opencode", "S", 2, 400, 100_000),
            line(8, "socat", "S", 2, 1, 500),
            line(9, "tmux: server", "S", 2, 3, 900),
            line(20, "mimir-agent-win", "S", 9, 3, 900),
            line(21, "opencode", "S", 20, 300, 70_000),
            line(22, "bash", "S", 9, 3, 900),
            line(60, "sleep", "S", 2, 0, 100),
            line(70, "tmux: client", "S", 0, 1, 800),
            line(71, "gpg-agent", "S", 6, 2, 300),
            line(90, "cat", "R", 0, 0, 100),
        ]
    }

    fn with(lines: &[String]) -> Processes {
        let mut all = at_rest();
        all.extend(lines.iter().cloned());
        Processes::parse(&all.join("\n"))
    }

    #[test]
    fn the_agent_is_the_server_and_not_its_view() {
        let rest = with(&[]);
        let agent = rest.agent().expect("found");
        assert_eq!((agent.pid, agent.memory_bytes, agent.cpu_ms), (7, 409_600_000, 4000));
        assert!(!agent.is_stopped && !agent.is_at_work);
        let stopped = with(&[line(7, "opencode", "T", 2, 400, 100_000)]);
        assert!(stopped.agent().expect("found").is_stopped);
        let starved = with(&[line(7, "opencode", "R", 2, 400, 100_000)]);
        assert!(starved.agent().expect("found").is_at_work);
        assert_eq!(Processes::parse("").agent(), None);
        let zombie = with(&[line(7, "opencode", "Z", 2, 400, 0)]);
        assert_eq!(zombie.agent(), None);
    }

    #[test]
    fn a_shell_at_its_prompt_is_no_command_and_what_it_started_is() {
        assert_eq!(with(&[]).command(), None);
        let name = |more: &[String]| with(more).command().map(|process| process.name.clone());
        // In the foreground or in the background: both are children of the shell.
        assert_eq!(name(&[line(30, "make", "S", 22, 1, 10)]).as_deref(), Some("make"));
        assert_eq!(name(&[line(30, "make", "Z", 22, 1, 0)]), None);
        assert_eq!(name(&[line(31, "htop (x) y", "S", 9, 1, 10)]).as_deref(), Some("htop (x) y"));
        assert_eq!(name(&[line(32, "cargo", "S", 0, 1, 10)]).as_deref(), Some("cargo"));
        // What the agent itself runs belongs to its turn.
        assert_eq!(name(&[line(33, "mimir-sh", "S", 7, 1, 10)]), None);
    }

    #[test]
    fn what_was_left_in_the_background_counts_while_it_works() {
        let before = with(&[line(40, "python3", "S", 1, 1000, 10)]);
        let busy = with(&[line(40, "python3", "R", 1, 1100, 10)]);
        let still = with(&[line(40, "python3", "S", 1, 1002, 10)]);
        assert_eq!(busy.background(&before, 60_000).map(|process| process.pid), Some(40));
        assert_eq!(still.background(&before, 60_000), None);
    }
}

//! What each error of each service means to the person who asked: code, status, next step.
//!
//! Adding a variant to an error breaks a `match` here, which is when to think about the hint.

use super::problem::{Reply, chain};
use crate::access::AccessError;
use crate::approvals::AnswerError;
use crate::budget::BudgetError;
use crate::config::{ConfigError, ConfigProblem};
use crate::delivery::{CancelError, EditError, SendError};
use crate::frames::workspace::WorkspaceError;
use crate::frames::{FRAME_FILE, FrameError};
use crate::git::GitError;
use crate::model::approval::RequestForm;
use crate::model::ids::SessionId;
use crate::model::message::{InvalidText, InvalidTitle};
use crate::model::shell;
use crate::opencode::OpencodeError;
use crate::pushes::PushError;
use crate::runtime::RuntimeError;
use crate::schedules::ScheduleError;
use crate::secrets::SecretError;
use crate::sessions::SessionError;
use crate::store::StoreError;
use crate::tmux::TerminalError;
use crate::wire::problem::Problem;
use crate::workflows::RunError;

/// There is no frame of that name.
pub fn no_frame(name: &str) -> Reply {
    Reply::not_found("frame.not_found", format!("there is no frame {name}"))
        .hint("`mimir frame list` shows the frames you have")
}

impl From<ConfigError> for Reply {
    fn from(error: ConfigError) -> Self {
        let is_unknown = |problem: &ConfigProblem| matches!(problem, ConfigProblem::UnknownKey { .. });
        let title = error.to_string();
        let refuse = if error.problems.iter().any(is_unknown) { Self::bad_request } else { Self::conflict };
        refuse("frame.invalid", title).hint(
            "`mimir config show` lists all settings; `mimir frame create --help` shows what is possible",
        )
    }
}

fn being_destroyed(error: &dyn std::error::Error) -> Reply {
    Reply::conflict("frame.being_destroyed", error.to_string())
        .hint("wait until it is gone, then create it anew")
}

/// A word that fits several conversations.
pub fn many_sessions(title: String, ids: &[SessionId]) -> Reply {
    let shown: Vec<&str> = ids.iter().take(5).map(SessionId::as_str).collect();
    let more = if ids.len() > shown.len() { ", …" } else { "" };
    Reply::conflict("session.ambiguous", title)
        .detail(format!("{}{more}", shown.join(", ")))
        .hint("say which by its id, or by enough of it; `mimir sessions list` shows them")
}

fn disk_full(title: String) -> Reply {
    Reply(Problem::new(507, "disk.full", title))
        .hint("free some space (`df -h`, `mimir frame gc --dry-run`), then try again")
}

impl From<FrameError> for Reply {
    fn from(error: FrameError) -> Self {
        let title = error.to_string();
        match error {
            FrameError::NotFound(name) => no_frame(&name),
            FrameError::NameTaken(name) => Self::conflict("frame.name_taken", title)
                .hint(format!("choose another name, or look at the one there is: `mimir frame show {name}`")),
            FrameError::InvalidName(_) => {
                Self::bad_request("frame.name", title).hint("for example `mimir frame create my-api`")
            }
            FrameError::Workspace(error) => error.into(),
            FrameError::FolderGone { name, .. } => Self(Problem::new(424, "frame.folder_gone", title))
                .hint(format!("when it is back, `mimir frame start {name}`")),
            FrameError::GitMoved { name, .. } => Self(Problem::new(424, "frame.git_moved", title))
                .hint(format!("`git worktree repair` mends a worktree; `mimir frame move {name} PATH` looks anew")),
            FrameError::Repository(_) => Self::conflict("frame.repository", title)
                .hint("for example `--repo github.com/me/blog`; docs/git.md says more"),
            FrameError::ForeignImage(_) => Self::conflict("image.foreign", title).hint(
                "`mimir image list` shows those that are; one of your own begins with `FROM localhost/mimir-frame`",
            ),
            FrameError::WouldObey { name, path } => Self(Problem::new(424, "frame.would_obey", title)).hint(format!(
                "`mimir image build`, then `mimir frame upgrade {name}`; or `mimir projects trust {}`",
                shell::quoted(&path)
            )),
            FrameError::NotIsolated { .. } => Self(Problem::new(424, "frame.not_isolated", title))
                .hint("`mimir doctor` looks at the engine; its version and settings decide what it enforces"),
            FrameError::CannotTrust { path, .. } => Self::conflict("project.trust", title)
                .hint(format!("`mimir projects trust {}` shows what is there now", shell::quoted(&path))),
            FrameError::NoProject(_) => Self::not_found("project.not_found", title)
                .hint("`mimir projects list` shows the projects there are"),
            // A frame file is a text to the document, whatever stands in it.
            FrameError::Invalid { field: FRAME_FILE, .. } => Self::conflict("frame.invalid", title)
                .hint("`mimir frame create --help` shows what is possible"),
            FrameError::Invalid { .. } => Self::bad_request("frame.invalid", title)
                .hint("`mimir frame create --help` shows what is possible"),
            FrameError::NoFreePort(_) => Self::conflict("ports.exhausted", title).hint(
                "destroy a frame that you no longer need, or widen `frames.ports` in the configuration",
            ),
            FrameError::WrongState { name, .. } => Self::conflict("frame.wrong_state", title)
                .hint(format!("`mimir frame start {name}` starts it; `mimir frame show {name}` says more")),
            FrameError::Busy { name, .. } => Self::conflict("frame.busy", title).hint(format!(
                "wait for it, or interrupt it: `mimir frame upgrade {name} --force`"
            )),
            FrameError::BeingDestroyed(_) => being_destroyed(&error),
            FrameError::Failed { name, .. } => Self(Problem::new(424, "frame.failed", title)).hint(format!(
                "`mimir frame logs {name}` shows what it printed; `mimir frame start {name}` tries again"
            )),
            FrameError::WishChanged { name, .. } => Self::conflict("frame.wish_changed", title)
                .hint(format!("somebody else asked for something else; `mimir frame show {name}`")),
            FrameError::TooSlow { name, .. } => Self(Problem::new(424, "frame.slow", title))
                .hint(format!("it goes on; `mimir frame show {name}` shows how far it is")),
            FrameError::Folder { ref source, .. } if is_full(source) => disk_full(title),
            FrameError::Folder { .. } => Self(Problem::new(424, "frame.folder", title))
                .hint("`mimir doctor` checks mimir's own folders"),
            FrameError::NoFiles { .. } => Self(Problem::new(507, "disk.full", title))
                .hint("remove what holds many files (`df -i`, `mimir frame gc --dry-run`), then try again"),
            FrameError::DiskFull(_) | FrameError::NoRoom { .. } => disk_full(title),
            FrameError::StoppedFor { name, .. } => Self::conflict("frame.stopped_for", title)
                .hint(format!("when that is done, `mimir frame start {name}`")),
            FrameError::Server { .. } => Self::conflict("server.refused", title).hint(
                "`opencode serve --port 4096` with OPENCODE_SERVER_PASSWORD set is such a server; give the password with \
                 --password-stdin",
            ),
            FrameError::NotConnected(name) => Self::conflict("frame.not_connected", title)
                .hint(format!("`mimir frame destroy {name}` removes it with its container")),
            FrameError::External { name, .. } => Self::conflict("frame.external", title).hint(format!(
                "`mimir frame show {name}` says what can be done with it; `mimir frame disconnect {name}` forgets it"
            )),
            FrameError::AgentUnreachable { name, .. } => {
                Self(Problem::new(424, "frame.agent_unreachable", title)).hint(format!(
                    "`mimir frame logs {name}` shows why; `mimir frame restart {name}` begins anew"
                ))
            }
            FrameError::Terminal(error) => error.into(),
            FrameError::Runtime(error) => error.into(),
            FrameError::Store(error) => error.into(),
            FrameError::EngineAway { .. } => Self::unavailable("engine.unreachable", title)
                .hint("`mimir doctor` finds out why; the frame goes on as soon as the engine answers"),
            FrameError::HostSide { .. } => Self(Problem::new(424, "frame.host_side", title))
                .hint("`mimir doctor` tries ports and sockets; the gateway's log has more"),
            FrameError::Interrupted => Self::unavailable("gateway.stopping", title)
                .hint("run the command again; it starts a gateway if none runs"),
        }
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

impl From<WorkspaceError> for Reply {
    fn from(error: WorkspaceError) -> Self {
        let title = error.to_string();
        match error {
            WorkspaceError::NotAbsolute(_) => Self::bad_request("workspace.relative", title)
                .hint("give the path from the root, such as /home/me/src/my-api"),
            WorkspaceError::Missing(path) => Self::conflict("workspace.missing", title)
                .hint(format!("`mkdir -p {}` makes it", path.display())),
            WorkspaceError::NotAFolder(_) => {
                Self::conflict("workspace.not_a_folder", title).hint("name the folder around it")
            }
            WorkspaceError::Forbidden { .. } => Self::conflict("workspace.forbidden", title)
                .hint("an agent may change everything in its workspace: name one project's folder"),
            WorkspaceError::NotText(_) => Self::conflict("workspace.not_text", title)
                .hint("rename the folder, or make a link with a plain name to it"),
            WorkspaceError::Unreadable { path, .. } => Self::conflict("workspace.unreadable", title)
                .hint(format!("`ls -ld {}` shows whose it is", path.display())),
        }
    }
}

impl From<TerminalError> for Reply {
    fn from(error: TerminalError) -> Self {
        let title = error.to_string();
        match error {
            TerminalError::NoSuchWindow(_) => Self::bad_request("terminal.no_window", title)
                .hint("`--window agent` and `--window shell` are always there"),
            TerminalError::Runtime(error) => error.into(),
            TerminalError::NotThere(_) => Self(Problem::new(424, "terminal.not_there", title))
                .hint("wait a few seconds and try again; `mimir frame logs NAME` shows more"),
        }
    }
}

impl From<RuntimeError> for Reply {
    fn from(error: RuntimeError) -> Self {
        let title = error.to_string();
        match &error {
            RuntimeError::Unreachable { .. } => Self::unavailable("engine.unreachable", title)
                .detail(chain(&error))
                .hint("`mimir doctor` finds out why; `podman info` should work for the same user"),
            RuntimeError::NotInstalled { .. } => Self::unavailable("engine.not_installed", title)
                .hint("`mimir setup` installs what is missing, or `sudo apt install podman`"),
            RuntimeError::TooSlow { .. } => Self::unavailable("engine.slow", title)
                .hint("the machine may be busy: `mimir doctor` measures it; then try again"),
            RuntimeError::ImageMissing { image } if image.contains("mimir-frame") => {
                Self::conflict("image.missing", title).hint("`mimir image build` builds it")
            }
            RuntimeError::ImageMissing { .. } => Self::conflict("image.missing", title).hint(
                "`mimir image list` shows the frame images there are; leave out --image to use the usual one",
            ),
            RuntimeError::FolderMissing { path } => {
                Self::conflict("workspace.missing", title)
                    .hint(format!("`mkdir -p {}` makes it", shell::quoted(path)))
            }
            RuntimeError::NameTaken { name } => Self::conflict("engine.name_taken", title)
                .hint(format!("look at it with `podman inspect {name}`; mimir leaves it alone")),
            RuntimeError::Gone { .. } => Self::conflict("frame.no_container", title)
                .hint("`mimir frame start NAME` makes a new one; nothing in the workspace is lost"),
            RuntimeError::WrongState { .. } => Self::conflict("frame.wrong_state", title)
                .hint("`mimir frame show NAME` shows what the engine says"),
            RuntimeError::Unsupported { .. } => Self(Problem::new(501, "engine.unsupported", title))
                .hint("`mimir doctor` explains what is missing on this machine"),
            RuntimeError::Folder { source, .. } if is_full(source) => disk_full(title),
            RuntimeError::Folder { .. } => Self(Problem::new(424, "frame.folder", title))
                .hint("`mimir doctor` checks mimir's own folders"),
            RuntimeError::DiskFull { .. } => disk_full(title),
            RuntimeError::MountsDiffer { .. } => Self(Problem::new(424, "engine.mounts_differ", title))
                .hint("nothing of the other folder was shown to the agent; choose a workspace with a plain path, and please report this"),
            RuntimeError::Refused { .. } => Self(Problem::new(424, "engine.refused", title))
                .hint("`mimir doctor` tries each thing the engine must be able to do"),
        }
    }
}

impl From<StoreError> for Reply {
    fn from(error: StoreError) -> Self {
        let title = error.to_string();
        match &error {
            StoreError::NotFound { what, .. } => {
                let reply = Self::not_found(&format!("{what}.not_found"), title);
                match *what {
                    "frame" => reply.hint("`mimir frame list` shows the frames you have"),
                    "session" => reply.hint("`mimir sessions list` shows the sessions there are"),
                    "token" => reply.hint("`mimir token list` shows the tokens there are"),
                    "project" => reply.hint("`mimir projects list` shows the projects there are"),
                    _ => reply,
                }
            }
            StoreError::Taken { what, .. } => Self::conflict(&format!("{what}.taken"), title)
                .hint("choose another name, or use the one there is"),
            StoreError::Conflict { .. } => {
                Self::conflict("store.conflict", title).hint("look again, then try again")
            }
            StoreError::NoFreePort { .. } => Self::conflict("ports.exhausted", title).hint(
                "destroy a frame that you no longer need, or widen `frames.ports` in the configuration",
            ),
            StoreError::DiskFull => disk_full(title),
            StoreError::Damaged(_) => Self(Problem::new(500, "store.damaged", title))
                .hint("stop the gateway and put a copy from the backups folder in its place"),
            StoreError::Closed => Self::unavailable("gateway.stopping", title)
                .hint("run the command again; it starts a gateway if none runs"),
            _ => Self::internal(&error),
        }
    }
}

impl From<InvalidText> for Reply {
    fn from(error: InvalidText) -> Self {
        let title = error.to_string();
        match error {
            InvalidText::Empty => {
                Self::bad_request("send.empty", title).hint("for example `mimir send --frame NAME \"hello\"`")
            }
            InvalidText::TooLong { .. } => Self(Problem::new(413, "send.too_long", title))
                .hint("put it into a file in the workspace and name the file"),
        }
    }
}

impl From<SendError> for Reply {
    fn from(error: SendError) -> Self {
        let title = error.to_string();
        match error {
            SendError::NoFrame(name) => no_frame(&name),
            SendError::BeingDestroyed(_) => being_destroyed(&error),
            SendError::StoppedFor { frame, .. } => Self::conflict("frame.stopped_for", title)
                .hint(format!("when that is done, `mimir frame start {frame}`")),
            SendError::NoSession { frame, .. } => Self::not_found("session.not_found", title).hint(format!(
                "`mimir sessions list --frame {frame}` shows them; `--session new` begins one"
            )),
            SendError::ManySessions { ids, .. } => many_sessions(title, &ids),
            SendError::QueueFull { frame, .. } => Self(Problem::new(429, "queue.full", title)).hint(format!(
                "`mimir queue list --frame {frame}` shows what waits, `mimir queue cancel ID` takes one back; \
                 `queue.per_session` and `queue.per_frame` move the limits"
            )),
            SendError::NotNow(_) => Self::conflict("send.not_now", title)
                .hint("without --now it waits for its turn; --interrupt stops what the conversation does"),
            SendError::KeyTaken => {
                Self::conflict("send.key_taken", title).hint("use a new Idempotency-Key for each message")
            }
            SendError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidTitle> for Reply {
    fn from(error: InvalidTitle) -> Self {
        Self::bad_request("session.title", error.to_string())
            .hint("for example `mimir sessions rename last \"dark mode\"`")
    }
}

impl From<SessionError> for Reply {
    fn from(error: SessionError) -> Self {
        let title = error.to_string();
        match error {
            SessionError::NotFound(word) if word == "last" => {
                Self::not_found("session.not_found", "there is no conversation yet")
                    .hint("`mimir send \"…\"` begins one")
            }
            SessionError::NotFound(_) => Self::not_found("session.not_found", title)
                .hint("`mimir sessions list` shows the sessions there are"),
            SessionError::Ambiguous { ids, .. } => many_sessions(title, &ids),
            SessionError::Busy(id) => Self::conflict("session.busy", title).hint(format!(
                "wait for it, or stop it: `mimir sessions abort {id}`; what waits behind it: `mimir queue list`"
            )),
            SessionError::FrameGone(_) => Self::conflict("session.frame_gone", title)
                .hint("`mimir sessions show`, `export` and `delete` work without the frame"),
            SessionError::NotBegun(_) => Self::conflict("session.not_begun", title)
                .hint("send a message in it first: `mimir send --session ID \"…\"`"),
            SessionError::NoMessage { ref session, .. } => Self::not_found("message.not_found", title)
                .hint(format!("`mimir sessions show {session} --json` shows its messages with their ids")),
            SessionError::NoAgent(_) => Self(Problem::new(424, "frame.failed", title))
                .hint("`mimir frame list` shows how its frame is; `mimir doctor` looks deeper"),
            SessionError::Query(_) => Self::bad_request("search.query", title).hint(
                "words that must all be there; also \"words together\", begin*, -without, this OR that",
            ),
            SessionError::Stopping => Self::unavailable("gateway.stopping", title)
                .hint("run the command again; it starts a gateway if none runs"),
            SessionError::Agent(OpencodeError::NotFound { .. }) => {
                Self::not_found("session.lost", "the agent has no such session or message any more")
                    .detail(title)
                    .hint("its history is still here: `mimir sessions show ID`")
            }
            SessionError::Agent(error) => Self(Problem::new(502, "agent.refused", error.to_string()))
                .hint("`mimir frame logs NAME` shows what the agent printed; then try again"),
            SessionError::Store(error) => error.into(),
        }
    }
}

impl From<EditError> for Reply {
    fn from(error: EditError) -> Self {
        let title = error.to_string();
        match error {
            EditError::NotFound(_) => Self::not_found("message.not_found", title)
                .hint("`mimir queue list` shows the messages that wait"),
            EditError::NotWaiting(state) if state.is_final() => Self::conflict("message.not_waiting", title)
                .hint("send what you mean as a new message: `mimir send \"…\"`"),
            EditError::NotWaiting(_) => Self::conflict("message.not_waiting", title).hint(
                "`mimir send --interrupt \"…\"` stops it and sends another; `mimir queue cancel ID` only stops it",
            ),
            EditError::Store(error) => error.into(),
        }
    }
}

impl From<CancelError> for Reply {
    fn from(error: CancelError) -> Self {
        let title = error.to_string();
        match error {
            CancelError::NotFound(_) => Self::not_found("message.not_found", title)
                .hint("`mimir queue list` shows the messages that are not at their end"),
            CancelError::Store(error) => error.into(),
        }
    }
}

impl From<AccessError> for Reply {
    fn from(error: AccessError) -> Self {
        let title = error.to_string();
        match error {
            AccessError::NotFound(_) => Self::not_found("token.not_found", title)
                .hint("`mimir token list --all` shows the tokens there are and were"),
            AccessError::Reserved(_) => Self::conflict("token.name", title).hint("choose another name"),
            AccessError::NoScope | AccessError::NoFrame => Self::bad_request("token.invalid", title)
                .hint("`mimir token create --help` shows what is possible"),
            AccessError::AlreadyOver => Self::conflict("token.invalid", title)
                .hint("`mimir token create --help` shows what is possible"),
            AccessError::MoreThanOwn { .. } => Self(Problem::new(403, "auth.scope", title))
                .hint("on the gateway's machine, its owner may give everything"),
            AccessError::NoCode => Self::not_found("web.code", title)
                .hint("type `mimir web` on the gateway's machine again, and open what it prints"),
            AccessError::MakerIsOver(_) => Self(Problem::new(401, "auth.revoked", title))
                .hint("ask whoever runs the gateway for a new one (`mimir token create`)"),
            AccessError::WeakPassword(_) => Self::conflict("login.weak_password", title)
                .hint("a sentence that nobody else would think of is easy to keep and hard to guess"),
            AccessError::NoPassword => {
                Self::conflict("login.no_password", title).hint("`mimir web password` sets one")
            }
            AccessError::NoSecondFactor => {
                Self::conflict("login.no_totp", title).hint("`mimir web totp` begins it")
            }
            AccessError::NotEnrolling => Self::conflict("login.not_enrolling", title)
                .hint("type `mimir web totp` again: it shows a new one"),
            AccessError::WrongCode => Self::conflict("login.wrong_code", title)
                .hint("type the newest code; if it is wrong again, compare the clocks of both devices"),
            // The same whatever was wrong, and also when there is no password.
            AccessError::WrongLogin => Self(Problem::new(401, "login.refused", title))
                .hint("a link of `mimir web` opens as well; `mimir web password` sets a password on the gateway's machine"),
            AccessError::TooSoon { seconds } => Self(Problem::new(429, "login.too_soon", title))
                .hint(format!("try again in {seconds} s; a link of `mimir web` opens at any time")),
            AccessError::NotHashed(_) => Self::internal(&error),
            AccessError::Store(error) => error.into(),
        }
    }
}

impl From<BudgetError> for Reply {
    fn from(error: BudgetError) -> Self {
        let title = error.to_string();
        match error {
            BudgetError::Paused => Self(Problem::new(402, "budget.paused", title)),
            BudgetError::UsedUp(_) => Self(Problem::new(402, "budget.used_up", title)),
            BudgetError::Held(_) => {
                Self(Problem::new(429, "budget.held", title)).hint("try again in a moment")
            }
            BudgetError::Unpriced { .. } => Self(Problem::new(402, "budget.no_price", title)),
            BudgetError::NoSubject { scope, .. } => {
                let list = match scope {
                    "frame" => "`mimir frame list` shows the frames you have",
                    "project" => "`mimir projects list` shows the projects there are",
                    _ => "`mimir sessions list` shows the conversations there are, with their ids",
                };
                Self::not_found("budget.not_found", title).hint(list)
            }
            BudgetError::NotSet(_) => Self::not_found("budget.not_set", title).hint(
                "`mimir budget show` shows those that hold; `budget.*` in the configuration has some for all",
            ),
            BudgetError::Price(_) => Self::conflict("price.invalid", title)
                .hint("for example `mimir prices set work/our-model 3 15`"),
            BudgetError::Store(error) => error.into(),
        }
    }
}

/// There is no schedule of that name.
pub fn no_schedule(name: &str) -> Reply {
    Reply::not_found("schedule.not_found", format!("there is no schedule {name}"))
        .hint("`mimir cron list` shows those there are")
}

impl From<ScheduleError> for Reply {
    fn from(error: ScheduleError) -> Self {
        let title = error.to_string();
        match error {
            ScheduleError::NotFound(name) => no_schedule(name.as_str()),
            ScheduleError::Invalid(_) => Self::conflict("schedule.invalid", title)
                .hint("`mimir cron next \"0 9 * * mon-fri\" --zone Europe/Berlin` tries an expression; `mimir cron add --help` shows the rest"),
            ScheduleError::Configured(name) => Self::conflict("schedule.configured", title).hint(format!(
                "`mimir config edit` changes it; `mimir cron pause {name}` has it do nothing"
            )),
            ScheduleError::OwnerOnly => Self(Problem::new(403, "schedule.gate", title))
                .hint("leave the gate out, or use `mimir cron` there"),
            ScheduleError::StillRuns { run, .. } => Self::conflict("schedule.still_runs", title)
                .hint(format!("`mimir runs show {run}` shows how far it is; `mimir runs cancel {run}` ends it")),
            ScheduleError::Store(error) => error.into(),
        }
    }
}

/// There is no secret of that name.
pub fn no_secret(name: &str) -> Reply {
    Reply::not_found("secret.not_found", format!("there is no secret {name}"))
        .hint("`mimir secret list` shows those there are")
}

impl From<SecretError> for Reply {
    fn from(error: SecretError) -> Self {
        let title = error.to_string();
        match error {
            SecretError::NotFound(name) => no_secret(name.as_str()),
            SecretError::Value(_) => Self::conflict("secret.value", title)
                .hint("a longer one, such as tokens and generated passwords are, can be kept from being seen"),
            SecretError::Either => Self::conflict("secret.either", title)
                .hint("give `value`, or `comes_from`; `mimir secret set --help` shows how"),
            SecretError::OwnerOnly => Self(Problem::new(403, "secret.source", title))
                .hint("give the value instead, or use `mimir secret set` there"),
            SecretError::Source { .. } => Self(Problem::new(424, "secret.source", title))
                .hint("run it yourself, as the gateway's user and without a terminal: it must print the secret alone"),
            SecretError::Variable(_) | SecretError::VariableTaken(_) => {
                Self::conflict("secret.variable", title).hint("`--as VARIABLE` names another one")
            }
            SecretError::NoHost => Self::conflict("secret.host", title)
                .hint("`--host api.github.com`; or loosened, `--env` or `--file`"),
            SecretError::HostOfNone => {
                Self::conflict("secret.host", title).hint("leave out --host, or leave out --env and --file")
            }
            SecretError::Host(_) => {
                Self::conflict("secret.host", title).hint("without a path; what follows it is the frame's to ask")
            }
            SecretError::Header(_) => Self::conflict("secret.header", title)
                .hint("`--header X-My-Token`; those that say who asks (Authorization, X-Api-Key) need not be named"),
            SecretError::Lines(_) => Self::conflict("secret.lines", title).hint("give it as a file: `--file`"),
            SecretError::NoBroker { .. } => Self::conflict("secret.network", title)
                .hint("make the frame with `--network allow`; or loosened, `--env` or `--file`"),
            SecretError::NotListed { frame, host } => Self::conflict("secret.not_listed", title)
                .hint(format!("`mimir frame allow {frame} {host}` first")),
            SecretError::External(name) => Self::conflict("frame.external", title)
                .hint(format!("`mimir frame show {name}` says what can be done with it")),
            SecretError::NotGranted { .. } => {
                Self::not_found("secret.not_granted", title).hint("`mimir secret list` shows who was given what")
            }
            SecretError::Store(error) => error.into(),
        }
    }
}

impl From<PushError> for Reply {
    fn from(error: PushError) -> Self {
        let title = error.to_string();
        match error {
            PushError::NotFound(_) => Self::not_found("push.not_found", title)
                .hint("`mimir push list` shows those that are not over; `--all` the others too"),
            PushError::TooLate { id, .. } => Self::conflict("push.too_late", title)
                .hint(format!("`mimir push show {id}` says what became of it")),
            PushError::NotTheirs(_) => Self::conflict("push.refused", title).hint("docs/git.md says more"),
            PushError::Credential(_) => Self(Problem::new(424, "push.credential", title))
                .hint("`git.credentials` in the configuration says where it is; docs/git.md says more"),
            PushError::Git(GitError::Missing) => {
                Self(Problem::new(424, "git.not_installed", title)).hint("`sudo apt install git`")
            }
            PushError::Git(GitError::Folder { ref source, .. }) if is_full(source) => disk_full(title),
            PushError::Git(_) => Self(Problem::new(424, "push.git", title))
                .hint("look again, then try again; the gateway's log has more"),
            PushError::Store(error) => error.into(),
            PushError::Stopping => Self::unavailable("gateway.stopping", title)
                .hint("run the command again; it starts a gateway if none runs"),
        }
    }
}

impl From<AnswerError> for Reply {
    fn from(error: AnswerError) -> Self {
        let title = error.to_string();
        match error {
            AnswerError::NotFound(_) => Self::not_found("approval.not_found", title)
                .hint("`mimir approvals list` shows what waits for you; `--all` also what is over"),
            AnswerError::Ambiguous(_) => {
                Self::conflict("approval.which", title).hint("give more of its id: `mimir approvals list`")
            }
            AnswerError::TooLate { .. } => Self(Problem::new(409, "approval.too_late", title))
                .hint("whoever is first decides; `mimir approvals list` shows what still waits"),
            AnswerError::WrongForm(RequestForm::Permission) => Self::conflict("approval.form", title)
                .hint("`mimir approvals allow ID`, or `mimir approvals deny ID --why \"…\"`"),
            AnswerError::WrongForm(RequestForm::Connection) => Self::conflict("approval.form", title)
                .hint("`mimir approvals allow ID`, with `--always` for good, or `mimir approvals deny ID`"),
            AnswerError::WrongForm(RequestForm::Question) => Self::conflict("approval.form", title)
                .hint("`mimir approvals answer ID \"…\"`, or `mimir approvals deny ID`"),
            AnswerError::Incomplete(_) => Self::conflict("approval.answer", title)
                .hint("`mimir approvals show ID` shows the questions and their options"),
            AnswerError::Refused(_) => Self(Problem::new(424, "approval.refused", title))
                .hint("it still waits: `mimir approvals show ID`"),
            AnswerError::Store(error) => error.into(),
        }
    }
}

impl From<RunError> for Reply {
    fn from(error: RunError) -> Self {
        let title = error.to_string();
        match error {
            RunError::NotFound(_) => Self::not_found("run.not_found", title)
                .hint("`mimir runs list` shows the newest runs; the end of an id is enough"),
            RunError::Several { ids, .. } => Self::conflict("run.ambiguous", title)
                .detail(ids.join(", "))
                .hint("say more of its end, or the whole id"),
            RunError::NoWorkflow(_) => Self::not_found("workflow.not_found", title)
                .hint("`mimir workflows list` shows those there are"),
            RunError::Invalid(invalid) => Self::conflict("workflow.invalid", title)
                .hint(format!("correct it, then look with `mimir workflows check {}`", invalid.file)),
            RunError::NeedsInput { workflow, input } => Self::conflict("run.input", title)
                .hint(format!("`mimir runs start {workflow} --set {input}=…`")),
            RunError::UnknownInput { workflow, .. } => Self::conflict("run.input", title)
                .hint(format!("`mimir workflows show {workflow}` says what it is given")),
            RunError::NoProject(_) => Self::not_found("project.not_found", title)
                .hint("`mimir projects list` shows the projects there are"),
            RunError::NotHeld { id, .. } => Self::conflict("run.not_held", title)
                .hint(format!("`mimir runs show {id}` says how far it is")),
            RunError::HeldForOther { id, subject, .. } => {
                Self::conflict("run.held_for_other", title).hint(format!(
                    "look at it with `mimir runs show {id}`, then `mimir runs approve {id} --for {subject}`"
                ))
            }
            RunError::Over { id, .. } => Self::conflict("run.over", title)
                .hint(format!("`mimir runs retry {id}` tries again what failed")),
            RunError::NotFailed { id, .. } => Self::conflict("run.not_failed", title)
                .hint(format!("`mimir runs show {id}` says how far it is")),
            RunError::Joined(id) => Self::conflict("run.joined", title)
                .hint(format!("`mimir runs show {id}` says how far that one is")),
            RunError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_frame_says_how_to_see_those_that_are_there() {
        let Reply(problem) = FrameError::NotFound("blog".into()).into();
        assert_eq!((problem.status, problem.code.as_str()), (404, "frame.not_found"));
        assert!(problem.hint.expect("a hint").contains("mimir frame list"));
    }

    #[test]
    fn an_engine_that_is_away_keeps_its_cause() {
        let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into();
        let error = RuntimeError::Unreachable { socket: "/run/podman.sock".into(), source };
        let Reply(problem) = FrameError::Runtime(error).into();
        assert_eq!((problem.status, problem.code.as_str()), (503, "engine.unreachable"));
        assert!(problem.detail.expect("a detail").contains("refused"));
    }

    #[test]
    fn a_full_disk_is_called_that_wherever_it_happens() {
        let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let folder = FrameError::Folder { path: "/x".into(), source };
        let low = FrameError::NoRoom { path: "/x".into(), free: 1, keep: 2 };
        let files = FrameError::NoFiles { path: "/x".into(), left: 3 };
        let full = FrameError::DiskFull("/x".into());
        for error in [folder, low, files, full, FrameError::Store(StoreError::DiskFull)] {
            let Reply(problem) = error.into();
            assert_eq!((problem.status, problem.code.as_str()), (507, "disk.full"));
        }
    }
}

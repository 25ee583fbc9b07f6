//! What `--json` prints that is no body of the HTTP API: one type for each, so that it can be described.
//!
//! The rule for names is in docs/json/README.md; the schemas beside it are made in `schemas`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::wire::config::Applies;
use crate::wire::frames::{FrameNote, FrameSummary};
use crate::wire::messages::MessageView;
use crate::wire::problem::Problem;
use crate::wire::status::Status;

/// What went wrong, on standard error: one line.
#[derive(Debug, Serialize, ToSchema)]
pub struct Refused {
    /// All about it.
    pub error: Error,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub struct Error {
    /// A stable word, such as `frame.not_found`.
    pub code: String,
    /// What failed.
    pub title: String,
    /// Why.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Under which id the log has more.
    pub request_id: Option<String>,
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let Problem { code, title, detail, hint, request_id, .. } = problem;
        Self { code, title, detail, hint, request_id }
    }
}

/// A frame that was made.
#[derive(Debug, Serialize, ToSchema)]
pub struct FrameMade {
    /// The frame.
    #[serde(flatten)]
    pub frame: FrameSummary,
    /// What the gateway noted about its folder: what stays out, whether git works.
    pub notes: Vec<FrameNote>,
    /// Something the caller should know: an image that suits the project better.
    pub remarks: Vec<String>,
}

/// A page that a browser was told to show.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WebOpened {
    /// Its address.
    pub url: String,
}

/// What listens inside a frame.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FramePorts {
    /// The name.
    pub frame: String,
    /// The port of this machine that leads inside.
    pub preview_port: u16,
    /// Where somebody chose that it leads.
    pub chosen_port: Option<u16>,
    /// Where it leads now; null when nothing listens there.
    pub shown_port: Option<u16>,
    /// Where programs inside listen, opencode and mimir's own left out.
    pub listening_ports: Vec<u16>,
}

/// A frame that `frame upgrade --all` left on its older image.
#[derive(Debug, Serialize, ToSchema)]
pub struct FrameLeftOut {
    /// The name.
    pub name: String,
    /// Always false.
    pub upgraded: bool,
    /// What it does.
    pub reason: String,
}

/// How the setting up of the machine ended.
#[derive(Debug, Serialize, ToSchema)]
pub struct MachineSetUp {
    /// Whether mimir can be used now.
    pub ready: bool,
    /// The script's own.
    pub exit_code: u8,
}

/// What mimir has on this machine, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Uninstalled {
    /// Nothing was removed, only looked at.
    pub dry_run: bool,
    /// Bytes of what went, or would go.
    pub size_bytes: u64,
    /// What goes.
    pub items: Vec<UninstalledItem>,
    /// What stays, in words.
    pub stays: Vec<String>,
    /// Commands for whoever may type them.
    pub by_hand: Vec<String>,
}

/// Something that goes.
#[derive(Debug, Serialize, ToSchema)]
pub struct UninstalledItem {
    /// `container`, `image`, `stage`, `frame`, `home`, …
    pub kind: String,
    /// Which one.
    pub what: String,
    /// Bytes on the disk; 0 when nothing is known.
    pub size_bytes: u64,
    /// `found`, `removed`, or why it is still there.
    pub outcome: String,
}

/// A frame that was destroyed.
#[derive(Debug, Serialize, ToSchema)]
pub struct FrameDestroyed {
    /// The name that it had.
    pub frame: String,
    /// Always true.
    pub destroyed: bool,
}

/// A server that was forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub struct FrameDisconnected {
    /// The name of the frame that stood for it.
    pub frame: String,
    /// Always true.
    pub disconnected: bool,
}

/// A conversation that was deleted.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionDeleted {
    /// The id that it had.
    pub session: String,
    /// Always true.
    pub deleted: bool,
}

/// A conversation that was written down.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionExported {
    /// The file; absent when the text is here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The text, when no file was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// How long the text is.
    pub size_bytes: u64,
    /// `markdown` or `json`.
    pub format: String,
}

/// A project that was forgotten.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectRemoved {
    /// The name that it had.
    pub project: String,
    /// Always true.
    pub removed: bool,
}

/// A setting.
#[derive(Debug, Serialize, ToSchema)]
pub struct Setting {
    /// Dotted.
    pub key: String,
    /// As it was meant: a number, true or false, a text, a list; null when it is not set. Of a secret, dots.
    pub value: serde_json::Value,
    /// Where it was set.
    pub set_in: String,
    /// When a change holds.
    pub applies: Applies,
    /// What the file says by now, where the gateway must be started again to obey it.
    pub pending: Option<PendingSetting>,
}

/// What a setting will be.
#[derive(Debug, Serialize, ToSchema)]
pub struct PendingSetting {
    /// See [`Setting::value`].
    pub value: serde_json::Value,
    /// Where it is set.
    pub set_in: String,
}

/// Settings and their values, by key.
#[derive(Debug, Serialize, ToSchema)]
pub struct Settings(pub BTreeMap<String, serde_json::Value>);

/// A change of the configuration file.
#[derive(Debug, Serialize, ToSchema)]
pub struct SettingChanged {
    /// Dotted.
    pub key: String,
    /// The file.
    pub file: String,
    /// Whether the file says something else than before.
    pub changed: bool,
    /// The variable of this environment that wins over the file.
    pub overridden_by: Option<String>,
}

/// The configuration file.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigFile {
    /// Where it is, or would be.
    pub file: String,
}

/// The configuration file after somebody edited it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigEdited {
    /// The file.
    pub file: String,
    /// Whether it says something else than before.
    pub changed: bool,
}

/// What is wrong with a file: the configuration, a workflow.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConfigChecked {
    /// The file.
    pub file: String,
    /// Nothing when it is good.
    pub problems: Vec<String>,
}

/// A gateway in the background.
#[derive(Debug, Serialize, ToSchema)]
pub struct GatewayStarted {
    /// Its process.
    pub pid: u32,
    /// Its socket.
    pub socket: String,
    /// The address of its HTTP API.
    pub http: String,
}

/// The end of a gateway.
#[derive(Debug, Serialize, ToSchema)]
pub struct GatewayStopped {
    /// False when none ran.
    pub stopped: bool,
}

/// The gateway at a glance.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Glance {
    /// It runs.
    Running(Box<RunningGateway>),
    /// None runs.
    Not(NoGateway),
}

/// A gateway that runs.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunningGateway {
    /// Always true.
    pub running: bool,
    /// All about it.
    #[serde(flatten)]
    pub status: Status,
}

/// Where a gateway would be.
#[derive(Debug, Serialize, ToSchema)]
pub struct NoGateway {
    /// Always false.
    pub running: bool,
    /// Its folder.
    pub home: String,
    /// Its socket.
    pub socket: String,
}

/// A line of `audit export`: an *API Activity* event (class 6003) of the Open Cybersecurity Schema Framework 1.3.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditExported {
    /// The schema's version, the product, the entry's number.
    #[schema(value_type = Object)]
    pub metadata: Value,
    /// UTC ms.
    pub time: u64,
    /// 6: application activity.
    pub category_uid: u32,
    /// 6003: API activity.
    pub class_uid: u32,
    /// 1 create, 2 read, 3 update, 4 delete, 0 unknown.
    pub activity_id: u32,
    /// Class and activity in one number.
    pub type_uid: u32,
    /// 1 for what was done, 2 for what was refused.
    pub severity_id: u32,
    /// 1 for what was done, 2 for what was refused.
    pub status_id: u32,
    /// Who.
    #[schema(value_type = Object)]
    pub actor: Value,
    /// What.
    #[schema(value_type = Object)]
    pub api: Value,
    /// To what.
    #[schema(value_type = Vec<Object>)]
    pub resources: Value,
    /// What the schema has no name for: the entry's detail and its HMAC.
    #[schema(value_type = Object)]
    pub unmapped: Value,
}

/// A copy of the database that was read.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackupVerified {
    /// The file.
    pub file: String,
    /// Its schema.
    pub schema: i64,
}

/// A copy of the database that was put in its place.
#[derive(Debug, Serialize, ToSchema)]
pub struct BackupRestored {
    /// The copy.
    pub file: String,
    /// Where the database is that was there.
    pub set_aside: Option<String>,
}

/// What the frame image is built from.
#[derive(Debug, Serialize, ToSchema)]
pub struct ImageInputs {
    /// A hash of it.
    pub inputs: String,
}

/// A command that was printed instead of being run.
#[derive(Debug, Serialize, ToSchema)]
pub struct Printed {
    /// For a shell.
    pub command: String,
}

/// A tab that shows a frame.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Opened {
    /// It was opened, or shown again.
    Tab {
        /// The frame's name.
        frame: String,
        /// In which program: `guake`, `kitty`, `wezterm`, `gnome` or `tmux`.
        terminal: String,
        /// True when the frame had a tab already, which is shown now.
        again: bool,
    },
    /// With `--print`.
    Printed(Printed),
}

/// The last line of `mimir send --json`.
#[derive(Debug, Serialize, ToSchema)]
pub struct MessageResult {
    /// Always `message.result`.
    pub kind: String,
    /// The message at its end.
    pub data: MessageView,
}

/// An exit code.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExitCode {
    /// The number.
    pub exit_code: u8,
    /// What it says.
    pub meaning: String,
}

/// A variable of the environment.
#[derive(Debug, Serialize, ToSchema)]
pub struct Variable {
    /// Its name.
    pub variable: String,
    /// What it does.
    pub meaning: String,
    /// The setting that it sets, if it sets one.
    pub key: Option<String>,
}

/// Text for people.
#[derive(Debug, Serialize, ToSchema)]
pub struct Words {
    /// As it would have been printed.
    pub text: String,
}

/// Manual pages that were written.
#[derive(Debug, Serialize, ToSchema)]
pub struct Written {
    /// Each file.
    pub files: Vec<String>,
}

/// Versions.
#[derive(Debug, Serialize, ToSchema)]
pub struct Versions {
    /// Of this program.
    pub version: String,
    /// Of the gateway, when one runs.
    pub gateway: Option<String>,
}

/// What `cron next` prints.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct NextTimes {
    /// As it was written, with single spaces.
    pub expression: String,
    /// The same in words.
    pub words: String,
    /// On whose clock.
    pub zone: String,
    /// The next times (UTC ms).
    pub next: Vec<u64>,
}

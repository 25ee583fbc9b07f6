//! The JSON Schema of what each command prints with `--json`, made from the types that it prints.
//!
//! They are kept in docs/json, one file for each command; tests compare the files, and real output, with them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, schema::Schema};

use super::json;
use crate::model::allow::AllowGroup;
use crate::model::audit::{AuditEntry, AuditVerdict};
use crate::model::backup::Backup;
use crate::model::event::Event;
use crate::model::run::RunLogEntry;
use crate::wire::approvals::ApprovalView;
use crate::wire::budgets::{BudgetView, PriceView, Spending, SpendingPaused};
use crate::wire::doctor::Report;
use crate::wire::events::Noticed;
use crate::wire::frames::{
    FrameDetails, FrameLogLine, FrameNetwork, FrameStats, FrameSummary, Leftover, UpgradedFrame,
};
use crate::wire::images::{BuildLine, ImageView};
use crate::wire::messages::{MessageView, RouteView, SessionDetails, SessionSummary};
use crate::wire::projects::{ProjectView, TrustView};
use crate::wire::pushes::{PushDetails, PushView};
use crate::wire::runs::{RunDetails, RunView, WorkflowDetails, WorkflowView};
use crate::wire::schedules::{ScheduleView, TickView};
use crate::wire::secrets::{SecretGrantView, SecretView};
use crate::wire::sessions::{SearchHit, SessionAborted};
use crate::wire::tokens::{NewToken, TokenView, Whoami};
use crate::wire::web::{LoginView, RecoveryCodes, TotpApp, WebLink};
use crate::wire::webhooks::{WebhookDetails, WebhookPreview, WebhookSourceView, WebhookView};

/// What a command prints.
#[derive(Clone, Debug)]
pub struct Described {
    /// The words that are typed, such as `frame list`.
    pub command: &'static str,
    /// Whether each line is a document of its own; otherwise all of the output is one.
    pub is_stream: bool,
    /// One document.
    pub schema: Value,
}

impl Described {
    /// The name of its file in docs/json.
    #[must_use]
    pub fn file(&self) -> String {
        format!("{}.json", self.command.replace(' ', "-"))
    }
}

/// Commands whose output is not ours, or is no document: it is the same with `--json`.
pub const WITHOUT: &[(&str, &str)] = &[
    ("frame exec", "it passes through what its command prints"),
    ("completions", "a script for a shell"),
    (
        "ui",
        "a screen for a person; `frame list`, `frame events` and `approvals list` say the same to programs",
    ),
    ("mcp", "it speaks a protocol with whoever started it (docs/mcp.md)"),
    ("init", "it talks with a person; what came of it says `config show`"),
    ("serve", "in the foreground the gateway writes its log; see `serve --detach` and `serve --stop`"),
];

/// Every command and what it prints.
#[must_use]
pub fn all() -> Vec<Described> {
    let mut all = vec![
        one::<json::Refused>("error"),
        one::<json::Versions>("version"),
        one::<json::Words>("welcome"),
        any("help", &[of::<json::Words>(), of::<Vec<json::ExitCode>>(), of::<Vec<json::Variable>>()]),
        one::<json::Written>("man"),
        one::<json::Glance>("status"),
        one::<Report>("doctor"),
        one::<json::GatewayStarted>("serve --detach"),
        one::<json::GatewayStopped>("serve --stop"),
        one::<json::Opened>("open"),
        one::<WebLink>("web"),
        one::<json::WebOpened>("web open"),
        one::<WebLink>("web qr"),
        one::<LoginView>("web password"),
        any("web totp", &[of::<TotpApp>(), of::<RecoveryCodes>(), of::<LoginView>()]),
        one::<Vec<TokenView>>("web sessions"),
        lines("send", &[of::<Event>(), of::<Noticed>(), of::<json::MessageResult>()]),
        one::<MessageView>("send --no-wait"),
        one::<MessageView>("send --no-stream"),
        one::<Vec<json::Setting>>("config show"),
        one::<json::Settings>("config get"),
        one::<json::SettingChanged>("config set"),
        one::<json::SettingChanged>("config unset"),
        one::<json::ConfigEdited>("config edit"),
        one::<json::ConfigChecked>("config check"),
        one::<json::ConfigFile>("config path"),
        one::<json::MachineSetUp>("setup"),
        one::<json::Uninstalled>("uninstall"),
    ];
    all.extend(of_frames());
    all.extend(of_the_rest());
    all.sort_by_key(|described| described.command);
    all
}

fn of_frames() -> Vec<Described> {
    vec![
        one::<json::FrameMade>("frame create"),
        lines("frame start", &[of::<FrameSummary>()]),
        lines("frame stop", &[of::<FrameSummary>()]),
        lines("frame restart", &[of::<FrameSummary>()]),
        lines("frame pause", &[of::<FrameSummary>()]),
        lines("frame resume", &[of::<FrameSummary>()]),
        one::<Vec<FrameSummary>>("frame list"),
        lines("frame list --watch", &[of::<Vec<FrameSummary>>()]),
        one::<FrameDetails>("frame show"),
        one::<json::Printed>("frame attach --print"),
        lines("frame logs", &[of::<FrameLogLine>()]),
        one::<Vec<FrameStats>>("frame stats"),
        one::<json::FramePorts>("frame ports"),
        lines("frame events", &[of::<Event>(), of::<Noticed>()]),
        one::<FrameNetwork>("frame network"),
        lines("frame network --follow", &[of::<FrameNetwork>()]),
        one::<Vec<AllowGroup>>("frame network --groups"),
        one::<FrameNetwork>("frame allow"),
        one::<FrameNetwork>("frame deny"),
        one::<json::FrameMade>("frame move"),
        lines("frame upgrade", &[of::<UpgradedFrame>(), of::<json::FrameLeftOut>()]),
        lines("frame destroy", &[of::<json::FrameDestroyed>()]),
        one::<FrameSummary>("frame connect"),
        lines("frame disconnect", &[of::<json::FrameDisconnected>()]),
        one::<Vec<Leftover>>("frame gc"),
    ]
}

fn of_the_rest() -> Vec<Described> {
    vec![
        lines("image build", &[of::<BuildLine>()]),
        one::<Vec<ImageView>>("image list"),
        one::<json::ImageInputs>("image inputs"),
        one::<Vec<SessionSummary>>("sessions list"),
        one::<SessionDetails>("sessions show"),
        one::<Vec<SearchHit>>("sessions search"),
        one::<json::SessionExported>("sessions export --output"),
        one::<SessionSummary>("sessions rename"),
        one::<SessionSummary>("sessions fork"),
        one::<SessionSummary>("sessions compact"),
        one::<SessionAborted>("sessions abort"),
        one::<json::SessionDeleted>("sessions delete"),
        one::<Vec<ApprovalView>>("approvals list"),
        one::<ApprovalView>("approvals show"),
        one::<ApprovalView>("approvals allow"),
        one::<ApprovalView>("approvals deny"),
        one::<ApprovalView>("approvals answer"),
        one::<Vec<PushView>>("push list"),
        one::<PushDetails>("push show"),
        one::<PushView>("push approve"),
        one::<PushView>("push reject"),
        one::<Vec<RunView>>("runs list"),
        one::<RunDetails>("runs show"),
        one::<RunView>("runs start"),
        lines("runs start --wait", &[of::<RunLogEntry>(), of::<RunView>()]),
        one::<RunView>("runs approve"),
        one::<RunView>("runs reject"),
        one::<RunView>("runs cancel"),
        one::<RunView>("runs retry"),
        lines("runs watch", &[of::<RunLogEntry>(), of::<RunView>(), of::<Event>(), of::<Noticed>()]),
        one::<Vec<WorkflowView>>("workflows list"),
        one::<WorkflowDetails>("workflows show"),
        one::<json::ConfigChecked>("workflows check"),
        one::<Vec<WebhookSourceView>>("webhooks list"),
        one::<Vec<WebhookView>>("webhooks deliveries"),
        one::<WebhookDetails>("webhooks show"),
        one::<WebhookView>("webhooks replay"),
        one::<WebhookPreview>("webhooks test"),
        one::<Vec<MessageView>>("queue list"),
        one::<Vec<MessageView>>("queue cancel"),
        one::<MessageView>("queue edit"),
        one::<ScheduleView>("cron add"),
        one::<Vec<ScheduleView>>("cron list"),
        one::<ScheduleView>("cron show"),
        one::<ScheduleView>("cron edit"),
        one::<ScheduleView>("cron rm"),
        one::<ScheduleView>("cron pause"),
        one::<ScheduleView>("cron resume"),
        one::<TickView>("cron run"),
        one::<Vec<TickView>>("cron history"),
        one::<json::NextTimes>("cron next"),
        one::<Vec<ProjectView>>("projects list"),
        one::<ProjectView>("projects add"),
        one::<ProjectView>("projects show"),
        one::<ProjectView>("projects set"),
        one::<json::ProjectRemoved>("projects remove"),
        one::<TrustView>("projects trust"),
        one::<TrustView>("projects distrust"),
        one::<SecretView>("secret set"),
        one::<Vec<SecretView>>("secret list"),
        one::<SecretView>("secret rm"),
        one::<SecretGrantView>("secret grant"),
        one::<SecretView>("secret revoke"),
        one::<NewToken>("token create"),
        one::<Vec<TokenView>>("token list"),
        one::<TokenView>("token revoke"),
        one::<Whoami>("token show"),
        one::<Vec<AuditEntry>>("audit show"),
        one::<AuditVerdict>("audit verify"),
        one::<json::AuditExported>("audit export"),
        one::<Spending>("budget show"),
        one::<Vec<BudgetView>>("budget set"),
        one::<Vec<BudgetView>>("budget rm"),
        one::<SpendingPaused>("pause"),
        one::<SpendingPaused>("resume"),
        one::<RouteView>("models route"),
        one::<Vec<PriceView>>("prices list"),
        one::<Vec<PriceView>>("prices set"),
        one::<Vec<PriceView>>("prices update"),
        one::<Backup>("backup create"),
        one::<Vec<Backup>>("backup list"),
        one::<json::BackupVerified>("backup verify"),
        one::<json::BackupRestored>("backup restore"),
    ]
}

/// A schema, and what it refers to.
struct Part {
    schema: Value,
    definitions: Vec<(String, RefOr<Schema>)>,
}

fn of<T: ToSchema>() -> Part {
    let mut definitions = Vec::new();
    T::schemas(&mut definitions);
    Part { schema: as_json(&T::schema()), definitions }
}

fn one<T: ToSchema>(command: &'static str) -> Described {
    any(command, &[of::<T>()])
}

fn any(command: &'static str, parts: &[Part]) -> Described {
    described(command, false, parts)
}

fn lines(command: &'static str, parts: &[Part]) -> Described {
    described(command, true, parts)
}

fn described(command: &'static str, is_stream: bool, parts: &[Part]) -> Described {
    let mut schema = Map::new();
    schema.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".into(), json!(format!("mimir {command} --json")));
    let how = match (command, is_stream) {
        ("error", _) => "What any command prints on standard error when it fails: one line.",
        (_, true) => "Each line of the output is one of these.",
        (_, false) => "All of the output.",
    };
    schema.insert("$comment".into(), json!(how));
    let schemas: Vec<Value> = parts.iter().map(|part| local(part.schema.clone())).collect();
    match schemas.as_slice() {
        [Value::Object(only)] => schema.extend(only.clone()),
        several => drop(schema.insert("anyOf".into(), json!(several))),
    }
    let definitions: BTreeMap<&String, Value> = parts
        .iter()
        .flat_map(|part| &part.definitions)
        .map(|(name, schema)| (name, local(as_json(schema))))
        .collect();
    if !definitions.is_empty() {
        schema.insert("$defs".into(), json!(definitions));
    }
    Described { command, is_stream, schema: Value::Object(schema) }
}

fn as_json(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}

/// The schema with its references to the same document, and without what is OpenAPI's own.
fn local(mut schema: Value) -> Value {
    match &mut schema {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get_mut("$ref") {
                *reference = reference.replace("#/components/schemas/", "#/$defs/");
            }
            for value in fields.values_mut() {
                *value = local(value.take());
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = local(item.take())),
        _ => {}
    }
    schema
}

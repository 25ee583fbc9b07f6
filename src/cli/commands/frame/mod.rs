//! `mimir frame …`

mod attach;
mod connect;
mod create;
mod destroy;
mod events;
mod exec;
mod gc;
mod list;
mod logs;
mod nested;
mod network;
mod ports;
mod relocate;
mod show;
mod stats;
mod upgrade;
mod verbs;

pub use show::short;
pub use upgrade::tell_of_images;

use clap::Subcommand;

use crate::cli::context::Context;
use crate::cli::exit::Outcome;
use crate::cli::paint::Ink;
use crate::cli::table::{Text, inked};
use crate::client::FrameVerb;
use crate::model::frame::FrameState;

/// Verbs of frames.
#[derive(Debug, Subcommand)]
pub enum FrameCommand {
    Create(create::CreateArgs),
    /// Run frames: their agents answer when this returns
    Start(verbs::VerbArgs),
    /// Stop frames; files and conversations stay
    Stop(verbs::VerbArgs),
    /// Stop frames and run them again
    Restart(verbs::VerbArgs),
    /// Freeze frames: in memory, using no processor time
    Pause(verbs::VerbArgs),
    /// Let paused frames go on
    #[command(alias = "unpause")]
    Resume(verbs::VerbArgs),
    #[command(alias = "ls", alias = "ps")]
    List(list::ListArgs),
    #[command(alias = "inspect", alias = "info")]
    Show(show::ShowArgs),
    Attach(attach::AttachArgs),
    Logs(logs::LogsArgs),
    Exec(exec::ExecArgs),
    Stats(stats::StatsArgs),
    Events(events::EventsArgs),
    Ports(ports::PortsArgs),
    Network(network::NetworkArgs),
    Allow(network::AllowArgs),
    Deny(network::DenyArgs),
    Move(relocate::MoveArgs),
    Upgrade(upgrade::UpgradeArgs),
    #[command(alias = "rm", alias = "remove", alias = "delete")]
    Destroy(destroy::DestroyArgs),
    Connect(connect::ConnectArgs),
    Disconnect(connect::DisconnectArgs),
    Gc(gc::GcArgs),
}

/// Verbs of frames that people type without saying `frame`.
#[derive(Debug, Subcommand)]
pub enum DailyCommand {
    #[command(name = "ls", alias = "ps", hide = true)]
    List(list::ListArgs),
    #[command(name = "rm", hide = true)]
    Destroy(destroy::DestroyArgs),
    /// Run frames: their agents answer when this returns
    #[command(hide = true)]
    Start(verbs::VerbArgs),
    /// Stop frames; files and conversations stay
    #[command(hide = true)]
    Stop(verbs::VerbArgs),
    /// Stop frames and run them again
    #[command(hide = true)]
    Restart(verbs::VerbArgs),
    #[command(hide = true)]
    Exec(exec::ExecArgs),
    #[command(hide = true)]
    Logs(logs::LogsArgs),
    #[command(hide = true)]
    Attach(attach::AttachArgs),
}

impl From<DailyCommand> for FrameCommand {
    fn from(command: DailyCommand) -> Self {
        match command {
            DailyCommand::List(args) => Self::List(args),
            DailyCommand::Destroy(args) => Self::Destroy(args),
            DailyCommand::Start(args) => Self::Start(args),
            DailyCommand::Stop(args) => Self::Stop(args),
            DailyCommand::Restart(args) => Self::Restart(args),
            DailyCommand::Exec(args) => Self::Exec(args),
            DailyCommand::Logs(args) => Self::Logs(args),
            DailyCommand::Attach(args) => Self::Attach(args),
        }
    }
}

/// Runs a verb.
pub async fn run(command: FrameCommand, context: &Context) -> Outcome {
    match command {
        FrameCommand::Create(args) => create::run(args, context).await,
        FrameCommand::Start(args) => verbs::run(FrameVerb::Start, &args, context).await,
        FrameCommand::Stop(args) => verbs::run(FrameVerb::Stop, &args, context).await,
        FrameCommand::Restart(args) => verbs::run(FrameVerb::Restart, &args, context).await,
        FrameCommand::Pause(args) => verbs::run(FrameVerb::Pause, &args, context).await,
        FrameCommand::Resume(args) => verbs::run(FrameVerb::Resume, &args, context).await,
        FrameCommand::List(args) => list::run(&args, context).await,
        FrameCommand::Show(args) => show::run(&args, context).await,
        FrameCommand::Attach(args) => attach::run(&args, context).await,
        FrameCommand::Logs(args) => logs::run(&args, context).await,
        FrameCommand::Exec(args) => exec::run(&args, context).await,
        FrameCommand::Stats(args) => stats::run(&args, context).await,
        FrameCommand::Events(args) => events::run(&args, context).await,
        FrameCommand::Ports(args) => ports::run(&args, context).await,
        FrameCommand::Network(args) => network::run(&args, context).await,
        FrameCommand::Allow(args) => network::allow(args, context).await,
        FrameCommand::Deny(args) => network::deny(args, context).await,
        FrameCommand::Move(args) => relocate::run(&args, context).await,
        FrameCommand::Upgrade(args) => upgrade::run(&args, context).await,
        FrameCommand::Destroy(args) => destroy::run(&args, context).await,
        FrameCommand::Connect(args) => connect::connect(args, context).await,
        FrameCommand::Disconnect(args) => connect::disconnect(&args, context).await,
        FrameCommand::Gc(args) => gc::run(&args, context).await,
    }
}

/// How a state looks: always its word.
fn ink_of(state: FrameState) -> Option<Ink> {
    match state {
        FrameState::Running => Some(Ink::Green),
        FrameState::Starting | FrameState::Paused => Some(Ink::Yellow),
        FrameState::Error => Some(Ink::Red),
        FrameState::Created | FrameState::Stopped => None,
    }
}

fn state_cell(state: FrameState) -> Text {
    ink_of(state).map_or_else(|| state.as_str().into(), |ink| inked(ink, state.as_str()))
}

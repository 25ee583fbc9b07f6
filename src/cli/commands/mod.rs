//! One file per verb, or per noun with small verbs.

pub mod approvals;
pub mod audit;
pub mod backup;
pub mod budget;
pub mod completions;
pub mod config;
pub mod config_edit;
pub mod cron;
pub mod doctor;
pub mod frame;
pub mod guake;
pub mod image;
pub mod init;
pub mod mcp;
pub mod models;
pub mod open;
pub mod prices;
pub mod projects;
pub mod push;
pub mod queue;
pub mod runs;
pub mod secret;
pub mod send;
pub mod serve;
pub mod sessions;
pub mod setup;
pub mod status;
pub mod token;
pub mod ui;
pub mod uninstall;
pub mod version;
pub mod web;
pub mod webhooks;
pub mod workflows;

use super::context::Context;
use super::exit::Outcome;
use super::grammar::Command;
use super::{help, welcome};

/// Runs a command.
pub fn run(command: Option<Command>, context: &Context) -> Outcome {
    match command {
        None => welcome::run(context),
        Some(Command::Help { topic }) => help::run(&topic, context),
        Some(Command::Setup(args)) => setup::run(&args, context),
        Some(Command::Uninstall(args)) => context.wait_for(uninstall::run(&args, context)),
        Some(Command::Man { folder }) => help::man(&folder, context),
        Some(Command::Version) => context.wait_for(version::run(context)),
        Some(Command::Daily(command)) => context.wait_for(frame::run(command.into(), context)),
        Some(Command::Completions(args)) => completions::run(&args, context),
        Some(Command::Config(command)) => config::run(command, context),
        Some(Command::Init(args)) => init::run(&args, context),
        Some(Command::Serve(args)) => serve::run(&args, context),
        Some(Command::Ui(_)) => context.wait_for(ui::run(help::commands(), context)),
        Some(Command::Mcp(args)) => context.wait_for(mcp::run(&args, context)),
        Some(Command::Web(args)) => context.wait_for(web::run(args, context)),
        Some(Command::Open(args)) => context.wait_for(open::run(&args, context)),
        Some(Command::Send(args)) => context.wait_for(send::run(args, context)),
        Some(Command::Status(_)) => context.wait_for(status::run(context)),
        Some(Command::Doctor(args)) => context.wait_for(doctor::run(&args, context)),
        Some(Command::Frame(command)) => context.wait_for(frame::run(command, context)),
        Some(Command::Image(command)) => context.wait_for(image::run(command, context)),
        Some(Command::Sessions(command)) => context.wait_for(sessions::run(command, context)),
        Some(Command::Cron(command)) => cron::run(command, context),
        Some(Command::Secret(command)) => context.wait_for(secret::run(command, context)),
        Some(Command::Token(command)) => context.wait_for(token::run(command, context)),
        Some(Command::Audit(command)) => context.wait_for(audit::run(command, context)),
        Some(Command::Backup(command)) => context.wait_for(backup::run(command, context)),
        Some(Command::Budget(command)) => context.wait_for(budget::run(command, context)),
        Some(Command::Models(command)) => context.wait_for(models::run(command, context)),
        Some(Command::Prices(command)) => context.wait_for(prices::run(command, context)),
        Some(Command::Pause(args)) => context.wait_for(budget::pause(args.all, context)),
        Some(Command::Resume(args)) => context.wait_for(budget::pause(!args.all, context)),
        Some(Command::Approvals(command)) => context.wait_for(approvals::run(command, context)),
        Some(Command::Push(command)) => context.wait_for(push::run(command, context)),
        Some(Command::Runs(command)) => context.wait_for(runs::run(command, context)),
        Some(Command::Workflows(command)) => context.wait_for(workflows::run(command, context)),
        Some(Command::Webhooks(command)) => context.wait_for(webhooks::run(command, context)),
        Some(Command::Queue(command)) => context.wait_for(queue::run(command, context)),
        Some(Command::Projects(command)) => context.wait_for(projects::run(command, context)),
    }
}

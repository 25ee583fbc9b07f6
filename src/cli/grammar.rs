//! The grammar: `mimir <noun> <verb> [NAME]`, and `mimir <verb>` for daily things.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};

use super::commands::{
    approvals, audit, backup, budget, completions, config, cron, doctor, frame, image, init, mcp, models,
    open, prices, projects, push, queue, runs, secret, send, serve, sessions, setup, status, token, ui,
    uninstall, web, webhooks, workflows,
};
use super::paint::ColorChoice;

/// One sandboxed frame per project: a container with the opencode agent, a terminal and host ports
#[derive(Debug, Parser)]
#[command(
    name = "mimir",
    bin_name = "mimir",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Start with `mimir init`. Short for verbs of frames: ls, ps, rm, start, stop, restart, exec, logs, attach.
More help: `mimir help exit-codes`, `mimir help environment`."
)]
pub struct Args {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options that every command has.
#[derive(Clone, Debug, Default, ClapArgs)]
#[command(next_help_heading = "Everywhere")]
pub struct Globals {
    /// Results and errors as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour
    #[arg(
        long,
        global = true,
        value_name = "auto|always|never",
        default_value = "auto",
        hide_possible_values = true,
        hide_default_value = true
    )]
    pub color: ColorChoice,
    /// Nothing but results and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

impl Globals {
    /// For errors of the parser itself, which come before there are parsed options.
    pub fn guess(arguments: &[OsString]) -> Self {
        let words: Vec<&str> =
            arguments.iter().filter_map(|word| word.to_str()).take_while(|word| *word != "--").collect();
        let color = words.windows(2).find_map(|pair| match pair {
            ["--color", "always"] | [_, "--color=always"] => Some(ColorChoice::Always),
            ["--color", "never"] | [_, "--color=never"] => Some(ColorChoice::Never),
            _ => None,
        });
        Self { json: words.contains(&"--json"), quiet: false, color: color.unwrap_or_default() }
    }
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    Init(init::InitArgs),
    Send(send::SendArgs),
    Ui(ui::UiArgs),
    Web(web::WebArgs),
    Open(open::OpenArgs),
    Mcp(mcp::McpArgs),
    Status(status::StatusArgs),
    Doctor(doctor::DoctorArgs),
    Setup(setup::SetupArgs),
    Serve(serve::ServeArgs),
    /// Make, run, watch and remove frames
    #[command(subcommand, arg_required_else_help = true, visible_alias = "frames")]
    Frame(frame::FrameCommand),
    /// The image that frames are made from
    #[command(subcommand, arg_required_else_help = true, visible_alias = "images")]
    Image(image::ImageCommand),
    /// Conversations with agents, also of frames that are gone
    #[command(subcommand, arg_required_else_help = true, visible_alias = "session")]
    Sessions(sessions::SessionsCommand),
    /// What agents ask you: leave to do something, and questions
    #[command(subcommand, arg_required_else_help = true, visible_alias = "approval")]
    Approvals(approvals::ApprovalsCommand),
    /// What frames pushed and waits for a look
    #[command(subcommand, arg_required_else_help = true, visible_alias = "pushes")]
    Push(push::PushCommand),
    /// What goes through a workflow by itself: how far it is, and what waits for you
    #[command(subcommand, arg_required_else_help = true)]
    Runs(runs::RunsCommand),
    /// What runs go through, stage by stage
    #[command(subcommand, arg_required_else_help = true)]
    Workflows(workflows::WorkflowsCommand),
    /// What other programs tell us, and what comes of it
    #[command(subcommand, arg_required_else_help = true, visible_alias = "webhook")]
    Webhooks(webhooks::WebhooksCommand),
    /// Messages that wait for a busy agent
    #[command(subcommand, arg_required_else_help = true)]
    Queue(queue::QueueCommand),
    /// What is done again and again, without anybody at a keyboard
    #[command(subcommand, arg_required_else_help = true, visible_alias = "schedules")]
    Cron(cron::CronCommand),
    /// Folders with a name
    #[command(subcommand, arg_required_else_help = true, visible_alias = "project")]
    Projects(projects::ProjectsCommand),
    /// Passwords and tokens that frames may use without seeing them
    #[command(subcommand, arg_required_else_help = true, visible_alias = "secrets")]
    Secret(secret::SecretCommand),
    /// What clients elsewhere may do with this gateway
    #[command(subcommand, arg_required_else_help = true, visible_alias = "tokens")]
    Token(token::TokenCommand),
    /// Who changed what, and whether that log was changed itself
    #[command(subcommand, arg_required_else_help = true)]
    Audit(audit::AuditCommand),
    /// Copies of the database
    #[command(subcommand, arg_required_else_help = true, visible_alias = "backups")]
    Backup(backup::BackupCommand),
    /// What model calls may cost, and what they did
    #[command(subcommand, arg_required_else_help = true, visible_alias = "budgets")]
    Budget(budget::BudgetCommand),
    /// Which model answers which message
    #[command(
        subcommand,
        arg_required_else_help = true,
        visible_alias = "model",
        after_help = "To choose one: `mimir send --model PROVIDER/MODEL`, `mimir config set opencode.default_model PROVIDER/MODEL`."
    )]
    Models(models::ModelsCommand),
    /// What models cost
    #[command(subcommand, arg_required_else_help = true, visible_alias = "price")]
    Prices(prices::PricesCommand),
    Pause(budget::PauseArgs),
    Resume(budget::ResumeArgs),
    /// Settings, and where each comes from
    #[command(subcommand, arg_required_else_help = true)]
    Config(config::ConfigCommand),
    Completions(completions::CompletionsArgs),
    Uninstall(uninstall::UninstallArgs),
    /// Help on a command, on `exit-codes`, or on `environment`
    Help {
        /// The command, such as `frame create`
        #[arg(value_name = "TOPIC")]
        topic: Vec<String>,
    },
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man {
        /// The folder; made when it is not there
        #[arg(value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
        folder: PathBuf,
    },
    /// The version of this program, and of the gateway that runs
    #[command(hide = true)]
    Version,
    #[command(flatten)]
    Daily(frame::DailyCommand),
}

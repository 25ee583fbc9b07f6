//! `mimir secret …`

use std::io::Read as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::context::Context;
use crate::cli::exit::{DONE, FAILED, Failure, Outcome, usage};
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column, inked};
use crate::cli::{ask, names};
use crate::model::names::{FrameName, SecretName};
use crate::model::quantity::age;
use crate::model::secrets::{MOST_BYTES, SecretForm, SecretSource};
use crate::wire::secrets::{GrantSecret, SecretGrantView, SecretView, SetSecret};

/// Verbs of secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    Set(SetArgs),
    #[command(alias = "ls")]
    List(ListArgs),
    #[command(alias = "remove", alias = "delete")]
    Rm(RmArgs),
    Grant(GrantArgs),
    Revoke(RevokeArgs),
}

/// Keep a secret, or say where it comes from
///
/// Without an option it is asked for, or read from the standard input: `pass show github | mimir secret set github`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// What to call it
    #[arg(value_parser = SecretName::parse)]
    name: SecretName,
    /// A command that prints it, asked each time it is needed: `pass show github`, `op read op://…`, `bw get password …`
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["from_file", "from_keyring"])]
    from_command: Option<String>,
    /// A file that holds it, read each time it is needed
    #[arg(long, value_name = "FILE", conflicts_with = "from_keyring")]
    from_file: Option<PathBuf>,
    /// The desktop's keyring, asked each time by `secret-tool lookup service SERVICE account ACCOUNT`
    #[arg(long, value_name = "SERVICE[/ACCOUNT]")]
    from_keyring: Option<String>,
}

/// Secrets, where each comes from, and who was given it; never themselves
#[derive(Debug, Args)]
pub struct ListArgs {}

/// Forget a secret, and take it from all frames
#[derive(Debug, Args)]
pub struct RmArgs {
    /// Which
    #[arg(value_parser = SecretName::parse)]
    name: SecretName,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

/// Give a frame a secret: as a placeholder that is replaced on the way to one host
#[derive(Debug, Args)]
#[command(
    after_help = "The frame sees NAME=mimir-secret-… and NAME_URL=http://127.0.0.1:8118/https/HOST. What it
sends there goes to HOST by TLS, with the secret in the place of the placeholder in headers that
say who asks, and in those that --header names.
With --env or --file the frame sees the secret itself, and can send it anywhere;
`mimir frame show` says so."
)]
pub struct GrantArgs {
    /// Which secret
    #[arg(value_parser = SecretName::parse)]
    name: SecretName,
    /// Which frame
    #[arg(value_parser = FrameName::parse, add = names::frames())]
    frame: FrameName,
    /// Where it may go: api.github.com, registry.example.org:8443, or http://… for a host without TLS
    #[arg(long, value_name = "HOST", required_unless_present_any = ["env", "file"], conflicts_with_all = ["env", "file"])]
    host: Option<String>,
    /// Also replace the placeholder in this header; those that say who asks (Authorization, X-Api-Key, Private-Token …) need not
    /// be named. The host may keep what it is told in it, and show it to others
    #[arg(long = "header", value_name = "NAME", conflicts_with_all = ["env", "file"])]
    headers: Vec<String>,
    /// Loosened: in the frame's environment
    #[arg(long, conflicts_with = "file")]
    env: bool,
    /// Loosened: as a file in the frame
    #[arg(long)]
    file: bool,
    /// The variable that holds it, or its placeholder, or the path of its file; the secret's name when absent
    #[arg(long = "as", value_name = "VARIABLE")]
    variable: Option<String>,
}

/// Take a secret back from a frame; its placeholder is worth nothing at once
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Which secret
    #[arg(value_parser = SecretName::parse)]
    name: SecretName,
    /// Which frame
    #[arg(value_parser = FrameName::parse, add = names::frames())]
    frame: FrameName,
}

pub async fn run(command: SecretCommand, context: &Context) -> Outcome {
    match command {
        SecretCommand::Set(args) => set(args, context).await,
        SecretCommand::List(_) => list(context).await,
        SecretCommand::Rm(args) => remove(&args, context).await,
        SecretCommand::Grant(args) => grant(args, context).await,
        SecretCommand::Revoke(args) => revoke(&args, context).await,
    }
}

async fn set(args: SetArgs, context: &Context) -> Outcome {
    let source = match (args.from_command, args.from_file, args.from_keyring) {
        (Some(command), ..) => Some(SecretSource::Command { command }),
        (_, Some(file), _) => {
            let file = std::path::absolute(&file).unwrap_or(file);
            Some(SecretSource::File { path: file.display().to_string() })
        }
        (.., Some(entry)) => Some(match entry.split_once('/') {
            Some((service, account)) => {
                SecretSource::Keyring { service: service.to_owned(), account: Some(account.to_owned()) }
            }
            None => SecretSource::Keyring { service: entry, account: None },
        }),
        (None, None, None) => None,
    };
    let value = if source.is_none() { Some(value(&args.name, context)?) } else { None };
    let request = SetSecret { value, comes_from: source };
    let secret = context.gateway().await?.set_secret(args.name.as_str(), &request).await?;
    if context.out.json {
        context.out.document(&secret)?;
        return Ok(DONE);
    }
    context.out.line(format!("{} is set ({})", secret.name, clean(&secret.comes_from.to_string())))?;
    if secret.grants.is_empty() {
        context
            .out
            .say(format!("`mimir secret grant {} FRAME --host HOST` lets a frame use it", secret.name));
    }
    Ok(DONE)
}

/// From a person without showing it, else all of the standard input but the end of its last line.
fn value(name: &SecretName, context: &Context) -> Result<String, Failure> {
    let hint = format!("such as `pass show github | mimir secret set {name}`, or `--from-command`");
    let unreadable = |error: std::io::Error| {
        let problem = usage("the secret cannot be read").detail(error.to_string());
        Failure::from(problem.hint(hint.clone()))
    };
    if ask::can_ask(&context.out) {
        return ask::hidden(&format!("{name}: ")).map_err(unreadable);
    }
    let mut text = String::new();
    std::io::stdin().lock().take(MOST_BYTES as u64 + 2).read_to_string(&mut text).map_err(unreadable)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    match text.strip_suffix('\r').unwrap_or(text) {
        "" => Err(usage("the standard input holds no secret").hint(hint).into()),
        text => Ok(text.to_owned()),
    }
}

async fn list(context: &Context) -> Outcome {
    let secrets = context.gateway().await?.secrets().await?;
    if context.out.json {
        context.out.document(&secrets)?;
        return Ok(DONE);
    }
    if secrets.is_empty() {
        context.out.say("no secrets; `mimir secret set NAME` keeps one");
        return Ok(DONE);
    }
    context.out.table(&table(&secrets, context.now_ms()))?;
    Ok(DONE)
}

fn table(secrets: &[SecretView], now_ms: u64) -> Table {
    let mut table = Table::new(&[
        column("NAME"),
        column("FROM").shrinks(),
        column("SET").right().spare(1),
        column("USED").right(),
        column("FRAME"),
        column("AS").shrinks(),
        column("FOR").shrinks(),
    ]);
    for secret in secrets {
        let used = secret.used_at.map_or_else(|| "-".to_owned(), |at| age(at, now_ms));
        let grants: Vec<Option<&SecretGrantView>> = match secret.grants.as_slice() {
            [] => vec![None],
            some => some.iter().map(Some).collect(),
        };
        for grant in grants {
            table.row(vec![
                secret.name.as_str().into(),
                secret.comes_from.to_string().into(),
                age(secret.set_at, now_ms).into(),
                used.as_str().into(),
                grant.map_or("-", |grant| grant.frame.as_str()).into(),
                grant.map_or("-", |grant| grant.variable.as_str()).into(),
                match grant.map(|grant| (grant.form, grant.host.as_deref())) {
                    None => "-".into(),
                    Some((SecretForm::Placeholder, host)) => host.unwrap_or("-").into(),
                    Some((SecretForm::Environment, _)) => {
                        inked(Ink::Yellow, "anything: it is in the environment")
                    }
                    Some((SecretForm::File, _)) => inked(Ink::Yellow, "anything: it is a file"),
                },
            ]);
        }
    }
    table
}

async fn remove(args: &RmArgs, context: &Context) -> Outcome {
    let name = &args.name;
    let question = format!("Forget the secret {name}, and take it from all frames?");
    if !ask::confirm_destruction(&context.out, args.yes, &question, &format!("mimir secret rm {name}"))? {
        return Ok(FAILED);
    }
    let secret = context.gateway().await?.remove_secret(name.as_str()).await?;
    if context.out.json {
        context.out.document(&secret)?;
    } else {
        context.out.line(format!("{name} is forgotten"))?;
    }
    Ok(DONE)
}

async fn grant(args: GrantArgs, context: &Context) -> Outcome {
    let form = match (args.env, args.file) {
        (true, _) => SecretForm::Environment,
        (_, true) => SecretForm::File,
        (false, false) => SecretForm::Placeholder,
    };
    let request = GrantSecret {
        frame: args.frame.to_string(),
        form,
        variable: args.variable,
        host: args.host,
        headers: args.headers,
    };
    let granted = context.gateway().await?.grant_secret(args.name.as_str(), &request).await?;
    if context.out.json {
        context.out.document(&granted)?;
        return Ok(DONE);
    }
    for line in words(&granted) {
        context.out.paragraph(&line, 2)?;
    }
    context.out.say(format!("its agent sees it when it starts: `mimir frame restart {}`", granted.frame));
    Ok(DONE)
}

fn words(granted: &SecretGrantView) -> Vec<String> {
    let SecretGrantView { secret, frame, variable, .. } = granted;
    match (granted.form, &granted.host, &granted.url) {
        (SecretForm::Placeholder, Some(host), Some(url)) => vec![
            format!("{frame} has a placeholder of {secret} in {variable}, for {} alone", clean(host)),
            format!("  it asks {}, which is in {variable}_URL", clean(url)),
        ]
        .into_iter()
        .chain(
            (!granted.headers.is_empty())
                .then(|| format!("  {} may keep what stands in {}", clean(host), granted.headers.join(", "))),
        )
        .collect(),
        (SecretForm::File, ..) => {
            vec![format!(
                "{frame} has {secret} as a file, named by {variable}: whatever runs in it can read it"
            )]
        }
        _ => vec![format!("{frame} has {secret} in {variable}: whatever runs in it can read it")],
    }
}

async fn revoke(args: &RevokeArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let secret = gateway.revoke_secret(args.name.as_str(), args.frame.as_str()).await?;
    if context.out.json {
        context.out.document(&secret)?;
        return Ok(DONE);
    }
    context.out.line(format!("{} has {} no longer", args.frame, secret.name))?;
    context.out.say(format!(
        "what its agent has seen of it, it has seen; from its next start on it does not: `mimir frame restart {}`",
        args.frame
    ));
    Ok(DONE)
}

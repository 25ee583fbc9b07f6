//! `mimir frame network`, `mimir frame allow`, `mimir frame deny`

use std::time::Duration;

use clap::Args;

use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome, usage};
use crate::cli::output;
use crate::cli::paint::Ink;
use crate::cli::table::{Table, clean, column, inked};
use crate::cli::{here, names};
use crate::client::GatewayClient;
use crate::model::allow::AllowGroups;
use crate::model::names::FrameName;
use crate::model::network::{HostTraffic, NetworkMode};
use crate::model::quantity::{age, left, size, span};
use crate::wire::frames::{AllowFrame, DenyFrame, FrameNetwork};
use crate::wire::problem::Problem;

/// What a frame may reach, and which hosts it asked for: connections, requests, refusals, bytes, last time
#[derive(Debug, Args)]
pub struct NetworkArgs {
    /// Which frame; the one of this folder when absent
    #[arg(value_parser = FrameName::parse, add = names::frames())]
    name: Option<FrameName>,
    /// Show it again every second until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// The named groups of hosts, what each is for, and what is in it
    #[arg(long, conflicts_with_all = ["name", "follow"])]
    groups: bool,
}

/// Let a frame reach hosts, or use a model provider; holds at once, also while it runs
#[derive(Debug, Args)]
#[command(override_usage = "mimir frame allow [OPTIONS] [NAME] [HOST]...")]
pub struct AllowArgs {
    /// Which frame; the one of this folder when the first word is a host or a group
    #[arg(add = names::frames())]
    name: Option<String>,
    /// Hosts, or groups such as `npm`. With a port (`git.example.org:22`) anything may be spoken there, else HTTP and TLS;
    /// with methods or a path (`"GET+HEAD example.org/debian/*"`) plain HTTP that fits
    #[arg(value_name = "HOST")]
    hosts: Vec<String>,
    /// A model provider that it may use; may be repeated
    #[arg(long = "provider", value_name = "PROVIDER")]
    providers: Vec<String>,
    /// A branch that it may push, such as feature/*; with + before it, it may be rewritten and deleted too
    #[arg(long = "branch", value_name = "BRANCH")]
    branches: Vec<String>,
    /// One connection, within ten minutes
    #[arg(long, conflicts_with_all = ["for_time", "always"])]
    once: bool,
    /// For a while, such as 1h
    #[arg(long = "for", id = "for_time", value_name = "DURATION", value_parser = span::parse_lifetime)]
    for_time: Option<Duration>,
    /// Until it is denied (this is what happens anyway)
    #[arg(long, conflicts_with = "for_time")]
    always: bool,
}

/// Take hosts or a model provider from a frame; holds at once, and stands above what is allowed
#[derive(Debug, Args)]
#[command(override_usage = "mimir frame deny [OPTIONS] [NAME] [HOST]...")]
pub struct DenyArgs {
    /// Which frame; the one of this folder when the first word is a host or a group
    #[arg(add = names::frames())]
    name: Option<String>,
    /// Hosts or groups
    #[arg(value_name = "HOST")]
    hosts: Vec<String>,
    /// A model provider; may be repeated
    #[arg(long = "provider", value_name = "PROVIDER")]
    providers: Vec<String>,
    /// A branch that it may not push any more; may be repeated
    #[arg(long = "branch", value_name = "BRANCH")]
    branches: Vec<String>,
}

pub async fn run(args: &NetworkArgs, context: &Context) -> Outcome {
    if args.groups {
        return groups(context);
    }
    let gateway = context.gateway().await?;
    let command = |name: &str| format!("mimir frame network {name}");
    let name = here::frame(&gateway, args.name.as_ref(), &command, context).await?;
    if args.follow {
        return follow(&gateway, &name, context).await;
    }
    let network = gateway.network(&name).await?;
    if context.out.json {
        context.out.document(&network)?;
        return Ok(DONE);
    }
    for line in words(&network, context.now_ms()) {
        context.out.paragraph(&line, 10)?;
    }
    if !network.hosts.is_empty() {
        context.out.line("")?;
        context.out.table(&table(&network.hosts, context.now_ms()))?;
    }
    Ok(DONE)
}

/// They are part of the program, so no gateway is asked.
fn built_in() -> Result<AllowGroups, Problem> {
    let unreadable = |error: String| Problem::new(500, "internal", "the groups cannot be read").detail(error);
    AllowGroups::built_in().map_err(unreadable)
}

fn groups(context: &Context) -> Outcome {
    let groups = built_in()?;
    if context.out.json {
        context.out.document(&groups.described().to_vec())?;
        return Ok(DONE);
    }
    let mut table =
        Table::new(&[column("GROUP"), column("FOR").shrinks(), column("HOSTS").shrinks().spare(1)]);
    for group in groups.described() {
        table.row(vec![group.name.clone().into(), group.about.clone().into(), group.hosts.join(", ").into()]);
    }
    context.out.table(&table)?;
    Ok(DONE)
}

pub async fn allow(args: AllowArgs, context: &Context) -> Outcome {
    let is_for_good = !args.providers.is_empty() || !args.branches.is_empty();
    if is_for_good && (args.once || args.for_time.is_some()) {
        return Err(usage("providers and branches are granted for good, or not at all")
            .hint("leave out --once and --for; `mimir frame deny NAME --provider PROVIDER` takes it back")
            .into());
    }
    let words: Vec<String> = args.name.into_iter().chain(args.hosts).collect();
    named(&words, is_for_good, ALLOW)?;
    let gateway = context.gateway().await?;
    let (name, hosts) = meant(&gateway, words, "allow", context).await?;
    named(&hosts, is_for_good, ALLOW)?;
    let is_about_providers = !args.providers.is_empty();
    let request = AllowFrame {
        hosts,
        providers: args.providers,
        branches: args.branches,
        once: args.once,
        for_seconds: args.for_time.map(|time| time.as_secs()),
    };
    let network = gateway.allow_frame(&name, &request).await?;
    told(&network, context)?;
    if is_about_providers {
        context
            .out
            .say(format!("its agent hears of a new provider when it starts: `mimir frame restart {name}`"));
    }
    Ok(DONE)
}

pub async fn deny(args: DenyArgs, context: &Context) -> Outcome {
    let is_more = !args.providers.is_empty() || !args.branches.is_empty();
    let words: Vec<String> = args.name.into_iter().chain(args.hosts).collect();
    named(&words, is_more, DENY)?;
    let gateway = context.gateway().await?;
    let (name, hosts) = meant(&gateway, words, "deny", context).await?;
    named(&hosts, is_more, DENY)?;
    let request = DenyFrame { hosts, providers: args.providers, branches: args.branches };
    let network = gateway.deny_frame(&name, &request).await?;
    told(&network, context)?;
    Ok(DONE)
}

/// What to type, for whoever named nothing.
const ALLOW: &str =
    "`mimir frame allow NAME HOST`, or --provider, --branch; `mimir frame network --groups` lists groups";
/// See [`ALLOW`].
const DENY: &str = "`mimir frame deny NAME HOST`, or --provider, --branch";

/// Whether something is named besides the frame.
fn named(hosts: &[String], is_more: bool, hint: &str) -> Result<(), Problem> {
    if hosts.is_empty() && !is_more {
        return Err(usage("no host, group, provider or branch is named").hint(hint));
    }
    Ok(())
}

/// Which frame is meant, and which hosts: the first word is its name, or else it is the frame of this folder.
async fn meant(
    gateway: &GatewayClient,
    mut words: Vec<String>,
    verb: &str,
    context: &Context,
) -> Result<(String, Vec<String>), Failure> {
    let has_name = match words.first() {
        Some(first) => is_frame(gateway, first).await?,
        None => false,
    };
    if has_name {
        let name = words.remove(0);
        return Ok((name, words));
    }
    let again = |name: &str| format!("mimir frame {verb} {name} {}", words.join(" "));
    let name = here::frame(gateway, None, &again, context).await?;
    Ok((name, words))
}

/// Whether a word is a frame's name. A host has a dot or a colon, so a name that is mistyped is never taken for one; a
/// group may be called as a frame is.
async fn is_frame(gateway: &GatewayClient, word: &str) -> Result<bool, Failure> {
    if FrameName::parse(word).is_err() {
        return Ok(false);
    }
    if !built_in()?.names().iter().any(|group| group == word) {
        return Ok(true);
    }
    let frames = gateway.frames().await?;
    Ok(frames.iter().any(|frame| frame.name == word))
}

fn told(network: &FrameNetwork, context: &Context) -> Result<(), Failure> {
    if context.out.json {
        return context.out.document(network);
    }
    words(network, context.now_ms()).iter().try_for_each(|line| context.out.paragraph(line, 10))
}

/// What it may reach.
fn words(network: &FrameNetwork, now_ms: u64) -> Vec<String> {
    let list = |items: &[String], none: &str| match items {
        [] => none.to_owned(),
        items => clean(&items.join(", ")),
    };
    let mode = match network.network {
        NetworkMode::Sealed => "sealed: no host, model calls only".to_owned(),
        NetworkMode::Allow => format!("allow: {}", list(&network.allow, "no host")),
        NetworkMode::Open => "open: every host, past the broker; nothing is counted".to_owned(),
    };
    let mut lines = vec![format!("network   {mode}")];
    if !network.deny.is_empty() {
        lines.push(format!("not       {}", list(&network.deny, "")));
    }
    lines.extend(network.lent.iter().map(|loan| {
        let how = if loan.once { "once, within" } else { "for" };
        format!("lent      {} {how} {}", clean(&loan.host), left(loan.until, now_ms))
    }));
    lines.push(format!("models of {}", list(&network.providers, "no provider")));
    if let Some(repository) = &network.repository {
        lines.push(format!(
            "git       {repository}, {}; may push {}",
            network.git,
            list(&network.branches, "nothing")
        ));
    }
    if network.network == NetworkMode::Allow {
        let uploads = network.upload_limit_bytes.map(|limit| format!("{} sent", size(limit)));
        let connections = network.connection_limit_count.map(|limit| format!("{limit} connections"));
        let limits: Vec<String> = uploads.into_iter().chain(connections).collect();
        if !limits.is_empty() {
            lines.push(format!("at most   {} to each host a day", limits.join(", ")));
        }
    }
    lines.extend(network.asked.iter().map(|asked| {
        let left = asked.until.map(|until| format!(", {}", left(until, now_ms))).unwrap_or_default();
        format!("waits     {}: `mimir approvals allow {}`{left}", clean(&asked.text), asked.approval)
    }));
    lines
}

fn table(hosts: &[HostTraffic], now_ms: u64) -> Table {
    let mut table = Table::new(&[
        column("HOST"),
        column("ALLOWED").right(),
        column("REQUESTS").right().spare(4),
        column("REFUSED").right(),
        column("SENT").right().spare(2),
        column("RECEIVED").right().spare(2),
        column("LAST").right().spare(1),
        column("REFUSED WHY").shrinks().spare(3),
    ]);
    for host in hosts {
        let refused = host.refused_count.to_string();
        let requests = if host.request_count > 0 { host.request_count.to_string() } else { "-".to_owned() };
        table.row(vec![
            format!("{}:{}", host.host, host.port).into(),
            host.allowed_count.to_string().into(),
            requests.into(),
            if host.refused_count > 0 { inked(Ink::Red, &refused) } else { refused.as_str().into() },
            size(host.sent_bytes).into(),
            size(host.received_bytes).into(),
            age(host.last_at, now_ms).into(),
            output::told(host.reason.as_deref().unwrap_or("-")).into(),
        ]);
    }
    table
}

async fn follow(gateway: &GatewayClient, name: &str, context: &Context) -> Outcome {
    let mut last = String::new();
    loop {
        let network = gateway.network(name).await?;
        if context.out.json {
            let now = serde_json::to_string(&network).unwrap_or_default();
            if now != last {
                context.out.object(&network)?;
                last = now;
            }
        } else {
            let head = words(&network, context.now_ms()).join("\n");
            let table = table(&network.hosts, context.now_ms());
            let text = format!("{head}\n\n{}", table.render(context.out.width(), context.out.paint));
            let clear = if context.out.width().is_some() { "\x1b[H\x1b[2J" } else { "" };
            if text != last {
                context.out.raw(&format!("{clear}{text}"))?;
                last = text;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

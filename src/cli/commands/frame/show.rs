//! `mimir frame show`

use clap::Args;

use super::super::budget;
use super::super::queue::origin;
use super::ink_of;
use crate::cli::context::Context;
use crate::cli::exit::{DONE, Failure, Outcome};
use crate::cli::paint::Ink;
use crate::cli::table::clean;
use crate::cli::{here, names};
use crate::clock::utc as time;
use crate::model::frame::FrameState;
use crate::model::git::GitMode;
use crate::model::names::FrameName;
use crate::model::network::NetworkMode;
use crate::model::quantity::{age, left, size};
use crate::model::shell::quoted;
use crate::model::status::FrameStatus;
use crate::model::trust::Trust;
use crate::wire::frames::FrameDetails;

/// Everything about a frame, with the reason for an error and what to do
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Which frame; the one of this folder when absent
    #[arg(value_parser = FrameName::parse, add = names::frames())]
    name: Option<FrameName>,
}

pub async fn run(args: &ShowArgs, context: &Context) -> Outcome {
    let gateway = context.gateway().await?;
    let command = |name: &str| format!("mimir frame show {name}");
    let name = here::frame(&gateway, args.name.as_ref(), &command, context).await?;
    let frame = gateway.frame(&name).await?;
    if context.out.json {
        context.out.document(&frame)?;
    } else {
        print(&frame, context)?;
    }
    Ok(DONE)
}

fn print(frame: &FrameDetails, context: &Context) -> Result<(), Failure> {
    let (out, now) = (&context.out, context.now_ms());
    let summary = &frame.summary;
    let state = ink_of(summary.state)
        .map_or_else(|| summary.state.to_string(), |ink| out.paint.ink(ink, summary.state.as_str()));
    out.line(format!("{}  {state}", out.paint.ink(Ink::Bold, &summary.name)))?;
    if let Some(reason) = &summary.reason {
        out.paragraph(&format!("  {}", clean(reason)), 0)?;
    }
    if let Some(hint) = &frame.hint {
        out.paragraph(&format!("  {} {}", out.paint.ink(Ink::Cyan, "try:"), clean(hint)), 5)?;
    }
    out.line("")?;
    for (label, value) in facts(frame, now) {
        let label = out.paint.ink(Ink::Dim, &format!("{label:<10}"));
        out.paragraph(&format!("  {label}  {}", clean(&value)), 12)?;
    }
    if !frame.notes.is_empty() {
        out.line(format!("\n  {}", out.paint.ink(Ink::Dim, "what happened (UTC)")))?;
        for note in &frame.notes {
            out.paragraph(&format!("  {}  {}: {}", time(note.at), note.code, clean(&note.text)), 2)?;
        }
    }
    Ok(())
}

fn facts(frame: &FrameDetails, now: u64) -> Vec<(&'static str, String)> {
    let summary = &frame.summary;
    let mut facts = Vec::new();
    if !summary.workspace.is_empty() {
        facts.push(("workspace", summary.workspace.clone()));
    }
    facts.extend(summary.project.clone().map(|project| ("project", project)));
    facts.extend(summary.agent.clone().map(|agent| ("agent", agent_line(&agent, &summary.status, now))));
    if let Some(url) = &summary.url {
        facts.push(("server", format!("{url}, which somebody else runs")));
        facts.push(("cannot", frame.cannot.join(", ")));
        facts.push((
            "rules",
            "its own configuration says what its agent may do; what it asks comes to you".into(),
        ));
    } else {
        facts.extend(of_a_container(frame));
    }
    facts.push(("id", summary.id.clone()));
    if !summary.origin.is_person() {
        facts.push(("made by", origin(summary.origin, summary.run.as_deref())));
    }
    facts.push((
        "created",
        format!(
            "{} ago, active {} ago, {} since {}",
            age(summary.created_at, now),
            age(summary.last_active_at, now),
            summary.state,
            age(frame.state_changed_at, now)
        ),
    ));
    facts.extend(summary.expires_at.map(|at| ("expires", format!("in {}", left(at, now)))));
    facts.push(("cost", budget::cost(summary.cost_microusd, summary.unpriced_count)));
    facts.push((
        "budget",
        match &summary.budget {
            Some(near) => format!("{}: {} ({} %)", near.whose(), budget::amounts(near), near.percent),
            None => format!("no limit; `mimir budget set 5 --frame {}` sets one", summary.name),
        },
    ));
    facts
}

fn of_a_container(frame: &FrameDetails) -> Vec<(&'static str, String)> {
    let summary = &frame.summary;
    let mut facts = Vec::new();
    facts.push((
        "ports",
        format!("agent 127.0.0.1:{}, preview 127.0.0.1:{}", summary.agent_port, summary.preview_port),
    ));
    let network = summary.network.map(|network| match network {
        NetworkMode::Sealed => "sealed: model calls only".to_owned(),
        NetworkMode::Allow => format!("allow: model calls and {}", list_or(&frame.allow, "no hosts")),
        NetworkMode::Open => "open: an ordinary network".to_owned(),
    });
    facts.extend(network.map(|network| ("network", network)));
    if !frame.providers.is_empty() {
        facts.push(("models of", frame.providers.join(", ")));
    }
    if let Some(repository) = &frame.repository {
        let becomes = match frame.git {
            GitMode::Direct => "direct",
            GitMode::Gate => "with a gate: what it pushes waits for a look",
        };
        facts.push((
            "git",
            format!("{repository}, {becomes}; may push {}", list_or(&frame.branches, "nothing")),
        ));
    }
    let enforced = if frame.limits_enforced { "" } else { " (not enforced by the engine here)" };
    facts.push((
        "limits",
        format!(
            "{} cores, {}, {} processes{enforced}",
            f64::from(frame.limits.cpus_milli) / 1000.0,
            size(frame.limits.memory_bytes),
            frame.limits.pids
        ),
    ));
    facts.push(("wanted", format!("{}; the engine says {}", summary.desired.as_str(), frame.observed)));
    if let Some(code) = frame.exit_code.filter(|_| summary.state != FrameState::Running) {
        facts.push(("last exit", code.to_string()));
    }
    let used = frame.agent_memory_bytes.map(|bytes| format!("its agent uses {}", size(bytes)));
    let ran_out = frame.oom_kills.filter(|kills| *kills > 0).map(|kills| format!("ran out {kills} times"));
    let memory: Vec<String> = used.into_iter().chain(ran_out).collect();
    if !memory.is_empty() {
        facts.push(("memory", memory.join(", ")));
    }
    facts.extend(frame.mounts.iter().map(|mount| ("mounted", mount.to_string())));
    let project = match frame.trust {
        Some(Trust::Untrusted) => Some("left out"),
        Some(Trust::Changed) => Some("left out: it is not what you trusted"),
        Some(Trust::Trusted) if summary.expires_at.is_some() => {
            Some("left out: throwaway frames obey nothing")
        }
        Some(Trust::Trusted) => Some("obeyed from its next start on, as you trusted it"),
        Some(Trust::Nothing) | None => None,
    };
    facts.extend(project.map(|word| {
        let look = format!("`mimir projects trust {}`", quoted(&summary.workspace));
        ("brings", format!("plugins, commands or settings: {word}; {look} shows them"))
    }));
    facts.extend(frame.isolation.as_ref().map(|isolation| ("isolation", isolation.words().join("; "))));
    facts.extend(frame.loosened.iter().map(|text| ("loosened", text.clone())));
    facts.extend(frame.secrets.iter().filter_map(|grant| {
        let host = grant.host.as_ref()?;
        Some(("secret", format!("{}: a placeholder in {}, for {host}", grant.secret, grant.variable)))
    }));
    facts.push(("files of", frame.owner.clone()));
    if !frame.env.is_empty() {
        facts.push(("env", frame.env.join(", ")));
    }
    let image = format!("{} ({})", frame.image, short(&frame.image_id));
    let older = match &summary.rebuild {
        _ if summary.behind => format!(", an older one: `mimir frame upgrade {}`", summary.name),
        Some(rebuild) => format!(", built on an older frame image: `{rebuild}`"),
        None => String::new(),
    };
    facts.push(("image", image + &older));
    facts.push(("container", format!("{}, generation {}", frame.container, frame.generation)));
    facts
}

/// What the agent does, with what the one word leaves out.
fn agent_line(word: &str, status: &FrameStatus, now: u64) -> String {
    if let Some(retry) = &status.retry {
        let again =
            if retry.until > now { format!("in {}", left(retry.until, now)) } else { "now".to_owned() };
        return format!("{word}: {}; attempt {} {again}", retry.message, retry.attempt);
    }
    if let Some(silence) = status.silence() {
        return format!("{word}: {silence}");
    }
    match status.since {
        Some(since) => format!("{word}: it has not answered for {}", age(since, now)),
        None => word.to_owned(),
    }
}

fn list_or(items: &[String], none: &str) -> String {
    if items.is_empty() { none.to_owned() } else { items.join(", ") }
}

/// An id as people compare it.
pub fn short(id: &str) -> &str {
    let id = id.strip_prefix("sha256:").unwrap_or(id);
    id.get(..12).unwrap_or(id)
}

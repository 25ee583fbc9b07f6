//! Names for shell completion: asked of a running gateway, never by starting one.

use std::time::Duration;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use super::remote::Elsewhere;
use crate::client::{GatewayClient, KnownGateways};
use crate::config::LoadOptions;

/// A shell waits for us at every press of the tab key.
const PATIENCE: Duration = Duration::from_millis(120);

/// Completes frame names.
pub fn frames() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(|client| async move {
            let frames = client.frames().await.unwrap_or_default();
            frames.into_iter().map(|frame| (frame.name, frame.state.to_string())).collect()
        })
    })
}

/// Completes project names.
pub fn projects() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(|client| async move {
            let projects = client.projects().await.unwrap_or_default();
            projects.into_iter().map(|project| (project.name, project.path)).collect()
        })
    })
}

/// Completes ids of what waits for a person.
pub fn approvals() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(|client| async move {
            let waiting = client.approvals(None, false).await.unwrap_or_default();
            waiting.into_iter().map(|it| (it.id, format!("{}: {}", it.frame, it.text))).collect()
        })
    })
}

fn ask<F, Fut>(question: F) -> Vec<CompletionCandidate>
where
    F: FnOnce(GatewayClient) -> Fut,
    Fut: Future<Output = Vec<(String, String)>>,
{
    let Ok(options) = LoadOptions::of_process() else { return Vec::new() };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let elsewhere = Elsewhere::of(&|name| options.env.get(name).cloned());
    let client = match elsewhere {
        None => GatewayClient::new(options.paths.gateway_socket()),
        Some(elsewhere) => {
            let known = KnownGateways::at(options.paths.known_gateways());
            let Ok(remote) = elsewhere.remote(&known) else { return Vec::new() };
            GatewayClient::remote(remote)
        }
    };
    let names = runtime.block_on(async { tokio::time::timeout(PATIENCE, question(client)).await });
    names
        .unwrap_or_default()
        .into_iter()
        .map(|(name, help)| CompletionCandidate::new(name).help(Some(help.into())))
        .collect()
}

//! Words for shell completion: what is known here, and what a running gateway knows. None is ever started for it.

use std::time::Duration;

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use super::remote::Elsewhere;
use super::table::clean;
use crate::client::{GatewayClient, KnownGateways, RunList};
use crate::config::{Config, LoadOptions, env, keys};
use crate::models::Prices;

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

/// Completes schedules.
pub fn schedules() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(|client| async move {
            let schedules = client.schedules().await.unwrap_or_default();
            schedules
                .into_iter()
                .map(|it| (it.name, format!("{}: {}", it.expression, it.does.words())))
                .collect()
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

/// Completes numbers of what frames pushed and waits for a look.
pub fn pushes() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(|client| async move {
            let waiting = client.pushes(None, false).await.unwrap_or_default();
            waiting
                .into_iter()
                .map(|it| (it.id.to_string(), format!("{}: {}", it.frame, it.repository)))
                .collect()
        })
    })
}

/// Completes ids of runs that have not ended.
pub fn runs() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(|client| async move {
            let open = RunList { open: true, ..RunList::default() };
            let runs = client.runs(&open).await.unwrap_or_default();
            runs.into_iter()
                .map(|it| (it.id, format!("{} {}: {}", it.workflow, it.state, it.title)))
                .collect()
        })
    })
}

/// Completes names of workflows.
pub fn workflows() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(|client| async move {
            let all = client.workflows().await.unwrap_or_default();
            all.into_iter().map(|it| (it.name, it.description)).collect()
        })
    })
}

/// Completes conversations, the last used first.
pub fn sessions() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(|client| async move {
            let sessions = client.sessions(None).await.unwrap_or_default();
            let last = ("last".to_owned(), "the one that was used last".to_owned());
            let those = sessions.into_iter().map(|it| (it.id, format!("{}: {}", it.frame, it.title)));
            std::iter::once(last).chain(those).collect()
        })
    })
}

/// Completes messages that wait or run.
pub fn messages() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        ask(|client| async move {
            let open = client.queue(None, None).await.unwrap_or_default();
            open.into_iter().map(|it| (it.id, format!("{} {}: {}", it.frame, it.state, it.text))).collect()
        })
    })
}

/// Completes models of the providers that can be used.
pub fn models() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let loaded = LoadOptions::of_process().and_then(|options| Config::load(&options));
        let providers = loaded.map(|loaded| loaded.config.providers).unwrap_or_default();
        let prices = Prices::built_in().unwrap_or_default();
        let mut models = Vec::new();
        for provider in providers.values().filter(|provider| provider.is_usable()) {
            let ours = provider.models.iter().map(|model| model.id.as_str());
            let known = ours.chain(prices.models(&provider.kind));
            models.extend(known.map(|model| (format!("{}/{model}", provider.name), String::new())));
        }
        models.push(("demo/demo".to_owned(), "built in; answers without a key, and is no model".to_owned()));
        candidates(models)
    })
}

/// Completes network modes.
pub fn networks() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let about = [
            ("sealed", "model calls only"),
            ("allow", "model calls, and hosts that are listed"),
            ("open", "an ordinary network"),
        ];
        candidates(about.map(|(mode, about)| (mode.to_owned(), about.to_owned())).into())
    })
}

/// Completes keys of the configuration.
pub fn settings() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let keys = keys::CONFIG.iter().filter(|key| env::is_settable(key));
        candidates(keys.map(|key| (key.path.clone(), key.about.to_owned())).collect())
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
    candidates(names.unwrap_or_default())
}

/// What a message or a title says may be long, and may hold anything.
const HELP: usize = 60;

fn candidates(names: Vec<(String, String)>) -> Vec<CompletionCandidate> {
    let candidate = |(name, help): (String, String)| {
        let help: String = clean(&help).chars().take(HELP).collect();
        CompletionCandidate::new(name).help((!help.is_empty()).then(|| help.into()))
    };
    names.into_iter().map(candidate).collect()
}

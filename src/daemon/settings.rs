//! Configuration into what each service wants to know. Pure.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::backups;
use crate::broker;
use crate::budget;
use crate::config::provider::Provider;
use crate::config::{Config, Paths};
use crate::delivery;
use crate::doctor::{self, ProviderPresence, SourcePresence};
use crate::events::Retention;
use crate::frames::{CrashSettings, Settings};
use crate::model::ids::InstanceId;
use crate::model::secret::Secret;
use crate::models::{DEMO, ModelSettings, ProviderSettings, UnknownProviderKind};
use crate::notify::{self, Hook, Pace};
use crate::sentry::{self, SentrySource};
use crate::store::budgets::Defaults;
use crate::upkeep;
use crate::webhooks;
use crate::workflows;
use crate::workflows::library::Library;

/// What frames want to know.
pub fn frames(config: &Config, paths: &Paths, instance: InstanceId) -> Settings {
    let usual = Settings::of_home(paths.home(), instance);
    let (window, limit) = (config.frames.crash_window, config.frames.crash_limit);
    Settings {
        frames_folder: paths.frames(),
        config: config.frames.clone(),
        crashes: CrashSettings { window, limit, ..usual.crashes },
        ..usual
    }
}

/// Who is told what agents ask.
pub fn notify(config: &Config) -> notify::Settings {
    let wanted = &config.notify;
    let hooks = wanted.webhooks.iter();
    let bus = || notify::session_bus(&|name| std::env::var(name).ok());
    notify::Settings {
        hooks: hooks.map(|hook| Hook { url: hook.url.clone(), secret: hook.secret.clone() }).collect(),
        bus: wanted.desktop.then(bus).flatten(),
        pace: Pace::default(),
    }
}

/// What the broker wants to know.
pub fn egress(config: &Config) -> broker::Limits {
    broker::Limits {
        upload: config.frames.upload_limit,
        connections: config.frames.connection_limit,
        ask_wait: config.network.ask_wait,
    }
}

/// What upkeep wants to know.
pub fn upkeep(config: &Config) -> upkeep::Settings {
    upkeep::Settings { config: config.frames.clone(), tick: Duration::from_secs(30) }
}

/// What model calls may cost.
pub fn budget(config: &Config) -> budget::Settings {
    let wanted = &config.budget;
    let defaults = Defaults { frame: wanted.frame, day: wanted.day, month: wanted.month };
    budget::Settings { defaults, warn_at: wanted.warn_at }
}

/// Who may tell us something, and what follows.
pub fn webhooks(config: &Config) -> webhooks::Settings {
    let wanted = &config.webhooks;
    let source = |source: &crate::config::webhooks::Source| webhooks::Source {
        kind: source.kind,
        secrets: [&source.secret, &source.previous_secret].into_iter().flatten().cloned().collect(),
        host: source.host.as_ref().map(|host| host.authority.clone()),
        organization: source.organization.clone(),
        has_token: source.token.is_some(),
        mapping: source.mapping.clone(),
    };
    webhooks::Settings {
        sources: wanted.sources.iter().map(|(name, found)| (name.clone(), source(found))).collect(),
        rules: wanted.rules.clone(),
        body_limit: usize::try_from(wanted.body_limit).unwrap_or(usize::MAX),
        parallel: wanted.parallel,
        keep: DAY * wanted.keep_days,
        catch_up: wanted.catch_up,
        address: wanted.address.clone(),
        ..webhooks::Settings::default()
    }
}

/// Error trackers whose API can be asked.
pub fn sentries(config: &Config) -> Vec<SentrySource> {
    let usual = || sentry::USUAL.parse().ok();
    let of = |(name, source): (&String, &crate::config::webhooks::Source)| {
        Some(SentrySource {
            name: name.clone(),
            url: source.url.clone().or_else(usual)?,
            organization: source.organization.clone()?,
            token: source.token.clone()?,
        })
    };
    config.webhooks.sources.iter().filter_map(of).collect()
}

/// What of it must not be said.
pub fn webhook_secrets(config: &Config) -> Vec<Secret> {
    let all = config.webhooks.sources.values();
    all.flat_map(|source| [&source.secret, &source.previous_secret, &source.token])
        .flatten()
        .cloned()
        .collect()
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// When the database is copied.
pub fn backups(config: &Config) -> backups::Settings {
    let wanted = &config.backup;
    backups::Settings { every: wanted.every, keep: wanted.keep, age: DAY * wanted.keep_days }
}

/// How much of what happened is kept.
pub fn retention(config: &Config) -> Retention {
    Retention::new(DAY * config.events.keep_days, u64::from(config.events.keep_mib) << 20)
}

/// What messages want to know.
pub fn delivery(config: &Config) -> delivery::Settings {
    delivery::Settings {
        limits: config.turn,
        queue: config.queue,
        routing: routing(config),
        ..delivery::Settings::new(config.default_model())
    }
}

/// How runs share this machine.
pub fn workflows(config: &Config) -> workflows::Settings {
    workflows::Settings { max_parallel: config.workflows.max_parallel }
}

/// Which model answers a message that names none.
pub fn routing(config: &Config) -> delivery::Routing {
    delivery::Routing {
        routes: config.models.routes.clone(),
        tiers: config.models.tiers.known(),
        providers: providers_of_every_frame(config),
        budgets: budget(config).defaults,
    }
}

/// What the model providers are.
///
/// # Errors
/// When a kind is not known here; the configuration's own check knows the same list.
pub fn providers(config: &Config) -> Result<Vec<ProviderSettings>, UnknownProviderKind> {
    config.providers.values().map(provider).collect()
}

/// Those that every frame may use: of the model for messages, of the one for titles, and the demo.
pub fn providers_of_every_frame(config: &Config) -> BTreeSet<String> {
    [config.default_model().provider, config.small_model().provider, DEMO.to_owned()].into()
}

fn provider(given: &Provider) -> Result<ProviderSettings, UnknownProviderKind> {
    let models = given.models.iter().map(|model| ModelSettings {
        id: model.id.clone(),
        name: model.name.clone(),
        context: model.context,
        output: model.output,
        price: None,
    });
    Ok(ProviderSettings {
        name: given.name.clone(),
        kind: given.kind.parse()?,
        base_url: given.base_url.clone(),
        key: given.key.clone(),
        models: models.collect(),
    })
}

/// Whose webhooks could be believed.
pub fn senders(config: &Config) -> Vec<SourcePresence> {
    let of = |(name, source): (&String, &webhooks::Source)| SourcePresence {
        name: name.clone(),
        kind: source.kind,
        has_secret: !source.secrets.is_empty(),
    };
    self::webhooks(config).sources.iter().map(of).collect()
}

/// What follows from webhooks, as the file has it.
pub fn rules(config: &Config) -> doctor::Rules {
    let rules = config.webhooks.rules.clone();
    Arc::new(move || rules.clone())
}

/// How the workflows that can be used are asked for.
pub fn workflow_names(home: &Path) -> webhooks::WorkflowNames {
    let library = Library::of_home(home);
    Arc::new(move || {
        let usable = library.list().into_iter().filter(|entry| entry.workflow.is_ok());
        usable.map(|entry| entry.name).collect()
    })
}

/// Which providers could be asked.
pub fn presence(config: &Config) -> Vec<ProviderPresence> {
    let of =
        |provider: &Provider| ProviderPresence { name: provider.name.clone(), usable: provider.is_usable() };
    config.providers.values().map(of).collect()
}

//! Configuration into what each service wants to know. Pure.

use std::time::Duration;

use crate::config::schema::Provider;
use crate::config::{Config, Paths};
use crate::delivery::{Limits, Rules};
use crate::doctor::ProviderPresence;
use crate::events::Retention;
use crate::frames::{CrashSettings, Settings};
use crate::model::ids::InstanceId;
use crate::models::{ModelSettings, ProviderSettings, UnknownProviderKind};
use crate::notify::{self, Hook, Pace};
use crate::upkeep;

/// What frames want to know.
pub fn frames(config: &Config, paths: &Paths, instance: InstanceId) -> Settings {
    let wanted = &config.frames;
    let usual = Settings::of_home(paths.home(), instance);
    Settings {
        frames_folder: paths.frames(),
        image: wanted.image.clone(),
        ports: wanted.ports,
        network: wanted.network,
        allow: wanted.allow.clone(),
        limits: wanted.limits,
        parallel_starts: usize::try_from(wanted.parallel_starts).unwrap_or(usize::MAX).max(1),
        start_timeout: wanted.start_timeout,
        stop_grace: wanted.stop_grace,
        throwaway_ttl: wanted.throwaway_ttl,
        recycle_limit: wanted.recycle_limit,
        crashes: CrashSettings { window: wanted.crash_window, limit: wanted.crash_limit, ..usual.crashes },
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

/// What upkeep wants to know.
pub fn upkeep(config: &Config) -> upkeep::Settings {
    let wanted = &config.frames;
    upkeep::Settings {
        idle_stop: wanted.idle_stop,
        recycle_at: wanted.recycle_at,
        recycle_limit: wanted.recycle_limit,
        tick: Duration::from_secs(30),
    }
}

/// How much of what happened is kept.
pub fn retention(config: &Config) -> Retention {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    Retention::new(DAY * config.events.keep_days, u64::from(config.events.keep_mib) << 20)
}

/// What messages want to know.
pub fn router(config: &Config) -> crate::delivery::Settings {
    let (turn, queue) = (&config.turn, &config.queue);
    crate::delivery::Settings {
        limits: Limits {
            work: turn.work,
            steps: usize::try_from(turn.steps).unwrap_or(usize::MAX),
            tokens: turn.tokens.into(),
            cost_microusd: turn.cost_microusd,
            retries: turn.retries,
            silence: turn.silence,
            person: turn.person,
            retry_pause: turn.retry_pause,
        },
        queue: Rules {
            per_session: queue.per_session.into(),
            per_frame: queue.per_frame.into(),
            parallel: usize::try_from(queue.parallel).unwrap_or(usize::MAX),
            wait: queue.wait,
        },
        ..crate::delivery::Settings::new(config.default_model())
    }
}

/// What the model providers are.
///
/// # Errors
/// When a kind is not known here; the configuration's own check knows the same list.
pub fn providers(config: &Config) -> Result<Vec<ProviderSettings>, UnknownProviderKind> {
    config.providers.values().map(provider).collect()
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

/// Which providers could be asked.
pub fn presence(config: &Config) -> Vec<ProviderPresence> {
    let of =
        |provider: &Provider| ProviderPresence { name: provider.name.clone(), usable: provider.is_usable() };
    config.providers.values().map(of).collect()
}

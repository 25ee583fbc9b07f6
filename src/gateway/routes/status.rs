//! The gateway at a glance, and its end.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use strum::IntoEnumIterator;
use tokio_util::sync::CancellationToken;

use crate::backups::Backups;
use crate::clock::Clock;
use crate::gateway::extract::Caller;
use crate::gateway::problem::Answer;
use crate::gateway::state::About;
use crate::gateway::{engine, metrics};
use crate::model::frame::FrameState;
use crate::model::status::StatusWord;
use crate::runtime::Runtime;
use crate::status::Statuses;
use crate::store::{self, Store, StoreError};
use crate::wire::status::Status;

routes! {
    get "/v1/status" Read All => status;
    post "/v1/stop" Admin All => stop;
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Everything on one screen.
#[utoipa::path(get, path = "/v1/status", tag = "gateway", responses((status = 200, body = Status)))]
pub async fn status(
    State(statuses): State<Statuses>,
    State(store): State<Store>,
    State(clock): State<Clock>,
    State(runtime): State<Arc<dyn Runtime>>,
    State(backups): State<Backups>,
    State(about): State<Arc<About>>,
) -> Answer<Json<Status>> {
    let glance = glance(statuses, &store, clock.now_ms()).await?;
    let engine = engine::ask(&*runtime).await;
    let some = |counts: &[(&'static str, u64)]| -> BTreeMap<String, u32> {
        let there = counts.iter().filter(|(_, count)| *count > 0);
        there.map(|(word, count)| ((*word).to_owned(), u32::try_from(*count).unwrap_or(u32::MAX))).collect()
    };
    let (frames, agents) = (some(&glance.frames), some(&glance.agents));
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        home: about.home.clone(),
        instance: about.instance.to_string(),
        started_at: about.started_at,
        socket: about.socket.clone(),
        http: about.http.clone(),
        fingerprint: about.fingerprint.clone(),
        engine_ok: engine.is_ok(),
        engine: engine.map_or_else(|why| why, |info| engine::line(&info)),
        database: about.database.clone(),
        database_damage: backups.damage(),
        schema: about.schema,
        key_source: about.key_source.clone(),
        frames_by_state: frames,
        frames_warm: glance.warm,
        agents_by_status: agents,
        messages_open: u32::try_from(glance.messages_open).unwrap_or(u32::MAX),
        default_model: about.default_model.clone(),
        cost_today_microusd: glance.cost_today_microusd,
        spending_paused: glance.spending_paused,
        memory_bytes: metrics::resident_bytes(),
    }))
}

/// Stops the gateway. Frames go on.
#[utoipa::path(post, path = "/v1/stop", tag = "gateway", responses((status = 202)))]
pub async fn stop(State(stop): State<CancellationToken>, Caller(principal): Caller) -> StatusCode {
    tracing::info!("{principal} asked the gateway to stop");
    stop.cancel();
    StatusCode::ACCEPTED
}

/// Sums over everything.
struct Glance {
    /// How many frames are in which state; every state is there.
    frames: Vec<(&'static str, u64)>,
    /// How many are kept for runs to come.
    warm: u32,
    /// What how many agents do; every word is there.
    agents: Vec<(&'static str, u64)>,
    /// Messages that wait or run.
    messages_open: u64,
    /// Since midnight UTC.
    cost_today_microusd: u64,
    /// Whether nothing is spent.
    spending_paused: bool,
}

/// Reads the sums.
async fn glance(statuses: Statuses, store: &Store, now: u64) -> Answer<Glance> {
    let read = store.read(move |db| {
        let all = statuses.look(db, store::frames::list(db)?)?;
        let count = |state: FrameState| all.iter().filter(|now| now.frame.state == state).count() as u64;
        let doing = |word: StatusWord| all.iter().filter(|now| now.status.word == word).count() as u64;
        Ok::<_, StoreError>(Glance {
            frames: FrameState::iter().map(|state| (state.as_str(), count(state))).collect(),
            warm: store::frames::count_warm(db)?,
            agents: StatusWord::iter().map(|word| (word.as_str(), doing(word))).collect(),
            messages_open: store::messages::list_open(db, None)?.len() as u64,
            cost_today_microusd: store::usage::sum(db, None, now - now % DAY_MS)?.cost_microusd,
            spending_paused: store::budgets::is_paused(db)?,
        })
    });
    Ok(read.await?)
}

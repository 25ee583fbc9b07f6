//! The gateway at a glance, and its end.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use crate::gateway::extract::Caller;
use crate::gateway::metrics;
use crate::gateway::problem::{self, Answer};
use crate::gateway::state::Services;
use crate::model::frame::FrameState;
use crate::model::status::StatusWord;
use crate::runtime::EngineInfo;
use crate::store::{self, StoreError};
use crate::wire::status::Status;

/// An engine that takes longer counts as not answering.
const ENGINE_WITHIN: Duration = Duration::from_secs(3);
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Everything on one screen.
#[utoipa::path(get, path = "/v1/status", tag = "gateway", responses((status = 200, body = Status)))]
pub async fn status(State(services): State<Services>) -> Answer<Json<Status>> {
    let glance = glance(&services).await?;
    let engine = engine(&services).await;
    let about = &services.about;
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
        engine: engine.map_or_else(|why| why, |info| engine_line(&info)),
        database: about.database.clone(),
        schema: about.schema,
        key_source: about.key_source.clone(),
        frames,
        agents,
        messages_open: u32::try_from(glance.messages_open).unwrap_or(u32::MAX),
        default_model: about.default_model.clone(),
        cost_today_microusd: glance.cost_today_microusd,
        memory_bytes: metrics::resident_bytes(),
    }))
}

/// Stops the gateway. Frames go on.
#[utoipa::path(post, path = "/v1/stop", tag = "gateway", responses((status = 202)))]
pub async fn stop(State(services): State<Services>, Caller(principal): Caller) -> StatusCode {
    tracing::info!("{principal} asked the gateway to stop");
    services.stop.cancel();
    StatusCode::ACCEPTED
}

/// Sums over everything.
pub struct Glance {
    /// How many frames are in which state; every state is there.
    pub frames: Vec<(&'static str, u64)>,
    /// What how many agents do; every word is there.
    pub agents: Vec<(&'static str, u64)>,
    /// Messages that wait or run.
    pub messages_open: u64,
    /// Since midnight UTC.
    pub cost_today_microusd: u64,
}

/// Reads the sums.
pub async fn glance(services: &Services) -> Answer<Glance> {
    let now = services.clock.now_ms();
    let statuses = services.statuses.clone();
    let read = services.store.read(move |db| {
        let all = statuses.look(db, store::frames::list(db)?)?;
        let count = |state: FrameState| all.iter().filter(|now| now.frame.state == state).count() as u64;
        let doing = |word: StatusWord| all.iter().filter(|now| now.status.word == word).count() as u64;
        Ok::<_, StoreError>(Glance {
            frames: FrameState::ALL.into_iter().map(|state| (state.as_str(), count(state))).collect(),
            agents: StatusWord::ALL.into_iter().map(|word| (word.as_str(), doing(word))).collect(),
            messages_open: store::messages::list_open(db, None)?.len() as u64,
            cost_today_microusd: store::usage::sum(db, None, now - now % DAY_MS)?.cost_microusd,
        })
    });
    Ok(read.await?)
}

/// The engine, if it answers soon; else why not.
pub async fn engine(services: &Services) -> Result<EngineInfo, String> {
    match tokio::time::timeout(ENGINE_WITHIN, services.runtime.info()).await {
        Ok(Ok(info)) => Ok(info),
        Ok(Err(error)) => Err(problem::chain(&error)),
        Err(_) => Err(format!("the container engine did not answer within {} s", ENGINE_WITHIN.as_secs())),
    }
}

fn engine_line(info: &EngineInfo) -> String {
    let how = if info.rootless { "rootless" } else { "rootful" };
    format!("{} {} ({how}) at {}", info.kind, info.version, info.socket)
}

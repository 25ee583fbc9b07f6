//! Reads everything that is shown, at one moment.

use strum::IntoEnumIterator;

use super::page::{Label, Page};
use crate::gateway::engine;
use crate::gateway::problem::{Answer, Reply};
use crate::gateway::state::Services;
use crate::model::approval::RequestForm;
use crate::model::frame::FrameState;
use crate::model::message::{DeliveryState, Message};
use crate::model::status::StatusWord;
use crate::status::FrameNow;
use crate::store::usage::{OfModel, Sum};
use crate::store::{self, StoreError};

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What the rows say.
struct Rows {
    all: Vec<FrameNow>,
    open: Vec<Message>,
    prompts: Vec<(RequestForm, u64)>,
    used: (Vec<OfModel>, u64),
    cost_today_microusd: u64,
}

/// Everything that is shown.
///
/// # Errors
/// When the database cannot be read.
pub async fn gather(services: &Services) -> Answer<String> {
    let rows = rows(services).await?;
    let engine_up = engine::ask(&*services.runtime).await.is_ok();
    let mut page = Page::default();
    about_gateway(&mut page, services, engine_up);
    about_frames(&mut page, services, &rows);
    about_messages(&mut page, services, &rows);
    about_models(&mut page, services, rows);
    about_agents(&mut page, services);
    about_store(&mut page, services);
    page.live(
        "mimir_runtime_call_seconds",
        "How long calls of the container engine take, by call",
        services.runtime_calls.clone(),
    );
    page.render().map_err(|error| Reply::internal(&error))
}

async fn rows(services: &Services) -> Result<Rows, StoreError> {
    let now_ms = services.clock.now_ms();
    let statuses = services.statuses.clone();
    let after = services.counters.used.lock().after;
    services
        .store
        .read(move |db| {
            Ok(Rows {
                all: statuses.look(db, store::frames::list(db)?)?,
                open: store::messages::list_open(db, None)?,
                prompts: store::approvals::open(db, None)?
                    .into_iter()
                    .map(|prompt| (prompt.ask.form(), prompt.asked_at))
                    .collect(),
                used: store::usage::by_model_after(db, after)?,
                cost_today_microusd: store::usage::sum(db, None, now_ms - now_ms % DAY_MS)?.cost_microusd,
            })
        })
        .await
}

fn labels<const N: usize>(labels: [(&'static str, &str); N]) -> Vec<Label> {
    labels.into_iter().map(|(name, value)| (name, value.to_owned())).collect()
}

fn about_gateway(page: &mut Page, services: &Services, engine_up: bool) {
    let version = [(labels([("version", env!("CARGO_PKG_VERSION"))]), 1)];
    page.gauges("mimir_build_info", "The running version", version);
    page.gauge("mimir_engine_up", "1 when the container engine answers", engine_up.into());
    page.gauge("mimir_last_event_id", "Id of the newest event", services.events.newest());
    let by_class = services.counters.by_class().map(|(class, count)| (labels([("class", &class)]), count));
    page.counters("mimir_http_requests", "Answered requests by class of status", by_class);
    page.gauge("mimir_http_streams", "Open event streams, logs and terminals", services.counters.streams());
    let uptime = services.clock.now_ms().saturating_sub(services.about.started_at) / 1000;
    page.gauge("process_uptime_seconds", "Since the gateway started", uptime);
    page.gauge("process_resident_memory_bytes", "Resident memory", super::resident_bytes());
    page.gauge("process_open_fds", "Open files", super::open_files());
}

fn about_frames(page: &mut Page, services: &Services, rows: &Rows) {
    let count = |is_so: &dyn Fn(&FrameNow) -> bool| rows.all.iter().filter(|now| is_so(now)).count() as u64;
    let by_state = FrameState::iter()
        .map(|state| (labels([("state", state.as_str())]), count(&|now| now.frame.state == state)));
    page.gauges("mimir_frames", "Frames by state", by_state);
    let by_word = StatusWord::iter()
        .map(|word| (labels([("status", word.as_str())]), count(&|now| now.status.word == word)));
    page.gauges("mimir_frame_status", "Frames by what their agent does", by_word);
    let memory = rows.all.iter().filter_map(|now| {
        let (_, bytes) = services.upkeep.memory(&now.frame.id)?;
        Some((labels([("frame", now.frame.name.as_str())]), bytes))
    });
    page.gauges(
        "mimir_agent_memory_bytes",
        "Resident memory of a frame's agent when it was looked at last",
        memory,
    );
    let recycled = services.frames.recycled();
    let by_reason = [("wedged", recycled.wedged), ("memory", recycled.memory)];
    page.counters(
        "mimir_agent_recycles",
        "Agents that were restarted because they did not answer or grew too large",
        by_reason.map(|(reason, count)| (labels([("reason", reason)]), count)),
    );
    page.counter(
        "mimir_idle_stops",
        "Frames that were stopped because they had nothing to do",
        services.upkeep.idle_stops(),
    );
}

fn about_messages(page: &mut Page, services: &Services, rows: &Rows) {
    let now_ms = services.clock.now_ms();
    let age = |since: Option<u64>| since.map_or(0, |since| now_ms.saturating_sub(since) / 1000);
    page.gauge("mimir_messages_open", "Messages that wait or run", rows.open.len() as u64);
    let queued = || rows.open.iter().filter(|message| message.state == DeliveryState::Queued);
    page.gauge("mimir_queue_length", "Messages whose turn has not come", queued().count() as u64);
    page.gauge(
        "mimir_queue_oldest_seconds",
        "How long the oldest of them waits",
        age(queued().map(|message| message.created_at).min()),
    );
    let forms = [RequestForm::Permission, RequestForm::Question, RequestForm::Connection];
    let pending = forms.map(|form| {
        let count = rows.prompts.iter().filter(|(of, _)| *of == form).count() as u64;
        (labels([("form", form.as_str())]), count)
    });
    page.gauges("mimir_prompts_pending", "What agents ask and nobody has answered", pending);
    page.gauge(
        "mimir_prompts_oldest_seconds",
        "How long the oldest of them waits",
        age(rows.prompts.iter().map(|(_, asked_at)| *asked_at).min()),
    );
}

fn about_agents(page: &mut Page, services: &Services) {
    let counters = services.feeds.counters().clone();
    page.live("mimir_agent_reconnects", "Event streams of agents that stood again", counters.reconnects);
    page.live("mimir_agent_gaps", "Times in which something of an agent may have been missed", counters.gaps);
    page.live(
        "mimir_agent_throttled",
        "Times that an agent said more than an agent does, and had to wait",
        counters.throttled,
    );
    page.live("mimir_gap_repairs", "Things that had been missed and were added", counters.repaired);
    page.live("mimir_relay_seconds", "From reading an agent's event to having it in the log", counters.relay);
}

fn about_store(page: &mut Page, services: &Services) {
    let writes = services.store.write_times();
    page.times(
        "mimir_store_write_seconds",
        "From asking for a change to knowing that it is saved: on the disk, or safe from the end of the process",
        [("disk", writes.disk), ("process", writes.process)]
            .map(|(until, times)| (labels([("until", until)]), times)),
    );
    page.times("mimir_store_sync_seconds", "How long the disk takes", [(Vec::new(), writes.sync)]);
    page.counter("mimir_store_commits", "Transactions", writes.commits);
    page.counter("mimir_store_changes", "Changes in them", writes.changes);
    page.gauge("mimir_store_waiting", "Changes that wait for the writer", writes.waiting as u64);
}

fn about_models(page: &mut Page, services: &Services, rows: Rows) {
    page.gauge(
        "mimir_cost_today_microusd",
        "Spent on models today, millionths of a US dollar",
        rows.cost_today_microusd,
    );
    let mut used = services.counters.used.lock();
    // Two readers at once saw the same news; they count once.
    if rows.used.1 > used.after {
        used.add(rows.used.0, rows.used.1);
    }
    let of_model = |provider: &str, model: &str| labels([("provider", provider), ("model", model)]);
    let mut tokens = Vec::new();
    for ((provider, model), sum) in &used.sums {
        let kinds = [
            ("input", sum.tokens.input),
            ("output", sum.tokens.output),
            ("reasoning", sum.tokens.reasoning),
            ("cache_read", sum.tokens.cache_read),
            ("cache_write", sum.tokens.cache_write),
        ];
        for (kind, count) in kinds {
            let mut of = of_model(provider, model);
            of.push(("kind", kind.to_owned()));
            tokens.push((of, count));
        }
    }
    page.counters("mimir_tokens", "Tokens of model calls", tokens);
    let each = |value: fn(&Sum) -> u64| {
        let samples =
            used.sums.iter().map(move |((provider, model), sum)| (of_model(provider, model), value(sum)));
        samples.collect::<Vec<_>>()
    };
    page.counters(
        "mimir_cost_microusd",
        "Spent on models, millionths of a US dollar",
        each(|sum| sum.cost_microusd),
    );
    page.counters("mimir_model_calls", "Model calls", each(|sum| sum.calls));
    page.counters(
        "mimir_model_calls_unpriced",
        "Model calls without a known price",
        each(|sum| sum.unpriced),
    );
}

//! What happens.

use std::collections::VecDeque;
use std::time::Duration;

use mimir_client::{EventFilter, Follow, Followed};
use mimir_model::event::{Event, EventKind};
use mimir_model::visible;
use mimir_model::wire::problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::rights::Effect;
use crate::tool::{Call, Verb};
use crate::words::{Words, time};

/// How long the first of what is stored may take to come.
const FIRST: Duration = Duration::from_millis(1_500);
/// The stream tells it without a pause; after this much silence the past has been told.
const PAST: Duration = Duration::from_millis(500);
/// And however much there is, no longer than this.
const READING: Duration = Duration::from_secs(15);
/// How many are told unless somebody says, and at most.
const TOLD: (u32, u32) = (30, 200);
/// How long to wait for more at most.
const MOST_S: u64 = 300;
/// So much of one is told.
const LONG_DATA: usize = 600;

/// `event_tail`
pub struct Tail;

/// Which events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// Only of this frame.
    frame: Option<String>,
    /// Only of these kinds, separated by commas: `frame.moved`, `prompt.asked`, `run.moved`, …
    kind: Option<String>,
    /// Only what came after this id: `last` of an earlier call.
    after: Option<u64>,
    /// How many of the newest, at most 200; 30 when absent.
    limit: Option<u32>,
    /// When there are none: how long to wait for the first, at most 300; not at all when absent.
    wait_seconds: Option<u64>,
}

/// Events.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Events {
    /// In order.
    events: Vec<Happened>,
    /// How many older ones there are.
    left_out: u64,
    /// Give it as `after` to go on from here.
    last: u64,
}

/// Something that happened.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Happened {
    /// Its id; ids only grow.
    id: u64,
    /// When.
    at: String,
    /// What it is, such as `frame.moved`.
    kind: String,
    /// The frame's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<String>,
    /// The conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// The message.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// The rest of it; JSON.
    data: Words,
}

impl From<Event> for Happened {
    fn from(event: Event) -> Self {
        // Whatever a kind has beside its name stands in `data`.
        let data =
            serde_json::to_value(&event.what).ok().and_then(|mut what| what.get_mut("data").map(Value::take));
        let data = data.unwrap_or_default().to_string();
        Self {
            id: event.id,
            at: time(event.at),
            kind: event.what.kind().to_owned(),
            frame: event.subject.frame_name.map(|name| name.to_string()),
            session: event.subject.session.map(|id| id.to_string()),
            message: event.subject.message.map(|id| id.to_string()),
            data: Words::line(&visible::json(&data), LONG_DATA),
        }
    }
}

/// What only makes sense as a part of a stream of text; `session_show` has it whole.
fn is_piece(what: &EventKind) -> bool {
    matches!(what, EventKind::Text { .. } | EventKind::Reasoning { .. } | EventKind::Rewritten { .. })
}

/// The newest of what was heard.
struct Heard {
    events: VecDeque<Event>,
    limit: usize,
    left_out: u64,
    last: u64,
}

impl Heard {
    fn take(&mut self, event: Event) {
        self.last = self.last.max(event.id);
        if is_piece(&event.what) {
            return;
        }
        self.events.push_back(event);
        if self.events.len() > self.limit {
            self.events.pop_front();
            self.left_out += 1;
        }
    }

    /// Reads what is stored, up to the first pause.
    async fn read(&mut self, follow: &mut Follow) -> Result<(), Problem> {
        let end = Instant::now() + READING;
        let mut pause = FIRST;
        while let Ok(followed) = timeout_at(end.min(Instant::now() + pause), follow.next()).await {
            pause = PAST;
            if let Followed::Event(event) = followed? {
                self.take(*event);
            }
        }
        Ok(())
    }
}

impl Verb for Tail {
    const NAME: &'static str = "event_tail";
    const TITLE: &'static str = "Read events";
    const ABOUT: &'static str = "What happened lately to frames, messages, approvals and runs; or what happens next, from `after` on.";
    const EFFECT: Effect = Effect::Looks;
    type Input = Wanted;
    type Output = Events;

    async fn call(asked: Wanted, with: &Call<'_>) -> Result<Events, Problem> {
        if let Some(frame) = &asked.frame {
            // An unknown name would be waited for in vain.
            with.gateway.frame(frame).await?;
        }
        let filter = EventFilter { frame: asked.frame, kind: asked.kind, ..EventFilter::default() };
        let after = asked.after.unwrap_or(0);
        let limit = asked.limit.unwrap_or(TOLD.0).clamp(1, TOLD.1);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut heard = Heard { events: VecDeque::new(), limit, left_out: 0, last: after };
        let mut follow = with.gateway.follow(filter, Some(after));
        heard.read(&mut follow).await?;
        let until = Instant::now() + Duration::from_secs(asked.wait_seconds.unwrap_or(0).min(MOST_S));
        while heard.events.is_empty() && Instant::now() < until {
            tokio::select! {
                followed = timeout_at(until, follow.next()) => match followed {
                    Ok(followed) => {
                        if let Followed::Event(event) = followed? {
                            heard.take(*event);
                            heard.read(&mut follow).await?;
                        }
                    }
                    Err(_) => break,
                },
                () = with.progress.cancelled() => break,
            }
        }
        let Heard { events, left_out, last, .. } = heard;
        Ok(Events { events: events.into_iter().map(Happened::from).collect(), left_out, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(id: u64, kind: &str, data: &Value) -> Event {
        let value = json!({"id": id, "at": 1_000, "frame": "blog", "kind": kind, "data": data});
        serde_json::from_value(value).expect("an event")
    }

    #[test]
    fn the_newest_are_told_and_pieces_of_text_are_not() {
        let mut heard = Heard { events: VecDeque::new(), limit: 2, left_out: 0, last: 0 };
        for id in 1..=3 {
            heard.take(event(id, "session.created", &json!({"title": "t"})));
        }
        heard.take(event(9, "message.text", &json!({"delta": "x", "part": "p"})));
        let ids: Vec<u64> = heard.events.iter().map(|event| event.id).collect();
        assert_eq!((ids, heard.left_out, heard.last), (vec![2, 3], 1, 9));
    }

    #[test]
    fn what_somebody_else_said_is_visible() {
        let told = Happened::from(event(1, "session.created", &json!({"title": "a\u{202e}b\u{1b}[2J"})));
        assert_eq!(told.data.as_str(), r#"{"title":"a\u202eb\u001b[2J"}"#);
        assert_eq!((told.kind.as_str(), told.frame.as_deref()), ("session.created", Some("blog")));
        let none = Happened::from(event(1, "frame.created", &json!({})));
        assert_eq!(none.data.as_str(), "{}");
    }
}

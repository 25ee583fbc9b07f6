//! The gateway's event stream, followed across broken connections.
//!
//! The gateway stores an event before it sends it, so "everything after number n"
//! is a question it can always answer: whoever follows loses nothing but time.

use std::time::Duration;

use hyper::Method;
use tokio::time::{Instant, sleep};

use super::error::ClientError;
use super::http::{Call, ask};
use super::lines::RawLines;
use super::place::Place;
use mimir_model::event::Event;

/// The gateway says something at least every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// How long a gateway may be away (a restart, an upgrade) before we give up.
const AWAY: Duration = Duration::from_secs(30);

/// Which events.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only of this frame.
    pub frame: Option<String>,
    /// Only of this conversation.
    pub session: Option<String>,
    /// Only of this message.
    pub message: Option<String>,
    /// Only of these kinds, separated by commas.
    pub kind: Option<String>,
}

/// What following brings.
#[derive(Clone, Debug, PartialEq)]
pub enum Followed {
    /// Something happened.
    Event(Box<Event>),
    /// Something happened that only a newer client understands.
    Unknown(String),
    /// The position is too old: look at the current state, then go on.
    Reset,
    /// The gateway went away; it is being waited for.
    Away,
    /// It is back, nothing was missed.
    Back,
}

/// A reader of the event stream that comes back by itself.
pub struct Follow {
    place: Place,
    filter: EventFilter,
    after: Option<u64>,
    lines: Option<RawLines>,
    away_since: Option<Instant>,
    told: bool,
}

impl Follow {
    pub(super) fn new(place: Place, filter: EventFilter, after: Option<u64>) -> Self {
        Self { place, filter, after, lines: None, away_since: None, told: false }
    }

    /// What comes next. Waits as long as nothing happens.
    ///
    /// # Errors
    /// When the gateway refuses, or stays away for 30 s.
    pub async fn next(&mut self) -> Result<Followed, ClientError> {
        loop {
            let Some(mut lines) = self.lines.take() else {
                match self.open().await {
                    Ok(lines) => {
                        self.lines = Some(lines);
                        if std::mem::take(&mut self.told) {
                            return Ok(Followed::Back);
                        }
                    }
                    Err(error) if error.is_gateway_away() && self.may_wait() => {
                        if !std::mem::replace(&mut self.told, true) {
                            return Ok(Followed::Away);
                        }
                        sleep(Duration::from_millis(200)).await;
                    }
                    Err(error) => return Err(error),
                }
                continue;
            };
            match next_block(&mut lines).await {
                Ok(Some(block)) => {
                    self.away_since = None;
                    self.lines = Some(lines);
                    if let Some(followed) = self.take_in(block) {
                        return Ok(followed);
                    }
                }
                // The end of the stream and a broken one are the same to us.
                Ok(None) | Err(ClientError::Lost { .. }) => {
                    self.away_since.get_or_insert_with(Instant::now);
                    sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn may_wait(&mut self) -> bool {
        self.away_since.get_or_insert_with(Instant::now).elapsed() < AWAY
    }

    async fn open(&self) -> Result<RawLines, ClientError> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let named = [
            ("frame", &self.filter.frame),
            ("session", &self.filter.session),
            ("message", &self.filter.message),
            ("kind", &self.filter.kind),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        if let Some(after) = self.after {
            query.append_pair("after", &after.to_string());
        }
        let call = Call::new(Method::GET, format!("/v1/events?{}", query.finish()))
            .header("accept", "text/event-stream")
            .within(Duration::from_secs(10));
        Ok(RawLines::new(ask(&self.place, call).await?, Some(SILENCE)))
    }

    fn take_in(&mut self, block: Block) -> Option<Followed> {
        if let Some(id) = block.id.as_deref().and_then(|id| id.parse().ok()) {
            self.after = Some(id);
        }
        if block.name.as_deref() == Some("reset") {
            return Some(Followed::Reset);
        }
        if block.data.is_empty() {
            return None;
        }
        Some(match serde_json::from_str::<Event>(&block.data) {
            Ok(event) => {
                self.after = Some(event.id);
                Followed::Event(Box::new(event))
            }
            Err(_) => Followed::Unknown(block.data),
        })
    }
}

/// One block of an event stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Block {
    id: Option<String>,
    name: Option<String>,
    data: String,
}

/// Reads up to the next empty line. A block that the end cuts off is not a block.
async fn next_block(lines: &mut RawLines) -> Result<Option<Block>, ClientError> {
    let mut block = Block::default();
    while let Some(line) = lines.next().await? {
        if line.is_empty() {
            return Ok(Some(block));
        }
        add_line(&mut block, &line);
    }
    Ok(None)
}

fn add_line(block: &mut Block, line: &str) {
    let (field, value) = line.split_once(':').unwrap_or((line, ""));
    let value = value.strip_prefix(' ').unwrap_or(value);
    match field {
        "id" => block.id = Some(value.to_owned()),
        "event" => block.name = Some(value.to_owned()),
        "data" => {
            if !block.data.is_empty() {
                block.data.push('\n');
            }
            block.data.push_str(value);
        }
        // Comments (an empty field) keep the connection alive; `retry` is not for us.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_as_the_standard_says() {
        let mut block = Block::default();
        for line in [": hello", "id: 7", "event:message.text", "data: {\"a\":", "data:  1}", "retry: 5"] {
            add_line(&mut block, line);
        }
        let expected = Block {
            id: Some("7".to_owned()),
            name: Some("message.text".to_owned()),
            data: "{\"a\":\n 1}".to_owned(),
        };
        assert_eq!(block, expected);
    }

    #[test]
    fn an_event_of_a_newer_gateway_is_handed_on_as_it_is() {
        let mut follow = Follow::new(Place::Socket("/nowhere".into()), EventFilter::default(), Some(3));
        let block =
            Block { id: Some("9".to_owned()), data: "{\"kind\":\"new.thing\"}".to_owned(), name: None };
        assert!(matches!(follow.take_in(block), Some(Followed::Unknown(_))));
        assert_eq!(follow.after, Some(9), "and its place is remembered");
    }
}

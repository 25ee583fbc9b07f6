//! Messages to agents, and their answers.

use std::time::Duration;

use mimir_model::wire::messages::{MessageView, SendMessage};
use mimir_model::wire::problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OfFrame, first};
use crate::rights::Effect;
use crate::tool::{Call, Verb};
use crate::waiting::{Standing, until_over};
use crate::words::{Words, time};

/// How long to wait for an answer unless somebody says: many clients give up after a minute.
const WAIT_S: u64 = 45;
/// And at most.
const MOST_S: u64 = 600;
/// So much of an answer is told; `session_show` has more.
const LONG_ANSWER: usize = 50_000;
/// And of what stands in a list.
const LONG_LINE: usize = 400;
/// So many remarks are told, and so much of one.
const REMARKS: (usize, usize) = (20, 800);
/// So much is told of so many things that the agent asks: who decides reads all of it elsewhere.
const ASKS: (usize, usize) = (6, 4_000);
/// How many waiting messages are listed unless somebody says.
const LISTED: usize = 50;

fn wait(asked: Option<u64>, usual: u64) -> Duration {
    Duration::from_secs(asked.unwrap_or(usual).min(MOST_S))
}

/// A message, as it stands.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Message {
    /// Its id.
    message: String,
    /// Whose agent it is for.
    frame: String,
    /// The conversation.
    session: String,
    /// `queued`, `sending`, `sent`, `running`, `answered`, `failed` or `cancelled`.
    state: String,
    /// The agent's answer, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Words>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Words>,
    /// What the agent asks a person meanwhile.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    asks: Vec<Asks>,
    /// How many more things it asks.
    #[serde(skip_serializing_if = "is_zero")]
    more_asks: usize,
    /// What its model calls cost, in millionths of a US dollar.
    cost_microusd: u64,
    /// What mimir has to say about it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<Words>,
    /// What to do next, when it is not over.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn remarks(notes: &[String]) -> Vec<Words> {
    notes.iter().take(REMARKS.0).map(|note| Words::line(note, REMARKS.1)).collect()
}

/// Something that an agent asks.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Asks {
    /// Its id.
    approval: String,
    /// `permission`, `question` or `connection`.
    form: String,
    /// What is asked, its beginning; `approval_list` has all of it.
    asked: Words,
}

impl From<Standing> for Message {
    fn from(Standing { message, asks }: Standing) -> Self {
        let MessageView { id, frame, session, state, answer, reason, cost_microusd, notes, .. } = message;
        let next = match (state.is_final(), asks.is_empty()) {
            (true, _) => None,
            (false, false) => Some(format!(
                "the agent waits for a person: tell them that `mimir approvals` answers it, then message_show with message {id} and wait_seconds"
            )),
            (false, true) => {
                Some(format!("it goes on: message_show with message {id} and wait_seconds reads its answer"))
            }
        };
        Self {
            state: state.to_string(),
            answer: answer.map(|text| Words::prose(&text, LONG_ANSWER)),
            reason: reason.map(|text| Words::line(&text, LONG_LINE)),
            more_asks: asks.len().saturating_sub(ASKS.0),
            asks: asks
                .into_iter()
                .take(ASKS.0)
                .map(|asked| Asks {
                    approval: asked.id,
                    form: asked.form.to_string(),
                    asked: Words::beginning(&asked.text, ASKS.1),
                })
                .collect(),
            remarks: remarks(&notes),
            message: id,
            frame,
            session,
            cost_microusd,
            next,
        }
    }
}

/// `message_send`
pub struct Post;

/// What to send.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct New {
    /// The frame's name.
    frame: String,
    /// What the agent is to do or to answer.
    text: String,
    /// A session's id or title, `last` or `new`; `last` when absent.
    session: Option<String>,
    /// `provider/model`; the configured one when absent.
    model: Option<String>,
    /// How long to wait for the answer, at most 600; 45 when absent, 0 returns at once.
    wait_seconds: Option<u64>,
}

impl Verb for Post {
    const NAME: &'static str = "message_send";
    const TITLE: &'static str = "Send a message to an agent";
    const ABOUT: &'static str = "Gives a frame's agent something to do and waits for its answer, with progress. A stopped frame is started. \
        What is not over in time goes on, and message_show reads it later.";
    const EFFECT: Effect = Effect::Sends;
    type Input = New;
    type Output = Message;

    async fn call(asked: New, with: &Call<'_>) -> Result<Message, Problem> {
        let send = SendMessage {
            frame: asked.frame,
            text: asked.text,
            session: asked.session,
            model: asked.model,
            ..SendMessage::default()
        };
        let sent = with.gateway.send_surely(&send, &(with.key)()).await?;
        // Remarks are for whoever sends, and not told again.
        for note in &sent.notes {
            with.progress.tell(note).await;
        }
        let remarks = remarks(&sent.notes);
        let mut told = Message::from(until_over(sent, wait(asked.wait_seconds, WAIT_S), with).await?);
        if told.remarks.is_empty() {
            told.remarks = remarks;
        }
        Ok(told)
    }
}

/// `message_show`
pub struct Show;

/// Which message.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// The message's id.
    message: String,
    /// How long to wait until it is over, at most 600; not at all when absent.
    wait_seconds: Option<u64>,
}

impl Verb for Show {
    const NAME: &'static str = "message_show";
    const TITLE: &'static str = "Read an answer";
    const ABOUT: &'static str =
        "How far a message is, its answer, and what its agent asks a person meanwhile.";
    const EFFECT: Effect = Effect::Looks;
    type Input = Which;
    type Output = Message;

    async fn call(asked: Which, with: &Call<'_>) -> Result<Message, Problem> {
        let message = with.gateway.message(&asked.message).await?;
        Ok(until_over(message, wait(asked.wait_seconds, 0), with).await?.into())
    }
}

/// `message_cancel`
pub struct Cancel;

/// Which message.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unwanted {
    /// The message's id.
    message: String,
}

impl Verb for Cancel {
    const NAME: &'static str = "message_cancel";
    const TITLE: &'static str = "Cancel a message";
    const ABOUT: &'static str = "Takes a waiting message back, or stops the agent's work on it.";
    const EFFECT: Effect = Effect::Ends;
    type Input = Unwanted;
    type Output = Message;

    async fn call(asked: Unwanted, with: &Call<'_>) -> Result<Message, Problem> {
        let message = with.gateway.cancel(&asked.message).await?;
        Ok(Standing { message, asks: Vec::new() }.into())
    }
}

/// `queue_list`
pub struct Queue;

/// What waits and what runs.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Open {
    /// In the order in which it goes.
    messages: Vec<Waits>,
    /// How many more there are.
    left_out: usize,
}

/// A message in the queue.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Waits {
    /// Its id.
    message: String,
    /// Whose agent it is for.
    frame: String,
    /// The conversation.
    session: String,
    /// `queued`, `sending`, `sent` or `running`.
    state: String,
    /// What was asked.
    text: Words,
    /// What began it: `person`, `schedule`, `webhook`, `run`, …
    origin: String,
    /// When it was sent.
    created_at: String,
}

impl Verb for Queue {
    const NAME: &'static str = "queue_list";
    const TITLE: &'static str = "List waiting messages";
    const ABOUT: &'static str = "Messages that wait for a busy agent, and those that are being answered.";
    const EFFECT: Effect = Effect::Looks;
    type Input = OfFrame;
    type Output = Open;

    async fn call(asked: OfFrame, with: &Call<'_>) -> Result<Open, Problem> {
        let all = with.gateway.queue(asked.frame.as_deref(), None).await?;
        let (messages, left_out) = first(all, asked.limit, LISTED);
        let messages = messages.into_iter().map(|message| Waits {
            state: message.state.to_string(),
            text: Words::line(&message.text, LONG_LINE),
            origin: message.origin.as_str().to_owned(),
            created_at: time(message.created_at),
            message: message.id,
            frame: message.frame,
            session: message.session,
        });
        Ok(Open { messages: messages.collect(), left_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mimir_model::message::DeliveryState;
    use serde_json::json;

    fn standing(state: DeliveryState, asks: bool) -> Standing {
        let message = json!({"id": "msg_1", "frame": "blog", "session": "ssn_1", "text": "x", "state": state,
            "answer": "done\u{202e}", "tokens": {"input": 0, "output": 0, "reasoning": 0, "cache_read": 0, "cache_write": 0},
            "cost_microusd": 1, "created_at": 1, "after_event": 1});
        let asked = json!({"id": "apr_1", "frame": "blog", "form": "permission", "state": "pending",
            "text": "bash: rm\u{200b} -rf", "from_child": false, "asked_at": 1});
        Standing {
            message: serde_json::from_value(message).expect("a message"),
            asks: if asks { vec![serde_json::from_value(asked).expect("one")] } else { Vec::new() },
        }
    }

    #[test]
    fn what_is_not_over_says_what_to_do_next() {
        let over = Message::from(standing(DeliveryState::Answered, false));
        assert_eq!((over.next, over.answer.expect("one").as_str()), (None, "done\\u{202e}"));
        let runs = Message::from(standing(DeliveryState::Running, false)).next.expect("advice");
        assert!(runs.contains("message_show with message msg_1"), "{runs}");
        let waits = Message::from(standing(DeliveryState::Running, true));
        assert!(waits.next.expect("advice").contains("mimir approvals"));
        assert_eq!(waits.asks[0].asked.as_str(), "bash: rm\\u{200b} -rf");
    }

    #[test]
    fn what_was_sent_is_always_told() {
        let mut all = standing(DeliveryState::Running, true);
        // Each of these is two characters of JSON.
        let long = "\"".repeat(100_000);
        all.message.answer = Some(long.clone());
        all.message.reason = Some(long.clone());
        all.message.notes = vec![long.clone(); 50];
        all.asks[0].text = long;
        all.asks = vec![all.asks[0].clone(); 50];
        let told = Message::from(all);
        assert_eq!((told.asks.len(), told.more_asks, told.remarks.len()), (6, 44, 20));
        let length = serde_json::to_value(told).expect("JSON").to_string().chars().count();
        assert!(
            length < 195_000,
            "{length} characters: the result would be refused, and the message is sent"
        );
    }

    #[test]
    fn every_wait_has_an_end() {
        assert_eq!(wait(None, WAIT_S), Duration::from_secs(45));
        assert_eq!(wait(Some(0), WAIT_S), Duration::ZERO);
        assert_eq!(wait(Some(u64::MAX), 0), Duration::from_secs(600));
    }
}

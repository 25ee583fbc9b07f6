//! Tokens and cost out of a provider's answer. Pure: feed it a recorded stream in a test.

use serde_json::Value;

use crate::model::usage::Tokens;

/// How a provider writes its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenAI's `chat/completions` and all that imitate it.
    Chat,
    /// OpenAI's `responses`.
    Responses,
    /// Anthropic's `messages`.
    Anthropic,
    /// Google's `generateContent`.
    Google,
    /// Costs nothing: lists of models and the like.
    Uncounted,
}

/// What an answer told about itself so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// What it used.
    pub tokens: Tokens,
    /// The model that answered, in the provider's words.
    pub model: Option<String>,
    /// Why it ended, in the provider's words.
    pub finish: Option<String>,
    /// What the provider says that it costs, in US dollars (`OpenRouter`).
    pub cost_usd: Option<f64>,
    /// Whether it said anything about what it used.
    pub has_usage: bool,
    /// Whether it counted in what is no number, or less than nothing.
    pub is_nonsense: bool,
    /// Whether it counted more than there can be.
    is_absurd: bool,
    /// How much text the answer has, tool calls and reasoning included.
    pub text_bytes: u64,
}

impl Seen {
    /// Whether it counted more than there can be.
    #[must_use]
    pub fn is_absurd(&self) -> bool {
        self.is_absurd
    }

    /// Takes in one event of a stream, or a whole answer that did not stream.
    pub fn take(&mut self, format: Format, json: &Value) {
        self.text_bytes = self.text_bytes.saturating_add(text_of(format, json));
        match format {
            Format::Chat => self.take_chat(json),
            // Streamed events carry the whole response inside; unstreamed answers are it.
            Format::Responses => self.take_response(json.get("response").unwrap_or(json)),
            Format::Anthropic => self.take_anthropic(json),
            Format::Google => self.take_google(json),
            Format::Uncounted => {}
        }
    }

    fn take_chat(&mut self, json: &Value) {
        set_text(&mut self.model, &json["model"]);
        set_text(&mut self.finish, &json["choices"][0]["finish_reason"]);
        let usage = &json["usage"];
        if !usage.is_object() {
            return;
        }
        self.has_usage = true;
        let mut count = |value: &Value| self.count(value);
        let prompt = count(&usage["prompt_tokens"]);
        let details = &usage["prompt_tokens_details"];
        let (cache_read, cache_write) =
            (count(&details["cached_tokens"]), count(&details["cache_write_tokens"]));
        let reasoning = count(&usage["completion_tokens_details"]["reasoning_tokens"]);
        let completion = count(&usage["completion_tokens"]);
        self.tokens = Tokens {
            input: prompt.saturating_sub(cache_read + cache_write),
            output: completion.saturating_sub(reasoning),
            reasoning,
            cache_read,
            cache_write,
        };
        self.cost_usd = usage["cost"].as_f64();
    }

    fn take_response(&mut self, json: &Value) {
        set_text(&mut self.model, &json["model"]);
        let usage = &json["usage"];
        if !usage.is_object() {
            return;
        }
        set_text(&mut self.finish, &json["status"]);
        self.has_usage = true;
        let mut count = |value: &Value| self.count(value);
        let cache_read = count(&usage["input_tokens_details"]["cached_tokens"]);
        let cache_write = count(&usage["input_tokens_details"]["cache_write_tokens"]);
        let reasoning = count(&usage["output_tokens_details"]["reasoning_tokens"]);
        let (input, output) = (count(&usage["input_tokens"]), count(&usage["output_tokens"]));
        self.tokens = Tokens {
            input: input.saturating_sub(cache_read + cache_write),
            output: output.saturating_sub(reasoning),
            reasoning,
            cache_read,
            cache_write,
        };
    }

    fn take_anthropic(&mut self, json: &Value) {
        // message_start has the message inside, message_delta stands alone, an unstreamed answer is the message.
        let message = json.get("message").unwrap_or(json);
        set_text(&mut self.model, &message["model"]);
        set_text(&mut self.finish, &message["stop_reason"]);
        set_text(&mut self.finish, &json["delta"]["stop_reason"]);
        let usage = message.get("usage").unwrap_or(&Value::Null);
        self.has_usage |= usage.is_object();
        // Counts grow during a stream, and later events leave some of them out.
        let have = self.tokens;
        let mut grown = |have: u64, key: &str| have.max(self.count(&usage[key]));
        self.tokens = Tokens {
            input: grown(have.input, "input_tokens"),
            output: grown(have.output, "output_tokens"),
            reasoning: 0,
            cache_read: grown(have.cache_read, "cache_read_input_tokens"),
            cache_write: grown(have.cache_write, "cache_creation_input_tokens"),
        };
    }

    fn take_google(&mut self, json: &Value) {
        set_text(&mut self.model, &json["modelVersion"]);
        set_text(&mut self.finish, &json["candidates"][0]["finishReason"]);
        let usage = &json["usageMetadata"];
        if !usage.is_object() {
            return;
        }
        self.has_usage = true;
        let mut count = |value: &Value| self.count(value);
        let cache_read = count(&usage["cachedContentTokenCount"]);
        self.tokens = Tokens {
            input: count(&usage["promptTokenCount"]).saturating_sub(cache_read),
            output: count(&usage["candidatesTokenCount"]),
            reasoning: count(&usage["thoughtsTokenCount"]),
            cache_read,
            cache_write: 0,
        };
    }

    /// A stranger's number. One that cannot be counts as nothing, and is remembered: see [`super::account`].
    fn count(&mut self, value: &Value) -> u64 {
        let number = match value.as_f64() {
            _ if value.is_null() => return 0,
            Some(number) if number >= 0.0 && number.fract() == 0.0 => number,
            _ => {
                self.is_nonsense = true;
                return 0;
            }
        };
        if number > MOST_TOKENS {
            self.is_absurd = true;
            return 0;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole, and small")]
        let number = number as u64;
        number
    }
}

/// No call uses more of one kind: the largest contexts hold a few millions.
const MOST_TOKENS: f64 = 10_000_000.0;

/// How many bytes of text an event adds to an answer, or a whole answer has.
fn text_of(format: Format, json: &Value) -> u64 {
    match format {
        Format::Chat => {
            let choices = json["choices"].as_array().into_iter().flatten();
            choices.map(|choice| strings(&choice["delta"]) + strings(&choice["message"])).sum()
        }
        // What streamed stands once more in the last event.
        Format::Responses if json.get("response").is_some() => 0,
        Format::Responses => strings(&json["delta"]) + strings(&json["output"]),
        Format::Anthropic => {
            strings(&json["delta"]) + strings(&json["content_block"]) + strings(&json["content"])
        }
        Format::Google => {
            let candidates = json["candidates"].as_array().into_iter().flatten();
            candidates.map(|candidate| strings(&candidate["content"])).sum()
        }
        Format::Uncounted => 0,
    }
}

/// The text in a value, without the words that only say what it is.
fn strings(value: &Value) -> u64 {
    const WORDS: &[&str] = &["type", "id", "call_id", "role", "status", "stop_reason"];
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(strings).sum(),
        Value::Object(fields) => {
            let said = fields.iter().filter(|(name, _)| !WORDS.contains(&name.as_str()));
            said.map(|(_, value)| strings(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn set_text(slot: &mut Option<String>, value: &Value) {
    if let Some(text) = value.as_str() {
        *slot = Some(text.chars().take(200).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(format: Format, events: &[Value]) -> Seen {
        let mut seen = Seen::default();
        events.iter().for_each(|event| seen.take(format, event));
        seen
    }

    #[test]
    fn chat_counts_cached_and_reasoning_tokens_apart() {
        let seen = seen(
            Format::Chat,
            &[
                json!({"model": "m", "choices": [{"delta": {"content": "hi"}, "finish_reason": null}]}),
                json!({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
                json!({"choices": [], "usage": {"prompt_tokens": 1200, "completion_tokens": 34,
                    "prompt_tokens_details": {"cached_tokens": 1000},
                    "completion_tokens_details": {"reasoning_tokens": 4}, "cost": 0.00141}}),
            ],
        );
        let tokens = Tokens { input: 200, output: 30, reasoning: 4, cache_read: 1000, cache_write: 0 };
        assert_eq!((seen.tokens, seen.finish.as_deref()), (tokens, Some("stop")));
        assert_eq!(seen.cost_usd, Some(0.00141));
    }

    #[test]
    fn anthropic_counts_grow_over_the_stream() {
        let seen = seen(
            Format::Anthropic,
            &[
                json!({"type": "message_start", "message": {"model": "claude", "usage": {"input_tokens": 25,
                    "cache_creation_input_tokens": 7, "cache_read_input_tokens": 100, "output_tokens": 1}}}),
                json!({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hello"}}),
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 15}}),
            ],
        );
        let tokens = Tokens { input: 25, output: 15, reasoning: 0, cache_read: 100, cache_write: 7 };
        assert_eq!((seen.tokens, seen.finish.as_deref()), (tokens, Some("end_turn")));
        assert_eq!(seen.model.as_deref(), Some("claude"));
    }

    #[test]
    fn responses_and_google_are_read_too() {
        let openai = seen(
            Format::Responses,
            &[
                json!({"type": "response.created", "response": {"model": "gpt", "status": "in_progress", "usage": null}}),
                json!({"type": "response.completed", "response": {"model": "gpt", "status": "completed",
                    "usage": {"input_tokens": 90, "input_tokens_details": {"cached_tokens": 40},
                        "output_tokens": 20, "output_tokens_details": {"reasoning_tokens": 15}}}}),
            ],
        );
        assert_eq!(
            openai.tokens,
            Tokens { input: 50, output: 5, reasoning: 15, cache_read: 40, cache_write: 0 }
        );
        let google = seen(
            Format::Google,
            &[json!({"candidates": [{"finishReason": "STOP"}], "modelVersion": "gemini",
                "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 2}})],
        );
        assert_eq!(
            google.tokens,
            Tokens { input: 10, output: 3, reasoning: 2, cache_read: 0, cache_write: 0 }
        );
    }

    #[test]
    fn nonsense_from_a_provider_counts_as_nothing() {
        for nonsense in [
            json!(null),
            json!([]),
            json!("x"),
            json!({"usage": []}),
            json!({"usage": {"prompt_tokens": -5, "completion_tokens": "many"}, "choices": {"0": 1}}),
            json!({"usage": {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": 9}}}),
        ] {
            for format in [Format::Chat, Format::Responses, Format::Anthropic, Format::Google] {
                let seen = seen(format, std::slice::from_ref(&nonsense));
                assert!(seen.tokens.input + seen.tokens.output <= 1, "{nonsense}: {seen:?}");
            }
        }
        let huge = seen(Format::Chat, &[json!({"usage": {"prompt_tokens": u64::MAX}})]);
        assert!(huge.is_absurd() && huge.tokens.total() == 0, "{huge:?}");
        let negative = seen(Format::Google, &[json!({"usageMetadata": {"promptTokenCount": -1}})]);
        assert!(negative.is_nonsense && !negative.is_absurd(), "{negative:?}");
    }

    #[test]
    fn the_text_of_an_answer_is_measured_in_every_format() {
        let bytes = |format, events: &[Value]| seen(format, events).text_bytes;
        let chat = json!({"choices": [{"delta": {"role": "assistant", "content": "four", "tool_calls":
            [{"id": "x", "function": {"name": "ls", "arguments": "{}"}}]}}]});
        assert_eq!(bytes(Format::Chat, &[chat]), 8);
        assert_eq!(bytes(Format::Chat, &[json!({"choices": [{"message": {"content": "four"}}]})]), 4);
        let whole = json!({"type": "response.completed", "response": {"output": [{"text": "four"}]}});
        let delta = json!({"type": "response.output_text.delta", "delta": "four"});
        assert_eq!(bytes(Format::Responses, &[delta, whole]), 4);
        assert_eq!(bytes(Format::Responses, &[json!({"output": [{"content": [{"text": "four"}]}]})]), 4);
        let thinking = json!({"delta": {"type": "thinking_delta", "thinking": "four"}});
        assert_eq!(bytes(Format::Anthropic, &[thinking]), 4);
        let google = json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "four"}]}}]});
        assert_eq!(bytes(Format::Google, &[google]), 4);
    }
}

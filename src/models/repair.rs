//! Mends the end of a chat stream.
//!
//! opencode asks again and again, without a limit, when a stream ends without a
//! `finish_reason` or with one that it does not know: 36 calls in half a minute
//! were seen. So a stream that passes through us ends with one that it knows.
//! A stream that breaks off as a connection is left broken; opencode tries that again, and stops.

use serde_json::{Value, json};

/// What we know of one stream so far.
#[derive(Debug, Default)]
pub struct Repair {
    finished: bool,
    done: bool,
    failed: bool,
    called_tools: bool,
    head: Value,
}

impl Repair {
    /// Looks at one event and mends it in place. Says whether it did.
    pub fn event(&mut self, event: &mut Value) -> bool {
        if event.get("error").is_some_and(|error| !error.is_null()) {
            self.failed = true;
        }
        if self.head.is_null() && event.is_object() {
            self.head = json!({"id": event["id"], "model": event["model"], "created": event["created"]});
        }
        let called_tools = &mut self.called_tools;
        let Some(choice) = event.get_mut("choices").and_then(|choices| choices.get_mut(0)) else {
            return false;
        };
        *called_tools |= choice["delta"]["tool_calls"].as_array().is_some_and(|calls| !calls.is_empty());
        match choice.get("finish_reason").and_then(Value::as_str) {
            None => false,
            Some("stop" | "length" | "tool_calls" | "content_filter" | "function_call") => {
                self.finished = true;
                false
            }
            Some(_) => {
                self.finished = true;
                choice["finish_reason"] = if self.called_tools { "tool_calls" } else { "stop" }.into();
                true
            }
        }
    }

    /// What must be put before `[DONE]`.
    pub fn before_done(&mut self) -> Option<String> {
        self.done = true;
        // The provider says that all is there.
        self.missing_end(if self.called_tools { "tool_calls" } else { "stop" })
    }

    /// What must be put at the end of a body that ended in order.
    pub fn at_end(&mut self) -> Option<String> {
        if self.done {
            return None;
        }
        // Not even `[DONE]`: it was cut off, and an answer that was cut off must not look whole.
        let end = self.missing_end("length")?;
        Some(format!("{end}data: [DONE]\n\n"))
    }

    fn missing_end(&mut self, reason: &str) -> Option<String> {
        if self.finished || self.failed {
            return None;
        }
        self.finished = true;
        let mut event = json!({
            "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": {}, "finish_reason": reason}],
        });
        if let (Some(event), Some(head)) = (event.as_object_mut(), self.head.as_object()) {
            event.extend(head.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        Some(format!("data: {event}\n\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(finish: Value) -> Value {
        json!({"id": "x", "model": "m", "created": 1,
            "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": finish}]})
    }

    #[test]
    fn a_stream_in_order_is_left_alone() {
        let mut repair = Repair::default();
        assert!(!repair.event(&mut text(Value::Null)));
        assert!(!repair.event(&mut text("stop".into())));
        assert_eq!((repair.before_done(), repair.at_end()), (None, None));
    }

    #[test]
    fn an_unknown_finish_reason_does_not_make_the_agent_ask_for_ever() {
        let mut event = text("eos".into());
        assert!(Repair::default().event(&mut event));
        assert_eq!(event["choices"][0]["finish_reason"], "stop");
    }

    #[test]
    fn a_missing_finish_reason_does_not_make_the_agent_ask_for_ever() {
        let mut whole = Repair::default();
        whole.event(&mut text(Value::Null));
        assert!(whole.before_done().is_some_and(|end| end.contains(r#""finish_reason":"stop""#)));
        assert_eq!(whole.at_end(), None);

        let mut cut = Repair::default();
        cut.event(&mut text(Value::Null));
        let end = cut.at_end().expect("an end");
        assert!(end.contains(r#""finish_reason":"length""#) && end.ends_with("data: [DONE]\n\n"), "{end}");
        assert!(end.contains(r#""id":"x""#), "{end}");
    }

    #[test]
    fn an_error_inside_the_stream_stays_an_error() {
        let mut repair = Repair::default();
        repair.event(&mut json!({"error": {"message": "overloaded"}}));
        assert_eq!(repair.at_end(), None);
    }
}

//! One event of an issue: what went wrong, where in the code, in which release. All of it is what a program, or
//! whoever knows its public key, says: a stranger's words.

use serde_json::Value;

use super::issue::address;
use crate::model::loose;
use crate::model::run::Evidence;

/// The longest message that is kept.
const MESSAGE: usize = 2_000;
/// The longest stack trace as text.
const TRACE: usize = 12_000;
/// The longest list of tags as text.
const TAGS: usize = 1_000;
/// So many frames of a stack trace are looked at.
const FRAMES: usize = 200;
/// Of chained exceptions, so many.
const EXCEPTIONS: usize = 10;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its id.
    pub id: Option<String>,
    /// The id of its issue.
    pub issue: Option<String>,
    /// In one line.
    pub title: String,
    /// Where, in one line.
    pub culprit: Option<String>,
    /// `error`, `fatal`, `warning`, `info`, `debug`.
    pub level: Option<String>,
    /// `production`, `staging`, …
    pub environment: Option<String>,
    /// What was running: a version, or a commit.
    pub release: Option<String>,
    /// For people.
    pub url: Option<String>,
    /// What it says.
    pub message: Option<String>,
    /// Where in the code it happened, the newest call last: as text for an agent.
    pub trace: Option<String>,
    /// `name: value`, one a line.
    pub tags: Option<String>,
}

impl Event {
    /// What of it can be read.
    #[must_use]
    pub fn read(value: &Value) -> Self {
        let one_line = |pointers: &[&str]| {
            loose::first_text(value, pointers, MESSAGE).map(|text| loose::line(&text, 300))
        };
        let word = |pointer| loose::text(value, pointer, 40).map(|word| word.to_lowercase());
        Self {
            id: loose::slug(value, "/event_id")
                .or_else(|| loose::slug(value, "/eventID"))
                .or_else(|| loose::slug(value, "/id")),
            issue: loose::slug(value, "/issue_id").or_else(|| loose::slug(value, "/groupID")),
            title: one_line(&["/title", "/metadata/title", "/message"]).unwrap_or_default(),
            culprit: one_line(&["/culprit", "/location"]),
            level: word("/level").or_else(|| tag(value, "level").map(|level| level.to_lowercase())),
            environment: one_line(&["/environment"]).or_else(|| tag(value, "environment")),
            release: one_line(&["/release/version", "/release"]).or_else(|| tag(value, "release")),
            url: address(value, &["/web_url", "/permalink", "/url"]),
            message: loose::first_text(
                value,
                &["/logentry/formatted", "/logentry/message", "/message"],
                MESSAGE,
            ),
            trace: trace(value),
            tags: tags(value),
        }
    }

    /// The commit that was running, when its release is one: 40 hex digits, alone or behind `@`.
    #[must_use]
    pub fn commit(&self) -> Option<String> {
        let release = self.release.as_deref()?;
        let last = release.rsplit(['@', '+']).next()?;
        let is_commit = last.len() == 40 && last.bytes().all(|b| b.is_ascii_hexdigit());
        is_commit.then(|| last.to_ascii_lowercase())
    }

    /// What an agent is shown of it.
    #[must_use]
    pub fn evidence(&self) -> Vec<Evidence> {
        let mut facts = Vec::new();
        let mut fact = |name: &str, value: Option<&str>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                facts.push(format!("{name}: {value}"));
            }
        };
        fact("title", Some(&self.title));
        fact("where", self.culprit.as_deref());
        fact("level", self.level.as_deref());
        fact("environment", self.environment.as_deref());
        fact("release", self.release.as_deref());
        let facts = (!facts.is_empty()).then(|| facts.join("\n"));
        [
            ("error", facts),
            ("message", self.message.clone()),
            ("stack trace", self.trace.clone()),
            ("tags", self.tags.clone()),
        ]
        .into_iter()
        .filter_map(|(name, text)| {
            Some(Evidence { name: name.to_owned(), source: "sentry".to_owned(), text: text? })
        })
        .collect()
    }
}

/// Tags are pairs in messages and objects in the API.
fn pairs(value: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    loose::items(value, "/tags").iter().take(100).filter_map(|tag| {
        let name = loose::first_text(tag, &["/0", "/key"], 60)?;
        let said = loose::first_text(tag, &["/1", "/value"], 200)?;
        Some((loose::line(&name, 60), loose::line(&said, 200)))
    })
}

fn tag(value: &Value, name: &str) -> Option<String> {
    pairs(value).find(|(known, _)| known == name).map(|(_, said)| said)
}

fn tags(value: &Value) -> Option<String> {
    let lines: Vec<String> = pairs(value).map(|(name, said)| format!("{name}: {said}")).collect();
    (!lines.is_empty()).then(|| loose::cut(&lines.join("\n"), TAGS))
}

/// Exceptions are below `exception` in messages, below an entry of that type in the API.
fn exceptions(value: &Value) -> &[Value] {
    let direct = loose::items(value, "/exception/values");
    if !direct.is_empty() {
        return direct;
    }
    let entries = loose::items(value, "/entries").iter();
    let mut found = entries.filter(|entry| entry.pointer("/type").is_some_and(|kind| kind == "exception"));
    found.next().map_or(&[], |entry| loose::items(entry, "/data/values"))
}

/// The exceptions, each with its frames. Where a program says which are its own, the others are left out.
fn trace(value: &Value) -> Option<String> {
    let mut text = String::new();
    for exception in exceptions(value).iter().take(EXCEPTIONS) {
        let kind = loose::text(exception, "/type", 200).unwrap_or_else(|| "error".to_owned());
        let said = loose::text(exception, "/value", MESSAGE).unwrap_or_default();
        text.push_str(&format!("{kind}: {said}\n"));
        let frames = loose::items(exception, "/stacktrace/frames");
        let frames = &frames[frames.len().saturating_sub(FRAMES)..];
        let is_own = |frame: &Value| {
            let said = frame.pointer("/in_app").or_else(|| frame.pointer("/inApp"));
            said.and_then(Value::as_bool) == Some(true)
        };
        let any_own = frames.iter().any(is_own);
        // The newest call is the last; when there is no room for all, it is the old ones that are missing.
        let shown: Vec<String> =
            frames.iter().filter(|frame| !any_own || is_own(frame)).filter_map(frame).collect();
        let room = TRACE.saturating_sub(text.chars().count());
        let mut used = 0;
        let kept = shown.iter().rev().take_while(|frame| {
            used += frame.chars().count();
            used <= room
        });
        let kept: Vec<&String> = kept.collect();
        if kept.len() < shown.len() {
            text.push_str("  (older calls are left out)\n");
        }
        kept.into_iter().rev().for_each(|frame| text.push_str(frame));
    }
    let text = text.trim_end();
    (!text.is_empty()).then(|| loose::cut(text, TRACE))
}

fn frame(frame: &Value) -> Option<String> {
    let file = loose::first_text(frame, &["/filename", "/abs_path", "/absPath", "/module"], 300)?;
    let function = loose::text(frame, "/function", 200).unwrap_or_else(|| "?".to_owned());
    let line = loose::first_text(frame, &["/lineno", "/lineNo"], 12);
    let place = line.as_ref().map_or_else(String::new, |line| format!(":{line}"));
    let mut text = format!("  at {file}{place} in {function}\n");
    let mut code = |mark: &str, line: &str| text.push_str(&format!("    {mark} {}\n", loose::cut(line, 300)));
    let lines = |pointer| {
        let all = loose::items(frame, pointer).iter().filter_map(Value::as_str);
        all.take(5).map(str::to_owned).collect::<Vec<_>>()
    };
    lines("/pre_context").iter().for_each(|line| code(" ", line));
    if let Some(line) = frame.pointer("/context_line").and_then(Value::as_str) {
        code(">", line);
    }
    lines("/post_context").iter().for_each(|line| code(" ", line));
    // In the API: pairs of a number and a line.
    for pair in loose::items(frame, "/context").iter().take(11) {
        let number = loose::text(pair, "/0", 12);
        if let Some(said) = pair.pointer("/1").and_then(Value::as_str) {
            code(if number.is_some() && number == line { ">" } else { " " }, said);
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of_a_message() -> Value {
        json!({
            "event_id": "e1f2", "issue_id": 1234, "title": "ZeroDivisionError: division by zero",
            "culprit": "shop.cart in total", "level": "error", "environment": "production",
            "release": "shop@0123456789abcdef0123456789ABCDEF01234567",
            "web_url": "https://sentry.example/organizations/acme/issues/1234/events/e1f2/",
            "logentry": {"formatted": "could not add up"},
            "tags": [["server_name", "web-1"], ["runtime", "CPython 3.12"], ["broken"], 5],
            "exception": {"values": [{"type": "ZeroDivisionError", "value": "division by zero", "stacktrace": {"frames": [
                {"filename": "lib/wsgi.py", "lineno": 3, "function": "run", "in_app": false, "context_line": "app(env)"},
                {"filename": "shop/cart.py", "lineno": "17", "function": "total", "in_app": true,
                 "pre_context": ["def total(items):"], "context_line": "    return sum(items) / len(items)", "post_context": [""]},
            ]}}]},
        })
    }

    #[test]
    fn an_event_of_a_message_is_read() {
        let event = Event::read(&of_a_message());
        assert_eq!(event.issue.as_deref(), Some("1234"));
        assert_eq!(event.commit().as_deref(), Some("0123456789abcdef0123456789abcdef01234567"));
        let trace = event.trace.as_deref().expect("a trace");
        assert_eq!(
            trace,
            "ZeroDivisionError: division by zero\n  at shop/cart.py:17 in total\n      def total(items):\n    \
             >     return sum(items) / len(items)\n       "
                .trim_end()
        );
        assert_eq!(event.tags.as_deref(), Some("server_name: web-1\nruntime: CPython 3.12"));
        let names: Vec<String> = event.evidence().into_iter().map(|evidence| evidence.name).collect();
        assert_eq!(names, ["error", "message", "stack trace", "tags"]);
    }

    #[test]
    fn an_event_of_the_api_is_read() {
        let event = Event::read(&json!({
            "eventID": "e1f2", "groupID": "1234", "title": "boom", "release": {"version": "1.2.3"},
            "tags": [{"key": "environment", "value": "production"}, {"key": "level", "value": "Fatal"}],
            "entries": [{"type": "message", "data": {}}, {"type": "exception", "data": {"values": [
                {"type": "Error", "value": "boom", "stacktrace": {"frames": [
                    {"filename": "a.js", "lineNo": 2, "function": null, "inApp": true, "context": [[1, "x"], [2, "y"]]}]}}]}}],
        }));
        assert_eq!(event.issue.as_deref(), Some("1234"));
        assert_eq!(
            (event.level.as_deref(), event.environment.as_deref()),
            (Some("fatal"), Some("production"))
        );
        assert_eq!(event.release.as_deref(), Some("1.2.3"));
        assert_eq!(event.trace.as_deref(), Some("Error: boom\n  at a.js:2 in ?\n      x\n    > y"));
        assert_eq!(event.commit(), None);
    }

    #[test]
    fn an_endless_trace_keeps_its_newest_calls_and_every_text_has_an_end() {
        let frames: Vec<Value> = (0..5_000)
            .map(|n| json!({"filename": format!("f{n}.py"), "lineno": n, "function": "f".repeat(500), "in_app": true}))
            .collect();
        let mut value = of_a_message();
        value["exception"]["values"][0]["stacktrace"]["frames"] = Value::Array(frames);
        value["message"] = json!("m".repeat(100_000));
        value["logentry"] = json!(null);
        let event = Event::read(&value);
        let trace = event.trace.expect("a trace");
        assert!(trace.chars().count() <= TRACE && trace.contains("f4999.py") && trace.contains("left out"));
        assert_eq!(event.message.map(|text| text.chars().count()), Some(MESSAGE));
    }

    #[test]
    fn nothing_is_an_event_without_anything() {
        for none in
            [json!(null), json!([]), json!("x"), json!({"exception": {"values": {}}, "tags": {"a": 1}})]
        {
            assert_eq!(Event::read(&none), Event::default());
        }
    }
}

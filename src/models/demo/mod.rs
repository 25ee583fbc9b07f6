//! The built-in provider: a fixed script behind an OpenAI-compatible face.
//!
//! It looks at the workspace, reads a file, writes `MIMIR.md` and answers, with
//! real tool calls that the agent carries out. It needs no key, knows nothing,
//! and says so. The step is found in the request alone, so it keeps no state.
//!
//! `demo:slow` in a prompt makes the answer take its time, `demo:fail` makes the
//! call fail; both are for trying out what mimir does then. Others ask for a play (see `plays`).

mod plays;

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::{Value, json};

use super::DEMO;
use plays::Play;

/// The file that the script writes.
const NOTE: &str = "MIMIR.md";

/// Files worth reading, best first. Then any other that lies at the top.
const WORTH_READING: &[&str] = &[
    "README.md",
    "README",
    "README.rst",
    "Cargo.toml",
    "package.json",
    "go.mod",
    "pyproject.toml",
    "Makefile",
];

/// What goes back, in pieces with a pause before each.
pub(super) struct Script {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) chunks: Vec<Bytes>,
    pub(super) pause: Duration,
}

/// The list of models.
pub(super) fn models() -> Script {
    document(
        StatusCode::OK,
        &json!({"object": "list", "data": [{"id": DEMO, "object": "model", "owned_by": "mimir"}]}),
    )
}

/// The answer to a `chat/completions` request.
pub(super) fn answer(request: &Value) -> Script {
    let Some(messages) = request["messages"].as_array() else {
        return refuse(StatusCode::BAD_REQUEST, "the demo needs a list of messages");
    };
    let scene = Scene::read(messages, &request["tools"]);
    if scene.prompt.contains("demo:fail") {
        return refuse(StatusCode::PAYMENT_REQUIRED, "the demo fails because the prompt says demo:fail");
    }
    let step = scene.next_step();
    let is_long = scene.prompt.contains("demo:slow") || Play::asked_for(&scene.prompt) == Some(Play::Story);
    let slow = is_long && !scene.title_wanted && step.calls.is_empty();
    let usage = json!({
        // Four characters for a token, roughly as real ones count.
        "prompt_tokens": request["messages"].to_string().len() / 4,
        "completion_tokens": step.text.len().div_ceil(4) + step.calls.len() * 20,
    });
    if request["stream"] == true { stream(&step, &usage, slow) } else { whole(&step, &usage) }
}

/// One turn so far, as the request tells it.
struct Scene {
    title_wanted: bool,
    folder: String,
    prompt: String,
    offered: Vec<String>,
    done: Vec<Done>,
}

/// A tool call that was carried out.
struct Done {
    tool: String,
    path: String,
    output: String,
}

/// What comes next: words, and tool calls to carry out.
struct Step {
    text: String,
    calls: Vec<(&'static str, Value)>,
}

impl Scene {
    fn read(messages: &[Value], tools: &Value) -> Self {
        let with_role = |role: &'static str| messages.iter().filter(move |message| message["role"] == role);
        let system: String = with_role("system").map(|message| text_of(&message["content"])).collect();
        let begins = messages.iter().rposition(|message| message["role"] == "user").unwrap_or(0);
        let prompt = messages.get(begins).map(|message| text_of(&message["content"])).unwrap_or_default();
        let folder = system
            .lines()
            .find_map(|line| line.trim().strip_prefix("Working directory:"))
            .map_or("/workspace", str::trim);
        let offered = tools.as_array().into_iter().flatten();
        Self {
            title_wanted: system.to_lowercase().contains("title generator"),
            folder: folder.trim_end_matches('/').to_owned(),
            prompt,
            offered: offered
                .filter_map(|tool| tool["function"]["name"].as_str().map(str::to_owned))
                .collect(),
            done: carried_out(&messages[begins..]),
        }
    }

    fn next_step(&self) -> Step {
        if self.title_wanted {
            return Step::words("A look at the demo".to_owned());
        }
        if let Some(play) = Play::asked_for(&self.prompt) {
            return play.next_step(self);
        }
        let may = |tool: &str| self.offered.iter().any(|offered| offered == tool);
        let did = |tool: &str| self.done.iter().any(|done| done.tool == tool);
        let call = |text: &str, calls| Step { text: text.to_owned(), calls };

        if may("glob") && !did("glob") {
            let words = "I am the demo that is built into mimir: a fixed script, not a model. First I look at what is here.";
            return call(words, vec![("glob", json!({"pattern": "*", "path": self.folder}))]);
        }
        let worth = self.worth_reading();
        if may("read") && !did("read") && !worth.is_empty() {
            let calls = worth.iter().map(|name| ("read", json!({"filePath": self.path(name)}))).collect();
            return call(&format!("Now I read {}.", worth.join(" and ")), calls);
        }
        if may("write") && !did("write") {
            let calls = vec![("write", json!({"filePath": self.path(NOTE), "content": self.note()}))];
            return call(&format!("Now I write {NOTE}."), calls);
        }
        Step::words(self.farewell())
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// Files at the top of the workspace, in a fixed order.
    fn files(&self) -> Vec<&str> {
        let inside = format!("{}/", self.folder);
        let lines = self.done.iter().filter(|done| done.tool == "glob").flat_map(|done| done.output.lines());
        let mut names: Vec<&str> = lines
            .filter_map(|line| line.trim().strip_prefix(&inside))
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    fn worth_reading(&self) -> Vec<&str> {
        let files = self.files();
        let best = WORTH_READING.iter().find_map(|wanted| files.iter().find(|name| *name == wanted));
        let chosen = best.or_else(|| files.iter().find(|name| **name != NOTE));
        // The agent's tools refuse to write over a file that was not read before.
        let old_note = files.iter().find(|name| **name == NOTE);
        chosen.into_iter().chain(old_note).copied().collect()
    }

    fn note(&self) -> String {
        let files = self.files();
        let mut note = format!(
            "# A note from mimir's demo\n\nThe agent in this frame wrote this file. It was driven by the demo that is \
             built into\nmimir: a fixed script, not a model.\n\nThe prompt was:\n\n> {}\n\n",
            shortened(&self.prompt)
        );
        if files.is_empty() {
            note.push_str("There were no other files here.\n");
        } else {
            note.push_str("Files at the top of the workspace:\n\n");
            let listed = files.iter().filter(|name| **name != NOTE).take(20);
            note.extend(listed.map(|name| format!("* {name}\n")));
        }
        note
    }

    fn farewell(&self) -> String {
        let mut text = String::from("This was mimir's built-in demo: a fixed script, not a model.\n\n");
        for done in &self.done {
            let name = done.path.rsplit('/').next().unwrap_or_default();
            let line = match done.tool.as_str() {
                "glob" => format!("* looked at the workspace; files at the top: {}\n", self.files().len()),
                "read" => format!("* read {name}{}\n", begins_with(&done.output)),
                "write" if done.output.to_lowercase().contains("success") => format!("* wrote {name}\n"),
                "write" => format!("* could not write {name}: {}\n", shortened(&done.output)),
                _ => continue,
            };
            text.push_str(&line);
        }
        if self.offered.iter().all(|tool| tool != "write") {
            text.push_str("* wrote nothing: this agent may not write\n");
        }
        text.push_str(&format!("\nYou wrote: \"{}\"\n\n", shortened(&self.prompt)));
        text.push_str(plays::OFFER);
        text.push_str(
            "For real answers give mimir the key of a provider in ~/.mimir/config.yaml, for example\n\n    \
             providers:\n      anthropic: {key: \"${ANTHROPIC_API_KEY}\"}\n    \
             opencode:\n      default_model: anthropic/claude-sonnet-4-5\n",
        );
        text
    }
}

/// The tool calls behind the last prompt, each with its result.
fn carried_out(messages: &[Value]) -> Vec<Done> {
    let calls = messages.iter().filter_map(|message| message["tool_calls"].as_array()).flatten();
    calls
        .filter_map(|call| {
            let arguments: Value =
                serde_json::from_str(call["function"]["arguments"].as_str()?).unwrap_or_default();
            let result = messages
                .iter()
                .find(|message| message["role"] == "tool" && message["tool_call_id"] == call["id"]);
            Some(Done {
                tool: call["function"]["name"].as_str()?.to_owned(),
                path: arguments["filePath"].as_str().unwrap_or_default().to_owned(),
                output: result.map(|message| text_of(&message["content"])).unwrap_or_default(),
            })
        })
        .collect()
}

/// A content is a text or a list of parts; of those the first text is the author's, the rest was added by the agent.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().find_map(|part| part["text"].as_str()).unwrap_or_default().to_owned()
        }
        _ => String::new(),
    }
}

/// The first line of a file as the read tool shows it, where lines are numbered.
fn begins_with(output: &str) -> String {
    let numbered = |line: &str| -> Option<String> {
        let digits = line.trim_start();
        let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
        let text = rest.strip_prefix([':', '|', '\t'])?.trim();
        (rest.len() < digits.len() && !text.is_empty()).then(|| shortened(text))
    };
    output
        .lines()
        .find_map(numbered)
        .map(|line| format!(", which begins with \"{line}\""))
        .unwrap_or_default()
}

/// One line, at most 200 characters.
fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn call_id(index: usize, name: &str) -> String {
    format!("call_{name}_{index}")
}

fn whole(step: &Step, usage: &Value) -> Script {
    let calls: Vec<Value> = step
        .calls
        .iter()
        .enumerate()
        .map(|(index, (name, arguments))| {
            json!({"id": call_id(index, name), "type": "function",
                "function": {"name": name, "arguments": arguments.to_string()}})
        })
        .collect();
    let mut message = json!({"role": "assistant", "content": step.text});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    let finish = step.finish();
    document(
        StatusCode::OK,
        &json!({"id": "chatcmpl-demo", "object": "chat.completion", "created": 0, "model": DEMO, "usage": usage,
            "choices": [{"index": 0, "message": message, "finish_reason": finish}]}),
    )
}

impl Step {
    fn words(text: String) -> Self {
        Self { text, calls: Vec::new() }
    }

    fn finish(&self) -> &'static str {
        if self.calls.is_empty() { "stop" } else { "tool_calls" }
    }
}

fn stream(step: &Step, usage: &Value, slow: bool) -> Script {
    let event = |choices: Value| json!({"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 0, "model": DEMO, "choices": choices});
    let delta =
        |delta: Value, finish: Value| event(json!([{"index": 0, "delta": delta, "finish_reason": finish}]));

    let mut events = vec![delta(json!({"role": "assistant", "content": ""}), Value::Null)];
    events.extend(step.text.split_inclusive(' ').map(|word| delta(json!({"content": word}), Value::Null)));
    for (index, (name, arguments)) in step.calls.iter().enumerate() {
        let call = json!({"index": index, "id": call_id(index, name), "type": "function",
            "function": {"name": name, "arguments": arguments.to_string()}});
        events.push(delta(json!({"tool_calls": [call]}), Value::Null));
    }
    events.push(delta(json!({}), step.finish().into()));
    let mut last = event(json!([]));
    last["usage"] = usage.clone();
    events.push(last);

    let mut chunks: Vec<Bytes> =
        events.iter().map(|event| Bytes::from(format!("data: {event}\n\n"))).collect();
    chunks.push(Bytes::from_static(b"data: [DONE]\n\n"));
    let pause = if slow { Duration::from_millis(250) } else { Duration::from_millis(4) };
    Script { status: StatusCode::OK, content_type: "text/event-stream", chunks, pause }
}

fn refuse(status: StatusCode, why: &str) -> Script {
    document(status, &json!({"error": {"message": why, "type": "demo", "code": status.as_u16()}}))
}

fn document(status: StatusCode, json: &Value) -> Script {
    let chunks = vec![Bytes::from(json.to_string())];
    Script { status, content_type: "application/json", chunks, pause: Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(messages: &Value, tools: &[&str]) -> Value {
        let tools: Vec<Value> = tools.iter().map(|name| json!({"function": {"name": name}})).collect();
        json!({"model": DEMO, "messages": messages, "tools": tools})
    }

    fn reply(request: &Value) -> Value {
        serde_json::from_slice(&answer(request).chunks[0]).expect("json")
    }

    /// Plays the agent: carries out each call with a canned result.
    fn play(tools: &[&str], result: impl Fn(&str, &Value) -> String) -> (Vec<String>, String) {
        let mut messages = json!([
            {"role": "system", "content": "You are an agent.\n  Working directory: /work/space\n"},
            {"role": "user", "content": [{"type": "text", "text": "say hello"}, {"type": "text", "text": "added"}]},
        ]);
        let mut calls = Vec::new();
        for _ in 0..6 {
            let message = reply(&request(&messages, tools))["choices"][0]["message"].clone();
            let wanted = message["tool_calls"].as_array().cloned().unwrap_or_default();
            let list = messages.as_array_mut().expect("a list");
            list.push(message.clone());
            if wanted.is_empty() {
                return (calls, message["content"].as_str().expect("text").to_owned());
            }
            for call in wanted {
                let name = call["function"]["name"].as_str().expect("a name");
                let arguments: Value =
                    serde_json::from_str(call["function"]["arguments"].as_str().expect("text"))
                        .expect("json");
                calls.push(
                    format!("{name} {}", arguments["filePath"].as_str().unwrap_or("")).trim().to_owned(),
                );
                list.push(
                    json!({"role": "tool", "tool_call_id": call["id"], "content": result(name, &arguments)}),
                );
            }
        }
        panic!("the script does not end: {calls:?}");
    }

    #[test]
    fn the_script_looks_reads_writes_and_says_what_it_is() {
        let (calls, text) = play(&["glob", "read", "write"], |tool, arguments| match tool {
            "glob" => "/work/space/src/main.rs\n/work/space/README.md\n/work/space/a.txt".to_owned(),
            "read" => "<content>\n1: # Blog\n2: text".to_owned(),
            _ => {
                assert!(arguments["content"].as_str().is_some_and(|note| note.contains("* README.md")));
                "Wrote file successfully.".to_owned()
            }
        });
        assert_eq!(calls, ["glob", "read /work/space/README.md", "write /work/space/MIMIR.md"]);
        for expected in
            ["a fixed script, not a model", "begins with \"# Blog\"", "wrote MIMIR.md", "say hello"]
        {
            assert!(text.contains(expected), "{expected:?} is missing in {text}");
        }
        assert!(!text.contains("added"), "only the author's words: {text}");
    }

    #[test]
    fn an_old_note_is_read_before_it_is_written_over() {
        let (calls, _) = play(&["glob", "read", "write"], |tool, _| match tool {
            "glob" => "/work/space/MIMIR.md\n/work/space/z.txt".to_owned(),
            _ => "success".to_owned(),
        });
        assert_eq!(
            calls,
            ["glob", "read /work/space/z.txt", "read /work/space/MIMIR.md", "write /work/space/MIMIR.md"]
        );
    }

    #[test]
    fn an_empty_workspace_and_an_agent_that_may_not_write_are_fine() {
        let (calls, _) = play(&["glob", "read", "write"], |_, _| "No files found".to_owned());
        assert_eq!(calls, ["glob", "write /work/space/MIMIR.md"]);
        let (calls, text) = play(&["glob"], |_, _| "No files found".to_owned());
        assert_eq!(calls, ["glob"]);
        assert!(text.contains("wrote nothing"), "{text}");
        let (_, text) = play(&["write"], |_, _| "Error: disk full".to_owned());
        assert!(text.contains("could not write MIMIR.md: Error: disk full"), "{text}");
    }

    #[test]
    fn titles_failures_and_nonsense_are_answered() {
        let title = json!([{"role": "system", "content": "You are a title generator."}, {"role": "user", "content": "x"}]);
        assert_eq!(
            reply(&request(&title, &["write"]))["choices"][0]["message"]["content"],
            "A look at the demo"
        );
        let fail = request(&json!([{"role": "user", "content": "demo:fail please"}]), &[]);
        assert_eq!(answer(&fail).status, StatusCode::PAYMENT_REQUIRED);
        let slow = json!({"stream": true, "messages": [{"role": "user", "content": "demo:slow"}]});
        let script = answer(&slow);
        assert!(script.pause * u32::try_from(script.chunks.len()).expect("few") > Duration::from_secs(10));
        assert_eq!(answer(&json!({"messages": 5})).status, StatusCode::BAD_REQUEST);
        assert_eq!(answer(&json!({"messages": []})).status, StatusCode::OK);
    }
}

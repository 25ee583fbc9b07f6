//! Tool calls while they run: what with, and since when. Pure.

use serde_json::Value;

use crate::cli::table::clean;
use crate::model::agent::ToolStatus;

/// Where the project is in a frame; paths are shown from there on.
const WORKSPACE: &str = "/workspace/";

/// A tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    id: String,
    /// Which tool.
    pub tool: String,
    /// With what, in one line; empty when nobody said.
    pub argument: String,
    /// When it was first seen running (UTC ms); none when only its end was seen.
    pub begun_at: Option<u64>,
}

impl Call {
    /// `bash  cargo test`
    pub fn line(&self) -> String {
        format!("{}  {}", self.tool, self.argument).trim_end().to_owned()
    }
}

/// What an event says about a call.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    pub at: u64,
    pub call: &'a str,
    pub tool: &'a str,
    pub status: ToolStatus,
    pub title: Option<&'a str>,
    pub input: Option<&'a Value>,
}

/// Those that run.
#[derive(Clone, Debug, Default)]
pub struct Calls(Vec<Call>);

impl Calls {
    /// Takes in an event; gives the call when it is over.
    pub fn take(&mut self, seen: Seen<'_>) -> Option<Call> {
        let Seen { at, call, tool, status, title, input } = seen;
        let known = self.0.iter().position(|known| known.id == call);
        let argument = argument(tool, title, input);
        match status {
            // Its arguments are still being written.
            ToolStatus::Pending => None,
            ToolStatus::Running => {
                match known {
                    Some(place) if self.0[place].argument.is_empty() => self.0[place].argument = argument,
                    Some(_) => {}
                    None => self.0.push(Call {
                        id: call.to_owned(),
                        tool: clean(tool),
                        argument,
                        begun_at: Some(at),
                    }),
                }
                None
            }
            ToolStatus::Completed | ToolStatus::Error => Some(match known {
                Some(place) => {
                    let mut known = self.0.remove(place);
                    if known.argument.is_empty() {
                        known.argument = argument;
                    }
                    known
                }
                None => Call { id: call.to_owned(), tool: clean(tool), argument, begun_at: None },
            }),
        }
    }

    /// The one that began last.
    pub fn newest(&self) -> Option<&Call> {
        self.0.last()
    }

    /// How many run besides.
    pub fn others(&self) -> usize {
        self.0.len().saturating_sub(1)
    }
}

/// What a tool works with, in one line: the command, the path, the address; else what the agent calls it.
fn argument(tool: &str, title: Option<&str>, input: Option<&Value>) -> String {
    let named = match tool {
        "bash" => "command",
        "read" | "write" | "edit" | "multiedit" => "filePath",
        "glob" | "grep" => "pattern",
        "list" => "path",
        "webfetch" => "url",
        "websearch" | "codesearch" => "query",
        "task" => "description",
        _ => "",
    };
    let told = input.and_then(|input| input[named].as_str());
    let only = || input?.as_object()?.values().find_map(Value::as_str);
    let text = told.or(title.filter(|title| !title.is_empty())).or_else(only).unwrap_or_default();
    clean(text.trim().trim_start_matches(WORKSPACE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen<'a>(at: u64, status: ToolStatus, title: Option<&'a str>, input: Option<&'a Value>) -> Seen<'a> {
        Seen { at, call: "c1", tool: "bash", status, title, input }
    }

    #[test]
    fn a_call_is_known_from_its_first_sign_to_its_end() {
        let mut calls = Calls::default();
        let input = json!({"command": "cargo test", "description": "Run the tests"});
        assert_eq!(calls.take(seen(1, ToolStatus::Pending, None, Some(&json!({})))), None);
        assert!(calls.newest().is_none());
        calls.take(seen(2, ToolStatus::Running, None, Some(&input)));
        calls.take(seen(3, ToolStatus::Running, Some("Run the tests"), None));
        let running = calls.newest().expect("it runs");
        assert_eq!((running.line().as_str(), running.begun_at), ("bash  cargo test", Some(2)));
        let ended = calls.take(seen(9, ToolStatus::Completed, Some("Run the tests"), None)).expect("over");
        assert_eq!((ended.line().as_str(), ended.begun_at), ("bash  cargo test", Some(2)));
        assert!(calls.newest().is_none());
        let unseen = calls.take(seen(9, ToolStatus::Error, Some("Look"), None)).expect("over");
        assert_eq!((unseen.line().as_str(), unseen.begun_at), ("bash  Look", None));
    }

    #[test]
    fn what_a_tool_works_with_is_one_line_that_steers_nothing() {
        let with = |tool: &str, input: Value| argument(tool, Some("a title"), Some(&input));
        assert_eq!(
            with("edit", json!({"oldString": "x", "filePath": "/workspace/src/main.rs"})),
            "src/main.rs"
        );
        assert_eq!(with("bash", json!({"command": "a\n\u{1b}[2Jb \u{202e}c"})), "a  [2Jb \\u{202e}c");
        assert_eq!(with("my_mcp", json!({"name": "x"})), "a title");
        assert_eq!(argument("my_mcp", None, Some(&json!({"n": 1, "name": "x"}))), "x");
        assert_eq!(argument("bash", None, None), "");
    }
}

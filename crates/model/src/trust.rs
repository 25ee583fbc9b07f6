//! What a project brings for its agent to obey, and whether its owner said yes to exactly that.
//!
//! Instructions are not here: they are text for the model. This is about what runs, and what may be done
//! without asking.

use std::collections::BTreeMap;

use jsonc_parser::ParseOptions;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Whether a project's configuration of the agent is obeyed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Trust {
    /// It brings nothing that could be obeyed.
    #[default]
    Nothing,
    /// Nobody has said yes: it is left out.
    Untrusted,
    /// Somebody said yes to something else: it is left out.
    Changed,
    /// Somebody said yes to exactly this: frames obey it from their next start on.
    Trusted,
}

/// What the agent uses a file or setting of a project for.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[derive(strum::Display, strum::EnumIter, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum TrustKind {
    /// A program that runs in the agent at its start, with the agent's password.
    Plugin,
    /// A program that is started with the agent, or a server that it talks to.
    Mcp,
    /// A program that the agent starts by itself: a formatter, a language server.
    Program,
    /// A program in the agent that the model may call.
    Tool,
    /// A ready-made prompt; it may run commands when somebody uses it.
    Command,
    /// An agent of the project's own, with rights of its own.
    Agent,
    /// A text that the model may read.
    Skill,
    /// A setting: models, permissions and the like.
    Setting,
    /// Files beside them, which they may use.
    Files,
}

impl TrustKind {
    /// Whether it runs without anybody asking for it.
    #[must_use]
    pub fn runs(self) -> bool {
        matches!(self, Self::Plugin | Self::Mcp | Self::Program | Self::Tool)
    }
}

/// One thing that would be obeyed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TrustItem {
    /// What the agent uses it for.
    pub kind: TrustKind,
    /// Where it stands, from the project's folder.
    pub path: String,
    /// What it says; a stranger's words.
    pub what: String,
}

/// The most of a stranger's words that is shown of one thing.
const MOST_SHOWN: usize = 300;

impl TrustItem {
    /// One item with its text, cut to what can be shown.
    #[must_use]
    pub fn new(kind: TrustKind, path: &str, what: &str) -> Self {
        let mut shown: String = what.chars().take(MOST_SHOWN).collect();
        let more = what.chars().count().saturating_sub(MOST_SHOWN);
        if more > 0 {
            shown.push_str(&format!("… (and {more} more characters)"));
        }
        Self { kind, path: path.to_owned(), what: shown }
    }
}

/// What somebody said yes to: each file with the hash of its content.
pub type TrustedFiles = BTreeMap<String, String>;

/// The files that are not as they were, in order.
#[must_use]
pub fn changed(then: &TrustedFiles, now: &TrustedFiles) -> Vec<String> {
    let mut changed: Vec<String> = then
        .iter()
        .filter(|(path, hash)| now.get(*path) != Some(*hash))
        .chain(now.iter().filter(|(path, _)| !then.contains_key(*path)))
        .map(|(path, _)| path.clone())
        .collect();
    changed.sort();
    changed
}

/// The most of them that are named in a sentence.
const MOST_NAMED: usize = 5;

/// The same as the end of a sentence: which files are new, changed or gone; a folder of packages is one of them.
#[must_use]
pub fn changed_in_words(then: &TrustedFiles, now: &TrustedFiles) -> String {
    let all = changed(then, now);
    let name = |path: &String| {
        let how = match (then.contains_key(path), now.contains_key(path)) {
            (false, _) => " (new)",
            (_, false) => " (gone)",
            _ if path.ends_with("node_modules") => " (its packages)",
            _ => "",
        };
        format!("{path}{how}")
    };
    let mut words: Vec<String> = all.iter().take(MOST_NAMED).map(name).collect();
    if all.len() > MOST_NAMED {
        words.push(format!("{} more", all.len() - MOST_NAMED));
    }
    words.join(", ")
}

/// The keys of a file of settings, which may have comments and trailing commas. An empty file has none.
///
/// # Errors
/// Why it cannot be read.
pub fn settings_of(text: &str) -> Result<Map<String, Value>, String> {
    let file = jsonc_parser::parse_to_serde_value::<Option<Value>>(text, &ParseOptions::default())
        .map_err(|error| error.to_string())?
        .unwrap_or_default();
    match file {
        Value::Null => Ok(Map::new()),
        Value::Object(settings) => Ok(settings),
        _ => Err("it is not an object in braces".to_owned()),
    }
}

/// What a file of settings (opencode.json, opencode.jsonc) says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentSettings {
    /// What would be obeyed, in order.
    pub items: Vec<TrustItem>,
    /// The words of what it starts: some may be names of programs of the project.
    pub starts: Vec<String>,
    /// The files that it takes texts from (`{file:…}`).
    pub takes_in: Vec<String>,
    /// Everything that it says but where its schema is, which opencode writes into it by itself.
    pub says: String,
}

impl AgentSettings {
    /// Reads them, with comments and trailing commas.
    ///
    /// # Errors
    /// Why they cannot be read.
    pub fn read(path: &str, text: &str) -> Result<Self, String> {
        let mut settings = settings_of(text)?;
        settings.remove("$schema");
        let mut read = Self { items: items(path, &settings), takes_in: taken_in(text)?, ..Self::default() };
        for (key, value) in &settings {
            if STARTS.contains(&key.as_str()) {
                read.collect(value);
            }
        }
        let drivers = settings.get("provider").map(drivers).unwrap_or_default();
        read.starts.extend(drivers.into_iter().map(|(_, package)| package));
        read.says = Value::Object(settings).to_string();
        Ok(read)
    }

    fn collect(&mut self, value: &Value) {
        match value {
            Value::String(text) => {
                self.starts.push(text.clone());
                let parts = text.split(|c: char| c.is_whitespace() || "\"'`{}=;|&()<>".contains(c));
                let parts = parts.filter(|part| !part.is_empty() && *part != text);
                self.starts.extend(parts.map(str::to_owned));
            }
            Value::Array(list) => list.iter().for_each(|one| self.collect(one)),
            Value::Object(fields) => fields.values().for_each(|one| self.collect(one)),
            _ => {}
        }
    }
}

/// The files whose text opencode puts into the settings. It does so before it reads them as JSON, so names of fields and
/// comments count as well. A name that is itself made of something else leads wherever that says.
fn taken_in(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> =
        text.split("{file:").skip(1).filter_map(|rest| Some(rest.split_once('}')?.0.to_owned())).collect();
    match names.iter().find(|name| name.contains('{')) {
        Some(name) => {
            Err(format!("it takes in a file whose name it makes of something else ({{file:{name}}})"))
        }
        None => Ok(names),
    }
}

/// The packages that speak with models, wherever they are named: they run in the agent.
fn drivers(providers: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    each(providers, |name, one| {
        let mut open = vec![one];
        while let Some(value) = open.pop() {
            if let Some(package) = value["npm"].as_str() {
                found.push((name.to_owned(), package.to_owned()));
            }
            match value {
                Value::Array(list) => open.extend(list),
                Value::Object(fields) => open.extend(fields.values()),
                _ => {}
            }
        }
    });
    found
}

fn items(path: &str, settings: &Map<String, Value>) -> Vec<TrustItem> {
    let mut items = Vec::new();
    let mut add = |kind, what: &str| items.push(TrustItem::new(kind, path, what));
    for (key, value) in settings {
        match key.as_str() {
            "instructions" => {}
            "plugin" | "plugins" => {
                for one in value.as_array().into_iter().flatten() {
                    let named = one.as_str().or_else(|| one["package"].as_str()).or_else(|| one[0].as_str());
                    add(TrustKind::Plugin, &named.map_or_else(|| one.to_string(), str::to_owned));
                }
            }
            "mcp" => each(value, |name, server| add(TrustKind::Mcp, &format!("{name}: {}", started(server)))),
            "formatter" | "lsp" if value.is_object() => each(value, |name, one| {
                add(TrustKind::Program, &format!("{key} {name}: {}", started(one)));
            }),
            "command" | "commands" => each(value, |name, one| {
                let template = one["template"].as_str().unwrap_or_default();
                add(TrustKind::Command, &format!("/{name}: {template}"));
            }),
            "agent" | "agents" | "mode" => {
                each(value, |name, one| add(TrustKind::Agent, &format!("{name}: {one}")));
            }
            "skills" => add(TrustKind::Skill, &value.to_string()),
            _ => add(TrustKind::Setting, &format!("{key}: {value}")),
        }
        if key == "provider" {
            for (name, package) in drivers(value) {
                add(TrustKind::Plugin, &format!("provider {name}: {package}"));
            }
        }
    }
    items.sort();
    items
}

fn each(value: &Value, mut take: impl FnMut(&str, &Value)) {
    for (name, one) in value.as_object().into_iter().flatten() {
        take(name, one);
    }
}

/// The command or the address of something that is started.
fn started(one: &Value) -> String {
    let command = one["command"].as_array().map(|words| {
        words.iter().map(|word| word.as_str().unwrap_or_default()).collect::<Vec<_>>().join(" ")
    });
    command.or_else(|| one["url"].as_str().map(str::to_owned)).unwrap_or_else(|| one.to_string())
}

/// Settings whose words may name programs of the project. Prompts and descriptions name files as well, but run none.
const STARTS: [&str; 5] = ["plugin", "plugins", "mcp", "formatter", "lsp"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_said_with_names_and_not_with_all_of_them() {
        let files = |all: &[(&str, &str)]| -> TrustedFiles {
            all.iter().map(|(path, hash)| ((*path).to_owned(), (*hash).to_owned())).collect()
        };
        let then = files(&[("a.js", "1"), ("b.js", "1"), (".opencode/node_modules", "1"), ("same.js", "1")]);
        let now = files(&[("a.js", "2"), (".opencode/node_modules", "2"), ("same.js", "1"), ("z.js", "1")]);
        let said = ".opencode/node_modules (its packages), a.js, b.js (gone), z.js (new)";
        assert_eq!(changed_in_words(&then, &now), said);
        let many: TrustedFiles = (0..9).map(|n| (format!("{n}.js"), String::new())).collect();
        let said = "0.js (new), 1.js (new), 2.js (new), 3.js (new), 4.js (new), 4 more";
        assert_eq!(changed_in_words(&files(&[]), &many), said);
        assert_eq!(changed_in_words(&now, &now), "");
    }

    #[test]
    fn everything_that_runs_is_named_with_its_command() {
        let text = r#"{ // a stranger's
            "plugin": ["./evil.js", ["named", {"a": 1}], {"package": "other"}],
            "mcp": {"db": {"type": "local", "command": ["node", "mcp/server.js"]}, "far": {"url": "https://x.example"}},
            "formatter": {"mine": {"command": ["./fmt", "$FILE"]}}, "lsp": false,
            "command": {"go": {"template": "run !`./go.sh`"}},
            "agent": {"boss": {"prompt": "{file:prompts/boss.md} Read README.md first"}},
            "permission": {"bash": "allow"}, "instructions": ["AGENTS.md"],
        }"#;
        let settings = AgentSettings::read("opencode.json", text).expect("JSON with comments");
        let said: Vec<String> =
            settings.items.iter().map(|item| format!("{} {}", item.kind, item.what)).collect();
        assert_eq!(
            said,
            [
                "plugin ./evil.js",
                "plugin named",
                "plugin other",
                "mcp db: node mcp/server.js",
                "mcp far: https://x.example",
                "program formatter mine: ./fmt $FILE",
                "command /go: run !`./go.sh`",
                r#"agent boss: {"prompt":"{file:prompts/boss.md} Read README.md first"}"#,
                "setting lsp: false",
                r#"setting permission: {"bash":"allow"}"#,
            ]
        );
        for word in ["./evil.js", "mcp/server.js", "./fmt"] {
            assert!(settings.starts.iter().any(|known| known == word), "{word}: {:?}", settings.starts);
        }
        assert_eq!(settings.takes_in, ["prompts/boss.md"]);
        assert!(
            !settings.starts.iter().any(|word| word == "README.md"),
            "text for the model changes every day"
        );
    }

    #[test]
    fn packages_that_speak_with_models_run_in_the_agent_wherever_they_are_named() {
        let text = r#"{"provider": {"mine": {"npm": "file:///workspace/driver.js", "models": {"m": {"provider":
            {"npm": "./other"}}}}, "plain": {"options": {"baseURL": "https://x.example"}}}}"#;
        let settings = AgentSettings::read("opencode.json", text).expect("JSON");
        let run: Vec<&str> = settings
            .items
            .iter()
            .filter(|item| item.kind == TrustKind::Plugin)
            .map(|item| item.what.as_str())
            .collect();
        assert_eq!(run, ["provider mine: ./other", "provider mine: file:///workspace/driver.js"]);
        assert!(settings.starts.iter().any(|word| word == "file:///workspace/driver.js"));
        assert!(!settings.starts.iter().any(|word| word.contains("x.example")));
    }

    #[test]
    fn files_that_are_taken_in_are_found_in_names_of_fields_and_comments_and_must_be_named_plainly() {
        let text = "{\"agent\": {\"{file:a.md}\": {}}, // {file:b.md}\n \"x\": \"{file:c.md} {env:HOME}\"}";
        assert_eq!(AgentSettings::read("x", text).expect("JSON").takes_in, ["a.md", "b.md", "c.md"]);
        let refused = AgentSettings::read("x", r#"{"x": "{file:{env:WHERE}/a.md}"}"#).expect_err("refused");
        assert!(refused.contains("{file:{env:WHERE}"), "{refused}");
    }

    #[test]
    fn what_opencode_writes_into_it_by_itself_is_no_change() {
        let says = |text: &str| AgentSettings::read("x", text).expect("JSON").says;
        let before = r#"{"plugin": ["a"], "model": "b"} // mine"#;
        let after = r#"{"$schema": "https://opencode.ai/config.json", "plugin": ["a"], "model": "b"}"#;
        assert_eq!(says(before), says(after));
        assert_ne!(says(before), says(r#"{"plugin": ["a", "c"], "model": "b"}"#));
    }

    #[test]
    fn what_cannot_be_read_is_said_and_an_empty_file_is_nothing() {
        assert!(AgentSettings::read("x", "{ \"plugin\": ").is_err());
        assert!(AgentSettings::read("x", "[]").is_err());
        assert!(AgentSettings::read("x", "  ").expect("nothing").items.is_empty());
    }

    #[test]
    fn files_that_came_went_or_changed_are_named() {
        let files = |list: &[(&str, &str)]| -> TrustedFiles {
            list.iter().map(|(path, hash)| ((*path).to_owned(), (*hash).to_owned())).collect()
        };
        let then = files(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let now = files(&[("a", "1"), ("b", "9"), ("d", "4")]);
        assert_eq!(changed(&then, &now), ["b", "c", "d"]);
        assert!(changed(&then, &then).is_empty());
    }

    #[test]
    fn a_strangers_words_are_not_shown_without_end() {
        let item = TrustItem::new(TrustKind::Setting, "opencode.json", &"ä".repeat(1000));
        let (shown, more) = item.what.split_once('…').expect("it is cut");
        assert_eq!((shown.chars().count(), more), (MOST_SHOWN, " (and 700 more characters)"));
        let item = TrustItem::new(TrustKind::Setting, "opencode.json", &"ä".repeat(MOST_SHOWN));
        assert!(!item.what.contains('…'), "{}", item.what);
    }
}

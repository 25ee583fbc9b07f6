//! Real output of commands against the schemas of docs/json, and those against the types that they are made from.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use jsonschema::Validator;
use mimir::cli::schemas::{self, Described};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// Of each command: whether each line is a document, and what a document is held to.
static KNOWN: LazyLock<BTreeMap<&'static str, (bool, Validator)>> = LazyLock::new(|| {
    let strict = |it: &Described| jsonschema::validator_for(&strict(it.schema.clone())).expect("a schema");
    schemas::all().into_iter().map(|it| (it.command, (it.is_stream, strict(&it)))).collect()
});

/// Commands whose output was compared.
pub static SEEN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// What a command line prints according to its words, such as `frame list`.
fn command_of(words: &[&str]) -> Option<&'static str> {
    let mut command = mimir::cli::command();
    let mut name = Vec::new();
    for word in words.iter().filter(|word| !word.starts_with('-')) {
        let Some(found) = command.find_subcommand(word) else { break };
        name.push(found.get_name().to_owned());
        command = found.clone();
    }
    let daily = ["ls", "rm", "start", "stop", "restart", "exec", "logs", "attach"];
    match name.first().map(String::as_str) {
        Some(first) if daily.contains(&first) => {
            let verb = match first {
                "ls" => "list",
                "rm" => "destroy",
                other => other,
            };
            name = vec!["frame".to_owned(), verb.to_owned()];
        }
        None => name.push("welcome".to_owned()),
        _ => {}
    }
    let whole = name.join(" ");
    // Some print something else with an option.
    let with_option = words.iter().map(|word| format!("{whole} {}", word.split('=').next().unwrap_or(word)));
    let known = |it: &str| KNOWN.keys().copied().find(|known| *known == it);
    with_option.filter(|it| it.contains(" -")).find_map(|it| known(&it)).or_else(|| known(&whole))
}

/// Holds what a command printed with `--json` to its schema.
pub fn check(words: &[&str], stdout: &str, stderr: &str) {
    if !words.contains(&"--json") {
        return;
    }
    for line in stderr.lines().filter(|line| line.starts_with("{\"error\"")) {
        compare("error", line, words);
    }
    let Some(command) = command_of(words).filter(|_| !stdout.trim().is_empty()) else { return };
    if KNOWN[command].0 {
        stdout.lines().for_each(|line| compare(command, line, words));
    } else {
        compare(command, stdout, words);
    }
    SEEN.lock().insert(command);
}

fn compare(command: &str, text: &str, words: &[&str]) {
    let value: Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{words:?}: {error}: {text}"));
    let wrong: Vec<String> = KNOWN[command]
        .1
        .iter_errors(&value)
        .map(|error| format!("{} at {}", error, error.instance_path()))
        .collect();
    assert!(
        wrong.is_empty(),
        "{words:?} prints what docs/json does not describe:\n{}\n{value:#}",
        wrong.join("\n")
    );
}

/// The schema with nothing allowed that it does not name. Files allow more: fields are added.
fn strict(mut schema: Value) -> Value {
    // What is put together must not be closed by one of its parts.
    let mut parts = BTreeSet::new();
    collect_parts(&schema, &mut parts);
    if let Some(Value::Object(definitions)) = schema.get_mut("$defs") {
        for (name, definition) in definitions.iter_mut() {
            close(definition, !parts.contains(name));
        }
    }
    close(&mut schema, true);
    schema
}

fn collect_parts(schema: &Value, parts: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            for part in fields.get("allOf").and_then(Value::as_array).into_iter().flatten() {
                let name = part["$ref"].as_str().and_then(|path| path.strip_prefix("#/$defs/"));
                parts.extend(name.map(str::to_owned));
            }
            fields.values().for_each(|value| collect_parts(value, parts));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_parts(item, parts)),
        _ => {}
    }
}

fn close(schema: &mut Value, may_close: bool) {
    let Value::Object(fields) = schema else { return };
    for (name, below) in fields.iter_mut() {
        match (name.as_str(), below) {
            ("properties", Value::Object(properties)) => {
                properties.values_mut().for_each(|it| close(it, true))
            }
            ("allOf", Value::Array(parts)) => parts.iter_mut().for_each(|it| close(it, false)),
            ("oneOf" | "anyOf", Value::Array(ways)) => ways.iter_mut().for_each(|it| close(it, may_close)),
            ("items", item) => close(item, true),
            _ => {}
        }
    }
    if may_close && (fields.contains_key("properties") || fields.contains_key("allOf")) {
        fields.insert("unevaluatedProperties".into(), json!(false));
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json")
}

#[test]
fn the_schemas_in_the_repository_are_those_of_the_types() {
    let made: BTreeMap<String, String> = schemas::all()
        .iter()
        .map(|it| (it.file(), format!("{}\n", serde_json::to_string_pretty(&it.schema).expect("JSON"))))
        .collect();
    if std::env::var_os("MIMIR_BLESS").is_some() {
        fs::create_dir_all(folder()).expect("made");
        for (name, _) in kept() {
            fs::remove_file(folder().join(name)).expect("removed");
        }
        for (name, text) in &made {
            fs::write(folder().join(name), text).expect("written");
        }
    }
    let kept = kept();
    assert_eq!(kept.keys().collect::<Vec<_>>(), made.keys().collect::<Vec<_>>(), "run it with MIMIR_BLESS=1");
    let differ: Vec<&String> =
        made.iter().filter(|(name, text)| kept[*name] != **text).map(|(name, _)| name).collect();
    assert!(differ.is_empty(), "docs/json: {differ:?} differ; run the test with MIMIR_BLESS=1");
}

fn kept() -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder()).into_iter().flatten().map(|entry| entry.expect("an entry").path());
    let schemas = entries.filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let named = |path: PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        (name, fs::read_to_string(&path).expect("readable"))
    };
    schemas.map(named).collect()
}

#[test]
fn every_command_is_described_or_said_to_print_no_document() {
    let described: Vec<&str> = schemas::all().iter().map(|it| it.command).collect();
    let without: Vec<&str> = schemas::WITHOUT.iter().map(|(command, _)| *command).collect();
    let mut leaves = Vec::new();
    collect_leaves(&mimir::cli::command(), "", &mut leaves);
    assert!(leaves.len() > 45, "{leaves:?}");
    for leaf in &leaves {
        let is_described = described.iter().any(|it| it == leaf || it.starts_with(&format!("{leaf} --")));
        assert!(
            is_described || without.contains(&leaf.as_str()),
            "`mimir {leaf} --json` is described nowhere"
        );
    }
    for command in without.iter().chain(&described) {
        let words = command.split(" --").next().expect("a word");
        let is_topic = matches!(words, "error" | "welcome" | "man" | "version");
        assert!(is_topic || leaves.iter().any(|leaf| leaf == words), "there is no command `{command}`");
    }
}

fn collect_leaves(command: &clap::Command, path: &str, leaves: &mut Vec<String>) {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        let path = format!("{path}{}", sub.get_name());
        collect_leaves(sub, &format!("{path} "), leaves);
        // Some do something also without a verb.
        if !sub.has_subcommands() || !sub.is_subcommand_required_set() {
            leaves.push(path);
        }
    }
}

/// What one name may stand for besides its usual kind of value, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("data", "it belongs to the kind beside it"),
    ("id", "of an event, an audit entry and a push it is a number that grows; nothing else has such an id"),
    ("value", "a setting's value is what the setting means"),
    ("output", "of a tool call its text, among tokens their number"),
    ("status", "of a frame an object; of a tool call a word; of a problem HTTP's number"),
];

#[test]
fn one_name_is_one_kind_of_value_in_everything_that_is_printed() {
    let mut kinds: BTreeMap<String, BTreeMap<&'static str, BTreeSet<&'static str>>> = BTreeMap::new();
    for it in schemas::all() {
        let mut found = Vec::new();
        collect_kinds(&it.schema, &it.schema, &mut found);
        for (name, kind) in found {
            kinds.entry(name).or_default().entry(kind).or_default().insert(it.command);
        }
    }
    assert!(kinds.len() > 100, "only {} names were found", kinds.len());
    let several: Vec<_> = kinds
        .iter()
        .filter(|(name, kinds)| kinds.len() > 1 && !EXCEPTIONS.iter().any(|(known, _)| known == name))
        .collect();
    assert!(several.is_empty(), "docs/json/README.md: one name for one thing:\n{several:#?}");
    for gone in ["frame_name", "prompt"] {
        assert!(!kinds.contains_key(gone), "{gone}");
    }
}

fn collect_kinds(schema: &Value, root: &Value, found: &mut Vec<(String, &'static str)>) {
    match schema {
        Value::Object(fields) => {
            for (name, below) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
                found.extend(kind_of(below, root).map(|kind| (name.clone(), kind)));
            }
            fields.values().for_each(|value| collect_kinds(value, root, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_kinds(item, root, found)),
        _ => {}
    }
}

/// A word for what JSON it is; nothing where anything is allowed.
fn kind_of(schema: &Value, root: &Value) -> Option<&'static str> {
    if let Some(path) = schema["$ref"].as_str() {
        return kind_of(root.pointer(path.strip_prefix('#')?)?, root);
    }
    for ways in ["oneOf", "anyOf", "allOf"] {
        if let Some(ways) = schema[ways].as_array() {
            return ways.iter().filter(|way| way["type"] != "null").find_map(|way| kind_of(way, root));
        }
    }
    let several = schema["type"].as_array().into_iter().flatten();
    let word =
        schema["type"].as_str().or_else(|| several.filter_map(Value::as_str).find(|it| *it != "null"))?;
    Some(match word {
        "string" => "text",
        "integer" | "number" => "number",
        "boolean" => "yes or no",
        "array" => "list",
        "object" => "object",
        _ => return None,
    })
}

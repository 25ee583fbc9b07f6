//! Reads a workflow from YAML, and says what is wrong with it by file and line.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use super::definition::{Caps, InputDefinition, StageDefinition, Workflow};
use super::kind::StageKind;
use super::{quantities, template};

/// Workflows are small; a larger file is none.
const MOST_BYTES: usize = 256 * 1024;
/// The most stages.
const MOST_STAGES: usize = 50;

/// What is wrong with a workflow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct InvalidWorkflow {
    /// Which file, or that it is built in.
    pub file: String,
    /// From 1.
    pub line: u64,
    /// What.
    pub why: String,
}

impl fmt::Display for InvalidWorkflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.why)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Spanned<String>,
    description: String,
    #[serde(default)]
    inputs: BTreeMap<String, InputDefinition>,
    #[serde(default)]
    caps: FileCaps,
    stages: Vec<Spanned<Value>>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileCaps {
    #[serde(deserialize_with = "quantities::dollars")]
    cost: u64,
    #[serde(deserialize_with = "quantities::span")]
    stage_time: Duration,
    parallel: u32,
    pulls_per_day: u32,
}

impl Default for FileCaps {
    fn default() -> Self {
        let Caps { cost_microusd, stage_time, parallel, pulls_per_day } = Caps::default();
        Self { cost: cost_microusd, stage_time, parallel, pulls_per_day }
    }
}

/// Reads a workflow. `file` is what it is called in sentences.
///
/// # Errors
/// [`InvalidWorkflow`].
pub fn parse(text: &str, file: &str) -> Result<Workflow, InvalidWorkflow> {
    let refuse = |line: u64, why: String| InvalidWorkflow { file: file.to_owned(), line, why };
    if text.len() > MOST_BYTES {
        return Err(refuse(1, "the file is larger than 256 KiB".to_owned()));
    }
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    let read: File = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or(&said).to_owned();
        refuse(line, said)
    })?;
    let name_line = read.name.referenced.line();
    if !is_name(&read.name.value, '-') {
        let why = format!("`{}` is no name: lower-case letters, digits and `-`", read.name.value);
        return Err(refuse(name_line, why));
    }
    if let Some(name) =
        read.inputs.keys().find(|name| !is_name(name, '_') || template::KNOWN.contains(&name.as_str()))
    {
        let line = line_of(text, 1, name).unwrap_or(1);
        let why = format!(
            "`{name}` is no name of an input: lower-case letters, digits and `_`, and none of {}",
            template::KNOWN.join(", ")
        );
        return Err(refuse(line, why));
    }
    if read.stages.is_empty() || read.stages.len() > MOST_STAGES {
        let line = line_of(text, 1, "stages").unwrap_or(1);
        return Err(refuse(line, format!("`stages` lists 1 to {MOST_STAGES} stages")));
    }
    if read.caps.parallel == 0 {
        let line = line_of(text, 1, "parallel").unwrap_or(1);
        return Err(refuse(line, "`parallel` is at least 1".to_owned()));
    }
    let FileCaps { cost, stage_time, parallel, pulls_per_day } = read.caps;
    let mut workflow = Workflow {
        name: read.name.value,
        description: read.description,
        inputs: read.inputs,
        stages: Vec::new(),
        caps: Caps { cost_microusd: cost, stage_time, parallel, pulls_per_day },
    };
    let mut lines = Vec::new();
    for stage in read.stages {
        let line = stage.referenced.line();
        let definition = stage_of(stage.value).map_err(|why| refuse(line, why))?;
        if workflow.stage(&definition.name).is_some() {
            return Err(refuse(line, format!("there are two stages called {}", definition.name)));
        }
        lines.push(line);
        workflow.stages.push(definition);
    }
    for (definition, line) in workflow.stages.iter().zip(lines) {
        check(&workflow, definition).map_err(|why| {
            let place = quoted(&why).and_then(|key| line_of(text, line, key)).unwrap_or(line);
            refuse(place, format!("stage {}: {why}", definition.name))
        })?;
    }
    Ok(workflow)
}

fn stage_of(value: Value) -> Result<StageDefinition, String> {
    let Value::Object(mut settings) = value else {
        return Err("a stage is a section with `name`, `kind` and its settings".to_owned());
    };
    let name = taken(&mut settings, "name")?;
    let kind = taken(&mut settings, "kind").map_err(|why| format!("stage {name}: {why}"))?;
    if !is_name(&name, '_') {
        return Err(format!("`{name}` is no name of a stage: lower-case letters, digits and `_`"));
    }
    Ok(StageDefinition { name, kind, settings })
}

fn taken(settings: &mut Map<String, Value>, key: &str) -> Result<String, String> {
    match settings.remove(key) {
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(format!("`{key}` is a text")),
        None => Err(format!("`{key}` is missing")),
    }
}

fn check(workflow: &Workflow, definition: &StageDefinition) -> Result<(), String> {
    let kind = StageKind::of(&definition.kind, &definition.settings)?;
    let known: BTreeSet<String> = template::known(workflow, &definition.name);
    kind.templates().into_iter().try_for_each(|text| template::check(text, &known))?;
    match &kind {
        StageKind::Command(command) => check_shell(&command.argv),
        _ => Ok(()),
    }
}

/// What strangers and agents say may be an argument of a command. In the text that a shell runs it would be a command.
fn check_shell(argv: &[String]) -> Result<(), String> {
    let Some((program, arguments)) = argv.split_first() else { return Ok(()) };
    let program = program.rsplit('/').next().unwrap_or_default();
    if !["sh", "bash", "dash", "zsh", "ksh", "fish"].contains(&program) {
        return Ok(());
    }
    let is_script = |word: &&String| word.starts_with('-') && word.ends_with('c');
    let script = arguments.iter().skip_while(|word| !is_script(word)).nth(1);
    match script.is_some_and(|script| script.contains("{{")) {
        true => Err(format!(
            "`argv` has a variable in what `{program}` runs: give it as an argument, \
             such as `[{program}, -c, 'echo \"$1\"', x, '{{{{ title }}}}']`"
        )),
        false => Ok(()),
    }
}

fn is_name(text: &str, inner: char) -> bool {
    let fits = (1..=40).contains(&text.len()) && !text.starts_with(inner) && !text.ends_with(inner);
    fits && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == inner)
}

/// The first word in quotes of a sentence: the key or variable that it is about.
fn quoted(why: &str) -> Option<&str> {
    why.split('`').nth(1)
}

/// The line, from that one on, that holds the key, or speaks of the variable.
fn line_of(text: &str, from: u64, name: &str) -> Option<u64> {
    let skip = usize::try_from(from.saturating_sub(1)).ok()?;
    let is_key = |line: &str| {
        line.match_indices(name).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            before.is_none_or(|c| matches!(c, ' ' | '{' | ',')) && line[at + name.len()..].starts_with(':')
        })
    };
    let is_variable = |line: &str| {
        let mut variables = line.split("{{").skip(1).filter_map(|rest| rest.split("}}").next());
        variables.any(|variable| variable.trim() == name)
    };
    let at = text.lines().skip(skip).position(|line| is_key(line) || is_variable(line))?;
    u64::try_from(at).ok().map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_runs_has_no_words_of_strangers_in_it() {
        let of =
            |words: &[&str]| check_shell(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert!(of(&["sh", "-c", "echo {{ title }}"]).is_err());
        assert!(of(&["/bin/bash", "-euc", "echo {{ stages.look }}", "x"]).is_err());
        assert!(of(&["sh", "-c", "echo \"$1\"", "x", "{{ title }}"]).is_ok());
        assert!(of(&["notify-send", "{{ title }}"]).is_ok());
    }

    const GOOD: &str = "\
name: nightly-look
description: Looks and asks
inputs:
  text: { description: What to ask }
  level: { default: low }
caps: { cost: 2.50, stage_time: 20m, parallel: 3 }
stages:
  - name: look
    kind: command
    argv: [test, -e, /tmp/x]
    timeout: 5s
  - name: yes_or_no
    kind: gate
    ask: \"{{ text }}?\"
  - name: ask
    kind: prompt
    text: |
      {{ text }} at {{ level }}, after {{ stages.look }}
    agent: plan
";

    #[test]
    fn a_workflow_is_read_and_kept_as_it_is() {
        let read = parse(GOOD, "x.yaml").expect("a workflow");
        assert_eq!(read.caps.cost_microusd, 2_500_000);
        assert_eq!((read.caps.parallel, read.caps.pulls_per_day), (3, 5));
        assert_eq!((read.first(), read.after("look"), read.after("ask")), ("look", Some("yes_or_no"), None));
        let kept = serde_json::to_string(&read).expect("text");
        assert_eq!(serde_json::from_str::<Workflow>(&kept).expect("the same"), read);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let said = |from: &str, to: &str| {
            assert!(GOOD.contains(from), "{from}");
            parse(&GOOD.replace(from, to), "x.yaml").expect_err(to).to_string()
        };
        let cases = [
            (said("kind: gate", "kind: door"), "x.yaml:12: stage yes_or_no: there is no kind `door`"),
            (said("agent: plan", "agnt: plan"), "x.yaml:19: stage ask: unknown field `agnt`"),
            (said("{{ level }}", "{{ levl }}"), "x.yaml:18: stage ask: there is no variable `levl`"),
            (said("stages.look", "stages.ask"), "x.yaml:18: stage ask: there is no variable `stages.ask`"),
            (said("timeout: 5s", "timeout: 5"), "x.yaml:8: stage look: "),
            (said("name: ask", "name: look"), "x.yaml:15: there are two stages called look"),
            (said("name: nightly-look", "name: Nightly"), "x.yaml:1: `Nightly` is no name"),
            (said("    kind: gate\n", ""), "x.yaml:12: stage yes_or_no: `kind` is missing"),
            (said("level: {", "run: {"), "x.yaml:5: `run` is no name of an input"),
            (said("parallel: 3", "parallel: 0"), "x.yaml:6: `parallel` is at least 1"),
        ];
        for (said, begins) in cases {
            assert!(said.starts_with(begins), "{said}\ninstead of\n{begins}");
        }
        assert!(parse("stages: []", "x.yaml").expect_err("no name").to_string().starts_with("x.yaml:1: "));
        assert!(parse("name: [", "x.yaml").is_err());
    }
}

//! Texts with variables: `{{ name }}`. There is nothing else: no conditions, no loops, no calls. A variable that nobody
//! knows is a mistake and never an empty text.
//!
//! `{{ stages.NAME }}` is what an earlier stage answered or printed. What is put in is not looked at for variables again.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::run::{Run, RunSubject};

use super::definition::Workflow;

/// What every run knows of itself, besides the inputs of its workflow.
pub const KNOWN: &[&str] =
    &["run", "workflow", "title", "project", "repository", "commit", "subject", "subject_url", "frame"];

/// A piece of a template.
enum Piece<'a> {
    Text(&'a str),
    Variable(&'a str),
}

fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((before, behind)) = rest.split_once("{{") {
        let (name, after) =
            behind.split_once("}}").ok_or_else(|| "`{{` is opened and never closed with `}}`".to_owned())?;
        let name = name.trim();
        let fits = !name.is_empty()
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.'));
        if !fits {
            return Err(format!(
                "`{{{{ {name} }}}}` is no variable: lower-case letters, digits, `_` and `.` make its name"
            ));
        }
        found.extend([Piece::Text(before), Piece::Variable(name)]);
        rest = after;
    }
    found.push(Piece::Text(rest));
    Ok(found)
}

/// Looks whether a text can be made, when all that is known are the names.
///
/// # Errors
/// What is wrong with it, with the names that there are.
pub fn check(text: &str, known: &BTreeSet<String>) -> Result<(), String> {
    for piece in pieces(text)? {
        if let Piece::Variable(name) = piece
            && !known.contains(name)
        {
            let all: Vec<&str> = known.iter().map(String::as_str).collect();
            return Err(format!("there is no variable `{name}`; there are {}", all.join(", ")));
        }
    }
    Ok(())
}

/// Makes the text.
///
/// # Errors
/// What is wrong with it.
pub fn render(text: &str, values: &BTreeMap<String, String>) -> Result<String, String> {
    let mut made = String::with_capacity(text.len());
    for piece in pieces(text)? {
        match piece {
            Piece::Text(text) => made.push_str(text),
            Piece::Variable(name) => match values.get(name) {
                Some(value) => made.push_str(value),
                None => return Err(format!("there is no variable `{name}`")),
            },
        }
    }
    Ok(made)
}

/// The names that a stage of a workflow knows: the inputs, what every run knows, and the stages before it.
#[must_use]
pub fn known(workflow: &Workflow, stage: &str) -> BTreeSet<String> {
    let before = workflow.stages.iter().take_while(|other| other.name != stage);
    let stages = before.map(|other| format!("stages.{}", other.name));
    workflow.inputs.keys().cloned().chain(KNOWN.iter().map(|name| (*name).to_owned())).chain(stages).collect()
}

/// What the variables of a run stand for in its stage.
#[must_use]
pub fn values(workflow: &Workflow, run: &Run) -> BTreeMap<String, String> {
    let given = &run.input;
    let mut all = BTreeMap::new();
    for (name, input) in &workflow.inputs {
        let value = given.variables.get(name).or(input.default.as_ref());
        all.extend(value.map(|value| (name.clone(), value.clone())));
    }
    let (subject, url) = match &given.subject {
        RunSubject::None => (String::new(), None),
        RunSubject::Sentry { issue, short_id, url, .. } => {
            (short_id.clone().unwrap_or_else(|| issue.clone()), url.clone())
        }
        RunSubject::Issue { repository, number, url, .. } => (format!("{repository}#{number}"), url.clone()),
    };
    let own = [
        ("run", run.id.to_string()),
        ("workflow", run.workflow.clone()),
        ("title", run.title.clone()),
        ("project", run.project.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("repository", given.repository.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("commit", given.commit.clone().unwrap_or_default()),
        ("subject", subject),
        ("subject_url", url.unwrap_or_default()),
        ("frame", given.frame.as_ref().map(ToString::to_string).unwrap_or_default()),
    ];
    all.extend(own.map(|(name, value)| (name.to_owned(), value)));
    for stage in workflow.stages.iter().take_while(|stage| stage.name != run.stage) {
        let said = run.progress.notes.get(&stage.name).and_then(|note| note.get("said"));
        let said = said.and_then(serde_json::Value::as_str).unwrap_or_default();
        all.insert(format!("stages.{}", stage.name), said.to_owned());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn variables_are_replaced_and_what_is_put_in_is_not_looked_at_again() {
        let given = values(&[("text", "say {{ name }}"), ("name", "x"), ("stages.ask", "yes")]);
        let made = render("{{ text }} to {{name}}: {{  stages.ask }}!", &given);
        assert_eq!(made.as_deref(), Ok("say {{ name }} to x: yes!"));
        assert_eq!(
            render("no variable, { one } brace }}", &given).as_deref(),
            Ok("no variable, { one } brace }}")
        );
    }

    #[test]
    fn what_is_no_variable_is_said() {
        let given = values(&[("text", "x")]);
        assert_eq!(render("{{ txt }}", &given), Err("there is no variable `txt`".to_owned()));
        for bad in ["{{ text", "{{}}", "{{ text | upper }}", "{{ Text }}", "{{ text()}}"] {
            assert!(render(bad, &given).is_err(), "{bad}");
        }
        let known = BTreeSet::from(["text".to_owned(), "run".to_owned()]);
        assert_eq!(check("a {{ text }} {{ run }}", &known), Ok(()));
        assert_eq!(
            check("{{ runs }}", &known),
            Err("there is no variable `runs`; there are run, text".to_owned())
        );
    }
}

//! What an analysis says, read from the agent's answer. Its form is checked, its texts are capped and stripped; whether it
//! is true is for the checks and for people. Pure.

use serde::Deserialize;

use super::fence::{cleaned, line};
use crate::model::run::{Report, ReportPlace};

/// A longer answer is no report.
const MOST_OF_AN_ANSWER: usize = 256 * 1024;
const MOST_OF_A_TEXT: usize = 4_000;
const MOST_OF_A_LINE: usize = 300;
const MOST_OF_A_SUMMARY: usize = 72;
const MOST_PLACES: usize = 20;
const MOST_STEPS: usize = 20;
/// Who is surer than that names a place in the files.
const SURE: f64 = 0.5;

/// The form that the agent is asked for, as it is shown to it.
pub(super) const FORM: &str = r#"{
  "cause": "why it happens, in a few sentences",
  "evidence": [{"file": "path/in/the/repository.py", "line": 12, "note": "what is seen there"}],
  "confidence": 0.0,
  "plan": ["what to change, step by step, with the test that shows it"],
  "risk": "low",
  "summary": "at most 72 characters, for the title of the change"
}"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    cause: String,
    evidence: Vec<FormPlace>,
    confidence: f64,
    plan: Vec<String>,
    #[serde(default)]
    risk: Option<String>,
    #[serde(default)]
    summary: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormPlace {
    file: String,
    #[serde(default)]
    line: Option<u64>,
    #[serde(default)]
    note: Option<String>,
}

/// Reads a report.
///
/// # Errors
/// What is wrong with it, as the end of a sentence, for the agent.
pub fn parse(answer: &str) -> Result<Report, String> {
    if answer.len() > MOST_OF_AN_ANSWER {
        return Err(format!("it has {} bytes, and {MOST_OF_AN_ANSWER} is the most", answer.len()));
    }
    let json = object_in(answer).ok_or("there is no JSON object in it")?;
    let given: Form = serde_json::from_str(json).map_err(|error| line(&error.to_string(), MOST_OF_A_LINE))?;
    if !(0.0..=1.0).contains(&given.confidence) {
        return Err("`confidence` must be a number from 0 to 1".to_owned());
    }
    let cause = cleaned(given.cause.trim(), MOST_OF_A_TEXT);
    if cause.is_empty() {
        return Err("`cause` is empty".to_owned());
    }
    if given.evidence.is_empty() && given.confidence > SURE {
        return Err(format!("`evidence` names no file, and `confidence` is above {SURE}"));
    }
    if let Some(risk) = &given.risk
        && !matches!(risk.as_str(), "low" | "medium" | "high")
    {
        return Err("`risk` must be low, medium or high".to_owned());
    }
    let evidence: Result<Vec<ReportPlace>, String> =
        given.evidence.into_iter().take(MOST_PLACES).map(place).collect();
    let plan = given.plan.iter().take(MOST_STEPS).map(|step| cleaned(step.trim(), MOST_OF_A_TEXT / 4));
    Ok(Report {
        cause,
        evidence: evidence?,
        confidence: given.confidence,
        plan: plan.filter(|step| !step.is_empty()).collect(),
        risk: given.risk,
        summary: given.summary.map(|text| line(&text, MOST_OF_A_SUMMARY)).filter(|text| !text.is_empty()),
    })
}

fn place(given: FormPlace) -> Result<ReportPlace, String> {
    let file = given.file.trim();
    let file = file.strip_prefix("/workspace/").or_else(|| file.strip_prefix("./")).unwrap_or(file);
    let is_part = |part: &str| !part.is_empty() && part != "." && part != "..";
    let is_path =
        file.len() <= MOST_OF_A_LINE && file.split('/').all(is_part) && line(file, MOST_OF_A_LINE) == file;
    if !is_path {
        return Err(format!("`{}` is no path inside the repository", line(file, MOST_OF_A_LINE)));
    }
    Ok(ReportPlace {
        file: file.to_owned(),
        line: given.line.filter(|line| *line > 0),
        note: given.note.map(|note| line(&note, MOST_OF_A_LINE)).filter(|note| !note.is_empty()),
    })
}

/// The answer itself, or the last fenced block in it that holds an object.
fn object_in(answer: &str) -> Option<&str> {
    let is_object = |text: &&str| text.starts_with('{') && text.ends_with('}');
    let whole = Some(answer.trim()).filter(is_object);
    whole.or_else(|| {
        let fences: Vec<&str> = answer.split("```").collect();
        // Every second piece stands between two fences; one that was never closed is none.
        let blocks = fences.iter().enumerate().filter(|(at, _)| at % 2 == 1 && at + 1 < fences.len());
        let mut inner = blocks.map(|(_, block)| {
            let block = block.trim_start();
            block.strip_prefix("json").or_else(|| block.strip_prefix("JSON")).unwrap_or(block).trim()
        });
        inner.rfind(is_object)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn good() -> serde_json::Value {
        json!({
            "cause": "the price is divided by the number of items, which may be none",
            "evidence": [{"file": "shop/cart.py", "line": 7, "note": "total / len(items)"}],
            "confidence": 0.9,
            "plan": ["add a test for an empty cart", "return 0 for one"],
            "risk": "low",
            "summary": "An empty cart costs nothing",
        })
    }

    #[test]
    fn a_report_is_read_bare_or_fenced_and_the_last_one_counts() {
        let bare = good().to_string();
        let read = parse(&bare).expect("a report");
        assert_eq!(read.evidence[0].line, Some(7));
        let fenced =
            format!("I looked.\n```json\n{{\"cause\": \"first\"}}\n```\nNo:\n```json\n{bare}\n```\nDone.");
        assert_eq!(parse(&fenced).expect("a report"), read);
        assert!(parse(FORM).is_ok(), "the form that it is shown is one");
    }

    #[test]
    fn what_is_wrong_is_said_so_that_it_can_be_mended() {
        let changed = |key: &str, value: serde_json::Value| {
            let mut report = good();
            report[key] = value;
            parse(&report.to_string()).expect_err("no report")
        };
        assert!(changed("confidence", json!(1.5)).contains("from 0 to 1"));
        assert!(changed("confidence", json!("high")).contains("invalid type"));
        assert!(changed("cause", json!(" \u{200b}")).contains("`cause` is empty"));
        assert!(changed("risk", json!("none")).contains("low, medium or high"));
        assert!(changed("command", json!("curl x | sh")).contains("unknown field"));
        assert!(changed("evidence", json!([])).contains("names no file"));
        for path in ["/etc/passwd", "../x", "a//b", "a/./b", "", "a\u{202e}b", "x\ny"] {
            let said = changed("evidence", json!([{"file": path}]));
            assert!(said.contains("no path inside"), "{path}: {said}");
        }
        assert!(parse("I could not find it.").expect_err("none").contains("no JSON object"));
        assert!(parse("```json\n{\"cause\": 1").is_err(), "a fence that is not closed");
        assert!(parse(&"x".repeat(MOST_OF_AN_ANSWER + 1)).expect_err("too long").contains("bytes"));
    }

    #[test]
    fn its_texts_are_capped_and_stripped() {
        let mut report = good();
        report["cause"] = json!(format!("a<!-- obey -->b\u{200b}{}", "x".repeat(100_000)));
        report["summary"] = json!(
            "One\nline\u{202e} that is much longer than it may be, because somebody wants to fill the list with it"
        );
        report["plan"] = json!(vec!["step"; 500]);
        report["evidence"] = json!(vec![json!({"file": "/workspace/a.py", "line": 0}); 500]);
        let read = parse(&report.to_string()).expect("a report");
        assert!(read.cause.starts_with("a b") && read.cause.len() < MOST_OF_A_TEXT + 60);
        let summary = read.summary.expect("one");
        assert!(!summary.contains('\n') && summary.chars().count() <= MOST_OF_A_SUMMARY + 1, "{summary}");
        assert_eq!((read.plan.len(), read.evidence.len()), (MOST_STEPS, MOST_PLACES));
        assert_eq!((read.evidence[0].file.as_str(), read.evidence[0].line), ("a.py", None));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,200}") {
            let fenced = format!("```json\n{{\"cause\": {text}}}\n```");
            for answer in [&text, &fenced] {
                if let Ok(report) = parse(answer) {
                    prop_assert!(report.cause.len() < MOST_OF_A_TEXT + 60);
                }
            }
        }
    }
}

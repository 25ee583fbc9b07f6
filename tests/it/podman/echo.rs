//! A model that repeats the key that it was asked with.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::scripted::KEY;
use super::support::eventually;
use super::talk::prepared;

/// What of the key may be found nowhere: itself, backwards, and its middle in base64 behind `Bearer `.
fn forms() -> [String; 3] {
    let code = STANDARD.encode(format!("Bearer {KEY}"));
    [KEY.to_owned(), KEY.chars().rev().collect(), code[12..code.len() - 4].to_owned()]
}

/// All files below a folder that hold one of these.
fn holding(folder: &Path, forms: &[String], found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            holding(&path, forms, found);
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            let hit = |form: &String| bytes.windows(form.len()).any(|at| at == form.as_bytes());
            if forms.iter().any(hit) {
                found.push(path.display().to_string());
            }
        }
    }
}

#[test]
fn a_key_that_a_model_repeats_is_in_no_answer_no_file_no_event_and_no_export() {
    let Some(talk) = prepared("a model that repeats the key", |_| {}) else { return };
    let answered = talk.send("@@echo@@", &[]).ok();
    assert!(answered.stdout.contains("[redacted]"), "{answered:?}");
    let refused = talk.send("@@echo401@@", &[]).code(1);
    assert!(refused.stderr.contains("Incorrect API key provided"), "{refused:?}");
    eventually("it is told", Duration::from_secs(20), || {
        let events = talk.world.mimir(&["frame", "events", "talk", "--json"]).ok().lines();
        let told: Vec<String> = events
            .iter()
            .filter(|event| event["kind"] == "frame.redacted")
            .map(|event| event["data"]["place"].as_str().unwrap_or_default().to_owned())
            .collect();
        let all =
            ["an answer", "a refusal", "a header"].iter().all(|place| told.iter().any(|it| it == place));
        if all { Ok(()) } else { Err(format!("{told:?}")) }
    });

    let forms = forms();
    let clean = |what: &str, text: &str| {
        for form in &forms {
            assert!(!text.contains(form.as_str()), "{what} holds {form}: {text}");
        }
    };
    clean("the answer", &answered.stdout);
    clean("the refusal", &refused.stderr);
    clean("events", &talk.world.mimir(&["frame", "events", "talk", "--json"]).ok().stdout);
    clean("an export", &talk.world.mimir(&["sessions", "export", "last"]).ok().stdout);
    clean("a conversation", &talk.world.mimir(&["sessions", "show", "last", "--json"]).ok().stdout);
    let log = fs::read_to_string(talk.world.home.join("gateway.log")).expect("a log");
    clean("the log", &log);

    // The agent's database with its log, everything else that is in the frame's home, and what lies beside it.
    let mut found = Vec::new();
    holding(&talk.world.home.join("frames"), &forms, &mut found);
    assert_eq!(found, Vec::<String>::new());
    let mut agent_files = Vec::new();
    holding(&talk.world.home.join("frames"), &["[redacted]".to_owned()], &mut agent_files);
    assert!(
        !agent_files.is_empty(),
        "the agent keeps what it was told, or this test looks in the wrong place"
    );
}

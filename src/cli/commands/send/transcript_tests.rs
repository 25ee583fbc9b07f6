//! What is written where, for people and for pipes.

use super::*;

fn text(delta: &str, part: &str) -> EventKind {
    EventKind::Text { delta: delta.to_owned(), part: part.to_owned() }
}

fn written(transcript: &mut Transcript, events: &[EventKind]) -> String {
    let mut screen = String::new();
    for piece in events.iter().flat_map(|event| transcript.take(0, event)) {
        match piece {
            Piece::Answer(text) => screen.push_str(&text),
            Piece::Aside(line) => screen.push_str(&format!("[{line}]\n")),
            Piece::Timed { line, behind } => screen.push_str(&format!("[{line}|{behind}]\n")),
        }
    }
    screen
}

#[test]
fn text_and_tools_share_a_screen_without_mixing() {
    let tool = |status| EventKind::Tool {
        call: "c".to_owned(),
        tool: "read".to_owned(),
        status,
        title: Some("README.md".to_owned()),
        input: None,
        output: Some("\nno such file\n".to_owned()),
    };
    let events = [
        text("I look", "p1"),
        text(" first.", "p1"),
        tool(ToolStatus::Running),
        tool(ToolStatus::Completed),
        tool(ToolStatus::Error),
        text("Done\x1b[2J.", "p2"),
        text("Really.", "p3"),
    ];
    let screen = written(&mut Transcript::default(), &events);
    assert_eq!(
        screen,
        "I look first.\n[✓ read README.md]\n[✗ read README.md: no such file]\nDone[2J.\nReally."
    );
}

#[test]
fn a_question_is_open_until_it_is_answered() {
    let mut transcript = Transcript::default();
    let ask = EventKind::asked("per_1".to_owned(), "permission".to_owned(), "bash: rm -rf build".to_owned());
    assert_eq!(written(&mut transcript, &[ask]), "[the agent waits for permission: bash: rm -rf build]\n");
    assert!(transcript.is_waiting());
    // A sub-agent may go on working beside it.
    written(&mut transcript, &[text("ok", "p")]);
    assert!(transcript.is_waiting());
    written(&mut transcript, &[EventKind::prompt_over("per_1".to_owned())]);
    assert!(!transcript.is_waiting());
}

/// A person must be able to read what will run.
#[test]
fn what_waits_for_permission_reads_as_it_runs() {
    let asked = EventKind::PromptAsked {
        prompt: "per_1".to_owned(),
        form: "permission".to_owned(),
        text: "bash: rm \u{202e}txt.elif\u{202c}\r safe".to_owned(),
        id: None,
        questions: Vec::new(),
        from_child: false,
        tool: None,
        patterns: Vec::new(),
        deadline_at: None,
    };
    let pieces = Transcript::default().take(0, &asked);
    let shown = "the agent waits for permission: bash: rm \\u{202e}txt.elif\\u{202c}\\u{d} safe";
    assert_eq!(pieces, [Piece::Aside(shown.to_owned())]);
}

#[test]
fn a_person_sees_what_tools_work_with_and_a_thought_in_one_line() {
    let tool = |status, output: Option<&str>| EventKind::Tool {
        call: "c".to_owned(),
        tool: "bash".to_owned(),
        status,
        title: None,
        input: Some(serde_json::json!({"command": "cargo test"})),
        output: output.map(str::to_owned),
    };
    let thinks = |delta: &str| EventKind::Reasoning { delta: delta.to_owned(), part: "r".to_owned() };
    let story = [
        (1_000, thinks("Let me look.\n")),
        (2_000, thinks("First the tests.")),
        (3_500, tool(ToolStatus::Running, None)),
        (15_500, tool(ToolStatus::Completed, None)),
        (15_600, tool(ToolStatus::Running, None)),
        (15_900, tool(ToolStatus::Error, Some("exit 101"))),
        (16_000, text("Done.", "p")),
    ];
    let told = |detail| {
        let mut transcript = Transcript::new(detail);
        let mut screen = String::new();
        for piece in story.iter().flat_map(|(at, what)| transcript.take(*at, what)) {
            match piece {
                Piece::Answer(text) => screen.push_str(&text),
                Piece::Aside(line) => screen.push_str(&format!("[{line}]\n")),
                Piece::Timed { line, behind } => screen.push_str(&format!("[{line}|{behind}]\n")),
            }
        }
        screen
    };
    let watched = Detail { watched: true, ..Detail::default() };
    let tools = "[✓ bash  cargo test|12 s]\n[✗ bash  cargo test: exit 101|0.3 s]\nDone.";
    assert_eq!(told(watched), format!("[∴ Let me look. First the tests.|2.5 s]\n{tools}"));
    let unfolded = told(Detail { reasoning: true, ..watched });
    assert_eq!(unfolded, format!("[│ Let me look.]\n[│ First the tests.]\n[thought for 2.5 s]\n{tools}"));
    let piped = told(Detail::default());
    assert_eq!(piped, "[✓ bash]\n[✗ bash: exit 101]\nDone.", "as it has always been");
}

#[test]
fn an_answer_that_was_cut_off_says_so() {
    let ended = |finish: &str| {
        let mut transcript = Transcript::default();
        transcript.take(
            0,
            &EventKind::Answered {
                answer: "cut off in the mid".to_owned(),
                tokens: Default::default(),
                cost_microusd: 0,
                duration_ms: 1,
                finish: Some(finish.to_owned()),
            },
        );
        transcript.cut_off().map(|(why, _)| why).unwrap_or_default()
    };
    assert!(ended("length").contains("as much as it may"), "{}", ended("length"));
    assert!(ended("content-filter").contains("filter"), "{}", ended("content-filter"));
    assert_eq!(ended("stop"), "");
}

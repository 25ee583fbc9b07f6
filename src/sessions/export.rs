//! A conversation as a document that people read. Pure.

use std::fmt::Write as _;

use super::Conversation;
use crate::clock;
use crate::model::agent::{AgentMessage, AgentPart, PartBody, Role, TakeBack, TakenBack, ToolStatus};
use crate::model::message::Session;
use crate::model::usage::Tokens;
use crate::model::visible::prose;

/// The conversation as Markdown: everything that was said and done, what the model thought folded away. People read it,
/// on a terminal too: nothing in it is invisible, and nothing steers.
#[must_use]
pub fn markdown(of: &Conversation) -> String {
    let mut text = String::new();
    head(&mut text, &of.session, &of.history);
    for turn in of.history.iter().filter(|turn| is_worth_a_heading(turn)) {
        one(&mut text, turn, of.taken_back.get(&turn.head.id));
    }
    prose(&text)
}

fn head(text: &mut String, session: &Session, turns: &[AgentMessage]) {
    let (tokens, cost) = total(turns);
    let _ = writeln!(text, "# {}\n", one_line(&session.title));
    let _ = writeln!(text, "- Session: `{}`", session.id);
    let _ = writeln!(text, "- Frame: {}", session.frame_name);
    let _ = writeln!(text, "- Begun: {}", utc(session.created_at));
    let _ = writeln!(text, "- Last used: {}", utc(session.last_active_at));
    let _ = writeln!(text, "- Used: {}", used(&tokens, cost));
}

fn total(turns: &[AgentMessage]) -> (Tokens, u64) {
    let mut tokens = Tokens::default();
    let mut cost = 0;
    for turn in turns {
        tokens += turn.head.tokens;
        cost += turn.head.cost_microusd;
    }
    (tokens, cost)
}

/// A step that left nothing behind says nothing either.
fn is_worth_a_heading(turn: &AgentMessage) -> bool {
    turn.head.error.is_some() || turn.parts.iter().any(|part| !written(part).is_empty())
}

fn one(text: &mut String, turn: &AgentMessage, taken_back: Option<&TakenBack>) {
    let head = &turn.head;
    let who = match (head.role, &head.model) {
        (Role::User, _) => "User".to_owned(),
        (Role::Assistant, Some(model)) => format!("Assistant ({model})"),
        (Role::Assistant, None) => "Assistant".to_owned(),
    };
    let _ = writeln!(text, "\n## {who} · {}", utc(head.created_at));
    if let Some(TakenBack { how, at }) = taken_back {
        // opencode puts files back from the copies that it makes in repositories, and nowhere else.
        let and_files =
            if *how == TakeBack::Undone { "; in a git repository the files are as before it" } else { "" };
        let _ = writeln!(
            text,
            "\n> **Taken back** ({how}, {}): the agent does not know of this any more{and_files}.",
            utc(*at)
        );
    }
    for part in &turn.parts {
        text.push_str(&written(part));
    }
    if let Some(error) = &head.error {
        let _ = writeln!(text, "\n**Failed ({}):** {}", error.name, one_line(&error.message));
    }
    if head.role == Role::Assistant && head.tokens != Tokens::default() {
        let took = head.completed_at.map(|end| format!(", {}", seconds(end.saturating_sub(head.created_at))));
        let _ = writeln!(text, "\n*{}{}*", used(&head.tokens, head.cost_microusd), took.unwrap_or_default());
    }
}

fn written(part: &AgentPart) -> String {
    match &part.body {
        PartBody::Text { text, synthetic } if !text.trim().is_empty() => {
            let note = if *synthetic { "*(added by the agent)*\n\n" } else { "" };
            format!("\n{note}{}\n", text.trim_end())
        }
        PartBody::Reasoning { text } if !text.trim().is_empty() => format!(
            "\n<details><summary>Reasoning</summary>\n\n{}\n\n</details>\n",
            text.trim_end().replace("</details>", "&lt;/details&gt;")
        ),
        PartBody::Tool { tool, status, title, input, output, .. } => {
            let mut text = String::new();
            let title = title.as_deref().filter(|title| !title.is_empty());
            let title = title.map(|title| format!(" – {}", one_line(title))).unwrap_or_default();
            let _ = writeln!(text, "\n**Tool `{tool}`**{title} ({})\n", how_it_ended(part, *status));
            if !input.is_null() {
                text.push_str(&fenced("json", &serde_json::to_string_pretty(input).unwrap_or_default()));
            }
            if let Some(output) = output.as_deref().filter(|output| !output.trim().is_empty()) {
                text.push('\n');
                text.push_str(&fenced("text", output));
            }
            text
        }
        PartBody::Patch { files } if !files.is_empty() => {
            let files: Vec<String> = files.iter().map(|file| format!("- `{file}`\n")).collect();
            format!("\nFiles changed:\n\n{}", files.concat())
        }
        PartBody::Other { kind } if kind == "compaction" => {
            "\n*(what was said so far is summed up)*\n".to_owned()
        }
        _ => String::new(),
    }
}

fn how_it_ended(part: &AgentPart, status: ToolStatus) -> String {
    let word = match status {
        ToolStatus::Completed => "done",
        ToolStatus::Error => "failed",
        ToolStatus::Pending | ToolStatus::Running => "did not end",
    };
    match (part.started_at, part.ended_at) {
        (Some(start), Some(end)) => format!("{word}, {}", seconds(end.saturating_sub(start))),
        _ => word.to_owned(),
    }
}

/// A block that nothing inside can end.
fn fenced(language: &str, body: &str) -> String {
    let longest = body.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{}\n{fence}\n", body.trim_end())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn used(tokens: &Tokens, cost_microusd: u64) -> String {
    let mut text = format!("{} tokens in, {} out", tokens.input + tokens.cache_read, tokens.output);
    if tokens.reasoning > 0 {
        let _ = write!(text, ", {} for reasoning", tokens.reasoning);
    }
    let _ = write!(text, ", ${}.{:06}", cost_microusd / 1_000_000, cost_microusd % 1_000_000);
    text
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1_000, ms % 1_000 / 100)
}

/// `2026-11-21 14:05:09 UTC`
fn utc(at_ms: u64) -> String {
    format!("{} UTC", clock::utc(at_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::agent::{AgentFailure, AgentMessageId, AgentPartId, AgentSessionId, MessageInfo};
    use crate::model::ids::{FrameId, SessionId};
    use crate::model::names::FrameName;

    const AT: u64 = 1_795_269_909_000;

    fn turn(role: Role, bodies: Vec<PartBody>) -> AgentMessage {
        let session = AgentSessionId("ses_1".into());
        let id = AgentMessageId("msg_1".into());
        let part = |body| AgentPart {
            id: AgentPartId("prt_1".into()),
            session: session.clone(),
            message: id.clone(),
            ended: true,
            started_at: Some(1_000),
            ended_at: Some(2_240),
            body,
        };
        AgentMessage {
            parts: bodies.into_iter().map(part).collect(),
            head: MessageInfo {
                id: id.clone(),
                session: session.clone(),
                role,
                parent: None,
                model: Some("scripted/scripted".into()),
                created_at: AT,
                completed_at: Some(AT + 3_210),
                finish: Some("stop".into()),
                error: None,
                tokens: Tokens::default(),
                cost_microusd: 0,
            },
        }
    }

    fn session() -> Session {
        Session {
            id: SessionId::from_parts(AT, 1),
            frame: FrameId::from_parts(1, 1),
            frame_name: FrameName::parse("blog").expect("a name"),
            agent_session: None,
            forked_from: None,
            title: "Dark\nmode".into(),
            created_at: AT,
            last_active_at: AT,
        }
    }

    #[test]
    fn everything_is_in_it_and_nothing_inside_ends_a_block() {
        let text = |text: &str| PartBody::Text { text: text.into(), synthetic: false };
        let tool = PartBody::Tool {
            tool: "bash".into(),
            call_id: "call_1".into(),
            status: ToolStatus::Completed,
            title: Some("list".into()),
            input: serde_json::json!({"command": "ls"}),
            output: Some("a\n````\nb\u{1b}]0;title\u{7}\u{9b}2J\u{202e}c\n".into()),
        };
        let mut answer = turn(
            Role::Assistant,
            vec![
                PartBody::Reasoning { text: "Hm. </details>".into() },
                tool,
                PartBody::Patch { files: vec!["/workspace/a.css".into()] },
                PartBody::Other { kind: "step-start".into() },
                text("Done."),
            ],
        );
        answer.head.tokens =
            Tokens { input: 200, output: 30, reasoning: 4, cache_read: 1000, cache_write: 0 };
        answer.head.cost_microusd = 1_410;
        let mut failed = turn(Role::Assistant, Vec::new());
        failed.head.error =
            Some(AgentFailure { name: "APIError".into(), message: "no\nkey".into(), status: Some(401) });
        let nothing = turn(Role::Assistant, vec![text("  ")]);
        let mut undone = turn(Role::User, vec![text("Add a moon.")]);
        undone.head.id = AgentMessageId("msg_2".into());
        let taken_back = TakenBack { how: TakeBack::Undone, at: AT };
        let made = markdown(&Conversation {
            session: session(),
            written: 2,
            taken_back: [(undone.head.id.clone(), taken_back)].into(),
            history: vec![turn(Role::User, vec![text("Add dark mode.")]), answer, nothing, failed, undone],
            sources: std::collections::BTreeMap::new(),
        });
        let expected = "\
# Dark mode

- Session: `SESSION`
- Frame: blog
- Begun: 2026-11-21 14:05:09 UTC
- Last used: 2026-11-21 14:05:09 UTC
- Used: 1200 tokens in, 30 out, 4 for reasoning, $0.001410

## User · 2026-11-21 14:05:09 UTC

Add dark mode.

## Assistant (scripted/scripted) · 2026-11-21 14:05:09 UTC

<details><summary>Reasoning</summary>

Hm. &lt;/details&gt;

</details>

**Tool `bash`** – list (done, 1.2 s)

```json
{
  \"command\": \"ls\"
}
```

`````text
a
````
b]0;title2J\\u{202e}c
`````

Files changed:

- `/workspace/a.css`

Done.

*1200 tokens in, 30 out, 4 for reasoning, $0.001410, 3.2 s*

## Assistant (scripted/scripted) · 2026-11-21 14:05:09 UTC

**Failed (APIError):** no key

## User · 2026-11-21 14:05:09 UTC

> **Taken back** (undone, 2026-11-21 14:05:09 UTC): the agent does not know of this any more; in a git repository the files are as before it.

Add a moon.
";
        assert_eq!(made, expected.replace("SESSION", session().id.as_str()));
    }
}

//! What agents ask people.

use mimir_model::visible;
use mimir_model::wire::approvals::{AnswerApproval, ApprovalView, Say};
use mimir_model::wire::problem::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rights::Effect;
use crate::tool::{Call, Verb};
use crate::words::{Words, time};

/// So much is repeated of what was decided.
const LONG_TEXT: usize = 4_000;

/// Something that an agent asks.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Approval {
    /// Its id.
    approval: String,
    /// Whose agent asks.
    frame: String,
    /// The message whose turn waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// `permission`, `question` or `connection`.
    form: String,
    /// `pending`, `answering`, `allowed`, `denied`, `answered` or `expired`.
    state: String,
    /// What is asked, in one line.
    text: Words,
    /// Of a permission: the tool that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<Words>,
    /// Of a permission: each command, path or address, whole. Of a connection: the host.
    patterns: Vec<Words>,
    /// What `always` would allow from then on.
    always: Vec<Words>,
    /// Whatever else the agent says, such as the whole command or the change to a file, whole; JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Words>,
    /// Of a question: what is asked.
    questions: Vec<Question>,
    /// Whether a sub-agent asks.
    from_child: bool,
    /// When it was asked.
    asked_at: String,
}

/// A question.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(inline)]
pub struct Question {
    /// What is asked.
    question: Words,
    /// What can be chosen; free text is always possible.
    options: Vec<Words>,
    /// Whether more than one may be chosen.
    multiple: bool,
}

impl From<ApprovalView> for Approval {
    fn from(asked: ApprovalView) -> Self {
        let exact = |texts: &[String]| texts.iter().map(|text| Words::exact(text)).collect();
        let details = (!asked.metadata.is_null()).then(|| asked.metadata.to_string());
        let questions = asked.questions.iter().map(|question| Question {
            question: Words::exact(&question.text),
            options: question.options.iter().map(|option| Words::exact(&option.label)).collect(),
            multiple: question.multiple,
        });
        Self {
            form: asked.form.to_string(),
            state: asked.state.as_str().to_owned(),
            text: Words::exact(&asked.text),
            tool: asked.tool.as_deref().map(Words::exact),
            patterns: exact(&asked.patterns),
            always: exact(&asked.always),
            details: details.map(|text| Words::exact(&visible::json(&text))),
            questions: questions.collect(),
            from_child: asked.from_child,
            asked_at: time(asked.asked_at),
            approval: asked.id,
            frame: asked.frame,
            message: asked.message,
        }
    }
}

/// `approval_list`
pub struct List;

/// Whose.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Whose {
    /// Only of this frame.
    frame: Option<String>,
}

/// What waits for somebody.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Open {
    /// One each.
    approvals: Vec<Approval>,
}

impl Verb for List {
    const NAME: &'static str = "approval_list";
    const TITLE: &'static str = "List what agents ask";
    const ABOUT: &'static str =
        "What agents ask a person: leave to use a tool or to reach a host, and questions.";
    const EFFECT: Effect = Effect::Looks;
    type Input = Whose;
    type Output = Open;

    async fn call(asked: Whose, with: &Call<'_>) -> Result<Open, Problem> {
        let all = with.gateway.approvals(asked.frame.as_deref(), false).await?;
        Ok(Open { approvals: all.into_iter().map(Approval::from).collect() })
    }
}

/// `approval_answer`
pub struct Answer;

/// What can be said.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Decision {
    Once,
    Always,
    Reject,
    Answer,
}

/// An answer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// The id of what is asked.
    approval: String,
    /// `once`: this time. `always`: also the like of it, until the agent is restarted. `reject`: no. `answer`: to a question.
    decision: Decision,
    /// With `reject`: why, for the agent, which goes on then.
    why: Option<String>,
    /// With `answer`: to each question its answers, labels of options or free text.
    answers: Option<Vec<Vec<String>>>,
}

/// What became of it, in few words: it is decided, and no result of it may be too long to be told.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Settled {
    /// The id of what was asked.
    approval: String,
    /// Whose agent asked.
    frame: String,
    /// How it stands: `answering`, `allowed`, `denied`, `answered` or `expired`.
    state: String,
    /// What was asked, its beginning.
    text: Words,
}

impl From<ApprovalView> for Settled {
    fn from(asked: ApprovalView) -> Self {
        Self {
            state: asked.state.as_str().to_owned(),
            text: Words::beginning(&asked.text, LONG_TEXT),
            approval: asked.id,
            frame: asked.frame,
        }
    }
}

impl Verb for Answer {
    const NAME: &'static str = "approval_answer";
    const TITLE: &'static str = "Answer an agent";
    const ABOUT: &'static str = "Allows, denies or answers what an agent asks. Only for what the person you work for wants: never decide for them.";
    const EFFECT: Effect = Effect::Decides;
    type Input = Answered;
    type Output = Settled;

    async fn call(asked: Answered, with: &Call<'_>) -> Result<Settled, Problem> {
        let answer = AnswerApproval {
            decision: match asked.decision {
                Decision::Once => Say::Once,
                Decision::Always => Say::Always,
                Decision::Reject => Say::Reject,
                Decision::Answer => Say::Answer,
            },
            why: asked.why,
            answers: asked.answers.unwrap_or_default(),
        };
        Ok(with.gateway.answer_approval(&asked.approval, &answer).await?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_decided_upon_is_whole_and_hides_nothing() {
        let long = "x".repeat(20_000);
        let asked = json!({"id": "apr_1", "frame": "blog", "form": "permission", "state": "pending",
            "text": format!("bash: {long}\u{202e}"), "patterns": ["rm\r -rf ~"], "metadata": {"command": "a\u{200b}", "diff": format!("{long}\u{9b}")},
            "tool": format!("{long}bash"), "from_child": false, "asked_at": 1});
        let view: ApprovalView = serde_json::from_value(asked).expect("an approval");
        let shown = Approval::from(view);
        assert!(shown.text.as_str().ends_with("x\\u{202e}"), "nothing is cut");
        assert_eq!(shown.patterns[0].as_str(), "rm\\u{d} -rf ~");
        assert_eq!(shown.tool.expect("one").as_str(), format!("{long}bash"));
        let details = format!(r#"{{"command":"a\u200b","diff":"{long}\u009b"}}"#);
        assert_eq!(shown.details.expect("more").as_str(), details);
    }

    #[test]
    fn what_is_decided_is_told_however_long_it_is() {
        let asked = json!({"id": "apr_1", "frame": "blog", "form": "permission", "state": "allowed",
            "text": "\"".repeat(300_000), "metadata": {"diff": "x".repeat(300_000)}, "from_child": false, "asked_at": 1});
        let view: ApprovalView = serde_json::from_value(asked).expect("an approval");
        let told = serde_json::to_value(Settled::from(view)).expect("JSON");
        assert_eq!((&told["approval"], &told["state"]), (&json!("apr_1"), &json!("allowed")));
        assert!(told.to_string().len() < 10_000, "{}", told.to_string().len());
    }
}

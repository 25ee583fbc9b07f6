//! Which keys answer what an agent asks. Pure.

use crate::model::approval::{AskedQuestion, RequestForm};
use crate::wire::approvals::{ApprovalView, Say};

/// So many options have a key of their own.
const KEYS: usize = 9;

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// That is the answer.
    Say(Say),
    /// No, and maybe why.
    Deny,
    /// This option of the question.
    Option(usize),
    /// The answer is typed.
    Words,
    /// Everything about it.
    Details,
}

/// The keys that there are, in one line.
pub fn legend(approval: &ApprovalView, question: Option<&AskedQuestion>) -> String {
    let mut keys = Vec::new();
    match (approval.form, question) {
        (RequestForm::Permission | RequestForm::Connection, _) => {
            keys.push("y once".to_owned());
            if !approval.always.is_empty() {
                keys.push("a always".to_owned());
            }
            keys.push("n no".to_owned());
        }
        (RequestForm::Question, question) => {
            match question.map_or(0, chosen_by_key) {
                0 => {}
                1 => keys.push("1 choose".to_owned()),
                n => keys.push(format!("1-{n} choose")),
            }
            keys.push("t type".to_owned());
            keys.push("n decline".to_owned());
        }
    }
    keys.push("d details".to_owned());
    keys.join(" · ")
}

/// What a key says about it.
pub fn choice(key: char, approval: &ApprovalView, question: Option<&AskedQuestion>) -> Option<Choice> {
    match (key.to_ascii_lowercase(), approval.form) {
        ('y', RequestForm::Connection) => Some(Choice::Say(Say::Once)),
        ('a', RequestForm::Connection) => Some(Choice::Say(Say::Always)),
        // No turn ends with it, so nobody need be told why.
        ('n', RequestForm::Connection) => Some(Choice::Say(Say::Reject)),
        ('y', RequestForm::Permission) => Some(Choice::Say(Say::Once)),
        ('a', RequestForm::Permission) if !approval.always.is_empty() => Some(Choice::Say(Say::Always)),
        ('n', RequestForm::Permission) => Some(Choice::Deny),
        ('n', RequestForm::Question) => Some(Choice::Say(Say::Reject)),
        ('t', RequestForm::Question) => Some(Choice::Words),
        ('d', _) => Some(Choice::Details),
        (digit, RequestForm::Question) => {
            let n = usize::try_from(digit.to_digit(10)?).ok()?;
            (1..=question.map_or(0, chosen_by_key)).contains(&n).then(|| Choice::Option(n - 1))
        }
        _ => None,
    }
}

/// How many options of a question are an answer by themselves. Where several may be chosen, they are typed.
fn chosen_by_key(question: &AskedQuestion) -> usize {
    if question.multiple { 0 } else { question.options.len().min(KEYS) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn approval(form: &str, always: &[&str]) -> ApprovalView {
        let value = json!({"id": "apr_1", "frame": "blog", "form": form, "state": "pending", "text": "x",
            "always": always, "from_child": false, "asked_at": 0});
        serde_json::from_value(value).expect("an approval")
    }

    fn question(options: usize, multiple: bool) -> AskedQuestion {
        let options: Vec<_> =
            (0..options).map(|n| json!({"label": n.to_string(), "description": ""})).collect();
        let value = json!({"header": "", "text": "Which?", "options": options, "multiple": multiple});
        serde_json::from_value(value).expect("a question")
    }

    #[test]
    fn a_permission_has_keys_that_fit_a_narrow_terminal() {
        let ask = approval("permission", &["ls *"]);
        assert_eq!(legend(&ask, None), "y once · a always · n no · d details");
        assert!(legend(&ask, None).chars().count() < 39);
        assert_eq!(choice('Y', &ask, None), Some(Choice::Say(Say::Once)));
        assert_eq!(choice('a', &ask, None), Some(Choice::Say(Say::Always)));
        assert_eq!(choice('n', &ask, None), Some(Choice::Deny));
        assert_eq!(choice('1', &ask, None), None);
        let once = approval("permission", &[]);
        assert_eq!(
            (legend(&once, None).as_str(), choice('a', &once, None)),
            ("y once · n no · d details", None)
        );
    }

    #[test]
    fn a_host_is_allowed_or_refused_with_one_key() {
        let ask = approval("connection", &["registry.example.org"]);
        assert_eq!(legend(&ask, None), "y once · a always · n no · d details");
        for (key, said) in [('y', Say::Once), ('a', Say::Always), ('n', Say::Reject)] {
            assert_eq!(choice(key, &ask, None), Some(Choice::Say(said)), "{key}");
        }
        assert_eq!(choice('t', &ask, None), None, "there is nothing to type");
    }

    #[test]
    fn an_option_is_a_key_where_one_is_enough() {
        let ask = approval("question", &[]);
        let (two, many, free) = (question(2, false), question(2, true), question(0, false));
        assert_eq!(legend(&ask, Some(&two)), "1-2 choose · t type · n decline · d details");
        assert_eq!(legend(&ask, Some(&many)), "t type · n decline · d details");
        assert_eq!(choice('2', &ask, Some(&two)), Some(Choice::Option(1)));
        for (key, question) in [('3', &two), ('0', &two), ('1', &many), ('1', &free), ('y', &two)] {
            assert_eq!(choice(key, &ask, Some(question)), None, "{key}");
        }
    }
}

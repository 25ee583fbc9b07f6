//! What an agent asks, and what people answer, in words: for `mimir approvals` and for whoever asks on the spot. Pure.

use crate::cli::exit::{Failure, usage};
use crate::cli::output::told;
use crate::cli::table::clean;
use crate::model::approval::{AskedQuestion, RequestForm};
use crate::model::visible::exact;
use crate::wire::approvals::ApprovalView;

/// Who decided, and by which rule.
pub fn by(by: Option<&str>, rule: Option<&str>) -> String {
    let Some(by) = by else { return String::new() };
    let by = match by {
        "agent" => "the agent itself".to_owned(),
        by => told(by),
    };
    match rule {
        Some(rule) => format!("{by}: {rule}"),
        None => by,
    }
}

/// Who asks for what, in one line.
pub fn heading(approval: &ApprovalView) -> String {
    if approval.form == RequestForm::Connection {
        return format!("frame {}: {}, which is not on its list", approval.frame, exact(&approval.text));
    }
    let who = if approval.from_child { "a sub-agent of" } else { "the agent of" };
    match &approval.tool {
        Some(tool) => format!("{who} {} asks leave to use {}", approval.frame, clean(tool)),
        None => format!("{who} {} asks", approval.frame),
    }
}

/// What it is about, as whoever decides must see it: each command, path or address, or the questions with their
/// options. Of a command its whole text, and whatever of the rest is no part of it.
pub fn body(approval: &ApprovalView) -> Vec<String> {
    if approval.form == RequestForm::Connection {
        return approval.patterns.iter().map(|target| indented(&exact(target))).collect();
    }
    if approval.tool.is_none() {
        return approval.questions.iter().flat_map(question).collect();
    }
    let command = approval.metadata["command"].as_str();
    let rest = approval.patterns.iter().map(String::as_str);
    let rest = rest.filter(|pattern| !command.is_some_and(|whole| whole.contains(*pattern)));
    command.into_iter().chain(rest).map(|text| indented(&exact(text))).collect()
}

/// What `always` would allow from then on.
pub fn always(approval: &ApprovalView) -> Option<String> {
    (!approval.always.is_empty()).then(|| exact(&approval.always.join(", ")))
}

/// The change to a file, when the agent says it.
fn diff(approval: &ApprovalView) -> Option<String> {
    approval.metadata["diff"].as_str().map(|diff| exact(diff.trim_end()))
}

/// All of it.
pub fn whole(approval: &ApprovalView) -> Vec<String> {
    let mut lines = vec![heading(approval)];
    if approval.form == RequestForm::Connection {
        lines.extend(body(approval));
        lines
            .extend(always(approval).map(|what| format!("`--always` would put on the frame's list: {what}")));
        return lines;
    }
    if approval.tool.is_none() {
        lines.extend(body(approval));
        return lines;
    }
    lines.extend(approval.patterns.iter().map(|pattern| indented(&exact(pattern))));
    if let Some(command) = approval.metadata["command"].as_str() {
        lines.push(format!("the whole command:\n{}", indented(&exact(command))));
    }
    lines.extend(diff(approval));
    lines.extend(always(approval).map(|what| format!("`--always` would allow: {what}")));
    lines
}

fn indented(text: &str) -> String {
    format!("  {}", text.replace('\n', "\n  "))
}

/// A question with its numbered options.
pub fn question(question: &AskedQuestion) -> Vec<String> {
    let several = if question.multiple { " (several may be chosen)" } else { "" };
    let mut lines = vec![format!("  {}{several}", exact(&question.text))];
    for (n, option) in question.options.iter().enumerate() {
        let about = match option.description.as_str() {
            "" => String::new(),
            text => format!(" – {}", exact(text)),
        };
        lines.push(format!("    {}  {}{about}", n + 1, exact(&option.label)));
    }
    lines
}

/// Words into the answer to one question: a number or the words of an option is that option, anything else is free text.
///
/// # Errors
/// A number that no option has, or several of a question that wants one.
pub fn answer(question: &AskedQuestion, text: &str) -> Result<Vec<String>, Failure> {
    let text = text.trim();
    let by_words = |text: &str| {
        question
            .options
            .iter()
            .find(|option| option.label.eq_ignore_ascii_case(text))
            .map(|it| it.label.clone())
    };
    if let Some(label) = by_words(text) {
        return Ok(vec![label]);
    }
    let pieces: Vec<&str> = text.split(',').map(str::trim).filter(|piece| !piece.is_empty()).collect();
    let option = |piece: &&str| match piece.parse::<usize>() {
        Ok(n) => question.options.get(n.wrapping_sub(1)).map(|option| option.label.clone()),
        Err(_) => by_words(piece),
    };
    let chosen: Option<Vec<String>> = pieces.iter().map(option).collect();
    let is_number = |piece: &&str| piece.parse::<usize>().is_ok();
    match chosen {
        Some(chosen) if chosen.len() == 1 || (question.multiple && !chosen.is_empty()) => Ok(chosen),
        Some(chosen) if chosen.len() > 1 => Err(usage(format!("`{}` wants one answer", question.text))
            .hint("give the number of one option, or your own words")
            .into()),
        None if !question.options.is_empty() && pieces.iter().all(is_number) => {
            Err(usage(format!("`{}` has {} options, not `{text}`", question.text, question.options.len()))
                .hint("give the number of an option, its words, or your own words")
                .into())
        }
        _ => Ok(vec![text.to_owned()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::approval::AskedOption;

    fn question(multiple: bool) -> AskedQuestion {
        let option = |label: &str| AskedOption { label: label.to_owned(), description: String::new() };
        AskedQuestion {
            header: "Database".into(),
            text: "Which database?".into(),
            options: vec![option("Postgres"), option("SQLite"), option("None, thanks")],
            multiple,
        }
    }

    #[test]
    fn whoever_types_is_you() {
        let you = format!("owner:{}", rustix::process::geteuid().as_raw());
        assert_eq!(by(Some(&you), None), "you");
        assert_eq!(by(Some(&you), Some("r")), "you: r");
        assert_eq!(by(Some("token:ci"), Some("r")), "token:ci: r");
    }

    #[test]
    fn an_option_is_chosen_by_number_or_by_its_words_and_everything_else_is_free_text() {
        let one = |text: &str| answer(&question(false), text).ok();
        assert_eq!(one("2"), Some(vec!["SQLite".to_owned()]));
        assert_eq!(one("postgres"), Some(vec!["Postgres".to_owned()]));
        assert_eq!(one("None, thanks"), Some(vec!["None, thanks".to_owned()]));
        assert_eq!(one("the one of the team, please"), Some(vec!["the one of the team, please".to_owned()]));
        assert_eq!(one("4"), None, "there is no fourth");
        assert_eq!(one("0"), None);
        assert_eq!(one("1,2"), None, "one only");
        let several = |text: &str| answer(&question(true), text).ok();
        assert_eq!(several("1, sqlite"), Some(vec!["Postgres".to_owned(), "SQLite".to_owned()]));
        let free = AskedQuestion { options: Vec::new(), ..question(false) };
        assert_eq!(answer(&free, "42").ok(), Some(vec!["42".to_owned()]));
    }
}

//! Rules that answer for a person: which prompts are allowed, denied, or put to somebody.
//!
//! A courtesy that spares questions, not a boundary: the agent says itself what it is about to do, from
//! inside its frame. What must hold is held outside the frame (network mode, limits, what is mounted).

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use super::approval::AskBody;

/// What a rule does.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "lowercase")]
#[derive(strum::EnumString, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Action {
    /// The agent may.
    Allow,
    /// A person is asked.
    Ask,
    /// The agent may not, and is told why.
    Deny,
}

impl Action {
    /// The word in files, in the database and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// One rule. `*` stands for any text and `?` for one character, in every pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `bash`, `edit`, `external_directory`, `webfetch`, … or the name of an MCP tool; a pattern.
    pub tool: String,
    /// Of `bash`: which commands. `git push *` also means `git push` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Of every other tool: which paths or addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What then.
    pub action: Action,
    /// Why; a denied agent is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What rules say to a prompt, and by which of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// What is to be done.
    pub action: Action,
    /// The rule, as people write it; none when no rule had a say.
    pub rule: Option<String>,
    /// What it says for itself.
    pub why: Option<String>,
}

impl Ruling {
    /// Nobody had a say, so a person has.
    #[must_use]
    pub fn none() -> Self {
        Self { action: Action::Ask, rule: None, why: None }
    }

    /// The stricter of two.
    #[must_use]
    pub fn or_stricter(self, other: Self) -> Self {
        if other.action > self.action { other } else { self }
    }
}

impl Rule {
    /// As people write it, in one line.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("{} {}", self.action.as_str(), self.tool);
        for pattern in [&self.command, &self.path].into_iter().flatten() {
            line.push(' ');
            line.push_str(pattern);
        }
        line
    }

    fn covers(&self, tool: &str, what: &str) -> bool {
        if !WildMatch::new(&self.tool).matches(tool) {
            return false;
        }
        let is_bash = tool == "bash";
        match (&self.command, &self.path) {
            (None, None) => true,
            (Some(command), _) if is_bash => fits(command, what),
            (_, Some(path)) if !is_bash => fits(path, what),
            _ => false,
        }
    }
}

/// As opencode reads patterns: one that ends with ` *` also fits without anything behind it.
fn fits(pattern: &str, what: &str) -> bool {
    WildMatch::new(pattern).matches(what)
        || pattern.strip_suffix(" *").is_some_and(|bare| WildMatch::new(bare).matches(what))
}

/// What `rules` say; for each thing that is asked for the last rule that covers it wins.
///
/// A prompt may name several things, such as the commands of one line: one that is denied denies all,
/// and only when each is allowed is the prompt. Questions are always a person's.
#[must_use]
pub fn rule_on(rules: &[Rule], body: &AskBody) -> Ruling {
    let AskBody::Permission { tool, patterns, metadata, .. } = body else { return Ruling::none() };
    let line = metadata["command"].as_str().unwrap_or_default();
    let whole = [if line.is_empty() { "*".to_owned() } else { line.to_owned() }];
    let things = if patterns.is_empty() { &whole[..] } else { &patterns[..] };
    let single = |thing: &String| {
        let rule = rules.iter().rev().find(|rule| rule.covers(tool, thing));
        rule.map_or_else(Ruling::none, |rule| Ruling {
            action: rule.action,
            rule: Some(rule.line()),
            why: rule.why.clone(),
        })
    };
    let ruling = things.iter().map(single).reduce(Ruling::or_stricter).unwrap_or_else(Ruling::none);
    // Opencode names each command of a line. Where it found one and the line hides another, nobody was asked about that.
    let hides = tool == "bash"
        && things.len() == 1
        && ["$(", "`", "<(", ">(", "\n", ";", "&&", "||"].iter().any(|sign| line.contains(sign));
    if ruling.action == Action::Allow && hides { Ruling::none() } else { ruling }
}

/// What the owner's rules and those of a project's own file say together. The file arrives with a clone
/// and the agent can write it, so it may be stricter and never more lenient.
#[must_use]
pub fn rule_with_project(owner: &[Rule], project: &[Rule], body: &AskBody) -> Ruling {
    let strict: Vec<Rule> = project.iter().filter(|rule| rule.action != Action::Allow).cloned().collect();
    let of_project = rule_on(&strict, body);
    let of_owner = rule_on(owner, body);
    if of_project.rule.is_some() { of_owner.or_stricter(of_project) } else { of_owner }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(text: &str) -> Rule {
        let words: Vec<&str> = text.splitn(3, ' ').collect();
        let pattern = words.get(2).map(|word| (*word).to_owned());
        let is_bash = words[1] == "bash";
        Rule {
            action: words[0].parse().expect("an action"),
            tool: words[1].to_owned(),
            command: pattern.clone().filter(|_| is_bash),
            path: pattern.filter(|_| !is_bash),
            why: None,
        }
    }

    fn rules(lines: &[&str]) -> Vec<Rule> {
        lines.iter().map(|line| rule(line)).collect()
    }

    fn bash(line: &str, patterns: &[&str]) -> AskBody {
        AskBody::Permission {
            tool: "bash".into(),
            patterns: patterns.iter().map(|text| (*text).to_owned()).collect(),
            always: Vec::new(),
            metadata: json!({"command": line}),
        }
    }

    fn tool(tool: &str, path: &str) -> AskBody {
        AskBody::Permission {
            tool: tool.into(),
            patterns: vec![path.to_owned()],
            always: Vec::new(),
            metadata: json!({}),
        }
    }

    #[test]
    fn the_last_rule_that_covers_it_wins() {
        let rules = rules(&["allow bash *", "ask bash git push *", "deny bash git push --force*"]);
        let says = |line: &str| rule_on(&rules, &bash(line, &[line])).action;
        assert_eq!(says("ls"), Action::Allow);
        assert_eq!(says("git push"), Action::Ask);
        assert_eq!(says("git push origin main"), Action::Ask);
        assert_eq!(says("git push --force origin"), Action::Deny);
        let denied = rule_on(&rules, &bash("git push --force", &["git push --force"]));
        assert_eq!(denied.rule.as_deref(), Some("deny bash git push --force*"));
    }

    #[test]
    fn a_line_of_several_commands_needs_each_of_them_allowed() {
        let rules = rules(&["allow bash echo *", "allow bash ls", "deny bash rm *"]);
        let says = |line: &str, patterns: &[&str]| rule_on(&rules, &bash(line, patterns)).action;
        assert_eq!(says("echo hi && ls", &["echo hi", "ls"]), Action::Allow);
        assert_eq!(says("echo hi && make", &["echo hi", "make"]), Action::Ask);
        assert_eq!(says("echo hi && rm x", &["echo hi", "rm x"]), Action::Deny);
    }

    #[test]
    fn a_command_that_hides_in_another_is_put_to_a_person() {
        let rules = rules(&["allow bash echo *"]);
        for line in ["echo $(rm -rf x)", "echo `rm x`", "echo hi; rm x", "echo hi && rm x"] {
            assert_eq!(rule_on(&rules, &bash(line, &[line])).action, Action::Ask, "{line}");
        }
        assert_eq!(rule_on(&rules, &bash("echo hi", &["echo hi"])).action, Action::Allow);
        // Nothing listed: the whole line is what is asked.
        assert_eq!(rule_on(&rules, &bash("echo hi", &[])).action, Action::Allow);
        assert_eq!(rule_on(&rules, &bash("make", &[])).action, Action::Ask);
    }

    #[test]
    fn paths_outside_and_other_tools_have_rules_of_their_own() {
        let rules = rules(&[
            "deny external_directory *",
            "allow external_directory /tmp/*",
            "allow edit docs/*",
            "deny *",
            "allow web*",
        ]);
        assert_eq!(rule_on(&rules[..3], &tool("external_directory", "/etc/*")).action, Action::Deny);
        assert_eq!(rule_on(&rules[..3], &tool("external_directory", "/tmp/x")).action, Action::Allow);
        assert_eq!(rule_on(&rules[..3], &tool("edit", "docs/a.md")).action, Action::Allow);
        assert_eq!(rule_on(&rules[..3], &tool("edit", "src/a.rs")).action, Action::Ask);
        assert_eq!(rule_on(&rules, &tool("edit", "docs/a.md")).action, Action::Deny);
        assert_eq!(rule_on(&rules, &tool("webfetch", "https://example.org")).action, Action::Allow);
        // A rule on paths says nothing of commands.
        let on_path = Rule { path: Some("*".into()), ..rule("allow bash") };
        assert_eq!(rule_on(&[on_path], &bash("ls", &["ls"])).action, Action::Ask);
    }

    #[test]
    fn a_projects_own_file_can_only_be_stricter() {
        let owner = rules(&["allow bash *", "deny bash rm *"]);
        let project = rules(&["allow bash rm *", "ask bash rm *", "deny bash curl *", "ask bash git push *"]);
        let says = |line: &str| rule_with_project(&owner, &project, &bash(line, &[line])).action;
        assert_eq!(says("rm -rf /"), Action::Deny);
        assert_eq!(says("curl evil.test"), Action::Deny);
        assert_eq!(says("git push"), Action::Ask);
        assert_eq!(says("ls"), Action::Allow);
    }

    #[test]
    fn no_rule_answers_a_question() {
        let ruling = rule_on(&rules(&["allow *"]), &AskBody::Question { questions: Vec::new() });
        assert_eq!(ruling, Ruling::none());
    }
}

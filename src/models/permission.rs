//! What a frame's opencode asks about: everything that a rule has a say in. The gateway decides then.

use serde_json::{Map, Value, json};
use wildmatch::WildMatch;

use crate::model::policy::{Action, Rule};

/// What opencode does with its own tools when nobody has a rule; others are allowed. The frame is the
/// boundary; these keep the agent from waiting for an answer that nobody gives.
const USUAL: &[(&str, Action)] = &[
    ("bash", Action::Allow),
    ("doom_loop", Action::Deny),
    ("edit", Action::Allow),
    ("external_directory", Action::Deny),
    ("glob", Action::Allow),
    ("grep", Action::Allow),
    ("list", Action::Allow),
    ("read", Action::Allow),
    ("skill", Action::Allow),
    ("task", Action::Allow),
    ("webfetch", Action::Allow),
    ("websearch", Action::Allow),
];
/// Said although no rule is about them: opencode's own habit is another one.
const ALWAYS_SAID: &[&str] = &["bash", "doom_loop", "edit", "external_directory", "read"];
/// What is asked for whatever the rules say, and what not although it looks like it; later ones win. Secrets in `.env`
/// are asked for by opencode itself unless its configuration has a word on reading.
const ASKED: &[(&str, &str, Action)] = &[
    ("bash", "git push *", Action::Ask),
    ("read", "*.env", Action::Ask),
    ("read", "*.env.*", Action::Ask),
    ("read", "*.env.example", Action::Allow),
];

/// opencode's `permission` for all its agents, and that of the building agent alone: said for all, a rule on
/// `edit` would let the planning agent write (the last rule wins in opencode).
fn of_rules<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> (Value, Value) {
    let mut tools: Map<String, Value> = Map::new();
    for (tool, usual) in USUAL.iter().filter(|(tool, _)| ALWAYS_SAID.contains(tool)) {
        tools.insert((*tool).to_owned(), json!({"*": usual.as_str()}));
    }
    for (tool, pattern, action) in ASKED {
        tools[*tool][*pattern] = action.as_str().into();
    }
    for rule in rules {
        for (tool, usual) in covered(rule) {
            let pattern = if tool == "bash" { &rule.command } else { &rule.path };
            if pattern.is_none() && (rule.command.is_some() || rule.path.is_some()) {
                continue;
            }
            let slot = tools.entry(tool).or_insert_with(|| json!({"*": usual.as_str()}));
            slot[pattern.as_deref().unwrap_or("*")] = "ask".into();
        }
    }
    let edit = tools.remove("edit").map_or(Value::Null, short);
    let all = tools.into_iter().map(|(tool, patterns)| (tool, short(patterns))).collect();
    (Value::Object(all), json!({"edit": edit}))
}

/// Puts it into opencode's configuration.
pub(super) fn ask_for<'a>(config: &mut Value, rules: impl IntoIterator<Item = &'a Rule>) {
    let (all, build) = of_rules(rules);
    config["permission"] = all;
    config["agent"] = json!({"build": {"permission": build}});
}

/// The tools that a rule is about: those of opencode that fit its pattern, and its own name for others.
fn covered(rule: &Rule) -> Vec<(String, Action)> {
    let pattern = WildMatch::new(&rule.tool);
    let mut found: Vec<(String, Action)> = USUAL
        .iter()
        .filter(|(tool, _)| pattern.matches(tool))
        .map(|(tool, usual)| ((*tool).to_owned(), *usual))
        .collect();
    // The name of an MCP tool, or a pattern that may fit some.
    if !found.iter().any(|(tool, _)| *tool == rule.tool) {
        found.push((rule.tool.clone(), Action::Allow));
    }
    found
}

fn short(patterns: Value) -> Value {
    match patterns.as_object() {
        Some(map) if map.len() == 1 => map.get("*").cloned().unwrap_or(patterns),
        _ => patterns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(tool: &str, command: Option<&str>, path: Option<&str>, action: Action) -> Rule {
        Rule {
            tool: tool.to_owned(),
            command: command.map(str::to_owned),
            path: path.map(str::to_owned),
            action,
            why: None,
        }
    }

    #[test]
    fn without_rules_a_push_and_secrets_are_asked_for() {
        let (all, build) = of_rules([]);
        assert_eq!(all["bash"], json!({"*": "allow", "git push *": "ask"}));
        assert_eq!(all["external_directory"], "deny");
        assert_eq!(all["doom_loop"], "deny");
        let secrets = json!({"*": "allow", "*.env": "ask", "*.env.*": "ask", "*.env.example": "allow"});
        assert_eq!(all["read"], secrets);
        // opencode takes the last that fits, in the order of the text.
        assert!(all["read"].to_string().find("*.env.*") < all["read"].to_string().find("*.env.example"));
        assert_eq!(all.get("edit"), None, "for the building agent only");
        assert_eq!(build, json!({"edit": "allow"}));
    }

    #[test]
    fn what_a_rule_has_a_say_in_is_asked_whatever_the_rule_says() {
        let rules = [
            rule("bash", Some("make *"), None, Action::Deny),
            rule("external_directory", None, Some("/tmp/*"), Action::Allow),
            rule("edit", None, Some("secrets/*"), Action::Deny),
            rule("github_*", None, None, Action::Ask),
        ];
        let (all, build) = of_rules(&rules);
        assert_eq!(all["bash"]["make *"], "ask");
        assert_eq!(all["bash"]["*"], "allow");
        assert_eq!(all["external_directory"], json!({"*": "deny", "/tmp/*": "ask"}));
        assert_eq!(all["github_*"], "ask");
        assert_eq!(build["edit"], json!({"*": "allow", "secrets/*": "ask"}));
    }

    #[test]
    fn a_rule_on_everything_is_asked_for_everything() {
        let (all, build) = of_rules(&[rule("*", None, None, Action::Ask)]);
        assert_eq!(
            (&all["bash"]["*"], &all["read"]["*"], &all["*"]),
            (&json!("ask"), &json!("ask"), &json!("ask"))
        );
        assert_eq!(build["edit"], "ask");
        // Commands are bash's: nothing else is asked for.
        let (all, _) = of_rules(&[rule("*", Some("make *"), None, Action::Ask)]);
        assert_eq!((&all["bash"]["make *"], &all["read"]["*"]), (&json!("ask"), &json!("allow")));
        assert_eq!(all.get("*"), None);
    }
}

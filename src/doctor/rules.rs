//! Rules of webhooks that want what there is not, and projects of which is not known what a fix needs.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Subject;
use super::check::{About, Finding};
use crate::model::doctor::Check;
use crate::model::project::ProjectSettings;
use crate::store::{StoreError, projects};
use crate::webhooks::{Rule, astray};

const WITHIN: Duration = Duration::from_secs(10);

/// Looks at both.
pub(super) async fn look(subject: &Subject) -> Vec<Check> {
    let astray = About {
        id: "webhooks.rules",
        title: "rules of webhooks want what there is",
        why: "a run without its workflow or its project fails as soon as it begins",
    };
    let known = About {
        id: "projects.known",
        title: "what fixes need is known of projects",
        why: "a fix needs the repository, and a line that says whether it works",
    };
    let (rules, names) = ((subject.rules)(), subject.workflows.clone());
    let workflows = tokio::task::spawn_blocking(move || names()).await.unwrap_or_default();
    let Some(store) = subject.store.clone() else {
        let finding = judge_rules(&rules, &workflows, None);
        let skipped = Finding::skipped("the database could not be opened");
        return vec![astray.found(finding, Duration::ZERO), known.found(skipped, Duration::ZERO)];
    };
    let unread = |error: &StoreError| Finding::warning(format!("it cannot be read: {error}"), "mimir doctor");
    let read = store.read(|db| {
        let all = projects::list(db)?.into_iter();
        all.map(|project| Ok((project.name.to_string(), projects::settings(db, &project.id)?))).collect()
    });
    let all = tokio::time::timeout(WITHIN, read).await.unwrap_or(Err(StoreError::Busy));
    let all: Result<BTreeMap<String, ProjectSettings>, StoreError> = all;
    let (rules, known_of) = match &all {
        Ok(all) => {
            let names: Vec<String> = all.keys().cloned().collect();
            (judge_rules(&rules, &workflows, Some(&names)), judge_projects(&rules, all))
        }
        Err(error) => (unread(error), unread(error)),
    };
    vec![astray.found(rules, Duration::ZERO), known.found(known_of, Duration::ZERO)]
}

fn judge_rules(rules: &[Rule], workflows: &[String], projects: Option<&[String]>) -> Finding {
    let found = astray(rules, workflows, projects);
    match found.split_first() {
        None => Finding::ok(match rules.len() {
            0 => "there are no rules".to_owned(),
            count => format!("{count} rules"),
        }),
        Some((first, more)) => {
            let more = if more.is_empty() { String::new() } else { format!(" (and {} more)", more.len()) };
            Finding::warning(format!("{}{more}", first.why), "mimir webhooks list, then mimir config edit")
        }
    }
}

/// Those that rules name: what they need and is not said.
fn judge_projects(rules: &[Rule], all: &BTreeMap<String, ProjectSettings>) -> Finding {
    let mut lacking: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for rule in rules {
        let named = rule.project.as_ref().and_then(|name| all.get_key_value(name.as_str()));
        let Some((name, settings)) = named else { continue };
        let mut lacks = Vec::new();
        // A message of a forge says it.
        let is_said = rule.repository.is_some() || settings.repository.is_some() || !rule.labels.is_empty();
        if !is_said {
            lacks.push("repository");
        }
        if settings.checks.is_empty() {
            lacks.push("checks");
        }
        if !lacks.is_empty() {
            let known = lacking.entry(name.as_str()).or_default();
            known.extend(lacks);
            known.sort_unstable_by(|one, other| other.cmp(one));
            known.dedup();
        }
    }
    let Some((first, lacks)) = lacking.first_key_value() else {
        return Finding::ok("nothing is missing of those that rules name");
    };
    let others = match lacking.len() - 1 {
        0 => String::new(),
        more => format!("; and of {more} more something"),
    };
    let fix: Vec<String> = lacks.iter().map(|what| format!("{what}=…")).collect();
    Finding::warning(
        format!("of {first} is not known: {}{others}", lacks.join(", ")),
        format!("mimir projects set {first} {}", fix.join(" ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::doctor::Outcome;
    use crate::model::git::Repository;
    use crate::model::names::ProjectName;
    use crate::model::webhook::{AuthorRight, Untold};

    fn rule(project: &str, change: impl FnOnce(&mut Rule)) -> Rule {
        let mut rule = Rule {
            source: "errors".into(),
            on: Vec::new(),
            from: None,
            level: None,
            environment: Vec::new(),
            fingerprint: None,
            labels: Vec::new(),
            mention: "@mimir".into(),
            author: AuthorRight::Write,
            workflow: "sentry-fix".into(),
            project: Some(ProjectName::parse(project).expect("a name")),
            repository: None,
            priority: 0,
            budget_microusd: None,
            cooldown: Duration::ZERO,
            limit: 1,
            catch_up: Untold::Missed,
        };
        change(&mut rule);
        rule
    }

    #[test]
    fn what_a_fix_needs_and_nobody_said_is_named_with_what_to_type() {
        let shop = Repository::new("github.com", "acme/shop").ok();
        let known = |repository: Option<Repository>, checks: &[&str]| ProjectSettings {
            repository,
            checks: checks.iter().map(|line| (*line).to_owned()).collect(),
            ..ProjectSettings::default()
        };
        let all = BTreeMap::from([
            ("bare".to_owned(), ProjectSettings::default()),
            ("shop".to_owned(), known(shop.clone(), &["make test"])),
            ("tools".to_owned(), known(None, &["make test"])),
        ]);
        let judged = |rules: &[Rule]| judge_projects(rules, &all);
        assert_eq!(judged(&[rule("shop", |_| {})]).outcome, Outcome::Ok);
        let said = [
            rule("tools", |rule| rule.repository = shop.clone()),
            rule("tools", |rule| rule.labels = vec!["mimir".into()]),
            rule("gone", |_| {}),
        ];
        assert_eq!(judged(&said).outcome, Outcome::Ok);
        let found = judged(&[rule("tools", |_| {}), rule("bare", |_| {}), rule("bare", |_| {})]);
        assert_eq!(found.found, "of bare is not known: repository, checks; and of 1 more something");
        assert_eq!(found.fix.as_deref(), Some("mimir projects set bare repository=… checks=…"));
    }

    #[test]
    fn a_rule_that_wants_what_there_is_not_is_a_warning() {
        let names = ["shop".to_owned()];
        let good = judge_rules(&[rule("shop", |_| {})], &["sentry-fix".to_owned()], Some(&names));
        assert_eq!((good.outcome, good.found.as_str()), (Outcome::Ok, "1 rules"));
        let bad = judge_rules(&[rule("shopp", |_| {})], &[], Some(&names));
        assert_eq!(bad.outcome, Outcome::Warning);
        assert!(
            bad.found.contains("the workflow sentry-fix") && bad.found.ends_with("(and 1 more)"),
            "{}",
            bad.found
        );
    }
}

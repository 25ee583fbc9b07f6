//! Rules of webhooks that want what there is not, and projects of which is not known what a fix needs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Subject;
use super::automation::SourcePresence;
use super::check::{About, Finding};
use crate::model::doctor::Check;
use crate::model::project::ProjectSettings;
use crate::model::webhook::SenderKind;
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
        title: "it is known where fixes of projects go",
        why: "a fix needs a repository",
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
            (judge_rules(&rules, &workflows, Some(&names)), judge_projects(&rules, &subject.sources, all))
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

/// Workflows of ours that need no repository.
const WITHOUT_REPOSITORY: [&str; 3] = ["frame", "prompt", "review"];
/// So many projects are named.
const MOST_NAMED: usize = 3;

/// Those that rules name: where their fixes go, and of which that is not said. (Which line says whether a fix works is said
/// by the workflow, by the project or by its files.)
fn judge_projects(
    rules: &[Rule],
    sources: &[SourcePresence],
    all: &BTreeMap<String, ProjectSettings>,
) -> Finding {
    // A message of a forge says where it is from, and a rule may say it.
    let is_of_forge =
        |rule: &Rule| sources.iter().any(|it| it.name == rule.source && it.kind == SenderKind::Github);
    let needs = |rule: &&Rule| {
        !WITHOUT_REPOSITORY.contains(&rule.workflow.as_str())
            && rule.repository.is_none()
            && !is_of_forge(rule)
    };
    let (mut known, mut lacking) = (BTreeSet::new(), BTreeSet::new());
    for rule in rules.iter().filter(needs) {
        let named = rule.project.as_ref().and_then(|name| all.get_key_value(name.as_str()));
        let Some((name, settings)) = named else { continue };
        if let Some(repository) = &settings.repository {
            known.insert(format!("{name} to {repository}"));
        } else {
            lacking.insert(name.as_str());
        }
    }
    let Some(first) = lacking.first() else {
        return Finding::ok(match known.len() {
            0 => "nothing is missing of those that rules name".to_owned(),
            count => {
                let shown: Vec<String> = known.into_iter().take(MOST_NAMED).collect();
                let more = match count.saturating_sub(MOST_NAMED) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("fixes go: of {}{more}", shown.join(", of "))
            }
        });
    };
    let others = match lacking.len() - 1 {
        0 => String::new(),
        more => format!(", nor those of {more} more"),
    };
    Finding::warning(
        format!("it is not known where fixes of {first} go{others}"),
        format!("mimir projects set {first} repository=…"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::doctor::Outcome;
    use crate::model::git::Repository;
    use crate::model::names::ProjectName;

    fn rule(project: &str, change: impl FnOnce(&mut Rule)) -> Rule {
        let project = ProjectName::parse(project).expect("a name");
        let mut rule = Rule { workflow: "sentry-fix".into(), project: Some(project), ..Rule::example() };
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
        let source = |name: &str, kind| SourcePresence { name: name.into(), kind, has_secret: true };
        let sources = [source("errors", SenderKind::Sentry), source("forge", SenderKind::Github)];
        let judged = |rules: &[Rule]| judge_projects(rules, &sources, &all);
        let good = judged(&[rule("shop", |_| {})]);
        assert_eq!(
            (good.outcome, good.found.as_str()),
            (Outcome::Ok, "fixes go: of shop to github.com/acme/shop")
        );
        let said = [
            rule("tools", |rule| rule.repository = shop.clone()),
            // By a label or by a mention.
            rule("tools", |rule| rule.source = "forge".into()),
            rule("tools", |rule| rule.workflow = "review".into()),
            rule("gone", |_| {}),
        ];
        let found = judged(&said);
        let nothing = "nothing is missing of those that rules name";
        assert_eq!((found.outcome, found.found.as_str()), (Outcome::Ok, nothing));
        // What its checks are may be said by its files.
        let found = judged(&[rule("tools", |_| {}), rule("bare", |_| {}), rule("bare", |_| {})]);
        assert_eq!(found.found, "it is not known where fixes of bare go, nor those of 1 more");
        assert_eq!(found.fix.as_deref(), Some("mimir projects set bare repository=…"));
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

//! Rules that want what there is not. The configuration is read before workflows and projects are known, and those come and
//! go: so this is looked at whenever somebody asks.

use std::sync::Arc;

use super::settings::Rule;

/// How the names of the workflows that there are, are asked for. It reads files.
pub type WorkflowNames = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// A rule that wants what there is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Astray {
    /// Of which source.
    pub source: String,
    /// What there is not, in a sentence that says what to do.
    pub why: String,
}

/// Rules that want what there is not; projects are not looked at where nobody knows them.
#[must_use]
pub fn astray(rules: &[Rule], workflows: &[String], projects: Option<&[String]>) -> Vec<Astray> {
    let mut found = Vec::new();
    for (number, rule) in rules.iter().enumerate().map(|(at, rule)| (at + 1, rule)) {
        let mut say = |why: String| found.push(Astray { source: rule.source.clone(), why });
        if !workflows.contains(&rule.workflow) {
            say(format!(
                "rule {number} wants the workflow {}, and none of that name can be used: `mimir workflows list` shows those \
                 there are",
                rule.workflow
            ));
        }
        if let Some(project) = &rule.project
            && projects.is_some_and(|projects| !projects.iter().any(|known| known == project.as_str()))
        {
            say(format!(
                "rule {number} is for the project {project}, which there is not: `mimir projects add PATH --name {project}`"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::ProjectName;

    #[test]
    fn a_rule_that_wants_what_there_is_not_says_what_to_do() {
        let rule = |workflow: &str, project: Option<&str>| Rule {
            workflow: workflow.into(),
            project: project.map(|name| ProjectName::parse(name).expect("a name")),
            ..Rule::example()
        };
        let rules = [rule("fix", Some("shop")), rule("fxi", Some("shopp")), rule("fix", None)];
        let (workflows, projects) = (["fix".to_owned()], ["shop".to_owned()]);
        let found = astray(&rules, &workflows, Some(&projects));
        let said: Vec<&str> = found.iter().map(|astray| astray.why.as_str()).collect();
        assert!(
            matches!(&said[..], [workflow, project]
                if workflow.contains("rule 2 wants the workflow fxi") && project.contains("mimir projects add PATH --name shopp")),
            "{said:?}"
        );
        assert_eq!(astray(&rules, &workflows, None).len(), 1);
    }
}

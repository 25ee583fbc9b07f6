//! Messages of an error tracker: alerts that carry an event with its stack trace, and what became of issues.

use serde_json::Value;

use super::headers::Headers;
use super::notice::{Matter, Notice, event_name, level, word};
use crate::model::loose;
use crate::model::run::{Evidence, RunSubject};
use crate::sentry::{Event, Issue};

/// What a message that we made ourselves of an issue is called, when its own may have been missed,
pub(super) const CATCH_UP: &str = "catch_up";
/// and when none came though we could be reached: for all that is known, none was sent.
pub(super) const UNTOLD: &str = "untold";

/// Reads one.
pub(super) fn read(organization: &str, headers: &Headers, said: &Value) -> Notice {
    let resource = headers.word("sentry-hook-resource").or_else(|| guess(said));
    let action = word(said, "/action");
    let resource_name = resource.clone().unwrap_or_default();
    let notice = Notice { event: event_name(resource, action.clone()), ..Notice::default() };
    let action = action.unwrap_or_default();
    match (resource_name.as_str(), action.as_str()) {
        ("event_alert", _) => of_event(organization, said, "/data/event", notice),
        ("error", "created" | "") => of_event(organization, said, "/data/error", notice),
        (CATCH_UP | UNTOLD, _) => of_event(organization, said, "/data/event", notice),
        ("issue", _) => of_issue(organization, &action, said, notice),
        ("seer", _) => of_seer(organization, &action, said, notice),
        ("installation", "deleted") => Notice {
            reason: Some("the integration was removed at Sentry: nothing more will come".to_owned()),
            ..notice
        },
        _ => Notice { reason: Some(format!("nothing follows from {}", notice.event)), ..notice },
    }
}

/// Which message it is, where no header says it.
fn guess(said: &Value) -> Option<String> {
    let has = |pointer: &str| said.pointer(pointer).is_some_and(Value::is_object);
    let name = match () {
        () if has("/data/event") => "event_alert",
        () if has("/data/error") => "error",
        () if has("/data/issue") => "issue",
        () if has("/data/installation") => "installation",
        () => return None,
    };
    Some(name.to_owned())
}

/// The name under which runs about an issue are told of it; also the key of a run about it.
pub(super) fn name_of(organization: &str, issue: &str) -> String {
    format!("sentry:{organization}/{issue}")
}

fn of_event(organization: &str, said: &Value, pointer: &str, notice: Notice) -> Notice {
    let value = said.pointer(pointer).unwrap_or(&Value::Null);
    let event = Event::read(value);
    let Some(issue) = event.issue.clone() else {
        return Notice { reason: Some("it does not say of which issue it is".to_owned()), ..notice };
    };
    let name = name_of(organization, &issue);
    let list = |pointer| {
        let items = loose::items(value, pointer).iter().take(20);
        items.filter_map(|item| loose::text(item, "", 200)).collect::<Vec<_>>()
    };
    let mut fingerprints = list("/fingerprint");
    fingerprints.extend(list("/hashes"));
    let mut evidence = event.evidence();
    if let Some(rule) = loose::text(said, "/data/triggered_rule", 200) {
        evidence.push(Evidence { name: "alert rule".into(), source: "sentry".into(), text: rule });
    }
    let known = said.pointer("/data/issue").and_then(Issue::read);
    let short_id = known.as_ref().and_then(|issue| issue.short_id.clone());
    let said_level = event.level.as_deref().or(known.as_ref().and_then(|issue| issue.level.as_deref()));
    let from = loose::slug(value, "/project_slug")
        .or_else(|| loose::slug(value, "/project/slug"))
        .or_else(|| loose::slug(value, "/project_name"))
        .or_else(|| known.as_ref().and_then(|issue| issue.project.clone()))
        .or_else(|| project_in(value))
        .or_else(|| loose::slug(value, "/project"));
    let title = match &short_id {
        Some(short_id) => format!("{short_id}: {}", event.title),
        None if event.title.is_empty() => format!("Sentry issue {issue}"),
        None => event.title.clone(),
    };
    let url = known.as_ref().and_then(|issue| issue.url.clone()).or_else(|| event.url.clone());
    Notice {
        why: format!("Sentry: {}", loose::line(&title, 120)),
        matter: Some(Matter {
            key: name.clone(),
            name: Some(name),
            title: loose::line(&title, 200),
            subject: RunSubject::Sentry {
                organization: organization.to_owned(),
                issue,
                short_id,
                event: event.id.clone(),
                url,
            },
            commit: event.commit().or_else(|| event.release.clone()),
            evidence,
            level: said_level.and_then(level),
            environment: event.environment.clone(),
            fingerprints,
            from,
            ..Matter::default()
        }),
        ..notice
    }
}

/// Its addresses name the project: `…/projects/acme/shop/events/…`.
fn project_in(event: &Value) -> Option<String> {
    let url = loose::text(event, "/url", 500)?;
    let mut parts = url.split('/').skip_while(|part| *part != "projects").skip(2);
    parts.next().filter(|part| loose::is_slug(part)).map(str::to_owned)
}

fn of_issue(organization: &str, action: &str, said: &Value, notice: Notice) -> Notice {
    let value = said.pointer("/data/issue").unwrap_or(&Value::Null);
    let Some(issue) = Issue::read(value) else {
        return Notice { reason: Some("it does not say of which issue it is".to_owned()), ..notice };
    };
    let name = name_of(organization, &issue.id);
    let shown = issue.short_id.clone().unwrap_or_else(|| format!("issue {}", issue.id));
    let by = loose::text(said, "/actor/name", 60).map(|name| format!(" by {}", loose::line(&name, 60)));
    let why = format!("Sentry: {shown} is {}{}", past(action), by.unwrap_or_default());
    let wakes = vec![name.clone()];
    let begins = match action {
        "created" => true,
        // What was archived and grows again, or was resolved and came back.
        "unresolved" => true,
        _ => false,
    };
    if !begins {
        return Notice { wakes, why, ..notice };
    }
    let title = match &issue.short_id {
        Some(short_id) => format!("{short_id}: {}", issue.title),
        None => issue.title.clone(),
    };
    let mut facts = vec![("title", issue.title.clone())];
    facts.extend(issue.culprit.clone().map(|culprit| ("where", culprit)));
    facts.extend(loose::text(value, "/metadata/value", 2_000).map(|said| ("message", said)));
    let text: Vec<String> = facts.into_iter().map(|(name, said)| format!("{name}: {said}")).collect();
    let evidence = vec![Evidence { name: "error".into(), source: "sentry".into(), text: text.join("\n") }];
    Notice {
        wakes,
        why,
        matter: Some(Matter {
            key: name.clone(),
            name: Some(name),
            title: loose::line(&title, 200),
            subject: RunSubject::Sentry {
                organization: organization.to_owned(),
                issue: issue.id.clone(),
                short_id: issue.short_id.clone(),
                event: None,
                url: issue.url.clone(),
            },
            evidence,
            level: issue.level.as_deref().and_then(level),
            from: issue.project.clone(),
            ..Matter::default()
        }),
        ..notice
    }
}

fn past(action: &str) -> &str {
    match action {
        "created" => "new",
        "unresolved" => "open again",
        "" => "changed",
        other => other,
    }
}

/// Their own agent works on the issue: a run of ours looks whether it is still needed.
fn of_seer(organization: &str, action: &str, said: &Value, notice: Notice) -> Notice {
    let issue = loose::slug(said, "/data/group_id").or_else(|| loose::slug(said, "/data/groupId"));
    match (action, issue) {
        ("pr_created", Some(issue)) => Notice {
            wakes: vec![name_of(organization, &issue)],
            why: "Sentry's own agent opened a pull request for the issue".to_owned(),
            ..notice
        },
        _ => Notice { reason: Some(format!("nothing follows from {}", notice.event)), ..notice },
    }
}

/// By what an alert is known when it comes again in other words: of the same event of the same issue there is one. What
/// became of an issue has no such name: it may be resolved again and again.
pub(super) fn domain_key(headers: &Headers, said: &Value) -> Option<String> {
    let resource = headers.word("sentry-hook-resource").or_else(|| guess(said))?;
    // An error that no rule is about must not stand in the way of the alert of the same event.
    let (pointer, kind) = match resource.as_str() {
        "event_alert" | CATCH_UP | UNTOLD => ("/data/event", "event"),
        "error" => ("/data/error", "error"),
        _ => return None,
    };
    let event = said.pointer(pointer)?;
    let issue = loose::slug(event, "/issue_id").or_else(|| loose::slug(event, "/groupID"))?;
    let id = loose::slug(event, "/event_id").or_else(|| loose::slug(event, "/eventID"))?;
    Some(format!("{kind}:{issue}:{id}"))
}

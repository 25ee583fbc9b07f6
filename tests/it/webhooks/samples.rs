//! A message of each kind that Sentry's documentation describes.

use serde_json::{Value, json};

use super::{ada_says, alert, error, issue, issue_of, sentry_says};

/// What the tracker calls it, and the message; all of them about issue 7, or none.
pub fn all() -> Vec<(&'static str, Value)> {
    let mut all =
        vec![("event_alert", alert(7, "e1")), ("event_alert", routed()), ("error", error(&bare(9)))];
    let became = ["created", "resolved", "assigned", "archived", "unresolved"];
    all.extend(became.map(|action| ("issue", issue(action, 7))));
    all.extend(["created", "updated", "deleted"].map(|action| ("comment", comment(action))));
    all.extend(["created", "deleted"].map(|action| ("installation", installation(action))));
    all.extend(["critical", "warning", "resolved"].map(|action| ("metric_alert", metric_alert(action))));
    all.extend(seer(7).map(|said| ("seer", said)));
    all.push(("activity_alert", activity_alert()));
    all
}

/// An alert of a rule that says where it is to be shown, about an event with all that the documentation shows.
fn routed() -> Value {
    let mut said = alert(8, "0123456789abcdef0123456789abcdef");
    said["data"]["issue_alert"] =
        json!({"title": "Send errors to mimir", "settings": [{"name": "channel", "value": "#shop"}]});
    let more = json!({
        "location": "shop/cart.py", "logger": "", "message": "", "dist": null, "key_id": "667532", "time_spent": null,
        "hashes": ["29f7ffc4903a8a990408b80a3b4c95a2"], "user": {"ip_address": "203.0.113.7"},
        "contexts": {"runtime": {"name": "CPython", "type": "runtime", "version": "3.12.1"}},
        "sdk": {"name": "sentry.python", "version": "2.1.0", "integrations": ["stdlib"], "packages": []},
        "request": {"url": "https://shop.example/cart", "method": "GET", "headers": [["Accept", "*/*"]], "data": null},
    });
    let event = said["data"]["event"].as_object_mut().expect("an event");
    event.extend(more.as_object().expect("fields").clone());
    said
}

/// About an event that no rule says anything of, without a trace and without a release.
fn bare(id: u64) -> Value {
    let mut said = alert(id, "e2");
    let event = said["data"]["event"].as_object_mut().expect("an event");
    event.remove("exception");
    event.insert("release".to_owned(), Value::Null);
    event.insert("logentry".to_owned(), json!({"formatted": "the cart is empty"}));
    said
}

/// Somebody says something about an issue, or takes it back.
pub fn comment(action: &str) -> Value {
    let said = json!({
        "comment": "is this the cart again?", "project_slug": "shop", "comment_id": 1234, "issue_id": 7,
        "timestamp": "2026-11-28T10:00:00.118160Z",
    });
    ada_says(action, &said)
}

/// The integration is put into an organization, or taken out of it.
fn installation(action: &str) -> Value {
    let said = json!({
        "status": "installed", "uuid": "7a485448-a9e2-4c85-8a3c-4f44175783c9",
        "organization": {"slug": "acme", "id": 1},
        "app": {"uuid": "2ebf071f-28df-4989-aca9-c37c763b278f", "slug": "mimir", "sentryAppId": 1},
    });
    ada_says(action, &json!({"installation": said}))
}

/// A number went over its limit, or came back.
fn metric_alert(action: &str) -> Value {
    let at = "2026-11-28T10:00:00.000000Z";
    let rule = json!({
        "aggregate": "count()", "created_by": null, "dataset": "events", "date_created": at, "date_modified": at,
        "environment": null, "id": "7", "name": "Too many errors", "organization_id": "5", "projects": ["shop"],
        "query": "level:error", "status": 0, "threshold_type": 0, "time_window": 10,
        "triggers": [{"label": "critical", "alertThreshold": 100, "actions": [{"type": "sentry_app"}]}],
    });
    let incident = json!({
        "alert_rule": rule, "date_closed": null, "date_created": at, "date_detected": at, "date_started": at, "id": "4",
        "identifier": "1", "organization_id": "5", "projects": ["shop"], "status": 2, "status_method": 3,
        "title": "Too many errors", "type": 2,
    });
    let said = json!({
        "metric_alert": incident, "description_title": format!("{action}: Too many errors"),
        "description_text": "1000 events in the last 10 minutes",
        "web_url": "https://acme.sentry.example/alerts/1/",
    });
    sentry_says(action, &said)
}

/// What Sentry's own agent does about an issue, from its beginning to a pull request.
fn seer(issue: u64) -> [Value; 7] {
    let with = |action: &str, more: Value| {
        let mut data = json!({"run_id": 3, "group_id": issue});
        data.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        sentry_says(action, &data)
    };
    let cause = json!({
        "one_line_description": "The cart may be empty", "five_whys": ["It divides by 0."],
        "reproduction_steps": ["Open an empty cart."], "relevant_repo": "acme/shop",
    });
    let steps = json!([{"title": "Look first", "description": "Whether the cart is empty."}]);
    let change = json!({"diff": "-a\n+b\n", "path": "shop/cart.py", "type": "M", "added": 1, "removed": 1});
    let pull = json!({"pr_number": 12, "pr_url": "https://github.com/acme/shop/pull/12", "pr_id": 456});
    [
        with("root_cause_started", json!({})),
        with("root_cause_completed", json!({"root_cause": cause})),
        with("solution_started", json!({})),
        with("solution_completed", json!({"solution": {"one_line_summary": "Look first", "steps": steps}})),
        with("coding_started", json!({})),
        with("coding_completed", json!({"code_changes": {"acme/shop": [change]}})),
        with(
            "pr_created",
            json!({"pull_requests": [{"pull_request": pull, "repo_name": "shop", "provider": "unknown"}]}),
        ),
    ]
}

/// Sentry's own agent opened a pull request for an issue.
pub fn pr_created(issue: u64) -> Value {
    let [.., last] = seer(issue);
    last
}

/// A rule about what happens to issues.
fn activity_alert() -> Value {
    let alert = json!({
        "id": 10, "title": "What the agent does", "sentry_app_id": 2,
        "url": "https://sentry.example/organizations/acme/monitors/alerts/10/",
        "settings": [{"name": "title", "value": "A title"}],
    });
    let activity =
        json!({"type": "seer_root_cause_completed", "details": {"summary": "The cart may be empty"}});
    sentry_says("triggered", &json!({"issue": issue_of("created", 7), "activity": activity, "alert": alert}))
}

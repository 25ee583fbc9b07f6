//! Every command with `--json` against a gateway that plays answers; `World::run` holds what it prints to docs/json.

use std::time::Duration;

use serde_json::{Value, json};

use super::described::SEEN;
use super::gateway::{Answer, json as answer, lines, sse};
use super::world::World;
use super::{ago, details, frame};

pub(super) const MESSAGE: &str = "msg_01k0000000000000000000000a";
pub(super) const RUN: &str = "run_01k0000000000000000000000a";
pub(super) const SESSION: &str = "ssn_01k0000000000000000000000a";

fn message(state: &str) -> Value {
    json!({
        "id": MESSAGE, "frame": "blog", "session": SESSION, "text": "hello", "state": state, "origin": "person",
        "tokens": {"input": 1, "output": 2, "reasoning": 0, "cache_read": 0, "cache_write": 0},
        "cost_microusd": 1, "created_at": 1, "ended_at": 2, "after_event": 10, "model": "demo/demo", "answer": "hi",
        "agent_message": "msg_a", "remarks": ["the built-in demo answers"], "reason": "because", "interrupt": true,
    })
}

fn session() -> Value {
    json!({"id": SESSION, "frame": "blog", "title": "add dark mode", "agent_session": "ses_1", "forked_from": SESSION,
           "message_count": 3, "created_at": 1, "last_active_at": 2})
}

fn talk() -> Value {
    let mut whole = session();
    whole["turns"] = json!([
        {"agent_message": "msg_a", "role": "user", "origin": "person", "at": 1, "text": "x", "tools": []},
        {"agent_message": "msg_b", "role": "assistant", "at": 2, "ended_at": 3, "model": "demo/demo", "text": "Done.",
         "tools": ["read style.css"], "reason": "it stopped", "finish": "stop", "cost_microusd": 2, "parts": [
            {"type": "text", "text": "Done.", "synthetic": true},
            {"type": "reasoning", "text": "hm", "started_at": 1, "ended_at": 2},
            {"type": "tool", "tool": "bash", "call": "c", "status": "completed", "title": "ls", "input": {"command": "ls"},
             "output": "x", "started_at": 1, "ended_at": 2},
            {"type": "files", "paths": ["a"]},
            {"type": "step", "reason": "stop", "cost_microusd": 1,
             "tokens": {"input": 1, "output": 2, "reasoning": 0, "cache_read": 0, "cache_write": 0}},
            {"type": "other", "kind": "compaction"}]},
    ]);
    whole
}

fn approval(form: &str) -> Value {
    json!({"id": "apr_1", "frame": "blog", "session": SESSION, "message": MESSAGE, "form": form, "state": "pending",
        "text": "Which?", "tool": "bash", "patterns": ["ls *"], "always": ["ls *"], "metadata": {"command": "ls"},
        "from_child": true, "asked_at": 1, "deadline_at": 2, "decided_at": 3, "decision": "once", "by": "owner:0",
        "rule": "approvals.rules[0]", "reason": "not now", "answers": [["a"]],
        "questions": [{"header": "h", "text": "Which?", "multiple": false, "options": [{"label": "a", "description": "d"}]}]})
}

fn events() -> Vec<Value> {
    let event = |id: u64, kind: &str, data: Value| {
        json!({"id": id, "at": 1, "frame_id": "frm_01k0000000000000000000000a", "frame": "blog", "session": SESSION,
               "message": MESSAGE, "kind": kind, "data": data})
    };
    let tokens = json!({"input": 1, "output": 2, "reasoning": 0, "cache_read": 0, "cache_write": 0});
    let all = [
        ("frame.created", json!({})),
        ("frame.moved", json!({"from": "created", "to": "starting", "reason": null})),
        ("frame.note", json!({"code": "adopted", "text": "it was there"})),
        ("frame.port_exchanged", json!({"purpose": "agent", "from_port": 33000, "to_port": 33002})),
        ("frame.refused", json!({"host": "example.org", "port": 443, "why": "not on the list"})),
        ("frame.redacted", json!({"provider": "openai", "place": "an answer"})),
        ("frame.status", json!({"status": "busy", "detail": "x"})),
        (
            "budget.warning",
            json!({"whose": "frame blog", "period": "day", "limit_microusd": 2, "spent_microusd": 1, "is_used_up": false,
                   "text": "x"}),
        ),
        (
            "run.moved",
            json!({"run": RUN, "workflow": "review", "title": "t", "from": "queued", "to": "running", "stage": "a",
                   "reason": "r"}),
        ),
        ("schedule.paused", json!({"schedule": "morning", "reason": "its last 3 runs failed"})),
        ("agent.gap", json!({"since": 1, "why": "broken", "repaired": 2})),
        ("session.created", json!({"title": "t"})),
        ("session.renamed", json!({"title": "t"})),
        ("session.removed", json!({})),
        ("turn.started", json!({"agent_message": "msg_a", "text": "x"})),
        (
            "turn.ended",
            json!({"agent_message": "msg_a", "answer": "y", "reason": null, "tokens": tokens, "cost_microusd": 1}),
        ),
        ("message.queued", json!({})),
        ("message.edited", json!({"text": "x"})),
        ("message.state", json!({"to": "running", "reason": null})),
        ("message.text", json!({"delta": "x", "part": "p"})),
        ("message.reasoning", json!({"delta": "x", "part": "p"})),
        ("message.rewritten", json!({"text": "x", "part": "p"})),
        (
            "message.tool",
            json!({"call": "c", "tool": "bash", "status": "completed", "title": "ls", "input": {}, "output": "x"}),
        ),
        ("message.retry", json!({"attempt": 1, "reason": "later", "next_at": 2})),
        (
            "prompt.asked",
            json!({"agent_request": "per_1", "approval": "apr_1", "form": "permission", "text": "x",
            "tool": "bash", "patterns": ["x"], "questions": [], "from_child": false, "deadline_at": 1}),
        ),
        (
            "prompt.answered",
            json!({"agent_request": "per_1", "approval": "apr_1", "text": "x", "state": "allowed",
            "decision": "once", "by": "owner:0", "rule": "r", "reason": "w"}),
        ),
        (
            "message.answered",
            json!({"answer": "hi", "tokens": tokens, "cost_microusd": 1, "duration_ms": 1, "finish": "stop"}),
        ),
    ];
    (11..).zip(all).map(|(id, (kind, data))| event(id, kind, data)).collect()
}

/// A gateway that has an answer to everything.
pub(super) fn play(world: &World) -> super::gateway::Gateway {
    let gateway = world.gateway();
    let mut blog = details("blog", "running");
    blog["workspace"] = json!(world.work());
    blog["status"] = json!({"word": "retrying", "queued": 1, "retry": {"attempt": 1, "until": 2, "reason": "later"},
        "silent": {"tool": "bash", "what": "ls", "agent_session": "ses_1", "since": 1}});
    blog["unpriced_count"] = json!(2);
    blog["budget"] = json!({"scope": "home", "period": "day", "limit_microusd": 2, "spent_microusd": 1,
        "reserved_microusd": 0, "percent": 90});
    blog["notes"] = json!([{"at": 1, "code": "adopted", "text": "it was there"}]);
    let mut listed = blog.clone();
    let summary = frame("x", "x");
    let fields = summary.as_object().expect("an object");
    listed.as_object_mut().expect("an object").retain(|name, _| {
        fields.contains_key(name) || ["status", "budget", "unpriced_count"].contains(&name.as_str())
    });
    let on = |line: &str, value: Value| {
        gateway.on(line, answer(value));
    };
    on("GET /v1/frames", json!([listed]));
    on("GET /v1/frames/blog", blog.clone());
    on("GET /v1/frames/blog/notes", blog["notes"].clone());
    for verb in ["start", "stop", "restart", "pause", "resume", "move", "connect"] {
        on(&format!("POST /v1/frames/blog/{verb}"), listed.clone());
    }
    let mut upgraded = listed.clone();
    for (name, value) in [("upgraded", json!(true)), ("from", json!("1eb2")), ("to", json!("6b1c"))] {
        upgraded[name] = value;
    }
    on("POST /v1/frames/blog/upgrade", upgraded);
    let network = json!({"frame": "blog", "network": "allow", "allow": ["npm"], "deny": ["example.net"],
        "lent": [{"host": "example.org", "once": true, "until": 1}], "providers": ["demo"],
        "upload_limit_bytes": 1, "connection_limit_count": 1, "repository": "github.com/me/blog", "git": "gate",
        "branches": ["mimir/*"],
        "asked": [{"approval": "apr_1", "text": "npm wants example.com", "until": 1}], "hosts": [{"host": "example.org", "port": 443, "allowed_count": 1,
            "request_count": 1, "connected_today_count": 1, "refused_count": 1, "sent_bytes": 1, "received_bytes": 1, "sent_today_bytes": 1, "last_at": 1,
            "reason": "it was denied"}]});
    on("GET /v1/frames/blog/network", network.clone());
    on("POST /v1/frames/blog/allow", network.clone());
    on("POST /v1/frames/blog/deny", network);
    on("POST /v1/frames/blog/disconnect", listed.clone());
    on("DELETE /v1/frames/blog", listed.clone());
    gateway.on("POST /v1/frames", Answer::Json(201, listed));
    on(
        "GET /v1/frames/blog/stats",
        json!({"frame": "blog", "cpu_cores": 0.5, "cpu_ms": 1, "memory_bytes": 1,
        "memory_limit_bytes": 0, "pids": 1, "home_bytes": 1}),
    );
    let ports = "chosen 8000\nleads 8000\nlistens 8000\nlistens 5173\n";
    gateway.on("GET /v1/frames/blog/terminal", Answer::Prints(ports));
    let log = json!({"at": 1, "source": "frame", "text": "started"});
    gateway.on("GET /v1/frames/blog/logs", lines(&[log]));
    gateway.on("GET /v1/events", Answer::Hanging { pieces: sse(&events()) });
    let leftover =
        json!([{"kind": "container", "what": "x", "why": "y", "size_bytes": 0, "outcome": "removed"}]);
    on("GET /v1/gc", leftover.clone());
    on("POST /v1/gc", leftover);
    gateway.on("POST /v1/messages", Answer::Json(202, message("queued")));
    on(&format!("GET /v1/messages/{MESSAGE}"), message("answered"));
    on(&format!("PATCH /v1/messages/{MESSAGE}"), message("queued"));
    on(&format!("POST /v1/messages/{MESSAGE}/cancel"), message("cancelled"));
    on("GET /v1/messages", json!([message("running")]));
    on("GET /v1/sessions", json!([session()]));
    on("GET /v1/sessions/last", talk());
    on("GET /v1/sessions/last/export", talk());
    on("PATCH /v1/sessions/last", session());
    on("POST /v1/sessions/last/fork", session());
    on("POST /v1/sessions/last/compact", session());
    on("POST /v1/sessions/last/abort", json!({"stopped": true, "message": MESSAGE, "waiting": 1}));
    on(&format!("DELETE /v1/sessions/{SESSION}"), session());
    on(
        "GET /v1/search",
        json!([{"session": SESSION, "title": "t", "frame": "blog", "agent_message": "msg_a",
        "role": "user", "at": 1, "model": "demo/demo", "snippet": [{"text": "x", "hit": true}]}]),
    );
    on("GET /v1/approvals", json!([approval("question")]));
    on("GET /v1/approvals/apr_1", approval("question"));
    on("POST /v1/approvals/apr_1/answer", approval("permission"));
    let you = format!("owner:{}", rustix::process::geteuid().as_raw());
    let push = json!({"id": 3, "frame": "blog", "message": MESSAGE, "repository": "github.com/me/blog", "state": "waiting",
        "updates": [{"name": "refs/heads/mimir/x", "from": "aa", "to": "bb"}], "held_because": ["as everything"],
        "commit_count": 1, "file_count": 1, "size_bytes": 1, "protected": [".gitmodules"],
        "findings": [{"rule": "a token", "line": 3, "text": "…"}], "remarks": ["x is a link"], "by": you,
        "reason": "not now", "asked_at": 1, "decided_at": 2, "ended_at": 3});
    let mut with_patches = push.clone();
    with_patches["patches"] = json!("commit bb\n\u{1b}[2Jdiff --git a/x b/x\n");
    with_patches["is_cut"] = json!(true);
    on("GET /v1/pushes", json!([push]));
    on("GET /v1/pushes/3", with_patches);
    on("POST /v1/pushes/3/approve", push.clone());
    on("POST /v1/pushes/3/reject", push);
    let webhook = json!({"id": "whd_1", "source": "errors", "event": "event_alert.triggered", "state": "decided",
        "reason": "rule 1 began run run_1", "run_key": "sentry:acme/7", "run": "run_1", "duplicate_count": 1, "size_bytes": 9,
        "received_at": 1, "decided_at": 2});
    on(
        "GET /v1/webhooks",
        json!([{"name": "errors", "kind": "sentry", "path": "/webhooks/errors", "rule_count": 1,
        "last_delivery": webhook, "troubles": ["it has no secret"]}]),
    );
    on("GET /v1/webhooks/deliveries", json!([webhook]));
    on(
        "GET /v1/webhooks/deliveries/whd_1",
        json!({"delivery": webhook, "body": "{\"a\": \"\u{202e}\"}",
        "headers": [{"name": "request-id", "value": "x"}]}),
    );
    on("POST /v1/webhooks/deliveries/whd_1/replay", webhook);
    on(
        "POST /v1/webhooks/test",
        json!({"event": "event_alert.triggered", "run_key": "sentry:acme/7", "title": "t",
        "rule_number": 1, "workflow": "sentry-fix", "project": "web", "joins": "run_1", "wakes": ["run_2"],
        "reason": "why"}),
    );
    let project = json!({"id": "prj_1", "name": "web", "path": "/p", "frames": ["blog"], "trust": "untrusted",
        "created_at": 1});
    let trust = json!({"path": "/p", "trust": "untrusted", "hash": "00", "changed_files": [], "obstacles": [], "running_frames": ["blog"],
        "items": [{"kind": "plugin", "path": "opencode.json", "what": "./x.js"}]});
    on("GET /v1/trust", trust.clone());
    on("POST /v1/trust", trust.clone());
    on("DELETE /v1/trust", trust);
    on("GET /v1/projects", json!([project]));
    on("POST /v1/projects", project.clone());
    on("PUT /v1/projects/web/settings", project.clone());
    on("GET /v1/projects/web", project);
    gateway.on("DELETE /v1/projects/web", Answer::Json(204, Value::Null));
    let image = json!({"id": "sha256:1", "tags": ["t"], "inputs": "x", "opencode": "1", "size_bytes": 1, "created_at": 1,
                       "current": true, "frames": ["blog"]});
    on("GET /v1/images", json!([image]));
    let build = [
        json!({"kind": "step", "number": 1, "of": 7, "text": "packages"}),
        json!({"kind": "output", "text": "x"}),
        json!({"kind": "done", "made": image, "built": true, "base": "debian:12"}),
    ];
    gateway.on("POST /v1/images/build", lines(&build));
    let token = json!({"id": "tok_1", "name": "ci", "scopes": ["read"], "frames": ["blog"], "state": "active",
        "created_at": 1, "created_by": "owner:0", "expires_at": ago(Duration::ZERO) + 1_000_000, "last_used_at": 1,
        "last_used_from": "x", "revoked_at": 1, "began_with": "password"});
    let mut new = token.clone();
    new["token"] = json!("mim_x");
    on("POST /v1/tokens", new);
    on("GET /v1/tokens", json!([token]));
    on("GET /v1/web/sessions", json!([token]));
    on("DELETE /v1/web/sessions", json!([token]));
    on("DELETE /v1/tokens/ci", token);
    on("GET /v1/tokens/current", json!({"principal": "owner:0", "scopes": ["read"], "frames": ["blog"]}));
    let link = json!({"link": "http://127.0.0.1:8080/#code=00", "expires_at": ago(Duration::ZERO) + 60_000});
    gateway.on("POST /v1/web/codes", Answer::Json(201, link));
    let login = json!({"has_password": true, "scopes": ["read"], "set_at": 1, "has_totp": true, "recovery_code_count": 9});
    on("GET /v1/web/login", login.clone());
    on("PUT /v1/web/password", login.clone());
    on("DELETE /v1/web/password", login.clone());
    on("DELETE /v1/web/totp", login);
    let app =
        json!({"uri": "otpauth://totp/mimir:here?secret=GEZDG", "secret": "GEZDG", "expires_at": 60_000});
    gateway.on("POST /v1/web/totp", Answer::Json(201, app));
    on("PUT /v1/web/totp", json!({"recovery_codes": ["aaaa-bbbb-cccc-dddd-eeee-ffff"]}));
    let granted = json!({"secret": "github", "frame": "blog", "form": "placeholder", "variable": "GITHUB",
        "host": "https://api.github.com", "url": "http://127.0.0.1:8118/https/api.github.com", "granted_at": 1});
    let secret = json!({"name": "github", "comes_from": {"kind": "keyring", "service": "s", "account": "a"}, "set_at": 1,
        "set_by": "owner:0", "used_at": 1, "grants": [granted]});
    on("GET /v1/secrets", json!([secret]));
    on("PUT /v1/secrets/github", secret.clone());
    on("DELETE /v1/secrets/github", secret.clone());
    on("POST /v1/secrets/github/grants", granted);
    on("DELETE /v1/secrets/github/grants/blog", secret);
    let run = json!({"id": RUN, "workflow": "review", "title": "shop", "state": "succeeded", "stage": "review",
        "reason": "skipped: there is nothing to do", "attempt": 1, "project": "shop", "origin": "schedule",
        "origin_ref": "nightly", "key": "schedule:nightly", "priority": 1, "cost_microusd": 1, "created_at": 1,
        "started_at": 2, "next_at": 3, "ended_at": 4});
    let mut details = run.clone();
    details["given"] = json!({
        "matter": {"kind": "issue", "repository": "github.com/me/shop", "number": 3, "asked_by": "me", "url": "https://x"},
        "repository": "github.com/me/shop", "commit": "abc", "variables": {"focus": "x"}, "frame": null, "model": "p/m",
        "evidence": [{"name": "message", "source": "sentry", "text": "boom"}]});
    details["held"] = json!({"gate": "fix", "subject": "abc"});
    details["budget"] = json!({"scope": "run", "subject": RUN, "period": "total", "limit_microusd": 2,
        "spent_microusd": 1, "reserved_microusd": 0, "percent": 50});
    details["frame"] = json!("run-a");
    details["branch"] = json!("mimir/a");
    details["commit"] = json!("abc");
    details["pull"] =
        json!({"number": 7, "url": "https://x/7", "head": "abc", "is_draft": true, "merged": null});
    details["report"] = json!({"cause": "c", "evidence": [{"file": "a.rs", "line": 1, "note": "n"}], "confidence": 0.9,
        "plan": ["p"], "risk": "low", "summary": "s"});
    details["checks"] = json!([{"command": "cargo test", "exit_code": 0, "tail": "ok"}]);
    details["timeline"] =
        json!([{"id": 1, "at": 1, "stage": "review", "kind": "prompt", "text": "a\nb", "link": "x"}]);
    let tick = json!({"instant": 1, "seen_at": 2, "cause": "catch_up", "outcome": "run", "reason": "it waited", "run": "run_1",
        "run_state": "failed", "run_reason": "no", "run_ended_at": 3, "cost_microusd": 4});
    let schedule = json!({"name": "morning", "source": "person", "expression": "0 9 * * *", "words": "At 09:00", "zone": "UTC",
        "does": {"kind": "workflow", "workflow": "mine", "project": "web", "variables": {"depth": "3"}}, "overlap": "queue",
        "catch_up": "once", "jitter_seconds": 5, "gate": "test -e x", "pause_after_failures": 3, "pause_at_microusd": 5,
        "budget_microusd": 6, "paused_because": "its last 3 runs failed", "next": [1, 2, 3], "last": tick, "created_at": 1});
    on("GET /v1/schedules", json!([schedule]));
    on("POST /v1/schedules", schedule.clone());
    for method in ["GET", "PATCH", "DELETE"] {
        on(&format!("{method} /v1/schedules/morning"), schedule.clone());
    }
    on("POST /v1/schedules/morning/pause", schedule.clone());
    on("POST /v1/schedules/morning/resume", schedule);
    on("POST /v1/schedules/morning/run", tick.clone());
    on("GET /v1/schedules/morning/history", json!([tick]));
    on("GET /v1/runs", json!([run]));
    on("POST /v1/runs", run.clone());
    on(&format!("GET /v1/runs/{RUN}"), details);
    for verb in ["approve", "reject", "cancel", "retry"] {
        on(&format!("POST /v1/runs/{RUN}/{verb}"), run.clone());
    }
    let workflow = json!({"name": "review", "description": "d", "source": "built in", "cost_microusd": 1, "parallel": 2,
        "parameters": [{"name": "focus", "description": "d", "default": "x"}], "stages": [{"name": "a", "kind": "prompt"}],
        "mistake": "x.yaml:1: no"});
    let mut written = workflow.clone();
    written["text"] = json!("name: review");
    on("GET /v1/workflows", json!([workflow]));
    on("GET /v1/workflows/review", written);
    let entry = json!({"id": 1, "at": 1, "principal": "owner:0", "action": "frame.create", "subject": "blog",
        "detail": {"frame": "frm_1"}, "mac": "00"});
    on("GET /v1/audit", json!([entry]));
    on(
        "POST /v1/audit/verify",
        json!({"ok": true, "entries": 1, "before": 0, "recomputed": true, "heads": 1, "findings": []}),
    );
    let budget = json!({"scope": "frame", "subject": "blog", "period": "day", "limit_microusd": 2, "spent_microusd": 1,
        "reserved_microusd": 0, "percent": 50});
    let share = json!([{"name": "x", "call_count": 2, "unpriced_count": 1, "estimated_count": 1, "cost_microusd": 1}]);
    on(
        "GET /v1/budgets",
        json!({"paused": true, "budgets": [budget], "days": 30, "by_frame": share, "by_project": share,
            "by_model": share, "by_day": share}),
    );
    on("POST /v1/budgets", json!([budget]));
    on("DELETE /v1/budgets", json!([budget]));
    for verb in ["pause", "resume"] {
        let now = json!({"paused": verb == "pause", "changed": true, "cut_count": 1});
        on(&format!("POST /v1/budgets/{verb}"), now);
    }
    let price = json!([{"provider": "p", "model": "m", "input_microusd": 1, "output_microusd": 2,
        "cache_read_microusd": 3, "cache_write_microusd": 4, "as_of": "2026-11-21", "built_in": true}]);
    on(
        "POST /v1/frames/blog/route",
        json!({"frame": "blog", "model": "p/m", "route": "rule 1 of models.routes: every message: p/m"}),
    );
    on("GET /v1/prices", price.clone());
    on("POST /v1/prices", price);
    on("POST /v1/backups", json!({"name": "n", "created_at": 1, "schema": 1, "size_bytes": 1}));
    let check = json!({"id": "engine.run", "title": "t", "outcome": "ok", "found": "f", "why": "w", "fix": "x", "took_ms": 3});
    gateway.on("GET /v1/doctor", lines(&[check]));
    on(
        "GET /v1/status",
        json!({"version": "0.1.0", "pid": 1, "home": "/h", "instance": "ins_1", "started_at": 1,
        "socket": "/s", "http": "127.0.0.1:8080", "fingerprint": "sha256:1", "engine": "podman", "engine_ok": true, "database": "/d",
        "database_damage": "page 7", "schema": 1, "key_source": "key file", "frames_by_state": {"running": 2}, "frames_warm": 1, "agents_by_status": {"idle": 2},
        "messages_open": 1, "default_model": "demo/demo", "cost_today_microusd": 1, "memory_bytes": 1,
        "spending_paused": true}),
    );
    gateway
}

#[test]
fn what_every_command_prints_is_what_is_described() {
    let mut world = World::new();
    let _gateway = play(&world);
    world.configure("frames:\n  network: sealed\n");
    world.set("EDITOR", "true");
    let (man, export) = (world.work().join("man"), world.work().join("talk.md"));
    let (man, export) = (man.display().to_string(), export.display().to_string());
    let message = world.work().join("message.json");
    std::fs::write(&message, "{}").expect("written");
    let message = message.display().to_string();
    let prices = world.work().join("prices.yaml");
    std::fs::write(&prices, "as_of: 2026-11-29\nprices: {p: {m: [1, 2, 3, 4]}}\n").expect("a file");
    let prices = prices.display().to_string();
    let workflow = world.work().join("mine.yaml");
    std::fs::write(&workflow, "name: mine\ndescription: d\nstages: [{ name: a, kind: gate }]\n")
        .expect("a file");
    let workflow = workflow.display().to_string();
    let commands: &[&[&str]] = &[
        &[],
        &["version"],
        &["help"],
        &["help", "exit-codes"],
        &["help", "environment"],
        &["man", &man],
        &["status"],
        &["doctor"],
        &["frame", "create", "blog"],
        &["frame", "create", "blog", "--no-start"],
        &["frame", "start", "blog"],
        &["frame", "stop"],
        &["restart"],
        &["frame", "pause"],
        &["frame", "resume"],
        &["frame", "list"],
        &["ps", "-a"],
        &["frame", "show"],
        &["frame", "attach", "--print"],
        &["logs"],
        &["frame", "stats"],
        &["frame", "events"],
        &["frame", "ports"],
        &["frame", "network", "blog"],
        &["frame", "network", "--groups"],
        &["frame", "allow", "blog", "example.org", "--for", "1h"],
        &["frame", "deny", "blog", "example.org"],
        &["frame", "move", "blog", "/elsewhere"],
        &["frame", "upgrade", "blog"],
        &["rm", "-f", "blog"],
        &["frame", "connect", "blog", "--url", "http://127.0.0.1:1"],
        &["frame", "disconnect", "blog"],
        &["frame", "gc", "--yes"],
        &["open", "--print", "--terminal", "tmux"],
        &["send", "hello"],
        &["send", "hello", "--no-wait"],
        &["send", "hello", "--no-stream"],
        &["config", "list"],
        &["config", "get", "frames"],
        &["config", "set", "frames.network", "open"],
        &["config", "unset", "frames.network"],
        &["config", "edit"],
        &["config", "check"],
        &["config", "path"],
        &["image", "build"],
        &["image", "ls"],
        &["image", "inputs"],
        &["sessions", "list"],
        &["sessions", "show", "last"],
        &["sessions", "search", "x"],
        &["sessions", "export", "last", "--output", &export],
        &["sessions", "rename", "last", "t"],
        &["sessions", "fork", "last"],
        &["sessions", "compact", "last"],
        &["sessions", "abort", "last"],
        &["sessions", "delete", "last", "--yes"],
        &["approvals", "list"],
        &["approvals", "show"],
        &["approvals", "allow"],
        &["approvals", "deny", "apr_1", "--why", "no"],
        &["approvals", "answer", "apr_1", "a"],
        &["push", "list"],
        &["push", "show", "3"],
        &["push", "approve", "3"],
        &["push", "reject", "3", "--why", "no"],
        &["cron", "add", "morning", "0 9 * * *", "--workflow", "mine", "--set", "depth=3"],
        &["cron", "list"],
        &["cron", "show", "morning"],
        &["cron", "edit", "morning", "--expression", "@daily", "--unset", "gate"],
        &["cron", "pause", "morning", "--why", "holidays"],
        &["cron", "resume", "morning"],
        &["cron", "run", "morning"],
        &["cron", "history", "morning"],
        &["cron", "next", "0 9 * * *", "--zone", "Europe/Berlin"],
        &["cron", "rm", "morning", "--yes"],
        &["runs", "list"],
        &["runs", "show", RUN],
        &["runs", "start", "review", "--set", "focus=x", "--project", "shop"],
        &["runs", "start", "review", "--project", "shop", "--wait"],
        &["runs", "approve", RUN, "--for", "abc"],
        &["runs", "reject", RUN, "--why", "no"],
        &["runs", "cancel", RUN],
        &["runs", "retry", RUN],
        &["runs", "watch", RUN],
        &["workflows", "list"],
        &["workflows", "show", "review"],
        &["workflows", "check", &workflow],
        &["webhooks", "list"],
        &["webhooks", "deliveries", "--state", "decided"],
        &["webhooks", "show", "whd_1"],
        &["webhooks", "replay", "whd_1"],
        &["webhooks", "test", &message, "--source", "errors"],
        &["queue", "list"],
        &["queue", "cancel", MESSAGE],
        &["queue", "edit", MESSAGE, "other words"],
        &["projects", "list"],
        &["projects", "add"],
        &["projects", "show", "web"],
        &["projects", "set", "web", "checks=cargo test", "sentry=acme/shop"],
        &["projects", "remove", "web", "--yes"],
        &["projects", "trust", "/p", "--yes"],
        &["projects", "distrust", "/p"],
        &["secret", "set", "github", "--from-keyring", "s/a"],
        &["secret", "list"],
        &["secret", "grant", "github", "blog", "--host", "api.github.com"],
        &["secret", "revoke", "github", "blog"],
        &["secret", "rm", "github", "--yes"],
        &["token", "create", "--scope", "read"],
        &["token", "list"],
        &["token", "revoke", "ci"],
        &["token", "show"],
        &["web"],
        &["web", "open"],
        &["web", "qr"],
        &["web", "password", "--remove"],
        &["web", "totp"],
        &["web", "totp", "--code", "123456"],
        &["web", "totp", "--remove"],
        &["web", "sessions"],
        &["web", "sessions", "--end", "ci"],
        &["web", "sessions", "--end-all"],
        &["audit", "show"],
        &["audit", "verify"],
        &["audit", "export"],
        &["backup", "create"],
        &["backup", "list"],
        &["budget", "show"],
        &["budget", "set", "5", "--frame", "blog"],
        &["budget", "rm", "--frame", "blog", "--per", "day"],
        &["pause", "--all"],
        &["resume", "--all"],
        &["models", "route", "--frame", "blog", "a question"],
        &["prices", "list"],
        &["prices", "set", "work/ours", "3", "15"],
        &["prices", "update", &prices],
    ];
    world.set("TMUX", "/tmp/none,1,0");
    world.set("BROWSER", "/bin/true");
    for words in commands {
        let ran = world.run(&[words, &["--json"][..]].concat());
        assert_eq!(ran.code, 0, "{words:?}: {ran:?}");
        assert!(!ran.stdout.is_empty(), "{words:?} prints nothing");
    }
    // What they find is this machine's; a home is known by its marks.
    std::fs::write(world.paths().lock(), "").expect("a mark");
    for words in [&["setup", "--check"][..], &["uninstall", "--dry-run"]] {
        let ran = world.run(&[words, &["--json"]].concat());
        assert!(!ran.stdout.is_empty(), "{words:?}: {ran:?}");
    }
    // The others need a gateway of their own, or none; other tests run them.
    let elsewhere = [
        "backup restore",
        "backup verify",
        "error",
        "frame list --watch",
        "frame network --follow",
        "open",
        "serve --detach",
        "serve --stop",
    ];
    let seen = SEEN.lock().clone();
    for described in mimir::cli::schemas::all() {
        let is_seen = seen.contains(described.command) || elsewhere.contains(&described.command);
        assert!(is_seen, "nothing was compared with the schema of `{}`", described.command);
    }
}

/// Whoever decides sees what is there: a patch cannot paint over itself.
#[test]
fn what_was_pushed_is_shown_with_everything_that_is_unseen() {
    let world = World::new();
    let _gateway = play(&world);
    let shown = world.run(&["push", "show", "3"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(!shown.stdout.contains('\u{1b}'), "{shown:?}");
    for words in [
        "\\u{1b}[2Jdiff --git",
        "protected",
        ".gitmodules",
        "a token, line 3",
        "mimir/x from aa to bb",
        "decided by  you\n",
    ] {
        assert!(shown.stdout.contains(words), "{words}: {}", shown.stdout);
    }
    assert!(shown.stderr.contains("mimir push approve 3"), "{shown:?}");
}

#[test]
fn values_of_settings_have_their_kind() {
    let world = World::new();
    let shown = world.run(&["config", "show", "--json"]);
    let rows: Vec<Value> = serde_json::from_str(&shown.stdout).expect("a list");
    let of = |key: &str| rows.iter().find(|row| row["key"] == key).expect("a setting")["value"].clone();
    assert_eq!(of("frames.limits.cpus"), json!(2));
    assert_eq!(of("frames.allow"), json!(["npm", "pypi", "crates", "debian", "github"]));
    assert_eq!(of("server.tls.auto"), json!(false));
    assert_eq!(of("server.tls.cert"), Value::Null);
    let got = world.run(&["config", "get", "queue.per_frame", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&got.stdout).expect("JSON"), json!({"queue.per_frame": 200}));
}

#[test]
fn what_create_remarks_is_in_its_json_too() {
    let world = World::new();
    std::fs::write(world.work().join("Cargo.toml"), "[package]\n").expect("written");
    let _gateway = play(&world);
    let made = world.run(&["frame", "create", "blog", "--json"]);
    let made: Value = serde_json::from_str(&made.stdout).expect("JSON");
    assert_eq!(made["notes"][0]["code"], "adopted");
    assert!(made["remarks"][0].as_str().is_some_and(|text| text.contains("--with rust")), "{made}");
}

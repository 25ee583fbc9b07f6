//! What the real agent does when its money is at an end: it stops, and says why.

use std::time::{Duration, Instant};

use super::talk::{Agent, prepared};
use crate::podman::scripted::Scripted;
use crate::podman::support::eventually;

const LIMIT: Duration = Duration::from_secs(60);

/// A frame whose model costs 3 dollars for a million tokens in, and 15 out.
fn priced(test: &str) -> Option<Scripted> {
    let talk = prepared(test, |_| {})?;
    let _ = talk.world.mimir(&["prices", "set", "scripted/scripted", "3", "15", "--cache-read", "0.3"]).ok();
    Some(talk)
}

#[test]
fn a_turn_without_money_ends_with_words_and_9_and_goes_on_when_there_is_more() {
    let Some(talk) = priced("a budget that is used up") else { return };
    let _ = talk.send("@@text@@", &[]).ok();
    let _ = talk.world.mimir(&["budget", "set", "0.01", "--frame", "talk"]).ok();
    // Cut in the middle of its answer.
    let cut = talk.send("@@long@@", &[]).code(9);
    assert!(cut.stderr.contains("the budget of frame talk is used up"), "{cut:?}");
    assert!(cut.stderr.contains("`mimir budget set 1 --frame talk`"), "{cut:?}");
    let calls = talk.model.seen().len();
    // Refused before it begins, at once, and not asked for again and again.
    let began = Instant::now();
    let refused = talk.send("@@text@@", &["--json", "--no-stream"]).code(9);
    assert!(
        refused.stderr.contains("budget.exceeded") && refused.stderr.contains("is used up"),
        "{refused:?}"
    );
    assert!(began.elapsed() < LIMIT, "{:?}", began.elapsed());
    assert_eq!(talk.model.seen().len(), calls, "the provider hears nothing");
    let show = talk.world.mimir(&["frame", "show", "talk"]).ok();
    assert!(show.stdout.contains("of $0.0100 in all"), "{show:?}");

    let _ = talk.world.mimir(&["budget", "set", "20", "--frame", "talk"]).ok();
    let answered = talk.send("@@text@@", &[]).ok();
    assert!(answered.stdout.contains("Hello from the scripted model."), "{answered:?}");
}

#[test]
fn a_pause_ends_the_turn_that_runs_and_keeps_what_waits() {
    let Some(talk) = priced("a pause of all spending") else { return };
    let _ = talk.send("@@text@@", &[]).ok();
    let running = talk.world.spawn(&["send", "--frame", "talk", "@@hang@@"]);
    eventually("the model speaks", LIMIT, || match talk.model.active() {
        0 => Err("nobody asked it".into()),
        _ => Ok(()),
    });
    let began = Instant::now();
    let paused = talk.world.mimir(&["pause", "--all"]).ok();
    assert!(paused.stderr.contains("one running call was cut"), "{paused:?}");
    eventually("the model is left alone", Duration::from_secs(5), || match talk.model.active() {
        0 => Ok(()),
        active => Err(active.to_string()),
    });
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let ended = running.wait_with_output().expect("it ends");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(9), "{stderr}");
    assert!(stderr.contains("spending is paused"), "{stderr}");

    let waits = talk.send("@@text@@", &["--no-wait", "--json"]).ok().json();
    talk.world.kill_gateway();
    // Another gateway.
    let _ = talk.world.mimir(&["frame", "list"]).ok();
    let status = talk.world.mimir(&["status"]).ok();
    assert!(status.stdout.contains("all spending is paused"), "{status:?}");
    assert_eq!(talk.world.json(&["queue", "list"])[0]["id"], waits["id"]);
    let _ = talk.world.mimir(&["resume", "--all"]).ok();
    let id = waits["id"].as_str().expect("an id");
    let answered = talk.world.mimir(&["send", "--follow", id]).ok();
    assert!(answered.stdout.contains("Hello from the scripted model."), "{answered:?}");
}

/// opencode reckons with the same prices and the same usage. Only titles are no message of a conversation.
#[test]
fn the_books_say_what_the_agent_says_of_its_own_messages() {
    let Some(talk) = priced("the books and the agent") else { return };
    let _ = talk.world.mimir(&["restart", "talk"]).ok();
    // Whatever agents do: think, use tools, begin agents of their own, hear a refusal.
    for text in ["@@text@@", "@@reasoning@@", "@@default@@", "@@bash@@", "@@task@@"] {
        let _ = talk.send(text, &[]).ok();
    }
    let _ = talk.send("@@http401@@", &[]).code(1);
    let session = talk.world.json(&["sessions", "show", "last"]);
    let turns = session["turns"].as_array().expect("a conversation");
    let told: u64 = turns.iter().filter_map(|turn| turn["cost_microusd"].as_u64()).sum();
    let (mut said, mut sessions) = (0, 0);
    let agent = Agent::of(&talk.world);
    for session in agent.ask("GET", "/session", "").as_array().expect("sessions") {
        sessions += 1;
        let id = session["id"].as_str().expect("an id");
        let messages = agent.ask("GET", &format!("/session/{id}/message"), "");
        let costs =
            messages.as_array().expect("messages").iter().filter_map(|one| one["info"]["cost"].as_f64());
        said += costs.map(|dollars| (dollars * 1e6).round() as u64).sum::<u64>();
    }
    assert_eq!(sessions, 2, "a sub-agent has one of its own");
    assert!(told > 0 && said > told, "{told} of {said} without the sub-agent's");
    let titles = talk.model.seen().iter().filter(|call| call.scenario == "_title").count() as u64;
    // 7 in, 3 out.
    let title = 7 * 3 + 3 * 15;
    let booked = talk.world.json(&["frame", "show", "talk"])["cost_microusd"].as_u64().expect("a cost");
    assert_eq!(booked, said + titles * title, "{session}");
}

/// Where the agent itself is asked for nothing any more, the books are all that is left.
#[test]
fn a_call_that_a_killed_gateway_had_not_booked_is_booked_by_the_next_one() {
    let Some(talk) = priced("a gateway that is killed in the middle of a call") else { return };
    let _ = talk.send("@@text@@", &[]).ok();
    let cost = || talk.world.json(&["frame", "show", "talk"])["cost_microusd"].as_u64().expect("a cost");
    let before = cost();
    let mut sending = talk.world.spawn(&["send", "--frame", "talk", "@@hang@@"]);
    eventually("the model speaks", LIMIT, || match talk.model.active() {
        0 => Err("nobody asked it".into()),
        _ => Ok(()),
    });
    talk.world.kill_gateway();
    let after = cost();
    assert!(after > before, "{before} before, {after} after");
    let budget = talk.world.json(&["budget", "show"]);
    assert!(budget["by_model"][0]["estimated_count"].as_u64().is_some_and(|count| count >= 1), "{budget}");
    sending.kill().expect("it ends");
    let _ = sending.wait();
}

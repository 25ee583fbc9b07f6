//! An agent that is stopped like SIGSTOP stops it, and a frame that nobody uses.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::scripted::Scripted;
use super::support::eventually;

const LIMIT: Duration = Duration::from_secs(120);
/// The promise.
const NOTICED_WITHIN: Duration = Duration::from_secs(30);
const PROMPT: &str = "user=mimir:$(cat /run/mimir/start/password)";

/// A frame that runs, with `more` in the configuration.
fn place(test: &str, more: &str) -> Option<Scripted> {
    let place = Scripted::new(test, more)?;
    let _ = place.world.mimir(&["frame", "create", "blog", "--start"]).ok();
    Some(place)
}

impl Scripted {
    fn word(&self) -> String {
        self.world.json(&["frame", "show", "blog"])["status"]["word"].as_str().unwrap_or("?").to_owned()
    }

    fn inside(&self, script: &str) -> String {
        self.world.mimir(&["frame", "exec", "blog", "--", "sh", "-c", script]).ok().stdout
    }

    fn notes(&self) -> Vec<String> {
        let shown = self.world.json(&["frame", "show", "blog"]);
        let notes = shown["notes"].as_array().cloned().unwrap_or_default();
        notes.iter().filter_map(|note| note["code"].as_str().map(str::to_owned)).collect()
    }

    fn container_began(&self) -> String {
        let container =
            self.world.json(&["frame", "show", "blog"])["container"].as_str().unwrap_or("?").to_owned();
        self.world.podman(&["inspect", "--format", "{{.State.StartedAt}}", &container]).ok().stdout
    }

    /// How often the agent's own history has a message of ours.
    fn user_messages(&self, text: &str) -> usize {
        let sessions: Value =
            serde_json::from_str(&self.inside(&format!(
                "curl -s --noproxy '*' -K - http://127.0.0.1:4096/session <<X\n{PROMPT}\nX"
            )))
            .expect("sessions");
        let count = |session: &Value| {
            let id = session["id"].as_str().unwrap_or_default();
            let history: Value = serde_json::from_str(&self.inside(&format!(
                "curl -s --noproxy '*' -K - http://127.0.0.1:4096/session/{id}/message <<X\n{PROMPT}\nX"
            )))
            .expect("a history");
            let all = history.as_array().cloned().unwrap_or_default();
            let is_it = |message: &&Value| {
                let parts = message["parts"].as_array().cloned().unwrap_or_default();
                message["info"]["role"] == "user" && parts.iter().any(|part| part["text"] == text)
            };
            all.iter().filter(is_it).count()
        };
        sessions.as_array().map(|all| all.iter().map(count).sum()).unwrap_or(0)
    }
}

/// The turn that was running ends with the reason, what was queued behind it is answered, nothing is said twice.
#[test]
fn a_wedged_agent_is_noticed_within_30_s_and_the_queue_goes_on() {
    let Some(place) = place("a wedged agent", "") else { return };
    let world = &place.world;
    let began = place.container_began();
    let id = |run: &Value| run["id"].as_str().expect("an id").to_owned();
    let running = id(&world.json(&["send", "--frame", "blog", "@@hang@@", "--no-wait"]));
    eventually("the model speaks", LIMIT, || match place.model.active() {
        0 => Err("nobody asked it".into()),
        _ => Ok(()),
    });
    let queued = id(&world.json(&["send", "--frame", "blog", "@@text@@", "--no-wait"]));
    eventually(
        "it is busy, with one behind",
        LIMIT,
        || match &world.json(&["frame", "show", "blog"])["status"] {
            status if status["word"] == "busy" && status["queued"] == 1 => Ok(()),
            status => Err(status.to_string()),
        },
    );

    let stopped = Instant::now();
    let _ = place.inside("pkill -STOP -f '^[^ ]*opencode serve'");
    eventually("it is noticed", NOTICED_WITHIN, || match place.word() {
        word if word == "wedged" => Ok(()),
        word => Err(word),
    });
    let noticed = stopped.elapsed();
    eventually("it is restarted", LIMIT, || match place.notes() {
        notes if notes.iter().any(|note| note == "agent_back") => Ok(()),
        notes => Err(format!("{notes:?}")),
    });
    let back = stopped.elapsed();
    // The turn that hangs would hang again if it were begun a second time.
    place.release();

    let first = world.mimir(&["send", "--follow", &running, "--no-stream", "--json"]).code(1);
    assert!(first.stderr.contains("message.failed"), "it failed, and says why: {first:?}");
    let second = world.mimir(&["send", "--follow", &queued]).ok();
    assert!(second.stdout.contains("Hello from the scripted model."), "{second:?}");
    println!(
        "wedged: noticed after {:.1} s, back after {:.1} s, the queue answered after {:.1} s",
        noticed.as_secs_f64(),
        back.as_secs_f64(),
        stopped.elapsed().as_secs_f64()
    );
    for text in ["@@hang@@", "@@text@@"] {
        assert_eq!(place.user_messages(text), 1, "{text} is once in the agent's own history");
    }
    assert_eq!(place.container_began(), began, "the container, and the terminal in it, went on");
}

/// Not while a command runs in its shell; a message wakes it.
#[test]
fn an_idle_frame_is_stopped_unless_its_shell_works_and_a_message_wakes_it() {
    let Some(place) = place("an idle frame", "frames:\n  idle_stop: 6s\n") else { return };
    let _ = place.inside("tmux -S /run/frame/tmux.sock send-keys -t =main:shell 'sleep 14' Enter");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(12) {
        assert_eq!(place.world.state("blog"), "running", "it was stopped in the middle of a command");
        std::thread::sleep(Duration::from_millis(500));
    }
    place.world.wait_for_state("blog", "stopped", Duration::from_secs(40));
    println!("idle: stopped {:.1} s after its shell began to sleep for 14 s", began.elapsed().as_secs_f64());
    assert!(place.notes().iter().any(|note| note == "idle_stopped"), "{:?}", place.notes());
    let answered = place.world.mimir(&["send", "--frame", "blog", "@@text@@"]).ok();
    assert!(answered.stdout.contains("Hello from the scripted model."), "{answered:?}");
}

//! What a real agent asks: of its own, of a sub-agent, outside its folder, a question; answered by a person, by a rule,
//! by nobody.

use std::process::{Child, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::scripted::Scripted;
use super::support::eventually;

const LIMIT: Duration = Duration::from_secs(60);

/// A frame that runs, whose agent asks before it echoes anything and may not look at /etc.
struct Asking {
    place: Scripted,
}

fn asking(test: &str) -> Option<Asking> {
    let rules = "approvals:\n  rules:\n    - {tool: bash, command: 'echo *', action: ask}\n";
    let place = Scripted::new(test, rules)?;
    let policy = place.write(
        "policy.yaml",
        "rules:\n  - {tool: external_directory, path: '/etc*', action: deny, why: that is not yours to read}\n",
    );
    let _ = place.world.mimir(&["frame", "create", "talk", "--policy", &policy, "--start"]).ok();
    Some(Asking { place })
}

impl Asking {
    fn send(&self, text: &str) -> Child {
        self.place.world.spawn(&["send", "--frame", "talk", text])
    }

    /// The one thing that waits.
    fn waits(&self) -> Value {
        eventually("something waits for a person", LIMIT, || {
            let waiting = self.place.world.json(&["approvals", "list"]);
            match waiting.as_array().map(Vec::as_slice) {
                Some([one]) if one["state"] == "pending" => Ok(one.clone()),
                other => Err(format!("{other:?}")),
            }
        })
    }

    fn say(&self, args: &[&str]) -> String {
        self.place.world.mimir(&[&["approvals"], args].concat()).ok().stdout
    }
}

fn end_of(child: Child) -> (Output, String, String) {
    let output = child.wait_with_output().expect("it ends");
    let (said, told) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    (output, said, told)
}

/// Trap 3 of docs/traps.md: `ask` waits for ever, and nobody sees it.
#[test]
fn trap_3_whatever_an_agent_asks_is_seen_and_answered() {
    let Some(asking) = asking("approvals of a real agent") else { return };
    let world = &asking.place.world;

    // Its own command: both halves of the line are named.
    let sender = asking.send("@@bash@@");
    let ask = asking.waits();
    let id = ask["id"].as_str().expect("an id").to_owned();
    assert_eq!((&ask["tool"], &ask["from_child"]), (&Value::from("bash"), &Value::from(false)), "{ask}");
    assert!(ask["patterns"].to_string().contains("echo hi-from-bash"), "{ask}");
    assert!(ask["message"].is_string(), "it belongs to the message that was sent: {ask}");
    assert!(world.mimir(&["approvals", "show"]).ok().stdout.contains("echo hi-from-bash && ls"));
    assert!(asking.say(&["allow", &id]).contains("allowed"));
    let (output, said, told) = end_of(sender);
    assert!(output.status.success() && said.contains("hi-from-bash"), "{said}\n{told}");
    assert!(told.contains(&format!("mimir approvals allow {id}")), "the command is shown: {told}");
    let late = world.mimir(&["approvals", "allow", &id]).code(6);
    assert!(late.stderr.contains("allowed already"), "{late:?}");

    // A sub-agent's: told why not, everybody goes on.
    let sender = asking.send("@@task-bash@@");
    let ask = asking.waits();
    assert_eq!(ask["from_child"], true, "{ask}");
    assert!(ask["message"].is_string(), "it belongs to the parent's message: {ask}");
    assert!(asking.say(&["deny", "--why", "not while people sleep"]).contains("denied"));
    let (output, said, told) = end_of(sender);
    assert!(output.status.success() && said.contains("not while people sleep"), "{said}\n{told}");

    // A question, by the number of an option.
    let sender = asking.send("@@question@@");
    let ask = asking.waits();
    assert_eq!(
        (&ask["form"], &ask["questions"][0]["options"][1]["label"]),
        (&"question".into(), &"Postgres".into())
    );
    assert!(asking.say(&["answer", "-", "2"]).contains("answered"));
    let (output, said, told) = end_of(sender);
    assert!(output.status.success() && said.contains("Postgres"), "{said}\n{told}");

    // Outside its folder: a rule of the frame decides, nobody is asked.
    let began = Instant::now();
    let (output, said, told) = end_of(asking.send("@@external@@"));
    assert!(output.status.success() && said.contains("that is not yours to read"), "{said}\n{told}");
    assert!(began.elapsed() < LIMIT);
    let all = world.json(&["approvals", "list", "--all"]);
    assert_eq!(all[0]["tool"], "external_directory", "{all}");
    assert_eq!((&all[0]["by"], &all[0]["state"]), (&"policy".into(), &"denied".into()));

    // A sub-agent is held by the same rule, and has no tool to ask a question with: nobody waits for either.
    for (scenario, words) in
        [("@@task-external@@", "that is not yours to read"), ("@@task-question@@", "sub: ")]
    {
        let (output, said, told) = end_of(asking.send(scenario));
        assert!(output.status.success() && said.contains(words), "{scenario}: {said}\n{told}");
        let newest = &world.json(&["approvals", "list", "--all"])[0];
        assert_eq!(
            (&newest["tool"], &newest["from_child"]),
            (&"external_directory".into(), &true.into()),
            "{newest}"
        );
        assert_eq!((&newest["by"], &newest["state"]), (&"policy".into(), &"denied".into()), "{newest}");
    }

    // The gateway dies while it waits: the same prompt is there again, and its answer arrives.
    let queued = world.mimir(&["send", "--frame", "talk", "--no-wait", "@@bash@@"]).ok();
    let before = asking.waits();
    world.kill_gateway();
    let began = Instant::now();
    let after = asking.waits();
    assert_eq!(after["id"], before["id"]);
    assert!(began.elapsed() < Duration::from_secs(10), "with the start of a gateway: {:?}", began.elapsed());
    let _ = asking.say(&["allow"]);
    let followed = world.mimir(&["send", "--follow", queued.stdout.trim()]).ok();
    assert!(followed.stdout.contains("hi-from-bash"), "{followed:?}");

    // Nobody is there: it is told so, ends, and says it with its exit code.
    let unattended = world.mimir(&["send", "--frame", "talk", "--unattended=2s", "@@bash@@"]).code(7);
    assert!(unattended.stdout.contains("unattended"), "{unattended:?}");
    assert_eq!(world.json(&["approvals", "list"]), Value::Array(Vec::new()));

    // `always`, said to a sub-agent, holds for the next one. The last thing here: it holds for the parent as well.
    let sender = asking.send("@@task-bash@@");
    assert_eq!(asking.waits()["from_child"], true);
    assert!(asking.say(&["allow", "--always"]).contains("allowed"));
    let (output, said, told) = end_of(sender);
    assert!(output.status.success() && said.contains("from-sub-agent"), "{said}\n{told}");
    let asked = world.json(&["approvals", "list", "--all"]);
    let (output, said, told) = end_of(asking.send("@@task-bash@@"));
    assert!(output.status.success() && said.contains("from-sub-agent"), "{said}\n{told}");
    assert_eq!(world.json(&["approvals", "list", "--all"]), asked, "nobody was asked again");
}

/// Nothing of it turns the reading around or is not seen.
fn hides_nothing(words: &[&str], text: &str) {
    let is_hidden =
        |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!text.contains(is_hidden), "{words:?}: {text:?}");
}

/// Field case 08: a push whose second half is a comment to whoever reads it, and is not one to the shell.
#[test]
fn what_a_command_hides_is_seen_by_whoever_is_asked() {
    let Some(place) = Scripted::new("hidden letters in an approval", "") else { return };
    let _ = place.world.mimir(&["frame", "create", "talk", "--start"]).ok();
    let asking = Asking { place };
    let world = &asking.place.world;
    let sender = asking.send("@@bidi@@");
    let ask = asking.waits();
    let id = ask["id"].as_str().expect("an id");
    assert!(ask.to_string().contains('\u{202e}'), "programs read what it is: {ask}");
    let shown = |words: &[&str]| {
        let run = world.mimir(words).ok();
        let text = run.stdout + &run.stderr;
        hides_nothing(words, &text);
        text
    };
    for words in [&["approvals", "list"][..], &["approvals", "show"], &["approvals", "list", "--json"]] {
        let text = shown(words);
        assert!(text.contains("u{202e}") || text.contains("u202e"), "{words:?}: {text}");
    }
    for words in
        [&["frame", "list"][..], &["frame", "show", "talk"], &["frame", "events", "talk"], &["status"]]
    {
        let _ = shown(words);
    }
    let _ = asking.say(&["deny", id, "--why", "it is not what it looks like"]);
    let (output, said, told) = end_of(sender);
    assert!(output.status.success() && said.contains("it is not what it looks like"), "{said}\n{told}");
    assert!(told.contains("\\u{202e}"), "whoever sent it was shown the same: {told}");
    hides_nothing(&["send"], &(said + &told));
    for words in [&["sessions", "show", "last", "--full"][..], &["sessions", "export", "last"]] {
        assert!(shown(words).contains("\\u{202e}"), "{words:?}");
    }
}

//! `mimir send` when the agent asks something: answered with a key, right there; by somebody else; by nobody.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::gateway::{Answer, json as answer, problem};
use super::live::{MESSAGE, Story};
use super::terminal::Screen;
use super::world::World;

const SEND: &[&str] = &["send", "--frame", "blog", "hello"];
const ASKED: &str = "y once · a always · n no · d details";
const ANSWER: &str = "POST /v1/approvals/apr_1/answer";

fn permission(state: &str) -> Value {
    json!({"id": "apr_1", "frame": "blog", "form": "permission", "state": state, "text": "bash: git push",
        "tool": "bash", "patterns": ["git push"], "always": ["git push *"], "from_child": false, "asked_at": 0,
        "metadata": {"command": "git push --force \u{202e}origin"}})
}

fn question(several: bool) -> Value {
    let option = |label: &str| json!({"label": label, "description": "fine"});
    let first = json!({"header": "", "text": "Which database?", "multiple": several,
        "options": [option("SQLite"), option("Postgres"), option("None")]});
    let second = json!({"header": "", "text": "What name?", "multiple": false, "options": []});
    json!({"id": "apr_1", "frame": "blog", "form": "question", "state": "pending", "text": "Which database?",
        "questions": if several { json!([first, second]) } else { json!([first]) },
        "from_child": false, "asked_at": 0})
}

/// An agent that asks, and a terminal on which it is asked.
struct Asked {
    story: Story,
    screen: Screen,
    _world: World,
}

impl Asked {
    fn with(approval: Value) -> Self {
        let mut told = approval.clone();
        told["state"] = json!(if approval["form"] == "question" { "answered" } else { "allowed" });
        Self::answered_with(&approval, answer(told))
    }

    /// Whose answer gets that answer.
    fn answered_with(approval: &Value, told: Answer) -> Self {
        let world = World::new();
        let mut story = Story::begin(&world);
        let form = approval["form"].clone();
        story.gateway.on("GET /v1/approvals/apr_1", answer(approval.clone()));
        story.gateway.on(ANSWER, told);
        let screen = Screen::open(&world, SEND);
        story.moved("running").told(
            "prompt.asked",
            json!({"prompt": "per_1", "form": form, "text": approval["text"], "id": "apr_1"}),
            0,
        );
        Self { story, screen, _world: world }
    }

    /// Which waits for a key.
    fn permission() -> Self {
        let asked = Self::with(permission("pending"));
        asked.screen.until_shown(ASKED);
        asked
    }

    /// What the gateway was told.
    fn answers(&self) -> Vec<Value> {
        let asked = self.story.gateway.asked().into_iter().filter(|asked| asked.line == ANSWER);
        asked.map(|asked| serde_json::from_str(&asked.body).expect("JSON")).collect()
    }

    fn until_answered(&self) -> Value {
        let begun = std::time::Instant::now();
        loop {
            match self.answers().pop() {
                Some(answer) => return answer,
                None => assert!(begun.elapsed() < Duration::from_secs(20), "{}", self.screen.shown()),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it wants a line for that many times.
    fn until_typed(&self, times: usize) {
        let begun = std::time::Instant::now();
        while self.screen.shown().matches("your words:").count() < times {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", self.screen.shown());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the keys of a question stand below it: before, one that is pressed is thrown away.
    fn until_keys_count_below(&self, question: &str) {
        let begun = std::time::Instant::now();
        while !self.screen.shown().rsplit(question).next().is_some_and(|below| below.contains("t type")) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{}", self.screen.shown());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_over(&mut self, state: &str, by: &str) {
        let text = "bash: git push";
        let data = json!({"prompt": "per_1", "id": "apr_1", "text": text, "state": state, "by": by});
        self.story.told("prompt.answered", data, 0);
    }

    /// Ends it well, with the terminal as it was.
    fn end(mut self) -> String {
        self.story.text("Done.").end("stop");
        assert_eq!(self.screen.end(), 0, "{}", self.screen.shown());
        assert!(self.screen.echoes(), "given back");
        let shown = self.screen.shown();
        assert!(!shown.contains(ASKED) && shown.contains("Done."), "{shown}");
        shown
    }
}

fn you() -> String {
    format!("owner:{}", rustix::process::geteuid().as_raw())
}

#[test]
fn a_permission_is_shown_whole_and_allowed_with_one_key() {
    let mut asked = Asked::permission();
    let shown = asked.screen.shown();
    assert!(shown.contains("the agent of blog asks leave to use bash"), "{shown}");
    assert!(shown.contains("git push --force \\u{202e}origin"), "the whole command, as it runs: {shown}");
    assert!(shown.contains("always would allow: git push *"), "{shown}");
    assert!(!asked.screen.echoes());
    asked.screen.press("y");
    assert_eq!(asked.until_answered(), json!({"decision": "once"}));
    asked.is_over("allowed", &you());
    asked.screen.until_shown("bash: git push – allowed by you");
    let shown = asked.end();
    assert!(!shown.contains("elsewhere"), "{shown}");
}

#[test]
fn always_and_no_and_no_with_a_reason_are_other_keys() {
    let mut always = Asked::permission();
    always.screen.press("a");
    assert_eq!(always.until_answered(), json!({"decision": "always"}));
    always.is_over("allowed", &you());
    always.end();

    for (typed, told) in [
        ("not on a Saturday\r", json!({"decision": "reject", "why": "not on a Saturday"})),
        ("\r", json!({"decision": "reject"})),
    ] {
        let mut no = Asked::permission();
        no.screen.press("n");
        no.screen.until_shown("why?");
        assert!(no.screen.echoes(), "what is typed is seen");
        assert!(no.answers().is_empty(), "not before the line is whole");
        no.screen.press(typed);
        assert_eq!(no.until_answered(), told);
        no.is_over("denied", &you());
        no.screen.until_shown("denied by you");
        no.end();
    }
}

#[test]
fn details_are_shown_and_it_is_still_asked() {
    let mut asked = Asked::permission();
    asked.screen.press("d");
    asked.screen.until_shown("`mimir approvals allow apr_1`");
    asked.screen.until_shown(ASKED);
    assert!(asked.answers().is_empty());
    asked.screen.press("n");
    asked.screen.until_shown("why?");
    asked.screen.press("\u{4}");
    asked.screen.until_shown(ASKED);
    assert!(asked.answers().is_empty(), "Ctrl-D goes back");
    asked.screen.press("y");
    assert_eq!(asked.until_answered(), json!({"decision": "once"}));
    asked.end();
}

#[test]
fn whoever_else_answers_first_takes_it_off_the_screen() {
    let mut asked = Asked::permission();
    asked.is_over("denied", "tok_laptop");
    asked.screen.until_shown("bash: git push – denied by tok_laptop");
    let shown = asked.screen.shown();
    assert!(shown.contains("answered elsewhere") && !shown.contains(ASKED), "{shown}");
    assert!(asked.screen.echoes(), "nothing is asked any more");
    asked.screen.press("y");
    std::thread::sleep(Duration::from_millis(100));
    assert!(asked.answers().is_empty(), "a key that comes too late is none");
    asked.end();

    let mut typing = Asked::permission();
    typing.screen.press("n");
    typing.screen.until_shown("why?");
    typing.screen.press("bec");
    typing.is_over("allowed", "elsewhere");
    typing.screen.until_shown("bash: git push – allowed by elsewhere");
    assert!(typing.answers().is_empty());
    typing.end();
}

#[test]
fn an_answer_that_comes_second_says_so() {
    let late = problem(409, "approval.too_late", "apr_1 was denied already");
    let mut asked = Asked::answered_with(&permission("pending"), late);
    asked.screen.until_shown(ASKED);
    asked.screen.press("y");
    asked.screen.until_shown("apr_1 was denied already");
    asked.is_over("denied", "tok_laptop");
    asked.screen.until_shown("denied by tok_laptop");
    asked.end();
}

#[test]
fn what_was_typed_before_it_could_be_read_is_no_answer() {
    let world = World::new();
    let mut story = Story::begin(&world);
    story.gateway.on("GET /v1/approvals/apr_1", answer(permission("pending")));
    story.gateway.on(ANSWER, answer(permission("allowed")));
    let mut screen = Screen::open(&world, SEND);
    story.moved("running");
    screen.until_shown("waiting for the model");
    screen.press("yyyy");
    let asked = json!({"prompt": "per_1", "form": "permission", "text": "bash: git push", "id": "apr_1"});
    story.told("prompt.asked", asked, 0);
    screen.until("asks leave to use bash");
    // A key that is held, or a command that is typed ahead: longer than the eye needs, and never a pause.
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        screen.press("y");
        std::thread::sleep(Duration::from_millis(30));
    }
    screen.until_shown(ASKED);
    assert!(!story.gateway.asked().iter().any(|asked| asked.line == ANSWER));
    screen.press("yes\r");
    std::thread::sleep(Duration::from_millis(200));
    assert!(!story.gateway.asked().iter().any(|asked| asked.line == ANSWER), "nor is what was pasted");
    screen.press("\u{3}");
    assert_eq!(screen.end(), 130);
}

#[test]
fn what_was_answered_long_ago_is_not_asked_again() {
    let world = World::new();
    let mut story = Story::begin(&world);
    story.gateway.on("GET /v1/approvals/apr_1", answer(permission("allowed")));
    let mut screen = Screen::open(&world, &["send", "--follow", MESSAGE]);
    let asked = json!({"prompt": "per_1", "form": "permission", "text": "bash: git push", "id": "apr_1"});
    story.moved("running").told("prompt.asked", asked, 0);
    let over =
        json!({"prompt": "per_1", "id": "apr_1", "text": "bash: git push", "state": "allowed", "by": you()});
    story.told("prompt.answered", over, 0).text("Done.").end("stop");
    assert_eq!(screen.end(), 0, "{}", screen.shown());
    assert!(!screen.text().contains("y once"), "{:?}", screen.text());
    assert!(screen.shown().contains("bash: git push – allowed by you"), "{}", screen.shown());
}

#[test]
fn an_option_is_a_key_and_own_words_are_typed() {
    let mut number = Asked::with(question(false));
    number.screen.until_shown("1-3 choose · t type");
    let shown = number.screen.shown();
    assert!(shown.contains("Which database?") && shown.contains("2  Postgres – fine"), "{shown}");
    number.screen.press("2");
    assert_eq!(number.until_answered(), json!({"decision": "answer", "answers": [["Postgres"]]}));
    number.end();

    let mut words = Asked::with(question(false));
    words.screen.until_shown("1-3 choose · t type");
    words.screen.press("t");
    words.screen.until_shown("your words:");
    words.screen.press("7\r");
    words.screen.until_shown("has 3 options");
    words.screen.press("t");
    words.until_typed(2);
    words.screen.press("the one of the team\r");
    assert_eq!(words.until_answered(), json!({"decision": "answer", "answers": [["the one of the team"]]}));
    words.end();

    let mut several = Asked::with(question(true));
    several.screen.until_shown("t type · n decline");
    assert!(!several.screen.shown().contains("What name?"), "one after the other");
    several.screen.press("t");
    several.screen.until_shown("numbers with commas");
    several.screen.press("1,3\r");
    several.screen.until_shown("What name?");
    several.until_keys_count_below("What name?");
    several.screen.press("t");
    several.until_typed(2);
    several.screen.press("blog\r");
    let told = json!({"decision": "answer", "answers": [["SQLite", "None"], ["blog"]]});
    assert_eq!(several.until_answered(), told);
    several.end();
}

#[test]
fn ctrl_c_leaves_as_always_and_gives_the_keyboard_back() {
    let mut asked = Asked::permission();
    asked.screen.press("\u{3}");
    assert_eq!(asked.screen.end(), 130, "{}", asked.screen.shown());
    assert!(asked.screen.echoes());
    let shown = asked.screen.shown();
    assert!(shown.contains(&format!("mimir send --follow {MESSAGE}")) && !shown.contains(ASKED), "{shown}");
    assert!(asked.answers().is_empty());
    assert!(!asked.story.gateway.asked().iter().any(|asked| asked.line.ends_with("/cancel")));

    let mut ended = Asked::permission();
    ended.screen.signal(Signal::TERM);
    assert_eq!(ended.screen.end(), 143);
    assert!(ended.screen.echoes(), "also when somebody ends it");
}

#[test]
fn where_nobody_can_press_a_key_it_says_how_to_answer() {
    let says = |world: &World, words: &[&str]| {
        let mut story = Story::begin(world);
        story.gateway.on("GET /v1/approvals/apr_1", answer(permission("pending")));
        let asked = json!({"prompt": "per_1", "form": "permission", "text": "bash: git push", "id": "apr_1"});
        story.moved("running").told("prompt.asked", asked, 0);
        let ran = world.run(&[SEND, &["--timeout", "1s"], words].concat());
        assert_eq!(ran.code, 7, "{}", ran.stderr);
        let fetched = story.gateway.asked().iter().any(|asked| asked.line == "GET /v1/approvals/apr_1");
        assert!(!fetched, "nothing more is asked of the gateway than ever");
        ran.stderr
    };
    let told = says(&World::new(), &[]);
    let expected = "  the agent waits for permission: bash: git push\n    mimir approvals allow apr_1\n    \
                    mimir approvals deny apr_1 --why \"…\"\n";
    assert!(told.starts_with(expected), "{told}");

    // Somebody who says that nobody is there is believed, terminal or not.
    for (name, words) in [("CI", &[][..]), ("NOTHING", &["--unattended=1m"])] {
        let mut world = World::new();
        world.set(name, "true");
        let mut story = Story::begin(&world);
        let mut screen = Screen::open(&world, &[SEND, words].concat());
        let asked = json!({"prompt": "per_1", "form": "permission", "text": "bash: git push", "id": "apr_1"});
        story.moved("running").told("prompt.asked", asked, 0);
        screen.until("mimir approvals allow apr_1");
        story.text("Done.").end("stop");
        assert_eq!(screen.end(), 0, "{}", screen.shown());
        assert!(!screen.text().contains("y once"), "{:?}", screen.text());
    }
}

//! A whole gateway with an agent that floods it: memory has a bound, and the other frames are answered.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::real::Gateway;
use super::running::pid;
use super::world::World;

/// How long the flood lasts; the burst that is taken at full speed is over long before.
const FLOOD: Duration = Duration::from_secs(12);
/// What a flood may cost, in megabytes: the burst, what waits to be stored, and the allocator's share.
const MEMORY: u64 = 200;
/// How long an answer about another frame may take meanwhile, of a build that is not optimised, on a busy machine.
const ANSWER: Duration = Duration::from_secs(10);

/// The agent of all frames. The first one that was asked with a password is the one that floods.
#[derive(Default)]
struct Agents {
    loud: Mutex<Option<String>>,
    is_flooding: AtomicBool,
    said: AtomicU64,
}

impl Agents {
    fn listen(self: &Arc<Self>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let agents = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let agents = agents.clone();
                // Ends with its connection.
                std::thread::spawn(move || agents.answer(stream));
            }
        });
        address
    }

    fn answer(&self, mut stream: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let path = head.split(' ').nth(1)?.split('?').next()?.to_owned();
        let who = head.lines().find_map(|line| line.strip_prefix("authorization: ")).map(str::to_owned);
        let Some(who) = who else { return say(&mut stream, "401 Unauthorized", &Value::Null) };
        let is_loud = *self.loud.lock().get_or_insert_with(|| who.clone()) == who;
        match path.as_str() {
            "/event" => self.stream(stream, is_loud),
            "/global/health" => {
                say(&mut stream, "200 OK", &json!({"healthy": true, "version": mimir::opencode::VERSION}))
            }
            "/session/status" | "/config/providers" => say(&mut stream, "200 OK", &json!({})),
            "/session" | "/permission" | "/question" => say(&mut stream, "200 OK", &json!([])),
            _ => say(
                &mut stream,
                "404 Not Found",
                &json!({"name": "NotFoundError", "data": {"message": path}}),
            ),
        }
    }

    fn stream(&self, mut stream: TcpStream, is_loud: bool) -> Option<()> {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).ok()?;
        let mut event = |value: Value| {
            let text = format!("data: {value}\n\n");
            stream.write_all(text.as_bytes()).ok().map(|()| text.len() as u64)
        };
        event(json!({"type": "server.connected", "properties": {}}))?;
        for number in 0_u64.. {
            if !(is_loud && self.is_flooding.load(Ordering::SeqCst)) {
                event(json!({"type": "server.heartbeat", "properties": {}}))?;
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
            // Conversations that nobody began, and texts that nobody asked for.
            let (session, text) = (format!("ses_{number:020}"), "x".repeat(60 * 1024));
            let forged = match number % 2 {
                0 => json!({"type": "session.updated", "properties": {"info": {"id": session, "title": text,
                    "version": "1", "projectID": "p", "directory": "/workspace", "time": {"created": 1, "updated": 1}}}}),
                _ => {
                    json!({"type": "message.part.updated", "properties": {"part": {"id": format!("prt_{number:020}"),
                    "sessionID": session, "messageID": format!("msg_{number:020}"), "type": "text", "text": text}}})
                }
            };
            self.said.fetch_add(event(forged)?, Ordering::SeqCst);
        }
        None
    }
}

fn say(stream: &mut TcpStream, status: &str, body: &Value) -> Option<()> {
    let body = body.to_string();
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).ok()
}

/// Megabytes that a process holds.
fn memory(process: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
}

#[test]
fn an_agent_that_floods_a_whole_gateway_takes_a_bounded_memory_and_no_answer_from_others() {
    let agents = Arc::new(Agents::default());
    let mut world = World::new();
    world.set("MIMIR_TEST_AGENT", &agents.listen()).set("PATH", "/nonexistent");
    world.configure("server:\n  http_port: off\n");
    let _gateway = Gateway(&world);
    assert_eq!(world.run(&["serve", "--detach"]).code, 0);
    for name in ["loud", "quiet"] {
        std::fs::create_dir_all(world.work().join(name)).expect("a folder");
        let folder = world.work().join(name).display().to_string();
        let made = world.run(&["frame", "create", name, "--workspace", &folder, "--start"]);
        assert_eq!(made.code, 0, "{made:?}");
    }
    let process = pid(&world).as_raw_nonzero().get();
    let before = memory(process);
    agents.is_flooding.store(true, Ordering::SeqCst);
    let (began, mut most, mut slowest) = (Instant::now(), before, Duration::ZERO);
    while began.elapsed() < FLOOD {
        let asked = Instant::now();
        let shown = world.run(&["frame", "show", "quiet", "--json"]);
        slowest = slowest.max(asked.elapsed());
        let frame: Value = serde_json::from_str(&shown.stdout).expect("json");
        assert_eq!((shown.code, &frame["state"]), (0, &"running".into()), "{shown:?}");
        most = most.max(memory(process));
    }
    let (elapsed, said) = (began.elapsed(), agents.said.load(Ordering::SeqCst) / (1024 * 1024));
    let seen = format!(
        "{before} MB before, {most} MB at most; {said} MB were said in {elapsed:?}; slowest answer {slowest:?}"
    );
    assert!(said >= 16, "it was no flood: {seen}");
    assert!(most - before <= MEMORY, "{seen}");
    assert!(slowest < ANSWER, "{seen}");
    // What is said above the burst is taken at the usual pace.
    assert!(said <= 64 + 16 + 5 * elapsed.as_secs(), "{seen}");
    agents.is_flooding.store(false, Ordering::SeqCst);
}

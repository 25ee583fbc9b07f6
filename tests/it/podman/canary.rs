//! Planted secrets and a whole story: a model that repeats its key, a host that repeats a secret, a push, a message of the
//! forge's, a permission, an agent that is killed. Afterwards none of them is in anything that the frame can read, nor in the
//! memory of what runs there, nor in what mimir says and keeps.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use ring::hmac;

use super::scripted::{KEY, Scripted};
use super::support::{World, eventually, skip};
use crate::forge::{Bare, Forge, TOKEN};

const LIMIT: Duration = Duration::from_secs(60);
/// What a frame uses without seeing it.
const SECRET: &str = "ghp_c4n4rya8d7Kq2mX0vZ4rT6yB1nL9cW5eJ3hU";
/// What a forge signs its messages with.
const HOOK: &str = "whk-c4n4ry-3f9d17ab62c84e05";
/// What may be found, so that the search is known to find something.
const MARKER: &str = "canary-marker-7f3a-not-a-secret";

/// All spellings of a text that are looked for.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let each = |how: fn(u8) -> String| text.bytes().map(how).collect::<String>();
    let mut forms = vec![
        text.to_owned(),
        text.chars().rev().collect(),
        each(|byte| format!("%{byte:02X}")),
        each(|byte| format!("%{byte:02x}")),
        each(|byte| format!("\\u{byte:04x}")),
        hex::encode(text),
    ];
    // What of its base64 depends on it alone, whatever stands before it.
    for before in ["", "x", "xx"] {
        for code in
            [STANDARD.encode(format!("{before}{text}")), URL_SAFE_NO_PAD.encode(format!("{before}{text}"))]
        {
            forms.push(code[(before.len() * 8).div_ceil(6)..(before.len() + text.len()) * 8 / 6].to_owned());
        }
    }
    forms.into_iter().map(String::into_bytes).collect()
}

/// What is looked for: forms by their first byte, each with the name of what it is a form of.
struct Search(Vec<Vec<(&'static str, Vec<u8>)>>);

impl Search {
    fn of(texts: &[(&'static str, &str)]) -> Self {
        let mut by_first = vec![Vec::new(); 256];
        for (name, text) in texts {
            for form in forms(text) {
                by_first[usize::from(form[0])].push((*name, form));
            }
        }
        Self(by_first)
    }

    fn forms(&self) -> impl Iterator<Item = &(&'static str, Vec<u8>)> {
        self.0.iter().flatten()
    }

    fn hits(&self, place: &str, bytes: &[u8]) -> Vec<String> {
        let mut found = BTreeSet::new();
        for (at, first) in bytes.iter().enumerate() {
            let begun = &self.0[usize::from(*first)];
            if begun.is_empty() {
                continue;
            }
            let fits = begun.iter().filter(|(_, form)| bytes[at..].starts_with(form));
            found.extend(fits.map(|(name, _)| format!("{name} in {place}")));
        }
        found.into_iter().collect()
    }

    /// In what a core dump of a process would hold: the memory that it wrote to. Says how many bytes that are.
    ///
    /// What it took and never touched is left out, of which an agent has gigabytes.
    fn hits_in_memory(&self, process: &Path, page: usize, found: &mut Vec<String>) -> io::Result<u64> {
        const PIECE: usize = 1 << 20;
        let longest = self.forms().map(|(_, form)| form.len()).max().unwrap_or(0);
        let place = format!(
            "the memory of {}",
            fs::read_to_string(process.join("cmdline"))?.replace('\0', " ").trim()
        );
        let maps = fs::read_to_string(process.join("maps"))?;
        let (memory, pages) =
            (fs::File::open(process.join("mem"))?, fs::File::open(process.join("pagemap"))?);
        let mut all = 0;
        let (mut touched, mut piece) = (vec![0; PIECE / page * 8], vec![0; PIECE]);
        for line in
            maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|may| may.starts_with("rw")))
        {
            let range = line.split(' ').next().and_then(|range| range.split_once('-'));
            let (start, end) = range.expect("two addresses");
            let address = |text| usize::from_str_radix(text, 16).expect("an address");
            // The end of the piece before, in which a form may have begun.
            let mut text = Vec::new();
            for at in (address(start)..address(end)).step_by(PIECE) {
                let length = PIECE.min(address(end) - at);
                let touched = &mut touched[..length / page * 8];
                // The process goes on meanwhile, and gives memory back.
                let known = pages.read_exact_at(touched, (at / page * 8) as u64).is_ok();
                // The two highest bits say that a page is there, and that it was swapped out.
                let is_touched = known && touched.chunks_exact(8).any(|page| page[7] & 0b1100_0000 != 0);
                let read = if is_touched { memory.read_at(&mut piece[..length], at as u64) } else { Ok(0) };
                let read = read.unwrap_or(0);
                if read == 0 {
                    text.clear();
                    continue;
                }
                text.extend_from_slice(&piece[..read]);
                found.extend(self.hits(&place, &text));
                all += read as u64;
                text.drain(..text.len().saturating_sub(longest));
            }
        }
        Ok(all)
    }

    /// In all files below a folder, but these.
    fn hits_below(&self, folder: &Path, leave_out: &[&str], found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            let is_left_out = path.file_name().is_some_and(|name| leave_out.iter().any(|out| name == *out));
            if kind.is_dir() {
                self.hits_below(&path, leave_out, found);
            } else if kind.is_file() && !is_left_out {
                found.extend(self.hits(&path.display().to_string(), &fs::read(&path).unwrap_or_default()));
            }
        }
    }
}

/// A host that repeats what it is asked with, at this machine's own address; none where it has no such address.
fn repeating_host() -> Option<(SocketAddr, Arc<Mutex<Vec<String>>>)> {
    let own = UdpSocket::bind("0.0.0.0:0").ok()?;
    own.connect("192.0.2.1:9").ok()?;
    let listener = TcpListener::bind((own.local_addr().ok()?.ip(), 0)).ok()?;
    let address = listener.local_addr().ok()?;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let told = heard.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let body = format!("{MARKER} {head} {}", STANDARD.encode(&head));
            told.lock().push(head);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        }
    });
    Some((address, heard))
}

/// The processes of the frames' containers, as this machine sees them: those that are in a list of processes of a container's.
fn processes(world: &World) -> Vec<PathBuf> {
    let namespace = |process: &Path| fs::read_link(process.join("ns/pid")).ok();
    let first = |name: &String| {
        let pid = world.podman(&["inspect", "--format", "{{.State.Pid}}", name]).ok().stdout;
        namespace(&Path::new("/proc").join(pid.trim()))
    };
    let containers: Vec<_> = world.containers().iter().filter_map(first).collect();
    let all = fs::read_dir("/proc").expect("Linux").flatten().map(|entry| entry.path());
    all.filter(|process| namespace(process).is_some_and(|own| containers.contains(&own))).collect()
}

/// No secret is in the memory of what runs in the frame, which is what a core dump would hold. The password of the agent's own
/// server is, so the search is known to find something.
fn look_into_memory(world: &World, secrets: &Search, found: &mut Vec<String>) {
    let what = "the memory of a frame's processes";
    let id = world.json(&["frame", "show", "canary"])["id"].as_str().expect("an id").to_owned();
    let password = fs::read_to_string(world.home.join("frames").join(id).join("start/password"));
    let password = password.expect("the frame runs").trim().to_owned();
    let known = Search::of(&[("the server's password", &password)]);
    let page = world.run("getconf", &["PAGESIZE"]).ok().stdout.trim().parse().expect("a size");
    let (mut all, mut marked, mut closed) = (0, Vec::new(), Vec::new());
    for process in processes(world) {
        let read = secrets
            .hits_in_memory(&process, page, found)
            .and_then(|read| Ok(read + known.hits_in_memory(&process, page, &mut marked)?));
        match read {
            Ok(read) => all += read,
            // Commands that come and go.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {}
            Err(error) => closed.push(format!("{}: {error}", process.display())),
        }
    }
    // Yama, or another rule of this machine's, lets root alone look there.
    if !rustix::process::geteuid().is_root() && !closed.is_empty() {
        return skip(what, &closed.join(", "));
    }
    assert_eq!(closed, Vec::<String>::new(), "all of them can be read");
    let agent = |hit: &String| hit.contains("opencode") && hit.contains("serve");
    assert!(marked.iter().any(agent), "{all} bytes, and the agent's password is not found: {marked:?}");
}

/// What the agent, and whatever it runs, can read: files, processes, environments. The system's programs are everybody's.
const EVERYTHING: &str = "env; cat /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null; \
     find / \\( -path /proc -o -path /sys -o -path /usr -o -path /dev \\) -prune -o -type f -readable -print0 2>/dev/null \
     | xargs -0 cat 2>/dev/null; true";

fn inside(world: &World, script: &str) -> String {
    world.mimir(&["frame", "exec", "canary", "--", "sh", "-c", script]).ok().stdout
}

/// The frame pushes; what opens the forge is added by the gateway.
fn push(world: &World, blog: &Bare) {
    let pushed = inside(
        world,
        "set -e; export GIT_AUTHOR_NAME=Agent GIT_AUTHOR_EMAIL=a@x.test GIT_COMMITTER_NAME=Agent GIT_COMMITTER_EMAIL=a@x.test; \
         git fetch -q origin; git checkout -qf -B mimir/fix origin/main; echo 1 >a; git add a; git commit -qm a; \
         git push -q origin mimir/fix; git rev-parse HEAD",
    );
    assert_eq!(blog.head("mimir/fix").as_deref(), Some(pushed.trim()));
}

/// The forge tells the gateway of something, signed.
fn tell_of_a_push(port: u16) {
    let body = r#"{"zen": "Design for failure."}"#;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, HOOK.as_bytes()), body.as_bytes());
    let told = std::process::Command::new("curl")
        .args(["-sS", "-m", "20", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}"])
        .args(["-H", "content-type: application/json", "-H", "x-github-event: ping"])
        .args(["-H", "x-github-delivery: guid-canary", "--data-binary", body])
        .args(["-H", &format!("x-hub-signature-256: sha256={}", hex::encode(tag))])
        .arg(format!("http://127.0.0.1:{port}/webhooks/forge"))
        .output()
        .expect("curl runs");
    let status = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(status.starts_with('2'), "{status} {}", String::from_utf8_lossy(&told.stderr));
}

#[test]
fn no_planted_secret_is_in_anything_that_a_frame_can_read_or_that_mimir_says_and_keeps() {
    let threads = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let threads = threads.expect("a runtime");
    let forge = threads.block_on(Forge::start());
    let blog = forge.repository("me/blog");
    let more = format!(
        "approvals:\n  rules:\n    - {{tool: bash, command: 'echo *', action: ask}}\n\
         git:\n  hosts: [\"{0}\"]\n  credentials:\n    - {{host: \"{0}\", token: \"{TOKEN}\"}}\n\
         webhooks:\n  catch_up: off\n  sources:\n    forge: {{kind: github, secret: \"{HOOK}\"}}\n",
        forge.host()
    );
    let Some(mut place) = Scripted::new("canary", &more) else { return };
    // With a listener for clients elsewhere, which makes the token.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    place.world.set_env("MIMIR_SERVER_HTTP_PORT", &port.to_string());
    let world = &place.world;
    let host = repeating_host();
    let list = host.as_ref().map_or_else(|| "example.com".to_owned(), |(address, _)| address.to_string());
    fs::write(world.project.join("notes.txt"), MARKER).expect("a file of the project's");
    let _ = world.run("git", &["init", "--quiet", "--initial-branch=main", "."]).ok();
    let origin = format!("{}/me/blog.git", forge.host());
    let _ = world.run("git", &["remote", "add", "origin", &origin]).ok();
    let create = ["frame", "create", "canary", "--network", "allow", "--allow", &list, "--no-start"];
    let _ = world.mimir(&create).ok();

    // Planted: the provider's key is in the configuration; the secret comes in through a pipe, as from a password manager.
    let mimir = world.binary();
    let _ = world.run("sh", &["-c", &format!("printf %s {SECRET} | {mimir} secret set github")]).ok();
    let target =
        host.as_ref().map_or_else(|| "https://example.com".to_owned(), |(at, _)| format!("http://{at}"));
    let _ =
        world.mimir(&["secret", "grant", "github", "canary", "--host", &target, "--as", "GITHUB_TOKEN"]).ok();
    let _ = world.mimir(&["frame", "start", "canary"]).ok();

    // The frame uses the secret without seeing it.
    let placeholder = inside(world, "printf %s \"$GITHUB_TOKEN\"");
    assert!(placeholder.starts_with("mimir-secret-"), "{placeholder}");
    if let Some((_, heard)) = &host {
        let ask = format!(
            "curl -s -m 20 -H \"Authorization: Bearer $GITHUB_TOKEN\" {target}/x | tee /workspace/answer.txt; \
             curl -s -m 20 -u \"me:$GITHUB_TOKEN\" {target}/y >>/workspace/answer.txt"
        );
        let answer = inside(world, &ask);
        assert!(answer.contains(MARKER) && answer.contains("[redacted]"), "{answer}");
        let heard = heard.lock().join("\n");
        assert!(heard.contains(&format!("Bearer {SECRET}")), "the secret was really sent: {heard}");
        assert!(heard.contains(&STANDARD.encode(format!("me:{SECRET}"))), "packed too: {heard}");
    }

    push(world, &blog);
    tell_of_a_push(port);

    // A model that repeats its key, whole and in a refusal; a permission; an agent that is killed.
    let _ = world.mimir(&["send", "--frame", "canary", "@@echo@@"]).ok();
    let _ = world.mimir(&["send", "--frame", "canary", "@@echo401@@"]).code(1);
    let asking = world.spawn(&["send", "--frame", "canary", "@@bash@@"]);
    eventually("a permission is asked for", LIMIT, || {
        let waiting = world.json(&["approvals", "list"]);
        let one = waiting.as_array().is_some_and(|all| all.len() == 1 && all[0]["state"] == "pending");
        if one { Ok(()) } else { Err(waiting.to_string()) }
    });
    let _ = world.mimir(&["approvals", "allow"]).ok();
    let asked = asking.wait_with_output().expect("it ends");
    assert!(asked.status.success(), "{asked:?}");
    let _ = world.mimir(&["frame", "exec", "canary", "--", "pkill", "-KILL", "-f", "opencode serve"]).ok();
    let _ = world.mimir(&["send", "--frame", "canary", "@@text@@"]).ok();

    let read = |name: &str| fs::read_to_string(world.home.join(name)).expect(name).trim().to_owned();
    let (audit, token, db) = (read("audit.key"), read("gateway.token"), read("db.key"));
    let secrets = Search::of(&[
        ("the provider's key", KEY),
        ("the secret", SECRET),
        ("what opens the forge", TOKEN),
        ("what the forge signs with", HOOK),
        ("the audit log's first key", &audit),
        ("the gateway's token", &token),
        ("the database's key", &db),
    ]);
    let marker = Search::of(&[("the marker", MARKER)]);
    let (mut found, mut marked) = (Vec::new(), Vec::new());
    let mut look = |place: &str, text: &str| {
        found.extend(secrets.hits(place, text.as_bytes()));
        marked.extend(marker.hits(place, text.as_bytes()));
    };
    let say = |words: &[&str]| world.mimir(words).ok().stdout;
    look("the frame", &inside(world, EVERYTHING));
    look("the engine's words about it", &say_of_the_engine(world));
    look("events", &say(&["frame", "events", "canary", "--json"]));
    look("the frame's log", &say(&["frame", "logs", "canary"]));
    look("an export", &say(&["sessions", "export", "last"]));
    look("a conversation", &say(&["sessions", "show", "last", "--json"]));
    look("the audit log", &say(&["audit", "export"]));
    look("secrets", &say(&["secret", "list", "--json"]));
    look("the frame's description", &say(&["frame", "show", "canary", "--json"]));
    look_into_memory(world, &secrets, &mut found);
    let _ = world.mimir(&["backup", "create"]).ok();
    // The files that hold them by design are no finding. The database is read as it lies there, with its log.
    let by_design = ["audit.key", "gateway.token", "db.key", "config.yaml"];
    secrets.hits_below(&world.home, &by_design, &mut found);
    assert!(world.home.join("mimir.db-wal").exists(), "the database's log is among what was read");
    assert_eq!(found, Vec::<String>::new());

    // A crash of the gateway leaves nothing of its memory to be searched: 1 byte is what keeps a pipe from being told as well.
    let limits = format!("/proc/{}/limits", world.json(&["status"])["pid"]);
    let limits = fs::read_to_string(limits).expect("the gateway runs");
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
    assert_eq!(cores.split_whitespace().nth(4), Some("1"), "{cores}");

    // And the search finds what is there.
    assert!(marked.iter().any(|hit| hit.ends_with("the frame")), "{marked:?}");
    for (name, form) in secrets.forms() {
        let hits = secrets.hits("itself", &[b"some text before ", &form[..], b" and behind"].concat());
        assert_eq!(hits, [format!("{name} in itself")]);
    }
    let mut by_design = Vec::new();
    secrets.hits_below(&world.home, &[], &mut by_design);
    assert_eq!(by_design.len(), 6, "each of the four files holds its own, one of them three: {by_design:?}");
}

fn say_of_the_engine(world: &World) -> String {
    let names = world.containers();
    names.iter().map(|name| world.podman(&["inspect", name]).ok().stdout).collect()
}

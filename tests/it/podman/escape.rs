//! The attempts of `scripts/escape`, in a frame of an ordinary user's and in one of root's.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::support::{Engine, World, skip};

/// As many as there are at least; fewer means that some could not be loaded.
const ATTEMPTS: usize = 200;
/// Where neither kernel nor file system can show root's folder as another's, the agent has root's number, and says so.
const OF_ROOTS_FOLDERS: &str = "the agent is not root of the host";

/// Lays the attempts into the project.
pub(super) fn plant(world: &World) {
    let place = world.project.join(".escape");
    fs::create_dir(&place).expect("a folder");
    let attempts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/escape");
    for file in fs::read_dir(attempts).expect("the attempts").flatten() {
        if file.path().extension().is_some_and(|it| it == "py") {
            fs::copy(file.path(), place.join(file.file_name())).expect("copied");
        }
    }
}

fn on(engine: Engine, network: &str, areas: &[&str], least: usize) {
    let world = match World::alone(engine) {
        Ok(world) => world,
        Err(why) => return skip(&format!("escape ({engine:?}, {network})"), &why),
    };
    plant(&world);
    let plugins = world.project.join(".opencode/plugins");
    fs::create_dir_all(&plugins).expect("a folder");
    let plugin = "export const Escape = async () => { await Bun.write(`${process.env.HOME}/.escape-plugin-ran`, 'ran'); return {} }\n";
    fs::write(plugins.join("escape.js"), plugin).expect("planted");

    // Something of the host that must not be reached; whoever gets through is greeted.
    let here = TcpListener::bind("127.0.0.1:0").expect("a port");
    let anywhere = TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = |listener: &TcpListener| listener.local_addr().expect("an address").port();
    let context = json!({"network": network, "loopback_port": port(&here), "open_port": port(&anywhere), "addresses": []});
    for listener in [here, anywhere] {
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.0 200 OK\r\n\r\nescape-listener\r\n");
            }
        });
    }

    let _ = world.mimir(&["frame", "create", "box", "--network", network, "--start"]).ok();
    let own_users = world.json(&["frame", "show", "box"])["isolation"]["own_users"] == true;
    let setting = format!("ESCAPE_CONTEXT={context}");
    let mut words =
        vec!["frame", "exec", "box", "--", "env", &setting, "python3", "/workspace/.escape/inside.py"];
    words.extend_from_slice(areas);
    let results: Vec<Value> = match areas.is_empty() {
        // Bombs are among them.
        true => beside_another(&world, || world.mimir(&words).ok().lines()),
        false => world.mimir(&words).ok().lines(),
    };
    assert!(results.len() >= least, "{}", results.len());
    let broken: Vec<&Value> = results
        .iter()
        .filter(|one| one["result"] == "broken" || one["result"] == "failed")
        .filter(|one| own_users || one["name"] != OF_ROOTS_FOLDERS)
        .collect();
    assert!(broken.is_empty(), "{engine:?}: {broken:#?}");
}

/// Ends what waits for it, however the attempts end.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whatever is tried in one frame: another one starts programs and writes files meanwhile, the gateway answers, and what it keeps is whole.
fn beside_another<T>(world: &World, attempts: impl FnOnce() -> T) -> T {
    let folder = world.root.join("neighbour");
    fs::create_dir(&folder).expect("a folder");
    std::os::unix::fs::chown(&folder, Some(world.uid()), None).expect("the user's own folder");
    let folder = folder.display().to_string();
    let _ = world.mimir(&["frame", "create", "neighbour", "--workspace", &folder, "--start"]).ok();
    let is_over = AtomicBool::new(false);
    let work = "echo $((6 * 7)) >/workspace/sum && cat /workspace/sum";
    let results = std::thread::scope(|threads| {
        let beside = threads.spawn(|| {
            let mut rounds = 0;
            while rounds == 0 || !is_over.load(Ordering::Relaxed) {
                let done = world.mimir(&["frame", "exec", "neighbour", "--", "sh", "-c", work]).ok();
                assert_eq!(done.stdout.trim(), "42", "{done:?}");
                let _ = world.json(&["status"]);
                rounds += 1;
            }
            rounds
        });
        let ends = Over(&is_over);
        let results = attempts();
        drop(ends);
        let rounds: usize = beside.join().expect("the other frame and the gateway answer");
        assert!(rounds > 1, "it worked while the attempts were made");
        results
    });
    let _ = world.mimir(&["send", "--frame", "neighbour", "hello"]).ok();
    let _ = world.mimir(&["audit", "verify"]).ok();
    results
}

#[test]
fn nothing_leads_out_of_a_frame_rootful() {
    on(Engine::Rootful, "allow", &[], ATTEMPTS);
}

/// Without the limits: where cgroups are of the first version, nobody but root can set any.
#[test]
fn nothing_leads_out_of_a_frame_rootless() {
    on(Engine::Rootless, "allow", &["kernel", "files", "network", "agent"], 100);
}

/// What differs from a frame with a list. Mode open is an ordinary container network; what works there is in docs/isolation.md.
#[test]
fn nothing_leads_out_of_a_sealed_frame() {
    on(Engine::usual(), "sealed", &["files", "network", "agent"], 80);
}

//! The attempts of `scripts/escape`, in a frame of an ordinary user's and in one of root's.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

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

fn on(engine: Engine, areas: &[&str]) {
    let world = match World::alone(engine) {
        Ok(world) => world,
        Err(why) => return skip(&format!("escape ({engine:?})"), &why),
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
    let context = json!({"network": "allow", "loopback_port": port(&here), "open_port": port(&anywhere), "addresses": []});
    for listener in [here, anywhere] {
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let _ = std::io::Write::write_all(&mut stream, b"HTTP/1.0 200 OK\r\n\r\nescape-listener\r\n");
            }
        });
    }

    let _ = world.mimir(&["frame", "create", "box", "--start"]).ok();
    let own_users = world.json(&["frame", "show", "box"])["isolation"]["own_users"] == true;
    let setting = format!("ESCAPE_CONTEXT={context}");
    let mut words =
        vec!["frame", "exec", "box", "--", "env", &setting, "python3", "/workspace/.escape/inside.py"];
    words.extend_from_slice(areas);
    let results: Vec<Value> = world.mimir(&words).ok().lines();
    assert!(results.len() >= if areas.is_empty() { ATTEMPTS } else { 100 }, "{}", results.len());
    let broken: Vec<&Value> = results
        .iter()
        .filter(|one| one["result"] == "broken" || one["result"] == "failed")
        .filter(|one| own_users || one["name"] != OF_ROOTS_FOLDERS)
        .collect();
    assert!(broken.is_empty(), "{engine:?}: {broken:#?}");
}

#[test]
fn nothing_leads_out_of_a_frame_rootful() {
    on(Engine::Rootful, &[]);
}

/// Without the limits: where cgroups are of the first version, nobody but root can set any.
#[test]
fn nothing_leads_out_of_a_frame_rootless() {
    on(Engine::Rootless, &["kernel", "files", "network", "agent"]);
}

//! What a frame reaches in each network mode, from the inside of real ones.

use std::net::TcpListener;
use std::time::Duration;

use super::support::{Engine, Run, World, eventually, skip};

fn world(test: &str) -> Option<World> {
    let engine = Engine::usual();
    match World::new(engine) {
        Ok(world) => Some(world),
        Err(why) => {
            skip(test, &why);
            None
        }
    }
}

fn inside(world: &World, frame: &str, script: &str) -> Run {
    world.mimir(&["frame", "exec", frame, "--", "sh", "-c", script])
}

/// What the broker says to a CONNECT: its HTTP status, as curl sees it.
fn connect(world: &World, frame: &str, host: &str) -> String {
    let script = format!(
        "curl -s -o /dev/null -m 40 --noproxy '' -x http://127.0.0.1:8118 -w '%{{http_connect}}' https://{host}/ || true"
    );
    inside(world, frame, &script).stdout.trim().to_owned()
}

fn refusals(world: &World, frame: &str) -> Vec<serde_json::Value> {
    let events = world.mimir(&["frame", "events", frame, "--json"]).ok().lines();
    events.into_iter().filter(|event| event["kind"] == "frame.refused").collect()
}

/// No interface but the loopback, no route, and so no way out but the broker's socket.
fn has_no_way_out(world: &World, frame: &str) {
    assert_eq!(inside(world, frame, "ls /sys/class/net").ok().stdout.trim(), "lo");
    assert_eq!(inside(world, frame, "tail -n +2 /proc/net/route").ok().stdout.trim(), "");
    // Past the broker: 7 is curl's "cannot connect".
    let direct = inside(world, frame, "curl -s --noproxy '*' -m 5 -o /dev/null http://192.0.2.1/");
    assert_eq!(direct.code, 7, "{direct:?}");
    let name = inside(world, frame, "getent hosts example.com");
    assert_ne!(name.code, 0, "names are the broker's business: {name:?}");
}

#[test]
fn a_sealed_frame_reaches_its_model_and_nothing_else() {
    let Some(mut world) = world("network mode sealed") else { return };
    // A gateway runs already, and knows nothing of this: what shapes a frame goes along with the request.
    let _ = world.mimir(&["frame", "list"]).ok();
    assert!(world.gateway_pid().is_some(), "a gateway runs");
    world.set_env("MIMIR_FRAMES_NETWORK", "sealed");
    let _ = world.mimir(&["frame", "create", "vault", "--start"]).ok();
    world.clear_env("MIMIR_FRAMES_NETWORK");
    has_no_way_out(&world, "vault");
    assert_eq!(connect(&world, "vault", "example.com"), "403");
    // Plain HTTP through the broker as well, and it says why.
    let plain = inside(&world, "vault", "curl -s -m 10 http://example.com/");
    assert!(plain.stdout.contains("the frame is sealed"), "{plain:?}");
    eventually("the refusal is told", Duration::from_secs(10), || {
        let told = refusals(&world, "vault");
        let named = told.iter().any(|event| event["data"]["host"] == "example.com");
        if named { Ok(()) } else { Err(format!("{told:?}")) }
    });
    let _ = world.mimir(&["send", "--frame", "vault", "hello"]).ok();
}

#[test]
fn an_allowed_frame_reaches_what_is_listed_and_no_private_address() {
    let Some(world) = world("network mode allow") else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not wait");
    let private = listener.local_addr().expect("its address").to_string();
    let args = [
        "frame",
        "create",
        "shop",
        "--network",
        "allow",
        "--allow",
        "example.com",
        "--allow",
        &private,
        "--start",
    ];
    let _ = world.mimir(&args).ok();
    has_no_way_out(&world, "shop");

    // Listed: let through. Whether this machine has an internet behind it is another matter (502 without one).
    let listed = connect(&world, "shop", "example.com");
    assert!(matches!(listed.as_str(), "200" | "502" | "504"), "a listed host is tried, got {listed}");
    assert_eq!(connect(&world, "shop", "example.net"), "403", "not listed");
    assert_eq!(connect(&world, "shop", "example.com:22"), "403", "listed for the web, not for everything");

    // The host's own services stay out of reach, even for a list that names them.
    assert_eq!(connect(&world, "shop", &private), "403");
    assert!(listener.accept().is_err(), "nobody knocked at {private}");
    // SSH is answered with what to use instead, and told outside.
    let ssh = inside(&world, "shop", "git ls-remote git@git.example.org:me/shop.git");
    assert!(ssh.code != 0 && ssh.stderr.contains("use the https address"), "{ssh:?}");
    let told = refusals(&world, "shop");
    let is_ssh = |event: &serde_json::Value| event["data"]["host"] == "git.example.org";
    let why = told.iter().find(|event| is_ssh(event)).map(|event| event.to_string()).unwrap_or_default();
    assert!(why.contains("no ssh leads out of a frame"), "{told:?}");
    let hosts: Vec<&str> = told.iter().filter_map(|event| event["data"]["host"].as_str()).collect();
    assert!(hosts.contains(&"example.net") && hosts.contains(&"127.0.0.1"), "{told:?}");
}

#[test]
fn an_open_frame_has_a_network_of_its_own() {
    let Some(world) = world("network mode open") else { return };
    let tun = std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    if world.engine == Engine::Rootless && tun.is_err() {
        // Refused before anything was made, and in words.
        let refused = world.mimir(&["frame", "create", "plaza", "--network", "open"]).code(1);
        assert!(refused.stderr.contains("--network allow"), "{refused:?}");
        assert_eq!(world.containers(), Vec::<String>::new());
        return skip("network mode open", "an ordinary user may not use /dev/net/tun on this machine");
    }
    let _ = world.mimir(&["frame", "create", "plaza", "--network", "open", "--start"]).ok();
    let interfaces = inside(&world, "plaza", "ls /sys/class/net").ok().stdout;
    assert!(interfaces.split_whitespace().any(|name| name != "lo"), "{interfaces}");
    let routes = inside(&world, "plaza", "tail -n +2 /proc/net/route").ok().stdout;
    assert!(!routes.trim().is_empty(), "there is a way out");
    // The host's ports are the gateway's listeners here too: nothing is published by the engine.
    let show = world.json(&["frame", "show", "plaza"]);
    let name = show["container"].as_str().expect("a name");
    let published = world.podman(&["port", name]);
    assert_eq!(published.stdout.trim(), "", "{published:?}");
    let _ = world.mimir(&["send", "--frame", "plaza", "hello"]).ok();
}

#[test]
fn a_host_that_is_not_listed_is_asked_about_while_the_connection_waits() {
    let Some(mut world) = world("questions about hosts") else { return };
    world.set_env("MIMIR_NETWORK_ASK_WAIT", "120s");
    let _ = world.mimir(&["frame", "create", "shop", "--network", "allow", "--start"]).ok();
    let curl = ["frame", "exec", "shop", "--", "curl", "-s", "-m", "120", "http://registry.example.org/x"];
    let waits = world.spawn(&curl);
    let asked = eventually("it is asked", Duration::from_secs(30), || {
        let open = world.json(&["approvals", "list"]);
        open.as_array().and_then(|open| open.first()).cloned().ok_or_else(|| open.to_string())
    });
    assert_eq!((asked["form"].as_str(), asked["state"].as_str()), (Some("connection"), Some("pending")));
    assert_eq!(asked["text"], "curl wants registry.example.org", "{asked}");
    let shown = world.mimir(&["frame", "network", "shop"]).ok().stdout;
    assert!(shown.contains("curl wants registry.example.org"), "{shown}");
    let _ = world.mimir(&["approvals", "deny", asked["id"].as_str().expect("an id")]).ok();
    let told = waits.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("somebody said no") && told.contains("mimir frame allow shop"), "{told}");
    assert!(!told.contains("owner:"), "a frame does not hear who: {told}");

    // Always: the list has it, and what waited goes on, as far as there is such a host.
    let curl = ["frame", "exec", "shop", "--", "curl", "-s", "-m", "120", "http://nothing.invalid/x"];
    let waits = world.spawn(&curl);
    eventually("it is asked", Duration::from_secs(30), || {
        let said = world.mimir(&["approvals", "allow", "--always"]);
        if said.code == 0 { Ok(()) } else { Err(format!("{said:?}")) }
    });
    let told = waits.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("nothing.invalid cannot be reached"), "{told}");
    let network = world.json(&["frame", "network", "shop"]);
    let list = network["allow"].as_array().expect("a list");
    assert!(list.contains(&serde_json::json!("nothing.invalid")), "{network}");
}

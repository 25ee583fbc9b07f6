//! What the machine and the user's account give.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use super::Subject;
use super::check::{About, Finding};
use crate::model::doctor::Check;
use crate::model::port::{Port, PortRange};
use crate::store;

const WITHIN: Duration = Duration::from_secs(5);
/// 2025-01-01; a machine that believes to live before it has no clock.
const LONG_AGO_MS: u64 = 1_735_689_600_000;
/// Longer paths do not fit into a socket's address.
const LONGEST_SOCKET_PATH: usize = 107;
/// Rootless containers need this many subordinate ids for images with ordinary users.
const ENOUGH_IDS: u64 = 65_536;

/// Compares the clock with what is known for certain.
pub(super) async fn clock(subject: &Subject) -> Check {
    let about = About {
        id: "host.clock",
        title: "the clock is right",
        why: "certificates, expiry of throwaway frames and the order of events depend on it",
    };
    let now = subject.clock.now_ms();
    let store = subject.store.clone();
    about
        .attempt(WITHIN, async move {
            let newest = match store {
                Some(store) => {
                    let newest = store.read(|db| {
                        let newest = store::events::newest_id(db)?;
                        let filter = store::events::Filter::default();
                        Ok(store::events::after(db, newest.saturating_sub(1), &filter, 1)?.pop())
                    });
                    newest.await.ok().flatten().map_or(0, |event| event.at)
                }
                None => 0,
            };
            judge_clock(now, newest)
        })
        .await
}

fn judge_clock(now: u64, newest_event: u64) -> Finding {
    let fix = "timedatectl set-ntp true";
    if now < LONG_AGO_MS {
        return Finding::failed("the clock stands before the year 2025", fix);
    }
    if newest_event > now + 60_000 {
        let behind = (newest_event - now) / 1000;
        return Finding::warning(format!("the clock is {behind} s behind the newest event"), fix);
    }
    Finding::ok("later than everything that has happened here")
}

/// Whether socket paths are short enough for the kernel.
pub(super) fn socket_path(subject: &Subject) -> Check {
    let about = About {
        id: "host.socket_path",
        title: "socket paths fit",
        why: "the kernel takes at most 107 bytes for the path of a Unix socket",
    };
    let length = subject.runtime_folder.join("gateway.sock").as_os_str().len();
    let finding = if length > LONGEST_SOCKET_PATH {
        Finding::failed(
            format!("the gateway's would have {length} bytes"),
            "set XDG_RUNTIME_DIR to a shorter folder",
        )
    } else {
        Finding::ok(format!("the gateway's has {length} of {LONGEST_SOCKET_PATH} bytes"))
    };
    about.found(finding, Duration::ZERO)
}

/// Leases nothing, but binds the port that the next frame would get, and connects to it.
pub(super) async fn ports(subject: &Subject) -> Check {
    let about = About {
        id: "host.ports",
        title: "a port for a frame can be bound",
        why: "each frame has two ports on 127.0.0.1",
    };
    let range = subject.ports;
    let store = subject.store.clone();
    about
        .attempt(WITHIN, async move {
            let leased = match store {
                Some(store) => store.read(|db| store::ports::leased(db)).await.unwrap_or_default(),
                None => Vec::new(),
            };
            let leased: BTreeSet<Port> = leased.into_iter().map(|lease| lease.0).collect();
            let tried = tokio::task::spawn_blocking(move || try_ports(range, &leased)).await;
            tried.unwrap_or_else(|error| {
                Finding::failed(format!("the check itself failed: {error}"), "report it")
            })
        })
        .await
}

fn try_ports(range: PortRange, leased: &BTreeSet<Port>) -> Finding {
    let mut busy = 0;
    for port in range.iter().filter(|port| !leased.contains(port)) {
        match TcpListener::bind(("127.0.0.1", port.0)) {
            Ok(listener) => {
                let reached = std::net::TcpStream::connect_timeout(
                    &([127, 0, 0, 1], port.0).into(),
                    Duration::from_secs(1),
                );
                drop(listener);
                return match reached {
                    Ok(_) => Finding::ok(format!(
                        "bound 127.0.0.1:{port}; {} leased, {busy} taken by other programs on the way",
                        leased.len()
                    )),
                    Err(error) => Finding::failed(
                        format!("bound 127.0.0.1:{port} but could not connect to it: {error}"),
                        "look for a firewall rule on the loopback interface",
                    ),
                };
            }
            Err(_) => busy += 1,
        }
    }
    Finding::failed(
        format!("no port of {range} is free"),
        "destroy a frame that you no longer need, or widen `frames.ports` in the configuration",
    )
}

/// Whether rootless containers have ids for their users.
pub(super) async fn subordinate_ids() -> Check {
    let about = About {
        id: "host.subids",
        title: "there are subordinate user and group ids",
        why: "without root, the users inside a container are made from them",
    };
    if rustix::process::geteuid().is_root() {
        return about.found(Finding::ok("not needed: the gateway runs as root"), Duration::ZERO);
    }
    about
        .attempt_blocking(WITHIN, || {
            let uid = rustix::process::getuid().as_raw();
            let user = user_name(uid).unwrap_or_else(|| uid.to_string());
            judge_ids(
                &user,
                count_ids(&read("/etc/subuid"), &user, uid),
                count_ids(&read("/etc/subgid"), &user, uid),
            )
        })
        .await
}

fn judge_ids(user: &str, uids: u64, gids: u64) -> Finding {
    if uids >= ENOUGH_IDS && gids >= ENOUGH_IDS {
        return Finding::ok(format!("{uids} user ids and {gids} group ids for {user}"));
    }
    Finding::failed(
        format!("{uids} user ids and {gids} group ids for {user}; {ENOUGH_IDS} of each are needed"),
        format!(
            "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user} && podman system migrate"
        ),
    )
}

fn count_ids(text: &str, user: &str, uid: u32) -> u64 {
    let of_user = |line: &&str| {
        let name = line.split(':').next().unwrap_or("");
        name == user || name == uid.to_string()
    };
    text.lines().filter(of_user).filter_map(|line| line.split(':').nth(2)?.trim().parse::<u64>().ok()).sum()
}

/// Whether frames go on after the user logs out.
pub(super) async fn linger() -> Check {
    let about = About {
        id: "host.linger",
        title: "frames go on after you log out",
        why: "without lingering, systemd ends everything of a user with the last session",
    };
    about
        .attempt_blocking(WITHIN, || {
            if rustix::process::geteuid().is_root() {
                return Finding::ok("not needed: the gateway runs as root");
            }
            if !Path::new("/run/systemd/system").exists() {
                return Finding::ok("not needed: systemd does not run here");
            }
            let uid = rustix::process::getuid().as_raw();
            let user = user_name(uid).unwrap_or_else(|| uid.to_string());
            if Path::new("/var/lib/systemd/linger").join(&user).exists() {
                Finding::ok(format!("lingering is on for {user}"))
            } else {
                Finding::warning(
                    format!("lingering is off for {user}"),
                    format!("sudo loginctl enable-linger {user}"),
                )
            }
        })
        .await
}

/// Whether a model can be asked. Values of keys are never looked at.
pub(super) fn providers(subject: &Subject) -> Check {
    let about = About {
        id: "models.keys",
        title: "a model provider has a key",
        why: "without one, only the built-in demo answers",
    };
    let usable: Vec<&str> = subject
        .providers
        .iter()
        .filter(|provider| provider.usable)
        .map(|provider| provider.name.as_str())
        .collect();
    let without: Vec<&str> = subject
        .providers
        .iter()
        .filter(|provider| !provider.usable)
        .map(|provider| provider.name.as_str())
        .collect();
    // It asks for the key without showing it.
    let fix = "mimir config set providers.anthropic.key && mimir serve --stop";
    let finding = match (usable.is_empty(), without.is_empty()) {
        (false, true) => Finding::ok(format!("usable: {}", usable.join(", "))),
        // One is enough: the others are there because mimir knows their names.
        (false, false) => {
            Finding::ok(format!("usable: {}; without a key: {}", usable.join(", "), without.join(", ")))
        }
        (true, false) => {
            Finding::warning(format!("without a key: {}; the demo answers", without.join(", ")), fix)
        }
        (true, true) => Finding::warning("none is configured; the demo answers", fix),
    };
    about.found(finding, Duration::ZERO)
}

fn user_name(uid: u32) -> Option<String> {
    let text = read("/etc/passwd");
    let line = text.lines().find(|line| line.split(':').nth(2) == Some(&uid.to_string()))?;
    line.split(':').next().map(str::to_owned)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::doctor::Outcome;

    #[test]
    fn a_clock_that_went_back_is_noticed() {
        assert_eq!(judge_clock(1_000, 0).outcome, Outcome::Failed);
        assert_eq!(judge_clock(LONG_AGO_MS + 1, LONG_AGO_MS + 120_000).outcome, Outcome::Warning);
        assert_eq!(judge_clock(LONG_AGO_MS + 1, LONG_AGO_MS).outcome, Outcome::Ok);
    }

    #[test]
    fn subordinate_ids_are_counted_by_name_and_by_number() {
        let text = "root:1:5\nme:100000:65536\n1000:200000:10\nmeme:1:1\nbroken\n";
        assert_eq!(count_ids(text, "me", 1000), 65_546);
        assert_eq!(judge_ids("me", 65_546, 0).outcome, Outcome::Failed);
        assert_eq!(judge_ids("me", 65_536, 65_536).outcome, Outcome::Ok);
    }

    #[test]
    fn leased_ports_are_not_tried() {
        let holder = TcpListener::bind("127.0.0.1:0").expect("a port");
        let taken = holder.local_addr().expect("an address").port().clamp(1025, 65_534);
        let range = PortRange { first: taken, last: taken + 1 };
        let leased = BTreeSet::from([Port(taken + 1)]);
        let finding = try_ports(range, &leased);
        assert_eq!(finding.outcome, Outcome::Failed, "{}", finding.found);
    }
}

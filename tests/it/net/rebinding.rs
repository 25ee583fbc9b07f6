//! A name that leads elsewhere from one question to the next, with a resolver that is asked over the network: the broker goes where
//! it looked, and asks once.
//!
//! The gateway's half runs in a network and with a resolver of its own: the machine's resolver is a file, and port 53 a port.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::Arc;

use mimir::broker::Dialer;
use mimir::model::network::NetworkMode;
use parking_lot::Mutex;
use tokio::net::TcpStream;

use super::support::{World, frame};
use crate::podman::support::skip;

/// Set for the half that runs in a network of its own.
const INSIDE: &str = "MIMIR_TEST_RESOLVER";

/// No machine has it, so nobody answers there.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

/// What the other half needs: the loopback of a new network, and this machine's resolver, which is files.
const SETUP: &str = "ip link set lo up\n\
    mount --bind \"$1/resolv.conf\" /etc/resolv.conf\n\
    if [ -e /etc/nsswitch.conf ]; then mount --bind \"$1/nsswitch.conf\" /etc/nsswitch.conf; fi\n\
    echo prepared\n\
    exec \"$2\" --exact net::rebinding::behind_a_resolver_of_its_own --ignored --nocapture\n";

#[test]
fn a_name_that_leads_elsewhere_a_moment_later_is_resolved_once_and_never_leads_to_this_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    write("resolv.conf", "nameserver 127.0.0.1\noptions timeout:5 attempts:1\n");
    write("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
    let mut words = vec!["--mount", "--net"];
    if !rustix::process::geteuid().is_root() {
        words.extend(["--user", "--map-root-user"]);
    }
    let run = Command::new("unshare")
        .args(words)
        .args(["--", "sh", "-ec", SETUP, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().expect("this program"))
        .env(INSIDE, "1")
        .output();
    let test = "a name that leads elsewhere";
    let run = match run {
        Ok(run) => run,
        Err(error) => return skip(test, &format!("no network of its own: unshare: {error}")),
    };
    let said = String::from_utf8_lossy(&run.stdout);
    let errors = String::from_utf8_lossy(&run.stderr);
    if !said.contains("prepared") {
        return skip(test, &format!("no network of its own: {}", errors.trim()));
    }
    assert!(run.status.success() && said.contains("1 passed"), "{said}\n{errors}");
}

#[tokio::test]
#[ignore = "run by the test above, in a network of its own"]
async fn behind_a_resolver_of_its_own() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let resolver = Resolver::start();
    // What came is in its queue; it waits for nobody.
    let victim = TcpListener::bind("127.0.0.1:0").expect("a port");
    victim.set_nonblocking(true).expect("a socket");
    let port = victim.local_addr().expect("an address").port();
    let names = ["tunnel.example.org", "plain.example.org", "both.example.org"];
    let listed = names.map(|name| format!("{name}:{port}"));
    let world = World::new(Vec::new(), Dialer::default());
    let frame = frame(1, NetworkMode::Allow, &listed.each_ref().map(String::as_str));
    world.insert(&frame).await;
    world.open(&frame);
    let requests = [
        format!("CONNECT {} HTTP/1.1\r\nHost: x\r\n\r\n", listed[0]),
        format!("GET http://{}/ HTTP/1.1\r\nHost: x\r\n\r\n", listed[1]),
        format!("CONNECT {} HTTP/1.1\r\nHost: x\r\n\r\n", listed[2]),
    ];
    // The first answer is public, the later ones are this machine. Who resolves to look and again to connect arrives here.
    for (name, request) in names.iter().zip(&requests).take(2) {
        let first = world.ask(&frame, request.as_bytes()).await;
        assert!(first.contains("502") && first.contains("cannot be reached"), "{name}: {first}");
        assert_eq!(resolver.asked(name), 1, "asked once, and what it said is dialled");
        let later = world.ask(&frame, request.as_bytes()).await;
        assert!(later.contains("403") && later.contains("private address"), "{name}: {later}");
        assert_eq!(resolver.asked(name), 2);
    }
    // Both at once: who tries the next address when the first does not answer arrives here.
    let both = world.ask(&frame, requests[2].as_bytes()).await;
    assert!(both.contains("502") && both.contains("cannot be reached"), "{both}");
    assert_eq!(resolver.asked(names[2]), 1);
    let nobody = victim.accept().expect_err("nobody came to this machine");
    assert_eq!(nobody.kind(), ErrorKind::WouldBlock);

    // The opposite: by this name a program that only connects does arrive.
    for name in [names[0], names[2]] {
        let arrived = TcpStream::connect((name, port)).await.expect("it leads here");
        assert!(arrived.peer_addr().expect("an address").ip().is_loopback(), "{name}");
        let _ = victim.accept().expect("somebody knocked");
    }
}

/// A name server on port 53. Clones share it.
#[derive(Clone, Default)]
struct Resolver(Arc<Mutex<BTreeMap<String, usize>>>);

impl Resolver {
    fn start() -> Self {
        let socket =
            UdpSocket::bind("127.0.0.1:53").expect("the port of name servers, in a network of its own");
        let resolver = Self::default();
        let answering = resolver.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut bytes) {
                if let Some(answer) = answering.answer(&bytes[..length]) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        resolver
    }

    /// How often it was asked for the IPv4 addresses of a name.
    fn asked(&self, name: &str) -> usize {
        self.0.lock().get(name).copied().unwrap_or(0)
    }

    /// A name has an address of everybody's the first time, and this machine's from then on; `both…` has both each time.
    fn addresses(&self, name: &str) -> Vec<Ipv4Addr> {
        let mut asked = self.0.lock();
        let times = asked.entry(name.to_owned()).or_default();
        *times += 1;
        match *times {
            _ if name.starts_with("both") => vec![PUBLIC, Ipv4Addr::LOCALHOST],
            1 => vec![PUBLIC],
            _ => vec![Ipv4Addr::LOCALHOST],
        }
    }

    /// An answer as RFC 1035 has it: the head, the question once more, and the addresses, each to be forgotten at once.
    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (mut labels, mut at) = (Vec::new(), 12);
        loop {
            let length = usize::from(*query.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_ascii_lowercase());
            at += length;
        }
        let question = query.get(12..at + 4)?;
        // An A record; there is nothing of any other kind.
        let is_v4 = query.get(at..at + 2)? == [0, 1];
        let addresses = if is_v4 { self.addresses(&labels.join(".")) } else { Vec::new() };
        let count = u8::try_from(addresses.len()).ok()?;
        let mut answer = query.get(..2)?.to_vec();
        answer.extend_from_slice(&[0x81, 0x80, 0, 1, 0, count, 0, 0, 0, 0]);
        answer.extend_from_slice(question);
        for address in addresses {
            answer.extend_from_slice(&[0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
            answer.extend_from_slice(&address.octets());
        }
        Some(answer)
    }
}

//! Whether Linux keeps the ports of frames from outgoing connections.

use std::fs;
use std::ops::RangeInclusive;
use std::time::Duration;

use rustix::fs::StatVfsMountFlags;

use super::Subject;
use super::check::{About, Finding};
use crate::model::doctor::Check;
use crate::model::port::{Port, PortRange};

const WITHIN: Duration = Duration::from_secs(5);
/// What is kept from outgoing connections: `8080,33000-34000`.
const RESERVED: &str = "/proc/sys/net/ipv4/ip_local_reserved_ports";
/// What outgoing connections are given: `32768 60999`.
const GIVEN_OUT: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// What setup reserves.
const OF_SETUP: PortRange = PortRange { first: 33_000, last: 34_000 };

/// Compares the frames' ports with the kernel's two lists.
pub(super) async fn ports(subject: &Subject) -> Check {
    let about = About {
        id: "host.reserved_ports",
        title: "the ports of frames are kept from outgoing connections",
        why: "a frame's port that an outgoing connection has taken is exchanged, and links to it break",
    };
    let range = subject.ports;
    about
        .attempt_blocking(WITHIN, move || {
            let lists = (fs::read_to_string(RESERVED), fs::read_to_string(GIVEN_OUT));
            let (Ok(reserved), Ok(given_out)) = lists else {
                return Finding::skipped("this machine does not say which ports are reserved");
            };
            judge(range, &reserved, &given_out, may_be_written())
        })
        .await
}

/// Inside a container even root may not; without root it is seen by how the folder is mounted.
fn may_be_written() -> bool {
    if rustix::process::geteuid().is_root() {
        return fs::OpenOptions::new().write(true).open(RESERVED).is_ok();
    }
    rustix::fs::statvfs(RESERVED).is_ok_and(|found| !found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn judge(range: PortRange, reserved: &str, given_out: &str, may_be_written: bool) -> Finding {
    let mut ends = given_out.split_whitespace().map(str::parse::<u16>);
    let (Some(Ok(first)), Some(Ok(last))) = (ends.next(), ends.next()) else {
        return Finding::skipped(format!("`{}` is no range of ports to give out", given_out.trim()));
    };
    let given_out = PortRange { first, last };
    if !range.iter().any(|port| given_out.contains(port)) {
        return Finding::ok(format!("Linux takes those of outgoing connections from {given_out}"));
    }
    let kept = kept(reserved);
    let may_go = |port: Port| given_out.contains(port) && !kept.iter().any(|kept| kept.contains(&port.0));
    if !range.iter().any(may_go) {
        return Finding::ok(format!("{range} is reserved"));
    }
    let found = format!("Linux may give ports of {range} to outgoing connections too ({given_out})");
    if may_be_written {
        Finding::warning(found, fix(range, reserved))
    } else {
        Finding::skipped(format!("{found}: this machine does not let root reserve them"))
    }
}

/// The kernel's list: numbers and ranges with commas.
fn kept(reserved: &str) -> Vec<RangeInclusive<u16>> {
    let range = |piece: &str| {
        let (first, last) = piece.split_once('-').unwrap_or((piece, piece));
        let number = |text: &str| text.trim().parse::<u16>().ok();
        Some(number(first)?..=number(last)?)
    };
    reserved.split(',').filter_map(range).collect()
}

/// Setup knows the usual range alone.
fn fix(range: PortRange, reserved: &str) -> String {
    if range == OF_SETUP {
        return "mimir setup".to_owned();
    }
    let all = match reserved.trim() {
        "" => range.to_string(),
        kept => format!("{kept},{range}"),
    };
    let file = "/etc/sysctl.d/60-frames.conf";
    format!("echo net.ipv4.ip_local_reserved_ports={all} | sudo tee {file} && sudo sysctl -p {file}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::doctor::Outcome;

    const USUAL: &str = "32768\t60999\n";

    fn outcome(reserved: &str, given_out: &str) -> Outcome {
        judge(OF_SETUP, reserved, given_out, true).outcome
    }

    #[test]
    fn every_port_is_reserved_or_never_given_out() {
        assert_eq!(outcome("33000-34000\n", USUAL), Outcome::Ok);
        assert_eq!(outcome("22,32000-33500,33501-40000,50000\n", USUAL), Outcome::Ok, "in pieces");
        assert_eq!(outcome("\n", "40000\t60999\n"), Outcome::Ok, "outside of what is given out");
        assert_eq!(outcome("33500-34000\n", "33500\t60999\n"), Outcome::Ok, "each port for its own reason");
    }

    #[test]
    fn one_port_that_may_go_is_a_warning_with_its_mend() {
        for reserved in ["\n", "8080\n", "33000-33999\n", "33001-34000\n", "nonsense\n"] {
            assert_eq!(outcome(reserved, USUAL), Outcome::Warning, "{reserved}");
        }
        let usual = judge(OF_SETUP, "\n", USUAL, true);
        assert!(
            usual.found.contains("33000-34000") && usual.found.contains("32768-60999"),
            "{}",
            usual.found
        );
        assert_eq!(usual.fix.as_deref(), Some("mimir setup"));
        let own = PortRange { first: 35_000, last: 35_100 };
        let mend = judge(own, "8080,33000-34000\n", USUAL, true).fix.unwrap_or_default();
        assert!(mend.contains("reserved_ports=8080,33000-34000,35000-35100 |"), "{mend}");
        let first = judge(own, "\n", USUAL, true).fix.unwrap_or_default();
        assert!(first.contains("reserved_ports=35000-35100 |"), "{first}");
    }

    #[test]
    fn what_nobody_can_change_here_is_said_and_no_warning() {
        let told = judge(OF_SETUP, "\n", USUAL, false);
        assert_eq!((told.outcome, told.fix), (Outcome::Skipped, None));
        assert!(told.found.contains("does not let root reserve them"), "{}", told.found);
        assert_eq!(judge(OF_SETUP, "33000-34000\n", USUAL, false).outcome, Outcome::Ok);
        assert_eq!(outcome("\n", "\n"), Outcome::Skipped, "the kernel says nothing");
    }
}

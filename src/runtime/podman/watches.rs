//! How many files one frame may watch.
//!
//! The kernel counts inotify for each user, and what is counted in a user namespace counts for whoever made it as well: for root, or
//! for the user whose desktop watches files, too. The namespace can be given a limit of its own, and a quarter of the
//! machine's leaves something for everybody else.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// As the kernel calls them, with the least that work needs.
const KINDS: [(&str, u64); 2] = [("instances", 16), ("watches", 8192)];
const WRITE: &str =
    "echo $1 >/proc/sys/user/max_inotify_instances && echo $2 >/proc/sys/user/max_inotify_watches";
const DEADLINE: Duration = Duration::from_secs(5);

/// Limits what runs in the user namespace of a process. Nothing happens when it has none of its own.
pub(super) async fn limit(pid: u32) -> io::Result<()> {
    let namespace = |process: &str| fs::read_link(Path::new("/proc").join(process).join("ns/user"));
    if namespace(&pid.to_string())? == namespace("self")? {
        return Ok(());
    }
    let of_kind = |(kind, least): (&str, u64)| -> io::Result<String> {
        let all = fs::read_to_string(format!("/proc/sys/fs/inotify/max_user_{kind}"))?;
        Ok(share(all.trim().parse().unwrap_or(0), least).to_string())
    };
    let shares = KINDS.into_iter().map(of_kind).collect::<io::Result<Vec<_>>>()?;
    let command = Command::new("nsenter")
        .args(["--user", "--target", &pid.to_string(), "--", "sh", "-c", WRITE, "sh"])
        .args(shares)
        .current_dir("/")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let done = tokio::time::timeout(DEADLINE, command).await.map_err(io::Error::other)??;
    match done.status.success() {
        true => Ok(()),
        false => Err(io::Error::other(String::from_utf8_lossy(&done.stderr).trim().to_owned())),
    }
}

fn share(all: u64, least: u64) -> u64 {
    (all / 4).max(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_gets_a_quarter_and_enough_to_work_with() {
        assert_eq!((share(128, 16), share(8, 16), share(1_048_576, 8192)), (32, 16, 262_144));
    }

    #[tokio::test]
    async fn what_has_no_users_of_its_own_is_left_alone() {
        let before = fs::read_to_string("/proc/sys/user/max_inotify_instances").expect("a limit");
        limit(std::process::id()).await.expect("nothing to do");
        assert_eq!(fs::read_to_string("/proc/sys/user/max_inotify_instances").expect("a limit"), before);
    }
}

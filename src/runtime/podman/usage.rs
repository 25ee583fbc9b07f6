//! What a container uses, read where the kernel counts it.
//!
//! The engine's own figures are not there without root on cgroup v1, take a second a call, and never say that
//! something was killed for want of memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::model::container::Stats;

const CGROUPS: &str = "/sys/fs/cgroup";
const BETWEEN_SAMPLES: Duration = Duration::from_millis(200);
/// What the kernel calls a tick in /proc/*/stat; the same on every machine that Debian runs on.
const MS_PER_TICK: u64 = 10;
const PAGE_BYTES: u64 = 4096;
/// A limit above this is the kernel's way of saying that there is none.
const NO_LIMIT: u64 = 1 << 50;

/// Where the kernel counts for one container.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    V1 {
        cpu: PathBuf,
        memory: PathBuf,
        pids: PathBuf,
    },
    V2(PathBuf),
    /// No group of its own: every process in the same process namespace.
    Processes(PathBuf),
}

/// Measures the container that `pid` is the first process of. `None` when it is not there any more.
pub(super) async fn measure(pid: u32, container_id: &str) -> Option<Stats> {
    let place = place(pid, container_id)?;
    let before = sample(&place)?;
    tokio::time::sleep(BETWEEN_SAMPLES).await;
    let after = sample(&place)?;
    let used = after.cpu_us.saturating_sub(before.cpu_us);
    Some(Stats {
        cpu_ms: after.cpu_us / 1000,
        #[expect(clippy::cast_precision_loss, reason = "a share of a core, shown with two digits")]
        cpu_cores: used as f64 / BETWEEN_SAMPLES.as_micros() as f64,
        memory_bytes: after.memory_bytes,
        memory_limit_bytes: after.memory_limit_bytes,
        pids: after.pids,
    })
}

/// How often the kernel killed something in it for want of memory. `None` when nothing counts that.
pub(super) fn oom_kills(pid: u32, container_id: &str) -> Option<u64> {
    let file = match place(pid, container_id)? {
        Place::V1 { memory, .. } => memory.join("memory.oom_control"),
        Place::V2(group) => group.join("memory.events"),
        Place::Processes(_) => return None,
    };
    field(&fs::read_to_string(file).ok()?, "oom_kill")
}

/// The limits that the kernel keeps: bytes of memory, processes, thousandths of a core. None where there is none.
pub(super) fn limits(pid: u32, container_id: &str) -> [Option<u64>; 3] {
    place(pid, container_id).map_or([None; 3], |place| limits_of(&place, container_id))
}

fn limits_of(place: &Place, container_id: &str) -> [Option<u64>; 3] {
    let share = |quota: Option<u64>, period: Option<u64>| Some(quota? * 1000 / period.filter(|it| *it > 0)?);
    let counter = Path::new(CGROUPS).join("cpuacct");
    let quota = |cpu: &Path| Path::new(CGROUPS).join("cpu").join(cpu.strip_prefix(&counter).unwrap_or(cpu));
    match place {
        Place::V1 { cpu, memory, pids } => [
            number(&memory.join("memory.limit_in_bytes")).filter(|limit| *limit < NO_LIMIT),
            number(&pids.join("pids.max")),
            // Who limits is another controller than who counts; mostly both are at one place.
            share(
                number(&quota(cpu).join("cpu.cfs_quota_us")),
                number(&quota(cpu).join("cpu.cfs_period_us")),
            ),
        ],
        Place::V2(group) => {
            // Some runtimes put the processes into a group below the one that has the limits.
            let of_container = |group: &&Path| group.to_string_lossy().contains(container_id);
            let groups: Vec<&Path> = group.ancestors().take_while(of_container).collect();
            let least = |file: &str| groups.iter().filter_map(|group| number(&group.join(file))).min();
            let of_cpu = |group: &&Path| {
                let text = fs::read_to_string(group.join("cpu.max")).ok()?;
                let mut words = text.split_whitespace().map(|word| word.parse().ok());
                share(words.next().flatten(), words.next().flatten())
            };
            [least("memory.max"), least("pids.max"), groups.iter().filter_map(of_cpu).min()]
        }
        Place::Processes(_) => [None; 3],
    }
}

fn place(pid: u32, container_id: &str) -> Option<Place> {
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    Some(place_in(&own, container_id).unwrap_or_else(|| {
        let namespace = fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap_or_default();
        Place::Processes(namespace)
    }))
}

/// The groups in the text of /proc/PID/cgroup, if they are the container's own.
fn place_in(own: &str, container_id: &str) -> Option<Place> {
    let group_of = |controller: &str| {
        own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let fits = controllers.split(',').any(|one| one == controller);
            (fits && path.contains(container_id)).then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let v1 = |controller: &str| Some(Path::new(CGROUPS).join(controller).join(group_of(controller)?));
    match (v1("cpuacct"), v1("memory"), v1("pids")) {
        (Some(cpu), Some(memory), Some(pids)) => Some(Place::V1 { cpu, memory, pids }),
        // On a hybrid machine the nameless group exists beside the others and counts nothing.
        _ => {
            group_of("").map(|path| Path::new(CGROUPS).join(path)).filter(|path| path.is_dir()).map(Place::V2)
        }
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Sample {
    cpu_us: u64,
    memory_bytes: u64,
    memory_limit_bytes: u64,
    pids: u64,
}

fn sample(place: &Place) -> Option<Sample> {
    match place {
        Place::V1 { cpu, memory, pids } => {
            let cached = field(&fs::read_to_string(memory.join("memory.stat")).ok()?, "total_inactive_file");
            Some(Sample {
                cpu_us: number(&cpu.join("cpuacct.usage"))? / 1000,
                memory_bytes: number(&memory.join("memory.usage_in_bytes"))?
                    .saturating_sub(cached.unwrap_or(0)),
                memory_limit_bytes: limit(number(&memory.join("memory.limit_in_bytes"))),
                pids: number(&pids.join("pids.current"))?,
            })
        }
        Place::V2(group) => {
            let cached = field(&fs::read_to_string(group.join("memory.stat")).ok()?, "inactive_file");
            Some(Sample {
                cpu_us: field(&fs::read_to_string(group.join("cpu.stat")).ok()?, "usage_usec")?,
                memory_bytes: number(&group.join("memory.current"))?.saturating_sub(cached.unwrap_or(0)),
                memory_limit_bytes: limit(number(&group.join("memory.max"))),
                pids: number(&group.join("pids.current"))?,
            })
        }
        Place::Processes(namespace) => Some(sum_of_processes(namespace)),
    }
}

/// The file of a kernel counter that is one number; `max` and the like are no number.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn limit(read: Option<u64>) -> u64 {
    read.filter(|limit| *limit < NO_LIMIT).unwrap_or(0)
}

/// The number behind a word at the start of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Rootless on cgroup v1 there is no group to ask, so the processes are added up.
fn sum_of_processes(namespace: &Path) -> Sample {
    let mut sum = Sample::default();
    let Ok(entries) = fs::read_dir("/proc") else { return sum };
    for entry in entries.flatten() {
        let folder = entry.path();
        if fs::read_link(folder.join("ns/pid")).is_ok_and(|own| own == namespace)
            && let Ok(stat) = fs::read_to_string(folder.join("stat"))
            && let Some((cpu_ms, threads, resident)) = process(&stat)
        {
            sum.cpu_us += cpu_ms * 1000;
            sum.pids += threads;
            sum.memory_bytes += resident;
        }
    }
    sum
}

/// Processor time in ms, threads and resident bytes from the text of /proc/PID/stat.
fn process(stat: &str) -> Option<(u64, u64, u64)> {
    // The second field is the program's name in brackets and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(((field(14)? + field(15)?) * MS_PER_TICK, field(20)?, field(24)? * PAGE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_of_memory_is_counted_by_the_kernel_when_the_engine_never_reports_it() {
        assert_eq!(field("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill"), Some(3));
        assert_eq!(field("low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0\n", "oom_kill"), Some(1));
        assert_eq!(field("low 0\n", "oom_kill"), None);
    }

    #[test]
    fn groups_of_the_container_are_told_from_those_of_the_session() {
        let own = "9:pids:/libpod_parent/libpod-12ab\n8:memory:/libpod_parent/libpod-12ab\n\
                   4:cpu,cpuacct:/libpod_parent/libpod-12ab\n0::/\n";
        let Some(Place::V1 { cpu, .. }) = place_in(own, "12ab") else {
            panic!("{:?}", place_in(own, "12ab"))
        };
        assert_eq!(cpu, Path::new("/sys/fs/cgroup/cpuacct/libpod_parent/libpod-12ab"));
        assert_eq!(place_in("8:memory:/user.slice\n0::/user.slice\n", "12ab"), None);
    }

    #[test]
    fn limits_of_a_group_around_that_of_the_processes_count() {
        let root = tempfile::tempdir().expect("a folder");
        let around = root.path().join("libpod-12ab.scope");
        let group = around.join("container");
        fs::create_dir_all(&group).expect("folders");
        let files = [("memory.max", "2147483648"), ("pids.max", "1024"), ("cpu.max", "150000 100000")];
        for (name, text) in files {
            fs::write(around.join(name), text).expect("written");
            fs::write(group.join(name), if name == "cpu.max" { "max 100000" } else { "max" })
                .expect("written");
            fs::write(root.path().join(name), "1").expect("written");
        }
        let limits = limits_of(&Place::V2(group), "12ab");
        assert_eq!(limits, [Some(2 << 30), Some(1024), Some(1500)], "what is above is of others, too");
    }

    #[test]
    fn a_limit_of_nearly_everything_is_none() {
        assert_eq!(limit(Some(9_223_372_036_854_771_712)), 0);
        assert_eq!(limit(Some(2 << 30)), 2 << 30);
        assert_eq!(limit(None), 0);
    }

    #[test]
    fn a_process_with_brackets_in_its_name_is_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 12 3 0 0 20 0 5 0 100 9000 250 0";
        assert_eq!(process(stat), Some((150, 5, 250 * 4096)));
    }
}

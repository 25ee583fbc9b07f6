//! What a frame may ask of the kernel: a seccomp profile of mimir's own.
//!
//! It begins with what Podman 4.3's default allows (`/usr/share/containers/seccomp.json`) and takes away what an agent
//! and its builds do without, and what leads out of containers more often than anything else:
//!
//! * new namespaces (unshare, setns, clone with CLONE_NEW*), and with them every capability inside of them; mounting;
//! * looking into other processes (ptrace, process_vm_*, pidfd_getfd): the agent's server runs under the same user;
//! * keyrings, io_uring, bpf, perf, userfaultfd, fanotify, syslog, kexec, modules;
//! * sockets that are neither Unix, IPv4, IPv6 nor the kernel's routing tables: packet, vsock, af_alg, xdp, netfilter;
//! * set-user-id and set-group-id bits, in every call that can set them: a frame works as the owner of its project, and
//!   such a file would give that user to everybody on the host;
//! * 32-bit programs, whose calls have other numbers and whose socketcall hides its arguments.
//!
//! What is lost by that: strace, gdb and leak checkers (ptrace), bubblewrap and browsers' own sandboxes (namespaces), perf, 32-bit
//! programs, `chmod u+s`.
//!
//! Calls that are not named do not exist (ENOSYS), so a program falls back to older ones: that is how clone3 and
//! openat2, whose arguments cannot be looked at, become clone and openat. Where a program expects a refusal it gets one.

use serde_json::{Value, json};

/// Without a condition.
const ALLOWED: &str = "
    accept accept4 access adjtimex alarm arch_prctl bind brk capget capset chdir chown clock_adjtime
    clock_getres clock_gettime clock_nanosleep close close_range connect copy_file_range dup dup2 dup3
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat
    exit exit_group faccessat faccessat2 fadvise64 fallocate fchdir fchown fchownat fcntl fdatasync fgetxattr
    flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futimesat get_mempolicy
    get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer
    getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getrusage
    getsid getsockname getsockopt gettid gettimeofday getuid getxattr inotify_add_watch inotify_init
    inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_setup io_submit ioctl ioprio_get
    ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link
    linkat listen listxattr llistxattr lremovexattr lseek lsetxattr lstat madvise mbind membarrier memfd_create
    memfd_secret mincore mkdir mkdirat mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify mq_open
    mq_timedreceive mq_timedsend mq_unlink mremap msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
    name_to_handle_at nanosleep newfstatat pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free
    pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 pselect6 pwrite64 pwritev pwritev2 read
    readahead readlink readlinkat readv recvfrom recvmmsg recvmsg removexattr rename renameat renameat2
    restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
    rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min
    sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval sched_setaffinity
    sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop
    sendfile sendmmsg sendmsg sendto set_mempolicy set_robust_list set_thread_area set_tid_address setfsgid
    setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit
    setsid setsockopt setuid setxattr shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4
    splice stat statfs statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time
    timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime
    timerfd_settime times tkill truncate umask uname unlink unlinkat utime utimensat utimes vfork wait4 waitid
    write writev
";

/// Refused in words that programs know; everything else that is not allowed does not exist.
const REFUSED: &str = "
    add_key bpf chroot delete_module fanotify_init finit_module fsconfig fsmount fsopen fspick init_module io_uring_enter
    io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mount mount_setattr
    move_mount open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root process_madvise process_vm_readv
    process_vm_writev ptrace quotactl quotactl_fd reboot request_key setdomainname sethostname setns settimeofday swapoff
    swapon syslog umount2 unshare userfaultfd vhangup
";

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EPROTONOSUPPORT: u32 = 93;
const EAFNOSUPPORT: u32 = 97;

/// Of every kind that clone knows; CLONE_NEWTIME is unshare's alone.
const CLONE_NEW_ANYTHING: u64 = 0x7e02_0000;
const SET_ID: u64 = 0o6000;
const O_CREAT: u64 = 0o100;
const O_TMPFILE: u64 = 0o20_000_000;

const AF_UNIX: u64 = 1;
const AF_NETLINK: u64 = 16;
/// Unix, IPv4, IPv6.
const FAMILIES: [u64; 3] = [1, 2, 10];

fn refuse(names: &[&str], errno: u32, args: &[Value]) -> Value {
    json!({"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": args})
}

fn allow(names: &[&str], args: &[Value]) -> Value {
    json!({"names": names, "action": "SCMP_ACT_ALLOW", "args": args})
}

fn is(index: u32, value: u64) -> Value {
    json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"})
}

fn compare(index: u32, op: &str, value: u64) -> Value {
    json!({"index": index, "value": value, "op": op})
}

/// The bits of `mask` are exactly `bits`.
fn bits(index: u32, mask: u64, bits: u64) -> Value {
    json!({"index": index, "value": mask, "valueTwo": bits, "op": "SCMP_CMP_MASKED_EQ"})
}

/// The whole profile, as the engine reads it.
pub(super) fn profile() -> Value {
    let words = |text: &'static str| -> Vec<&'static str> { text.split_whitespace().collect() };
    let mut rules = vec![
        allow(&words(ALLOWED), &[]),
        refuse(&words(REFUSED), EPERM, &[]),
        allow(&["clone"], &[bits(0, CLONE_NEW_ANYTHING, 0)]),
    ];
    // Where the mode stands in each call that sets one.
    let second: &[&str] = &["chmod", "fchmod", "mknod", "creat"];
    let third: &[&str] = &["fchmodat", "mknodat"];
    for (index, names) in [(1, second), (2, third)] {
        rules.push(allow(names, &[bits(index, SET_ID, 0)]));
        for set in [0o2000, 0o4000, SET_ID] {
            rules.push(refuse(names, EPERM, &[bits(index, SET_ID, set)]));
        }
    }
    // The mode counts only where a file is made; elsewhere it is whatever the register held.
    for (name, flags, mode) in [("open", 1, 2), ("openat", 2, 3)] {
        rules.push(allow(&[name], &[bits(flags, O_CREAT | O_TMPFILE, 0)]));
        rules.push(allow(&[name], &[bits(mode, SET_ID, 0)]));
    }
    for family in FAMILIES {
        rules.push(allow(&["socket"], &[is(0, family)]));
    }
    rules.push(allow(&["socket"], &[is(0, AF_NETLINK), is(2, 0)]));
    rules.push(refuse(&["socket"], EPROTONOSUPPORT, &[is(0, AF_NETLINK), compare(2, "SCMP_CMP_NE", 0)]));
    for family in (0..AF_NETLINK).filter(|family| !FAMILIES.contains(family)) {
        rules.push(refuse(&["socket"], EAFNOSUPPORT, &[is(0, family)]));
    }
    rules.push(refuse(&["socket"], EAFNOSUPPORT, &[compare(0, "SCMP_CMP_GT", AF_NETLINK)]));
    // Pairs are made by Unix alone; asking another family would load its module.
    rules.push(allow(&["socketpair"], &[is(0, AF_UNIX)]));
    rules.push(refuse(&["socketpair"], EAFNOSUPPORT, &[compare(0, "SCMP_CMP_NE", AF_UNIX)]));
    // Plain Linux, and the question which it is.
    for kind in [0, 0x0002_0000, 0xffff_ffff] {
        rules.push(allow(&["personality"], &[is(0, kind)]));
    }
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        "defaultErrno": "ENOSYS",
        // Without their 32-bit relatives.
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
        ],
        "syscalls": rules,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_both_allowed_and_refused_and_nothing_is_named_twice() {
        let mut seen = std::collections::BTreeSet::new();
        for name in ALLOWED.split_whitespace().chain(REFUSED.split_whitespace()) {
            assert!(seen.insert(name), "{name} stands there twice");
        }
        for conditional in
            ["clone", "chmod", "fchmod", "fchmodat", "mknod", "mknodat", "creat", "open", "openat", "socket"]
        {
            assert!(!seen.contains(conditional), "{conditional} would be allowed without its condition");
        }
        for hidden in ["clone3", "openat2", "fchmodat2", "socketcall", "io_uring"] {
            assert!(!ALLOWED.contains(hidden), "{hidden} hides what it does");
        }
    }

    #[test]
    fn every_rule_has_what_the_engine_wants() {
        let profile = profile();
        assert_eq!(profile["defaultErrnoRet"], 38);
        for rule in profile["syscalls"].as_array().expect("rules") {
            assert!(!rule["names"].as_array().expect("names").is_empty());
            assert_eq!(rule["action"] == "SCMP_ACT_ERRNO", rule["errnoRet"].is_u64(), "{rule}");
            let indices: Vec<&Value> =
                rule["args"].as_array().expect("args").iter().map(|arg| &arg["index"]).collect();
            assert!(
                indices.windows(2).all(|two| two[0] != two[1]),
                "libseccomp takes one condition for each: {rule}"
            );
        }
    }

    #[test]
    fn new_namespaces_of_every_kind_are_in_the_mask() {
        let kinds =
            [0x0002_0000_u64, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];
        assert_eq!(kinds.iter().fold(0, |all, kind| all | kind), CLONE_NEW_ANYTHING);
    }
}

"""The kernel's surface: calls that a coding agent has no use for and that others broke out through."""
import ctypes
import errno
import os
import socket
import struct

from probe import Broken, Missing, in_child, libc, made_socket, opened, probe, refused, status, syscall

if os.uname().machine != "x86_64":
    raise Missing("call numbers are those of x86_64")

NUL = ctypes.c_void_p(0)
NAMESPACES = {"user": 0x10000000, "mount": 0x20000, "network": 0x40000000, "pid": 0x20000000, "ipc": 0x8000000,
              "uts": 0x4000000, "cgroup": 0x2000000}


def text(value):
    return ctypes.c_char_p(value.encode())


# ---------------------------------------------------------------------------------------------- who the agent is

@probe("no capability is effective", "one capability is often enough to leave a container")
def _():
    if int(status()["CapEff"], 16):
        raise Broken(f"CapEff is {status()['CapEff']}")
    return "CapEff is 0"


@probe("no capability is permitted or inheritable", "a program could take it up")
def _():
    for kind in ("CapPrm", "CapInh", "CapAmb"):
        if int(status()[kind], 16):
            raise Broken(f"{kind} is {status()[kind]}")
    return "all 0"


@probe("the bounding set is empty", "a set-uid program would get what is in it")
def _():
    if int(status()["CapBnd"], 16):
        raise Broken(f"CapBnd is {status()['CapBnd']}")
    return "CapBnd is 0"


@probe("no new privileges", "set-uid programs would work")
def _():
    if status()["NoNewPrivs"] != "1":
        raise Broken("NoNewPrivs is 0")
    return "NoNewPrivs is 1"


@probe("a seccomp filter is in force", "every system call of the kernel is open")
def _():
    if status()["Seccomp"] != "2":
        raise Broken(f"Seccomp is {status()['Seccomp']}")
    return "Seccomp is 2"


@probe("the agent is not root of the host", "what it writes belongs to root, and so does what it makes set-uid")
def _():
    with open("/proc/self/uid_map") as lines:
        ranges = [tuple(map(int, line.split())) for line in lines]
    # In a namespace of its own the numbers are those of the one around it, not the host's.
    if ranges == [(0, 0, 4294967295)] and os.getuid() == 0:
        raise Broken("uid 0 inside is uid 0 of the host")
    return f"uid {os.getuid()}, map {ranges}"


@probe("setuid(0)", "the agent becomes root inside")
def _():
    if os.getuid() == 0:
        raise Missing("it is uid 0 already")
    return refused(in_child(lambda: syscall(105, 0)))


@probe("setgroups", "the agent joins groups that may read more")
def _():
    return refused(in_child(lambda: syscall(116, 1, ctypes.byref(ctypes.c_int(0)))))


@probe("su and sudo", "another user's rights")
def _():
    import subprocess
    for command in (["sudo", "-n", "id", "-u"], ["su", "-c", "id -u"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=10, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0 and done.stdout.strip() == "0" and os.getuid() != 0:
            raise Broken(f"{command[0]} gave uid 0")
    return "neither gives another user"


# ------------------------------------------------------------------------------------------------- namespaces, mounts

def namespace(name, flag):
    @probe(f"unshare a {name} namespace", "all capabilities inside of it, and with them much of the kernel")
    def _():
        return refused(in_child(lambda: syscall(272, flag)))


for _name, _flag in NAMESPACES.items():
    namespace(_name, _flag)


@probe("unshare user and mount together", "mounts of its own over what is watched")
def _():
    return refused(in_child(lambda: syscall(272, NAMESPACES["user"] | NAMESPACES["mount"])))


@probe("clone with a new user namespace", "the same by another call")
def _():
    def clone():
        child = syscall(56, NAMESPACES["user"] | 17, NUL, NUL, NUL, NUL)
        if child == 0:
            os._exit(0)
        if child > 0:
            os.waitpid(child, 0)
        return child
    return refused(in_child(clone))


@probe("clone3 with a new user namespace", "the same by the newest call, whose flags a filter cannot read")
def _():
    def clone():
        arguments = struct.pack("8Q", NAMESPACES["user"], 0, 0, 0, 17, 0, 0, 0)
        child = syscall(435, ctypes.c_char_p(arguments), len(arguments))
        if child == 0:
            os._exit(0)
        if child > 0:
            os.waitpid(child, 0)
        return child
    return refused(in_child(clone))


@probe("setns into the namespaces of process 1", "into whatever else shares them")
def _():
    descriptor = os.open("/proc/1/ns/mnt", os.O_RDONLY)
    try:
        return refused(in_child(lambda: syscall(308, descriptor, 0)))
    finally:
        os.close(descriptor)


def mounting(name, number, *args):
    @probe(name, "what is mounted read-only or masked is changed")
    def _():
        return refused(in_child(lambda: syscall(number, *args)), allowed=(errno.ENOENT, errno.EINVAL, errno.EBADF))


mounting("mount a tmpfs", 165, text("x"), text("/tmp"), text("tmpfs"), 0, NUL)
mounting("mount proc anew", 165, text("proc"), text("/tmp"), text("proc"), 0, NUL)
mounting("bind the root elsewhere", 165, text("/"), text("/tmp"), NUL, 4096, NUL)
mounting("make the root writable", 165, NUL, text("/"), NUL, 32 | 4096, NUL)
mounting("unmount /run/mimir/start", 166, text("/run/mimir/start"), 2)
mounting("pivot_root", 155, text("/tmp"), text("/tmp"))
mounting("fsopen", 430, text("tmpfs"), 0)
mounting("open_tree", 428, -100, text("/"), 1)
mounting("move_mount", 429, -1, text(""), -100, text("/tmp"), 4)
mounting("mount_setattr", 442, -100, text("/"), 0, ctypes.c_char_p(struct.pack("4Q", 0, 1, 0, 0)), 32)
mounting("chroot", 161, text("/tmp"))


# -------------------------------------------------------------------------------------------------- calls by name

def call(name, number, meaning, *args, allowed=()):
    @probe(name, meaning)
    def _():
        return refused(in_child(lambda: syscall(number, *args)), allowed)


call("bpf", 321, "programs in the kernel", 0, NUL, 0, allowed=(errno.EFAULT, errno.EINVAL))
call("perf_event_open", 298, "reading what other processes do; a long row of holes", ctypes.c_char_p(b"\0" * 128), 0, -1, -1, 0,
     allowed=(errno.EINVAL, errno.ENOENT, errno.E2BIG))
call("userfaultfd", 323, "makes races in the kernel easy to win", 0)
call("io_uring_setup", 425, "a second way to nearly every call, past filters", 1, ctypes.c_char_p(b"\0" * 120),
     allowed=(errno.EFAULT, errno.EINVAL))
call("keyctl", 250, "keys of the session are shared with the host", 0, -3, 0, 0, 0, allowed=(errno.ENOKEY,))
call("add_key", 248, "keys that outlive the frame", text("user"), text("mimir"), text("x"), 1, -5)
call("request_key", 249, "asks a program of the host for a key", text("user"), text("mimir"), NUL, -5, allowed=(errno.ENOKEY,))
call("kexec_load", 246, "another kernel", 0, 0, NUL, 0)
call("init_module", 175, "code in the kernel", NUL, 0, text(""), allowed=(errno.EFAULT, errno.ENOEXEC, errno.EINVAL))
call("finit_module", 313, "code in the kernel", -1, text(""), 0, allowed=(errno.EBADF,))
call("delete_module", 176, "takes code out of the kernel", text("x"), 0, allowed=(errno.ENOENT,))
call("reboot", 169, "ends the host", 0, 0, 0, NUL, allowed=(errno.EINVAL,))
call("swapon", 167, "the host's memory on a file of the agent's", text("/tmp/x"), 0, allowed=(errno.ENOENT, errno.EINVAL))
call("sethostname", 170, "another name for the machine", text("x"), 1)
call("settimeofday", 164, "another time for the machine", ctypes.c_char_p(struct.pack("2q", 1, 0)), NUL)
call("clock_settime", 227, "another time for the machine", 0, ctypes.c_char_p(struct.pack("2q", 1, 0)))
call("iopl", 172, "the machine's ports", 3)
call("ioperm", 173, "the machine's ports", 0, 1, 1)
call("acct", 163, "a record of every process in a file of the agent's", text("/tmp/x"), allowed=(errno.ENOENT, errno.EACCES))
call("quotactl", 179, "the host's quotas", 0x80000700, NUL, 0, NUL, allowed=(errno.ENODEV, errno.ENOTBLK, errno.EFAULT))
call("syslog", 103, "the kernel's log, with addresses in it", 3, ctypes.c_char_p(b"\0" * 64), 64)
call("open_by_handle_at", 304, "any file of the host by a guessed number (shocker)", -100, ctypes.c_char_p(struct.pack("Ii8s", 8, 1, b"\2\0\0\0\0\0\0\0")), 0,
     allowed=(errno.ESTALE, errno.EBADF))
call("lookup_dcookie", 212, "paths of the host", 1, ctypes.c_char_p(b"\0" * 64), 64, allowed=(errno.EINVAL,))
call("process_vm_readv", 310, "the memory of another process", 1, NUL, 0, NUL, 0, 0, allowed=(errno.EFAULT,))
# Seized, not attached: a supervisor that is stopped would stop the attempts with it.
call("ptrace process 1", 101, "takes over the supervisor", 0x4206, 1, NUL, NUL)
call("kcmp", 312, "addresses in the kernel", 1, 1, 0, 0, 0)
call("personality that maps at zero", 135, "holes of the kernel that need it", 0x0100000)
call("mknod of a block device", 133, "the host's disk", text("/tmp/escape-disk"), 0o60600, 0x0801)
call("mknod of a character device", 133, "the machine's memory", text("/tmp/escape-mem"), 0o20600, 0x0101)
call("keyctl that reads a key", 250, "the same by another command", 11, -3, NUL, 0, 0, allowed=(errno.ENOKEY, errno.EACCES))


@probe("a set-uid file in the workspace", "whoever on the host runs it has the rights of the folder's owner")
def _():
    return set_id("/workspace/.escape-set-uid", 0o4755)


@probe("a set-gid file in the workspace", "whoever on the host runs it has the rights of the folder's group")
def _():
    return set_id("/workspace/.escape-set-gid", 0o2755)


@probe("a set-uid file in the home", "whoever on the host runs it has the rights of the folder's owner")
def _():
    return set_id(os.path.expanduser("~/.escape-set-uid"), 0o4755)


def set_id(path, mode):
    try:
        with open(path, "w") as file:
            file.write("#!/bin/sh\n")
    except OSError as error:
        raise Missing(f"{path} cannot be written: {error}")
    try:
        try:
            os.chmod(path, mode)
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))
        if os.stat(path).st_mode & 0o6000:
            raise Broken(f"{path} has mode {os.stat(path).st_mode & 0o7777:o}")
        return "the bit did not stay"
    finally:
        os.unlink(path)


@probe("chown to root", "files of root's, made by the agent")
def _():
    path = "/tmp/escape-chown"
    open(path, "w").close()
    try:
        os.chown(path, 0, 0)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    finally:
        os.unlink(path)
    if os.getuid() == 0:
        raise Missing("it is uid 0 inside")
    raise Broken("the file belongs to root")


@probe("typing into a terminal that it does not own (TIOCSTI)", "commands in the shell of whoever looks")
def _():
    import fcntl
    import pty
    master, slave = pty.openpty()

    def push():
        # As a process that did not open it as its own.
        os.setsid()
        try:
            fcntl.ioctl(slave, 0x5412, b"x")
        except OSError as error:
            return -error.errno
        return 1
    try:
        return refused(in_child(push))
    finally:
        os.close(master)
        os.close(slave)


# --------------------------------------------------------------------------------------------------- sockets by family

def family(name, number, kind, protocol, meaning):
    @probe(f"a socket of the family {name}", meaning)
    def _():
        return made_socket(number, kind, protocol)


family("AF_PACKET", socket.AF_PACKET, socket.SOCK_RAW, 0x0300, "reads and forges what others send")
family("AF_VSOCK", 40, socket.SOCK_STREAM, 0, "talks to the machine that runs this virtual machine")
family("AF_ALG", 38, socket.SOCK_SEQPACKET, 0, "a row of holes in the kernel's ciphers")
family("AF_KEY", 15, socket.SOCK_RAW, 2, "the kernel's IPsec")
family("AF_XDP", 44, socket.SOCK_RAW, 0, "past the network's filters")
family("AF_BLUETOOTH", 31, socket.SOCK_RAW, 1, "a row of holes")
family("AF_CAN", 29, socket.SOCK_RAW, 1, "a row of holes")
family("AF_TIPC", 30, socket.SOCK_DGRAM, 0, "a row of holes")
family("AF_RDS", 21, socket.SOCK_SEQPACKET, 0, "a row of holes")
family("AF_INET raw", socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP, "forged packets")
family("AF_INET6 raw", socket.AF_INET6, socket.SOCK_RAW, 58, "forged packets")
family("netfilter's netlink", 16, socket.SOCK_RAW, 12, "a row of holes in nf_tables")
family("audit's netlink", 16, socket.SOCK_RAW, 9, "the host's audit log")
family("xfrm's netlink", 16, socket.SOCK_RAW, 6, "a row of holes in IPsec")


# ------------------------------------------------------------------------------------------------------ devices, proc, sys

for _device, _meaning in (
    ("/dev/mem", "the machine's memory"), ("/dev/kmem", "the kernel's memory"), ("/dev/port", "the machine's ports"),
    ("/dev/kmsg", "the kernel's log"), ("/dev/kvm", "virtual machines"), ("/dev/fuse", "file systems of its own"),
    ("/dev/net/tun", "networks of its own"), ("/dev/vda", "the host's disk"), ("/dev/sda", "the host's disk"),
    ("/dev/loop-control", "disks of its own"), ("/dev/uinput", "keys for the host"), ("/dev/vhost-vsock", "other machines"),
    ("/dev/mapper/control", "the host's disks"), ("/dev/autofs", "mounts of the host"), ("/dev/tty1", "the host's screen"),
):
    def _register(path, meaning):
        @probe(f"the device {path}", meaning)
        def _():
            return opened(path, os.O_RDWR)
    _register(_device, _meaning)

for _path, _meaning in (
    ("/proc/sysrq-trigger", "ends the host"), ("/proc/sys/kernel/core_pattern", "a command of the host's for every crash"),
    ("/proc/sys/kernel/modprobe", "a command of the host's"), ("/proc/sys/vm/drop_caches", "slows the host"),
    ("/proc/sys/kernel/hostname", "another name"), ("/proc/sys/net/ipv4/ip_forward", "the host's network"),
    ("/proc/irq/0/smp_affinity", "the machine's interrupts"),
    ("/sys/kernel/uevent_helper", "a command of the host's"), ("/sys/power/state", "ends the host"),
    ("/sys/fs/cgroup/release_agent", "a command of the host's (CVE-2022-0492)"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "its own limits"), ("/sys/fs/cgroup/memory.max", "its own limits"),
    ("/sys/fs/cgroup/cgroup.procs", "leaves its limits"), ("/sys/fs/cgroup/devices/devices.allow", "any device"),
    ("/sys/kernel/debug", "the kernel's inside"), ("/sys/kernel/security/apparmor/.load", "the host's rules"),
):
    def _register(path, meaning):
        @probe(f"writing {path}", meaning)
        def _():
            return opened(path, os.O_WRONLY)
    _register(_path, _meaning)

for _path, _meaning in (
    ("/proc/kcore", "the kernel's memory"), ("/proc/kmsg", "the kernel's log"), ("/proc/kpageflags", "the machine's memory"),
    ("/proc/timer_list", "addresses in the kernel"), ("/proc/sched_debug", "what runs on the host"),
    ("/proc/keys", "keys of others"), ("/proc/latency_stats", "what runs on the host"), ("/proc/scsi/scsi", "the host's disks"),
    ("/sys/firmware/dmi/tables/DMI", "which machine this is"), ("/sys/firmware/acpi/tables/DSDT", "which machine this is"),
):
    def _register(path, meaning):
        @probe(f"reading {path}", meaning)
        def _():
            try:
                with open(path, "rb") as file:
                    if file.read(64).strip(b"\0\n "):
                        raise Broken(f"{path} says something")
            except OSError as error:
                return errno.errorcode.get(error.errno, str(error))
            return "it is empty"
    _register(_path, _meaning)


@probe("addresses of the kernel", "the first half of a hole in the kernel")
def _():
    try:
        with open("/proc/kallsyms") as lines:
            shown = {line.split()[0].strip("0") for _, line in zip(range(50), lines)}
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    if shown - {""}:
        raise Broken("addresses are shown")
    return "all are zero"

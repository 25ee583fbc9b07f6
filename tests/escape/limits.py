"""What the agent may use up. Each is stopped well before the host notices."""
import ctypes
import errno
import os
import resource
import shutil
import signal
import time

from probe import Broken, Missing, in_child, probe

MOST_PROCESSES = 6000
MOST_MEMORY = 12 << 30


def cgroup(*names):
    """The first of these files that can be read: its number, `None` for no limit."""
    paths = [f"/sys/fs/cgroup/{name}" for name in names]
    for path in paths:
        try:
            with open(path) as file:
                word = file.read().strip()
        except OSError:
            continue
        return None if word == "max" or int(word) > 1 << 60 else int(word)
    raise Missing("its cgroup cannot be read")


@probe("memory has a limit", "the host's memory is used up")
def _():
    limit = cgroup("memory.max", "memory/memory.limit_in_bytes")
    if limit is None:
        raise Broken("there is none")
    return f"{limit >> 20} MiB"


@probe("processes have a limit", "a fork bomb stops the host")
def _():
    limit = cgroup("pids.max", "pids/pids.max")
    if limit is None:
        raise Broken("there is none")
    return f"{limit} processes"


@probe("processor time has a limit", "the host is slow for everybody")
def _():
    try:
        with open("/sys/fs/cgroup/cpu.max") as file:
            word = file.read().split()[0]
            quota = None if word == "max" else int(word)
    except OSError:
        quota = cgroup("cpu/cpu.cfs_quota_us", "cpu,cpuacct/cpu.cfs_quota_us")
    if quota is None or quota < 0:
        raise Broken("there is none")
    return f"{quota} µs of each period"


@probe("a fork bomb", "no other frame and not the host can start a program any more")
def _():
    children, stopped = [], None
    try:
        while len(children) < MOST_PROCESSES:
            try:
                child = os.fork()
            except OSError as error:
                stopped = errno.errorcode.get(error.errno, str(error))
                break
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    if stopped is None:
        raise Broken(f"{len(children)} processes were started")
    return f"{stopped} after {len(children)}"


@probe("many zombies", "process numbers run out for everybody")
def _():
    children, stopped = [], None
    while len(children) < MOST_PROCESSES:
        try:
            child = os.fork()
        except OSError as error:
            stopped = errno.errorcode.get(error.errno, str(error))
            break
        if child == 0:
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    if stopped is None:
        raise Broken(f"{len(children)} zombies")
    return f"{stopped} after {len(children)}"


@probe("more memory than the frame may have", "other programs of the host are ended for it")
def _():
    limit = cgroup("memory.max", "memory/memory.limit_in_bytes")
    if limit is None or limit > MOST_MEMORY:
        raise Missing("it would be the host's own memory")

    def use():
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        blocks = []
        for _ in range((limit >> 24) + 64):
            block = bytearray(16 << 20)
            for at in range(0, len(block), 4096):
                block[at] = 1
            blocks.append(block)
        return 1
    result = in_child(use)
    if result >= 0:
        raise Broken("more than the limit was used")
    return "the program that took it was ended"


@probe("many open files", "descriptors run out for everybody")
def _():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > 1 << 21:
        raise Broken(f"{hard} a process")
    return f"{hard} a process"


@probe("a higher limit than it was given", "its limits are no limits")
def _():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def raise_it():
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard + 1))
        return 1
    try:
        result = in_child(lambda: raise_it())
    except ValueError:
        return "EPERM"
    if result >= 0:
        raise Broken("it was raised")
    return errno.errorcode.get(-result, str(-result))


@probe("a higher priority", "the host is slow for everybody")
def _():
    result = in_child(lambda: os.nice(-5))
    # In a child: nice returns the new value, which is negative when it worked.
    if -20 <= result <= -5:
        raise Broken(f"nice is {result}")
    return "EPERM"


@probe("real-time scheduling", "the host stands still")
def _():
    def schedule():
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
        return 1
    result = in_child(schedule)
    if result >= 0:
        raise Broken("it was given")
    return errno.errorcode.get(-result, str(-result))


@probe("locked memory", "memory that the host cannot take back")
def _():
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard == resource.RLIM_INFINITY:
        raise Broken("without a limit")
    return f"{hard >> 10} KiB"


@probe("watches of files run out for everybody", "programs of the host hear of no changed file any more, systemd among them")
def _():
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/sys/fs/inotify/max_user_instances") as file:
        most = int(file.read())
    if most > 5000:
        raise Missing(f"the host allows {most}")
    held = []
    try:
        while len(held) < most:
            descriptor = libc.inotify_init1(0o2000000)
            if descriptor < 0:
                break
            held.append(descriptor)
    finally:
        for descriptor in held:
            os.close(descriptor)
    # What others have is counted, too: nearly all is all.
    if len(held) > most // 2:
        raise Broken(f"{len(held)} of {most}")
    return f"{len(held)} of {most}"


@probe("an inode bomb in memory", "the kernel's memory is used up by files without contents")
def _():
    def used():
        for name in ("memory.current", "memory/memory.usage_in_bytes"):
            try:
                with open(f"/sys/fs/cgroup/{name}") as file:
                    return int(file.read())
            except OSError:
                pass
        raise Missing("its cgroup cannot be read")
    cgroup("memory.max", "memory/memory.limit_in_bytes")
    count, before = 50_000, used()
    folder = "/tmp/.escape-inodes"
    os.mkdir(folder)
    try:
        for number in range(count):
            os.close(os.open(f"{folder}/{number}", os.O_CREAT | os.O_WRONLY, 0o600))
        grown = used() - before
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if grown < count * 300:
        raise Broken(f"{count} files count as {grown} bytes of its memory")
    return f"{count} files count as {grown >> 10} KiB of its memory"


@probe("a log bomb", "the host's disk is filled with what the frame prints")
def _():
    def output():
        """What goes to the container's log: the first process's, or what the agent's server prints."""
        for process in ["1", *sorted(filter(str.isdigit, os.listdir("/proc")), key=int)]:
            try:
                with open(f"/proc/{process}/cmdline", "rb") as file:
                    words = file.read()
                if process == "1" or b"mimir-supervisor" in words or b"opencode\0serve" in words:
                    return os.open(f"/proc/{process}/fd/1", os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                continue
        raise Missing("nobody's output can be opened")
    log = output()
    try:
        if os.path.samestat(os.fstat(log), os.fstat(1)):
            raise Missing("these results come the same way")
        # How much of it the host keeps is looked at from outside (scripts/escape).
        line, sent, end = b"x" * 1023 + b"\n", 0, time.monotonic() + 10
        while sent < 64 << 20 and time.monotonic() < end:
            try:
                sent += os.write(log, line)
            except BlockingIOError:
                time.sleep(0.001)
    finally:
        os.close(log)
    return f"{sent >> 20} MiB were printed"


@probe("/tmp has a limit", "the host's memory is used up by files")
def _():
    found = os.statvfs("/tmp")
    size = found.f_blocks * found.f_frsize
    if size > 4 << 30:
        raise Broken(f"{size >> 20} MiB")
    return f"{size >> 20} MiB"


@probe("/dev/shm has a limit", "the host's memory is used up by files")
def _():
    found = os.statvfs("/dev/shm")
    size = found.f_blocks * found.f_frsize
    if size > 1 << 30:
        raise Broken(f"{size >> 20} MiB")
    return f"{size >> 20} MiB"

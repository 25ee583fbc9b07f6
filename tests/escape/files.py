"""What of the host can be seen or changed through files."""
import errno
import os
import stat
import subprocess

from probe import Broken, Missing, mounts, opened, probe

#: Where engines and agents of the host listen.
SOCKETS = ["/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock", "/run/user/0/podman/podman.sock",
           "/run/user/1000/podman/podman.sock", "/run/containerd/containerd.sock", "/run/crio/crio.sock",
           "/run/dbus/system_bus_socket", "/run/systemd/private", "/run/snapd.socket", "/tmp/.X11-unix/X0",
           "/run/user/1000/bus", "/run/user/0/bus", "/run/user/1000/keyring/control"]


@probe("sockets of the host's programs", "the engine's socket is the host's root")
def _():
    found = [path for path in SOCKETS if os.path.exists(path)]
    if found:
        raise Broken(", ".join(found))
    return f"none of {len(SOCKETS)} is there"


@probe("any Unix socket that is not the frame's own", "a program of the host behind it does what it is told")
def _():
    own = ("/run/mimir/", "/run/frame/", "/tmp/", "/workspace/", os.path.expanduser("~"), "/proc/", "/sys/")
    found = []
    for folder, folders, files in os.walk("/"):
        folders[:] = [name for name in folders if not os.path.join(folder, name).startswith(("/proc", "/sys"))]
        for name in files:
            path = os.path.join(folder, name)
            try:
                if stat.S_ISSOCK(os.lstat(path).st_mode) and not path.startswith(own):
                    found.append(path)
            except OSError:
                pass
    if found:
        raise Broken(", ".join(found[:5]))
    return "none"


@probe("the root file system is read-only", "programs that others run inside are changed")
def _():
    path = "/usr/bin/.escape"
    try:
        open(path, "w").close()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    os.unlink(path)
    raise Broken(f"{path} was written")


def unwritable(path, meaning):
    @probe(f"writing into {path}", meaning)
    def _():
        if not os.path.isdir(path):
            raise Missing("it is not there")
        name = os.path.join(path, ".escape")
        try:
            open(name, "w").close()
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))
        os.unlink(name)
        raise Broken(f"{name} was written")


for _path, _meaning in (("/run/mimir/start", "the agent gives itself another configuration"), ("/etc", "users, names, certificates"),
                        ("/usr/local/bin", "the supervisor's own programs"), ("/opt", "programs"), ("/root", "the home of root"),
                        ("/var/lib", "data of programs"), ("/boot", "the host's kernel")):
    unwritable(_path, _meaning)


@probe("/dev holds no more than devices", "the host's memory is used up by files")
def _():
    found = os.statvfs("/dev")
    size = found.f_blocks * found.f_frsize
    if size > 128 << 20:
        raise Broken(f"{size >> 20} MiB")
    return f"{size >> 20} MiB at most"


def has_options(target, options, meaning):
    @probe(f"{target} is mounted {', '.join(options)}", meaning)
    def _():
        found = [have for at, _, have in mounts() if at == target]
        if not found:
            raise Missing("it is no mount")
        missing = [option for option in options if option not in found[-1]]
        if missing:
            raise Broken(f"without {', '.join(missing)}")
        return "it is"


has_options("/workspace", ["nosuid", "nodev"], "a set-uid file or a device works, inside and for who has it mounted")
has_options("/home/agent", ["nosuid", "nodev"], "a set-uid file or a device works")
has_options("/run/mimir/start", ["ro"], "the agent gives itself another configuration")
has_options("/tmp", ["nosuid", "nodev"], "a set-uid file or a device works")
has_options("/dev/shm", ["nosuid", "nodev"], "a set-uid file or a device works")


@probe("folders of the host besides those asked for", "the host's files")
def _():
    expected = {"/", "/proc", "/sys", "/dev", "/dev/pts", "/dev/mqueue", "/dev/shm", "/dev/console", "/tmp", "/var/tmp", "/run",
                "/workspace", "/home/agent", "/run/mimir", "/run/mimir/start", "/run/mimir/git", "/run/frame", "/etc/hosts",
                "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv", "/run/secrets", "/sys/fs/cgroup", "/escape", "/etc/mtab"}
    strange = [target for target, kind, _ in mounts()
               if target not in expected and not target.startswith(("/proc/", "/sys/", "/dev/", "/run/mimir/", "/workspace/.",
                                                                    "/home/agent/.", "/run/lock", "/run/log"))]
    if strange:
        raise Broken(", ".join(strange))
    return "none"


@probe("the host through /proc/1/root", "the files of another file system")
def _():
    try:
        here, there = os.stat("/"), os.stat("/proc/1/root/")
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    if (here.st_dev, here.st_ino) != (there.st_dev, there.st_ino):
        raise Broken("it is another root")
    return "it is the same root"


@probe("a working folder that was left open (CVE-2024-21626)", "the host's files through a descriptor of the runtime")
def _():
    for entry in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            continue
        if target.startswith("/sys/fs/cgroup") or target == "/":
            raise Broken(f"descriptor {entry} is {target}")
    return "none of the descriptors is a folder of the host"


@probe("writing the runtime through /proc/self/exe (CVE-2019-5736)", "the host's runc is another program from then on")
def _():
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if "runc" in os.readlink(f"/proc/{entry}/exe") or "crun" in os.readlink(f"/proc/{entry}/exe"):
                    return opened(f"/proc/{entry}/exe", os.O_WRONLY)
            except OSError:
                pass
    return "no process of the runtime can be seen"


@probe("processes of the host", "what runs there, with its arguments")
def _():
    with open("/proc/1/cmdline", "rb") as file:
        first = file.read().replace(b"\0", b" ").decode(errors="replace")
    if "systemd" in first or "/sbin/init" in first:
        raise Broken(f"process 1 is {first}")
    names = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/comm") as file:
                    names.add(file.read().strip())
            except OSError:
                pass
    strange = names & {"systemd", "dockerd", "containerd", "conmon", "podman", "mimir", "sshd"}
    if strange:
        raise Broken(", ".join(sorted(strange)))
    return f"{len(names)} names, all of the frame"


@probe("the host's name in /etc/hosts", "which machine this is, and its other names")
def _():
    with open("/etc/hosts") as file:
        lines = [line.split("#")[0].split() for line in file]
    own = {"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "ip6-allnodes", "ip6-allrouters",
           os.uname().nodename, "ip6-localnet", "ip6-mcastprefix"}
    strange = sorted({name for line in lines for name in line[1:]} - own)
    if strange:
        raise Broken(", ".join(strange))
    return "only its own"


@probe("a planted secret of the host", "what the user has in other folders")
def _():
    canary = os.environ.get("ESCAPE_CANARY")
    if not canary:
        raise Missing("none was planted")
    done = subprocess.run(["grep", "-rslIF", "--exclude-dir=proc", "--exclude-dir=sys", "--exclude-dir=.escape", canary, "/etc",
                           "/home", "/run", "/var", "/opt", "/root", "/mnt", "/media", "/srv", "/workspace"],
                          capture_output=True, text=True, timeout=120)
    if done.stdout:
        raise Broken(done.stdout.split("\n")[0])
    return "nowhere"


@probe("a link in the workspace that leads out", "the host follows it and shows its own file")
def _():
    path = "/workspace/.escape-link"
    os.symlink("/etc/shadow", path)
    try:
        with open(path) as file:
            if ":" in file.readline() and os.getuid() != 0:
                raise Broken("the host's file was read")
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    finally:
        os.unlink(path)
    return "it leads to the frame's own file"


@probe("environment of processes with keys in it", "the provider's key")
def _():
    found = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/environ", "rb") as file:
                    for pair in file.read().split(b"\0"):
                        name, _, value = pair.partition(b"=")
                        if any(word in name.upper() for word in (b"API_KEY", b"SECRET", b"_TOKEN")) and len(value) > 12:
                            found.add(name.decode(errors="replace"))
            except OSError:
                pass
    if found:
        raise Broken(", ".join(sorted(found)))
    return "none"

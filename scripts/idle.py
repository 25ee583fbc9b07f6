"""What frames cost that nobody uses: memory and processor time, beside another image, and how fast many of them start.

Part of scripts/bench (`frames`). Everything is read from the host's /proc, so it works with and without root.
"""
import os
import statistics
import sys
import time

TICKS = os.sysconf("SC_CLK_TCK")
SETTLE = 150   # an agent needs minutes to come to rest: it compiles what it ran, and collects its garbage


def pid_namespace(pid):
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


def processes(container):
    """Every process of a container, those that the engine put into it from outside, too."""
    import subprocess
    first = subprocess.run(["podman", "inspect", "--format", "{{.State.Pid}}", container],
                           check=True, capture_output=True, text=True).stdout.strip()
    wanted = pid_namespace(first)
    if wanted is None:
        sys.exit(f"the processes of {container} cannot be seen")
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and pid_namespace(pid) == wanted]


def memory(pid):
    """(PSS, private) in KiB; nothing for one that has just ended."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            of = {line.split(":")[0]: int(line.split()[1]) for line in file if line.rstrip().endswith("kB")}
        return of["Pss"], of["Private_Clean"] + of["Private_Dirty"]
    except OSError:
        return 0, 0


def ticks(pid):
    """Processor time, with that of children that have ended and were waited for: much of what a shell does."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return sum(int(field) for field in file.read().rsplit(") ", 1)[1].split()[11:15])
    except OSError:
        return 0


def command(pid):
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            words = [os.path.basename(word) for word in file.read().split("\0")[:2]]
        return " ".join(words) if words[0] in ("opencode", "bash") else words[0]
    except OSError:
        return "?"


class Idle:
    """Figures of several idle frames of one image, for each frame."""

    def __init__(self, containers):
        self.containers = containers
        self.pss, self.private, self.parts = [], [], {}

    def begin(self):
        self.before = {of: sum(map(ticks, processes(of))) for of in self.containers}
        self.began = time.monotonic()

    def end(self):
        elapsed = time.monotonic() - self.began
        self.cpu = [100 * (sum(map(ticks, processes(of))) - self.before[of]) / TICKS / elapsed for of in self.containers]
        for container in self.containers:
            found = {pid: memory(pid) for pid in processes(container)}
            self.pss.append(sum(pss for pss, _ in found.values()) / 1024)
            self.private.append(sum(private for _, private in found.values()) / 1024)
            for pid, (pss, _) in found.items():
                name = command(pid)
                self.parts[name] = self.parts.get(name, 0) + pss / 1024 / len(self.containers)

    def made_of(self):
        largest = sorted(self.parts.items(), key=lambda part: -part[1])
        return ", ".join(f"{name} {size:.0f}" for name, size in largest if size >= 1)


def create(world, name, image):
    begun = time.monotonic()
    world.run("frame", "create", name, "--workspace", world.folder(name), "--start", *(["--image", image] if image else []))
    return time.monotonic() - begun


def destroy(world, names):
    for name in names:
        world.run("frame", "destroy", name, "--yes")


def idle(world, report, image, beside, count, seconds):
    """As many frames of each image, made in turn and at rest at the same time, so that what they share, and what else
    the machine does, is the same for both."""
    images = [("this image", image)] + ([(beside, beside)] if beside else [])
    names = {label: [] for label, _ in images}
    for number in range(count):
        for index, (label, image) in enumerate(images):
            name = f"idle-{index}-{number}"
            create(world, name, image)
            names[label].append(name)
    time.sleep(SETTLE)
    measured = {label: Idle([world.json("frame", "show", name)["container"] for name in names[label]]) for label in names}
    for one in measured.values():
        one.begin()
    time.sleep(seconds)
    for one in measured.values():
        one.end()
    for label, one in measured.items():
        print(f"  {label}: PSS {mean(one.pss):.0f} MiB a frame ({one.made_of()}), private {mean(one.private):.0f} MiB, "
              f"{mean(one.cpu):.2f} % of a core; load {os.getloadavg()[0]:.1f}", flush=True)
    destroy(world, [name for group in names.values() for name in group])
    ours, theirs = measured["this image"], measured.get(beside)
    if theirs is None:
        report.add("memory of an idle frame (PSS)", f"{count} frames", f"{mean(ours.pss):.0f} MiB", "–", True)
        report.add("processor of an idle frame", f"{count} frames, {seconds} s", f"{mean(ours.cpu):.2f} %", "–", True)
        return
    # Frames of the same image differ by what they share and when they last collected garbage, so the means are compared.
    report.share("memory of an idle frame (PSS), against the other image", mean(ours.pss), mean(theirs.pss), "MiB", 0.65)
    report.share(f"processor of an idle frame over {seconds} s, against the other image",
                 mean(ours.cpu), mean(theirs.cpu), "% of a core", 0.55)


def one_after_another(world, report, count, image, label):
    """So many frames, each made when the one before answers, and all of them left running."""
    names = [f"many-{number}" for number in range(count)]
    took = [create(world, name, image) for name in names]
    few = max(1, min(3, count // 3))
    first, last = statistics.median(took[:few]), statistics.median(took[-few:])
    print(f"  {label}: {' '.join(f'{seconds:.1f}' for seconds in took)} s; load {os.getloadavg()[0]:.1f}", flush=True)
    destroy(world, names)
    report.add(f"{count} frames created one after another ({label}): the last {few} against the first {few}",
               f"{last:.1f} s against {first:.1f} s", f"{last / first:.2f}×", "≤ 1.5×", last <= 1.5 * first)


def mean(values):
    return statistics.fmean(values)

"""`scripts/bench ui`: how soon the dashboard is there, how soon it answers a key, and what it costs that nobody looks at.

The real program in a pane of a real tmux, 160 columns by 50 rows, with 50 frames. The gateway is scripted, a process of its
own on the home's socket: it answers at once, and can let agents write as fast as a benchmark wants, so what is measured is the
dashboard and not what a gateway or an engine takes (`frames` and `seam` measure those). Beside each figure stands what one
would use instead, in the same pane and in turn: `mimir frame list` for the start, the echo of `cat` for a key (it is the
floor: what tmux and looking at its pane take), `watch mimir frame list` for what it costs to keep an eye on them.
"""
import hashlib
import http.server
import json
import multiprocessing
import os
import shutil
import socketserver
import statistics
import subprocess
import sys
import tempfile
import time

from seam import resident, share

FRAMES, STREAMING, TURNS = 50, 10, 200
COLUMNS, ROWS = 160, 50
#: Each agent that writes says so many pieces a second.
PIECES = 20
LIMIT = 30


def name_of(number):
    return f"frame-{number:02}"


def now():
    return int(time.time() * 1000)


def frame(number):
    busy = number % (FRAMES // STREAMING) == 0
    return {"id": f"frm_{number:026}", "name": name_of(number), "state": "running", "desired": "running",
            "status": {"word": "busy" if busy else "idle", "queued": 0}, "engine": "podman",
            "workspace": f"/srv/{name_of(number)}", "agent_port": 33000 + 2 * number, "preview_port": 33001 + 2 * number,
            "network": "allow", "created_at": now() - 86_400_000, "last_active_at": now() - 60_000 * number,
            "cost_microusd": 10_000 * number, "unpriced_count": 0, "origin": "person", "behind": False}


def details(number):
    return {**frame(number), "image": "localhost/mimir-frame:latest", "image_id": "sha256:0123", "container": "c",
            "generation": 1, "limits": {"cpus_milli": 2000, "memory_bytes": 4 << 30, "pids": 1024}, "limits_enforced": True,
            "allow": ["npm"], "env": [], "owner": "1000:1000", "observed": "running", "state_changed_at": now(),
            "notes": [], "config_yaml": ""}


def session(number):
    return {"id": f"ssn_{number:026}", "frame": name_of(number), "title": f"work on {name_of(number)}",
            "message_count": TURNS // 2, "created_at": now() - 3_600_000, "last_active_at": now() - 1_000}


def conversation(number):
    words = "Two things:\n\n- **one** of them\n- `two`\n\n```rust\nfn main() {}\n```\n\nand a paragraph that goes on for longer " \
            "than one line of a pane can hold, as they do."
    tokens = {"input": 10, "output": 10, "reasoning": 0, "cache_read": 0, "cache_write": 0}

    def turn(at):
        is_last = at == TURNS - 1
        text = f"the last words of {name_of(number)}" if is_last else words if at % 2 else "What is there to do?"
        return {"agent_message": f"msg_{at}", "role": "assistant" if at % 2 else "user", "at": at, "ended_at": at + 1, "text": text,
                "tools": [], "tokens": tokens, "cost_microusd": 1000, "parts": []}

    return {**session(number), "turns": [turn(at) for at in range(TURNS)]}


class Script(http.server.BaseHTTPRequestHandler):
    """Answers of the wire's shape, made once."""
    protocol_version = "HTTP/1.1"
    writes = None

    def log_message(self, *_):
        pass

    def do_GET(self):
        path, _, query = self.path.partition("?")
        parts = path.strip("/").split("/")
        number = next((int(part[-2:]) for part in [*parts, *query.replace("=", "&").split("&")] if part[:6] == "frame-"), 0)
        if path == "/v1/events":
            return self.events()
        lists = ("/v1/approvals", "/v1/runs", "/v1/schedules", "/v1/messages")
        if path in lists:
            body = []
        elif path == "/health":
            body = {"status": "ok", "version": self.version, "ready": True}
        elif path == "/v1/frames":
            body = [frame(number) for number in range(FRAMES)]
        elif path == "/v1/budgets":
            body = {"paused": False, "budgets": [], "days": 7, "by_frame": [], "by_project": [], "by_model": [], "by_day": []}
        elif path == "/v1/sessions":
            body = [session(number)]
        elif parts[:2] == ["v1", "sessions"]:
            body = conversation(int(parts[2].removeprefix("ssn_")))
        elif parts[:2] == ["v1", "frames"] and len(parts) == 3:
            body = details(number)
        else:
            return self.answer(404, {"type": "about:blank", "code": "route.not_found", "status": 404, "title": "not in the script"})
        self.answer(200, body)

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def events(self):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        id, since = 0, time.monotonic()
        try:
            while True:
                time.sleep(1 / PIECES)
                if self.writes.value:
                    block = ""
                    for number in range(0, FRAMES, FRAMES // STREAMING):
                        id += 1
                        data = {"delta": "word after word ", "part": f"p{id // 2000}"}
                        event = {"id": id, "at": now(), "frame": name_of(number), "kind": "message.text", "data": data}
                        block += f"id: {id}\nevent: message.text\ndata: {json.dumps(event)}\n\n"
                    self.wfile.write(block.encode())
                elif time.monotonic() - since > 10:
                    self.wfile.write(b": still here\n\n")
                    since = time.monotonic()
                self.wfile.flush()
        except OSError:
            pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


def gateway_process(path, version, writes, ready):
    Script.version, Script.writes = version, writes
    server = Server(path, Script)
    ready.set()
    server.serve_forever()


class Pane:
    """One pane of a tmux of our own, driven through its control mode: no process for each key and each look."""

    def __init__(self, folder, env):
        with open(f"{folder}/tmux.conf", "w") as out:
            out.write("set -g remain-on-exit on\nset -g status off\n")
        self.tmux, self.env = ["tmux", "-S", f"{folder}/tmux", "-f", f"{folder}/tmux.conf"], env
        start = ["new-session", "-d", "-s", "bench", "-x", str(COLUMNS), "-y", str(ROWS), "sleep 100000"]
        subprocess.run([*self.tmux, *start], env=env, check=True)
        self.control = subprocess.Popen([*self.tmux, "-C", "attach-session", "-t", "bench", "-f", "no-output,ignore-size"],
                                        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        # What the command line itself answers.
        self.block()

    def block(self):
        """The lines of the next answer."""
        lines = None
        while True:
            line = self.control.stdout.readline()
            if not line:
                sys.exit("tmux went away")
            if line.startswith(b"%begin"):
                lines = []
            elif line.startswith((b"%end", b"%error")) and lines is not None:
                if line.startswith(b"%error"):
                    sys.exit(f"tmux: {lines}")
                return lines
            elif lines is not None:
                lines.append(line.decode(errors="replace").rstrip("\n"))

    def ask(self, *words):
        quoted = ("'" + word.replace("'", "'\\''") + "'" for word in words)
        self.control.stdin.write((" ".join(quoted) + "\n").encode())
        self.control.stdin.flush()
        return self.block()

    def shown(self):
        return self.ask("capture-pane", "-p", "-t", "bench")

    def run(self, *argv):
        """Another program in the pane; when that was asked for."""
        begun = time.monotonic()
        self.ask("respawn-pane", "-k", "-t", "bench", *argv)
        return begun

    def press(self, key):
        begun = time.monotonic()
        self.ask("send-keys", "-t", "bench", key)
        return begun

    def until(self, is_there, begun):
        """How long it took from then until the pane shows it."""
        while True:
            lines = self.shown()
            at = time.monotonic()
            if is_there(lines):
                return at - begun
            if at - begun > LIMIT:
                sys.exit("never on the screen; it has:\n" + "\n".join(lines))
            time.sleep(0.001)

    def pid(self):
        return int(self.ask("display-message", "-p", "-t", "bench", "#{pane_pid}")[0])

    def close(self):
        subprocess.run([*self.tmux, "kill-server"], env=self.env, check=False)
        self.control.wait()


def used(pid):
    """Processor time of a process in s, to the nanosecond."""
    tasks = f"/proc/{pid}/task"
    return sum(int(open(f"{tasks}/{task}/schedstat").read().split()[0]) for task in os.listdir(tasks)) / 1e9


def used_with_children(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def spread(values):
    return f"p50 {share(values, .5) * 1000:.1f}, p95 {share(values, .95) * 1000:.1f}, most {max(values) * 1000:.1f} ms, " \
           f"{len(values)} samples"


def is_list(lines):
    """All frames that fit, the first one beside the list, and the keys."""
    return f"{FRAMES} frames" in lines[1] and name_of(0) in lines[1] and "leave" in lines[-1] \
        and any(line.startswith((" ●", " ○")) and name_of(ROWS - 5) in line for line in lines)


def says(number):
    return lambda lines: any(f"the last words of {name_of(number)}" in line for line in lines)


def starts(pane, mimir, runs, report):
    lists, wholes, plain = [], [], []
    last = name_of(FRAMES - 1)
    for turn in range(runs + 1):
        begun = pane.run(mimir, "ui")
        to_list = pane.until(is_list, begun)
        whole = pane.until(lambda lines: is_list(lines) and says(0)(lines), begun)
        begun = pane.run(mimir, "frame", "list")
        beside = pane.until(lambda lines: any(line.startswith(last) for line in lines), begun)
        # The first of each does not count.
        if turn:
            lists.append(to_list), wholes.append(whole), plain.append(beside)
    ratio = statistics.median(a / b for a, b in zip(lists, plain))
    report.figure(f"`mimir ui` to the first screen with all that fit of {FRAMES} frames, p95", share(lists, .95) * 1000, "ms",
                  200, spread(lists))
    report.figure(f"the same with the chosen frame's conversation ({TURNS} turns), p95", share(wholes, .95) * 1000, "ms", 200,
                  spread(wholes))
    report.add("`mimir frame list` in the same pane until its last line", spread(plain), f"{ratio:.2f}× of it", "–", True)


def moves(pane, keys):
    """From a key that chooses the next frame until that is the one on the right, and until its conversation is there."""
    chosen, talks, at, step = [], [], 0, 1
    for _ in range(keys):
        if not 0 <= at + step < FRAMES:
            step = -step
        at += step
        begun = pane.press("j" if step > 0 else "k")
        chosen.append(pane.until(lambda lines: name_of(at) in lines[1], begun))
        if at % (FRAMES // STREAMING):
            talks.append(pane.until(says(at), begun))
        time.sleep(0.05)
    return chosen, talks


def echoes(pane, keys):
    pane.run("cat")
    pane.until(lambda lines: not any(lines), time.monotonic())
    took = []
    for count in range(1, keys + 1):
        width = count % 100 or 100
        begun = pane.press("x")
        took.append(pane.until(lambda lines: lines[0] == "x" * width, begun))
        if width == 100:
            pane.press("C-u")
            pane.until(lambda lines: not lines[0], time.monotonic())
        time.sleep(0.05)
    return took


def redraws(pane, mimir, writes, keys, report):
    floor = echoes(pane, keys)
    pane.until(lambda lines: is_list(lines) and says(0)(lines), pane.run(mimir, "ui"))
    quiet, talks = moves(pane, keys)
    writes.value = 1
    time.sleep(1)
    pane.until(lambda lines: is_list(lines), pane.run(mimir, "ui"))
    busy, _ = moves(pane, keys)
    writes.value = 0
    report.figure("a key until the next frame is the one that is shown, p95", share(quiet, .95) * 1000, "ms", 33, spread(quiet))
    report.figure(f"the same while {STREAMING} agents write {PIECES} pieces a second each, p95", share(busy, .95) * 1000, "ms",
                  33, spread(busy))
    report.add("the same until its conversation is there, read and laid out", spread(talks),
               f"{share(talks, .95) * 1000:.1f} ms", "–", True)
    report.add("a key until `cat` echoes it in the same pane (what tmux and looking take)", spread(floor),
               f"{share(floor, .95) * 1000:.1f} ms", "–", True)


def rests(pane, mimir, writes, seconds, report):
    def looked_at():
        pane.until(lambda lines: is_list(lines), pane.run(mimir, "ui"))
        time.sleep(2)
        pid = pane.pid()
        before, begun = used(pid), time.monotonic()
        time.sleep(seconds)
        return 100 * (used(pid) - before) / (time.monotonic() - begun), resident(pid)

    idle, memory = looked_at()
    pane.run("watch", "-n", "2", f"{mimir} frame list")
    time.sleep(2)
    pid = pane.pid()
    before, begun = used_with_children(pid), time.monotonic()
    time.sleep(seconds)
    watched = 100 * (used_with_children(pid) - before) / (time.monotonic() - begun)
    writes.value = 1
    busy, _ = looked_at()
    writes.value = 0
    report.figure(f"processor time of a dashboard at rest, {FRAMES} frames, {seconds} s", idle, "%", 1, f"{idle:.2f} %")
    report.add("`watch -n 2 mimir frame list` for as long", f"{watched:.2f} %", f"{idle / max(watched, .001):.2f}× of it", "–",
               True)
    report.add(f"the dashboard while {STREAMING} agents write {PIECES} pieces a second each", f"{busy:.2f} %", f"{busy:.1f} %",
               "–", True)
    report.add("its memory at rest", f"{memory / 1024:.1f} MiB", f"{memory / 1024:.1f} MiB", "–", True)


def measure(mimir, runs, seconds, report):
    for program in ("tmux", "watch"):
        if not shutil.which(program):
            sys.exit(f"{program} is not installed")
    folder = tempfile.mkdtemp(prefix="mmb-", dir="/tmp")
    gateway = pane = None
    try:
        home = os.path.realpath(f"{folder}/home")
        os.mkdir(home, 0o700)
        # As `mimir` finds it: src/config/paths.rs.
        runtime = f"{folder}/run/mimir/{hashlib.sha256(home.encode()).hexdigest()[:12]}"
        os.makedirs(runtime, 0o700)
        os.chmod(f"{folder}/run", 0o700)
        env = {"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8", "TERM": "xterm-256color", "MIMIR_HOME": home,
               "XDG_RUNTIME_DIR": f"{folder}/run"}
        version = subprocess.run([mimir, "--version"], env=env, check=True, capture_output=True, text=True).stdout.split()[1]
        writes, ready = multiprocessing.Value("i", 0), multiprocessing.Event()
        gateway = multiprocessing.Process(target=gateway_process, args=(f"{runtime}/gateway.sock", version, writes, ready),
                                          daemon=True)
        gateway.start()
        if not ready.wait(10):
            sys.exit("the scripted gateway did not begin to listen")
        print(f"{FRAMES} frames of a scripted gateway, tmux pane of {COLUMNS} by {ROWS}", flush=True)
        pane = Pane(folder, env)
        starts(pane, mimir, max(runs, 20), report)
        redraws(pane, mimir, writes, max(runs * 10, 100), report)
        rests(pane, mimir, writes, seconds, report)
    finally:
        if pane:
            pane.close()
        if gateway:
            gateway.terminate()
            gateway.join()
        shutil.rmtree(folder, ignore_errors=True)

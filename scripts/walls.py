"""`scripts/bench isolation`: what it costs that a frame is kept apart.

Against the same without: a start beside a plain `podman run` of the same image, a download and a model's stream through
the broker beside the same without it. Each pair is measured in turn, in one run. What the broker keeps in memory for a
frame and what a refused call costs are figures of their own.
"""
import http.server
import json
import multiprocessing
import os
import statistics
import subprocess
import time

from seam import Server, cpu_seconds, resident, share

SIZE = 100 << 20
BLOCK = b"\0" * (1 << 20)
WORDS = 200
PAUSE = 0.01
REFUSED = 2000

#: Reads a model's stream and prints how old each piece was when it was there, in ns. One clock for all of a machine.
LISTEN = """
import http.client, json, sys, time
host, port, path = sys.argv[1], int(sys.argv[2]), sys.argv[3]
to = http.client.HTTPConnection(host, port, timeout=60)
body = json.dumps({"model": "walls", "stream": True, "messages": [{"role": "user", "content": "go"}]})
to.request("POST", path, body, {"content-type": "application/json"})
answer = to.getresponse()
if answer.status != 200:
    sys.exit(f"{answer.status} {answer.read()[:300]}")
while True:
    line = answer.readline()
    now = time.monotonic_ns()
    if not line or line.startswith(b"data: [DONE]"):
        break
    if line.startswith(b"data:"):
        said = json.loads(line[5:])["choices"][0]["delta"].get("content")
        if said:
            print(now - int(said))
"""

#: Asks for what nobody may have, again and again over one connection at a time.
ASK = """
import socket, sys
for _ in range(int(sys.argv[1])):
    with socket.create_connection(("127.0.0.1", 8118)) as to:
        to.sendall(b"CONNECT refused.example:443 HTTP/1.1\\r\\nHost: refused.example\\r\\n\\r\\n")
        said = to.recv(4096)
        if not said.startswith(b"HTTP/1.1 403"):
            sys.exit(f"not refused: {said[:200]!r}")
"""


class Outside(http.server.BaseHTTPRequestHandler):
    """A download, and a model whose words are the moments at which they were sent."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path != "/big":
            self.answer(b'{"object":"list","data":[{"id":"walls"}]}')
            return
        self.send_response(200)
        self.send_header("content-length", str(SIZE))
        self.end_headers()
        for _ in range(SIZE // len(BLOCK)):
            self.wfile.write(BLOCK)

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for _ in range(WORDS):
            self.piece({"content": str(time.monotonic_ns())}, None)
            time.sleep(PAUSE)
        self.piece({}, "stop")
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def piece(self, delta, finish):
        event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "walls",
                 "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        if finish:
            event["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def answer(self, body):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def outside(ports):
    server = Server(("0.0.0.0", 0), Outside)
    ports.put(server.server_address[1])
    server.serve_forever()


def own_address():
    """An address of this machine that is not loopback; none when it has no network."""
    said = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
    return next((word for word in said if "." in word), None)


def inside(world, frame, *words):
    return world.run("frame", "exec", frame, "--", *words)


#: How curl gets out of a frame: plain HTTP through the broker, a tunnel as TLS has one, the network itself.
WAYS = {
    "broker": ["--noproxy", "", "-x", "http://127.0.0.1:8118"],
    "tunnel": ["--noproxy", "", "-p", "-x", "http://127.0.0.1:8118"],
    "direct": ["--noproxy", "*"],
}


def download(world, frame, url, way):
    way = WAYS[way]
    said = inside(world, frame, "curl", "-fsS", "-o", "/dev/null", "-w", "%{size_download} %{time_total}", *way, url)
    size, took = said.split()
    assert int(size) == SIZE, said
    return float(took)


def measure(world, runs, frames, report, start_with_mimir, start_plain):
    ports = multiprocessing.Queue()
    server = multiprocessing.Process(target=outside, args=(ports,), daemon=True)
    server.start()
    port, address = ports.get(timeout=10), own_address()
    with open(f"{world.home}/config.yaml", "w") as config:
        config.write(f"""
providers:
  walls: {{kind: openai-compatible, base_url: "http://127.0.0.1:{port}/v1", models: [walls]}}
opencode: {{default_model: walls/walls, small_model: walls/walls}}
""")
    numbers = iter(range(100_000))
    allow = ["--allow", f"{address}:{port}"] if address else []
    world.run("frame", "create", "walls", "--workspace", world.folder("walls"), "--network", "allow", *allow, "--start")
    shown = world.json("frame", "show", "walls")
    config = open(f"{world.home}/frames/{shown['id']}/start/opencode.json").read()
    for words in shown["isolation"] and world.run("frame", "show", "walls").splitlines():
        if words.strip().startswith(("isolation", "loosened")):
            print(words.strip(), flush=True)
    pid = world.json("status")["pid"]

    through, direct = [], []
    for _ in range(max(3, runs // 3)):
        through += [int(line) / 1e6 for line in inside(
            world, "walls", "python3", "-c", LISTEN, "127.0.0.1", "8118", "/models/walls/chat/completions").split()]
        direct += [int(line) / 1e6 for line in subprocess.run(
            ["python3", "-c", LISTEN, "127.0.0.1", str(port), "/v1/chat/completions"],
            capture_output=True, text=True, check=True).stdout.split()]
    added = share(through, .5) - share(direct, .5)
    report.figure("a model's stream through the broker, added, p50", added, "ms", 2,
                  f"p50 {share(through, .5):.2f} ms against {share(direct, .5):.2f} ms, p99 {share(through, .99):.2f} "
                  f"against {share(direct, .99):.2f}, {len(through)} pieces")

    begun = cpu_seconds(pid)
    inside(world, "walls", "python3", "-c", ASK, str(REFUSED))
    used = (cpu_seconds(pid) - begun) / REFUSED * 1e6
    report.add("gateway's processor time for a call that is refused", f"{REFUSED} calls", f"{used:.0f} µs", "–", True)

    if address:
        world.run("frame", "create", "door", "--workspace", world.folder("door"), "--network", "open", "--start")
        url = f"http://{address}:{port}/big"
        ways = [[download(world, "walls", url, "broker"), download(world, "walls", url, "tunnel"),
                 download(world, "door", url, "direct")] for _ in range(runs + 1)][1:]
        for place, what in enumerate(("100 MiB of plain HTTP through the broker", "100 MiB through a tunnel, as TLS has one")):
            ratio = statistics.median(times[2] / times[place] for times in ways)
            speed = [SIZE / (1 << 20) / statistics.median(times) for times in zip(*ways)]
            report.add(f"{what}, against a frame's own network",
                       f"{speed[place]:.0f} MiB/s against {speed[2]:.0f} MiB/s", f"{ratio:.2f}×", "≥ 0.7×", ratio >= 0.7)
        world.run("frame", "destroy", "door", "--yes")
    else:
        report.add("100 MiB through the broker", "this machine has no address but loopback", "–", "–", True)

    before = resident(pid)
    for number in range(frames):
        world.run("frame", "create", f"many-{number}", "--workspace", world.folder(f"many-{number}"), "--network", "allow",
                  "--start")
    # Every one of them uses its broker once.
    for number in range(frames):
        inside(world, f"many-{number}", "python3", "-c", ASK, "1")
    grown = (resident(pid) - before) / frames
    report.add("gateway memory for a further frame that runs, its broker included", f"{frames} frames", f"{grown:.0f} KiB", "–", True)
    for number in range(frames):
        world.run("frame", "destroy", f"many-{number}", "--yes")

    image = shown["image_id"]
    world.run("frame", "destroy", "walls", "--yes")
    pairs = [(start_with_mimir(world, next(numbers)), start_plain(world, next(numbers), image, config)) for _ in range(runs + 1)]
    ours, theirs = zip(*pairs[1:])
    report.ratio("create and start to the first healthy answer, against a plain `podman run`", list(ours), list(theirs), 1.10)
    server.terminate()


def write(path, report):
    names = ("what", "measured", "result", "target", "met")
    with open(path, "w") as out:
        json.dump({"machine": {"processors": os.cpu_count(), "kernel": os.uname().release},
                   "rows": [dict(zip(names, row)) for row in report.rows]}, out, indent=1, ensure_ascii=False)

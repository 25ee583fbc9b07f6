"""`scripts/bench seam`: what the gateway adds between an agent and whoever listens.

One real frame, a model on this machine that writes a word every so often, and two listeners at the same time in
processes of their own: one reads the agent's own event stream, one the gateway's. Both note when they have how much of each
text, on the machine's one monotonic clock. What the gateway adds is the difference, word by word, in one run.
"""
import base64
import http.client
import http.server
import json
import multiprocessing
import os
import queue
import select
import socket
import sys
import threading
import time

WORDS = 120
PAUSE = 0.04


class Model(http.server.BaseHTTPRequestHandler):
    """An OpenAI-compatible model: `say N` in the prompt makes N words, one every PAUSE."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer("application/json", b'{"object":"list","data":[{"id":"seam"}]}')

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = [part if isinstance(part, str) else "".join(piece.get("text", "") for piece in part)
                for part in (message.get("content") or "" for message in body["messages"] if message["role"] == "user")]
        count = next((int(word) for word in reversed(" ".join(said[-1:]).split()) if word.isdigit()), 1)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        try:
            for number in range(count):
                self.chunk({"content": f"w{number:05} "}, None)
                if number + 1 < count:
                    time.sleep(PAUSE)
            self.chunk({}, "stop")
            self.wfile.write(b"data: [DONE]\n\n")
        except OSError:
            pass
        self.close_connection = True

    def chunk(self, delta, finish):
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        event = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "seam", "choices": [choice]}
        if finish:
            event["usage"] = {"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20}
        self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()

    def answer(self, kind, body):
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def model_process(ports):
    server = Server(("127.0.0.1", 0), Model)
    ports.put(server.server_address[1])
    server.serve_forever()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def events(path, url, headers):
    """The data of each server-sent event, as it comes."""
    connection = UnixConnection(path)
    connection.request("GET", url, headers=headers)
    response = connection.getresponse()
    if response.status != 200:
        sys.exit(f"GET {url}: {response.status} {response.read()[:300]}")
    while True:
        line = response.readline()
        if not line:
            return
        if line.startswith(b"data:"):
            yield time.monotonic(), json.loads(line[5:])


def text_of_agent(event):
    properties = event.get("properties", {})
    if event.get("type") == "message.part.delta" and properties.get("field") == "text":
        return properties["partID"], properties["delta"]
    return None


def text_of_gateway(event):
    data = event.get("data", {})
    return (data["part"], data["delta"]) if event.get("kind") == "message.text" else None


def listener_process(path, url, headers, text_of, marks):
    """Sends (part, length so far, when) for every piece of text, and `None` first, when the stream stands."""
    lengths = {}
    marks.put(None)
    for at, event in events(path, url, headers):
        piece = text_of(event)
        if piece:
            part, delta = piece
            lengths[part] = lengths.get(part, 0) + len(delta.encode())
            marks.put((part, lengths[part], at))


class Listener:
    def __init__(self, path, url, headers, text_of):
        self.marks = multiprocessing.Queue()
        self.process = multiprocessing.Process(
            target=listener_process, args=(path, url, headers, text_of, self.marks), daemon=True)
        self.process.start()
        self.marks.get(timeout=60)
        time.sleep(0.5)

    def take(self):
        """Everything that was heard, once it has been quiet for a while."""
        taken = []
        while True:
            try:
                taken.append(self.marks.get(timeout=2))
            except queue.Empty:
                return taken

    def close(self):
        self.process.terminate()
        self.process.join()


def added(direct, through):
    """For each piece the agent told: how much later its end was had from the gateway, in seconds."""
    by_part = {}
    for part, length, at in through:
        by_part.setdefault(part, []).append((length, at))
    delays = []
    for part, length, at in direct:
        later = next((had for so_far, had in by_part.get(part, []) if so_far >= length), None)
        if later is None:
            sys.exit(f"{length} bytes of {part} never came through the gateway")
        delays.append(later - at)
    return delays


def ask(path, method, url, body=None):
    connection = UnixConnection(path)
    begun = time.monotonic()
    connection.request(method, url, None if body is None else json.dumps(body), {"content-type": "application/json"})
    response = connection.getresponse()
    text = response.read()
    took = time.monotonic() - begun
    connection.close()
    if response.status >= 300:
        sys.exit(f"{method} {url}: {response.status} {text[:400]!r}")
    return took, json.loads(text or b"null")


def until_ended(path, messages, limit):
    end = time.monotonic() + limit
    for message in messages:
        while True:
            _, now = ask(path, "GET", f"/v1/messages/{message}")
            if now["state"] in ("answered", "failed", "cancelled"):
                break
            if time.monotonic() > end:
                sys.exit(f"message {message} is still {now['state']}")
            time.sleep(0.2)
        if now["state"] != "answered":
            _, notes = ask(path, "GET", "/v1/frames/seam/notes")
            sys.exit(f"message {message}: {now['state']}: {now.get('reason')}\n{json.dumps(notes, indent=1)}")


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid):
    return next(int(line.split()[1]) for line in open(f"/proc/{pid}/status") if line.startswith("VmRSS"))


def share(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def spread(values):
    return f"p50 {share(values, .5) * 1000:.1f} ms, p99 {share(values, .99) * 1000:.1f} ms, {len(values)} samples"


def open_stream(path, form):
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(path)
    head = "GET /v1/events HTTP/1.1\r\nhost: localhost\r\n"
    if form == "WebSocket":
        key = base64.b64encode(os.urandom(16)).decode()
        head += f"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n"
    stream.sendall(f"{head}\r\n".encode())
    stream.settimeout(10)
    stream.recv(4096)
    return stream


class Drain:
    """Reads many streams at once and counts the pieces of text that came."""
    PIECE = b'"kind":"message.text"'

    def __init__(self, streams):
        self.poll = select.epoll()
        self.streams = {stream.fileno(): stream for stream in streams}
        self.tails = dict.fromkeys(self.streams, b"")
        self.pieces = 0
        for number, stream in self.streams.items():
            stream.setblocking(False)
            self.poll.register(number, select.EPOLLIN)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.ended = self.cut_off = False
        self.thread.start()

    def run(self):
        while not self.ended:
            for number, _ in self.poll.poll(0.2):
                data = self.streams[number].recv(65536)
                if not data:
                    self.cut_off = True
                    return
                seen = self.tails[number] + data
                self.pieces += seen.count(self.PIECE)
                self.tails[number] = seen[-(len(self.PIECE) - 1):]

    def end(self):
        """Once nothing has come for a second."""
        before = -1
        while before != self.pieces:
            before = self.pieces
            time.sleep(1)
        self.ended = True
        self.thread.join()
        if self.cut_off:
            sys.exit(f"a reader was cut off after {self.pieces} pieces")
        for stream in self.streams.values():
            stream.close()
        return self.pieces


def sum_up(values):
    """Numbers together, lists one behind the other."""
    return [one for part in values for one in part] if isinstance(values[0], list) else sum(values)


def seam(world, report, sessions):
    ports = multiprocessing.Queue()
    model = multiprocessing.Process(target=model_process, args=(ports,), daemon=True)
    model.start()
    with open(f"{world.home}/config.yaml", "w") as config:
        config.write(f"""
providers:
  seam: {{kind: openai-compatible, base_url: "http://127.0.0.1:{ports.get(timeout=10)}/v1", models: [seam]}}
opencode: {{default_model: seam/seam, small_model: seam/seam}}
queue: {{parallel: {sessions}}}
""")
    world.run("frame", "create", "seam", "--workspace", world.folder("seam"), "--network", "sealed", "--start")
    frame = world.json("frame", "show", "seam")
    status = world.json("status")
    gateway, pid = status["socket"], status["pid"]
    folder = f"{world.home}/frames/{frame['id']}"
    password = open(f"{folder}/start/password").read().strip()
    basic = {"authorization": "Basic " + base64.b64encode(f"mimir:{password}".encode()).decode()}

    def send(text, session="new"):
        return ask(gateway, "POST", "/v1/messages", {"frame": "seam", "text": text, "session": session})

    _, first = send("say 3")
    until_ended(gateway, [first["id"]], 120)
    direct = Listener(f"{folder}/link/agent.sock", "/event", basic, text_of_agent)
    through = Listener(gateway, "/v1/events?kind=message.text", {}, text_of_gateway)
    # The same bytes through the same process, with nothing read, stored or numbered: what any process in between adds.
    # At the same time, because how late a listener gets the processor differs from one moment to the next.
    passed = Listener(gateway, "/v1/frames/seam/opencode/event", {}, text_of_agent)

    def streamed(count):
        """How much later each listener had each piece than the one who reads the agent directly."""
        before, begun = cpu_seconds(pid), time.monotonic()
        until_ended(gateway, [send(f"say {WORDS}")[1]["id"] for _ in range(count)], 300)
        took, used = time.monotonic() - begun, cpu_seconds(pid) - before
        heard = direct.take()
        return added(heard, through.take()), added(heard, passed.take()), len(heard), took, used

    # The slowest hundredth is a matter of a few pieces, and of when the machine was busy with something else: several
    # rounds are taken together.
    for count, rounds in ((1, 5), (sessions, 5)):
        delays, as_it_is, pieces, took, used = map(sum_up, zip(*(streamed(count) for _ in range(rounds))))
        name = f"agent event to client, added by the gateway, {count} streaming session{'s' * (count > 1)}"
        report.figure(f"{name}, p50", share(delays, .5) * 1000, "ms", 5, spread(delays))
        report.figure(f"{name}, p99", share(delays, .99) * 1000, "ms", 25, spread(delays))
        report.add(f"agent events relayed per second of gateway CPU, {count} at once",
                   f"{pieces} pieces in {took:.1f} s, {used:.2f} s CPU", f"{pieces / max(used, .01):.0f}/s", "–", True)
        report.add(f"the same pieces at the same time through the pass-through, {count} at once", spread(as_it_is),
                   f"{share(as_it_is, .5) * 1000:.1f} / {share(as_it_is, .99) * 1000:.1f} ms", "–", True)
        report.figure(f"{name}, p99 as a multiple of the pass-through's", share(delays, .99) / share(as_it_is, .99),
                      "x", 1.25, f"{share(delays, .99) * 1000:.1f} to {share(as_it_is, .99) * 1000:.1f} ms")
    through.close()
    passed.close()
    direct.close()

    session = send("say 1")[1]["session"]
    accepted, sent = [], []
    for _ in range(30):
        took, message = send("say 1", session)
        accepted.append(took)
        sent.append(message["id"])
    report.figure("message accepted (`POST /v1/messages`), p50", share(accepted, .5) * 1000, "ms", 15, spread(accepted))
    # What still runs would be taken for the work of the readers below.
    until_ended(gateway, sent, 300)

    for form in ("SSE", "WebSocket"):
        readers = 200
        # A new one: memory that was used once is seldom given back, and would hide what readers take.
        world.run("serve", "--stop")
        world.run("frame", "list")
        pid = world.json("status")["pid"]
        until_ended(gateway, [send("say 3")[1]["id"]], 120)
        before = resident(pid)
        streams = [open_stream(gateway, form) for _ in range(readers)]
        drain = Drain(streams)
        busy = cpu_seconds(pid)
        _, message = send(f"say {WORDS}")
        until_ended(gateway, [message["id"]], 300)
        grown = resident(pid) - before
        pieces = drain.end()
        used = cpu_seconds(pid) - busy
        report.figure(f"gateway memory per attached reader, {form}", grown / readers, "KiB", 64,
                      f"{readers} readers, {grown} KiB")
        report.add(f"pieces of text delivered per second of gateway CPU, {readers} readers, {form}",
                   f"{pieces} deliveries, {used:.2f} s CPU", f"{pieces / max(used, .01):.0f}/s", "–", True)
        time.sleep(1)
    model.terminate()

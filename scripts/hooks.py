"""`scripts/bench webhooks`: how many messages a second are taken so that a power cut does not take them again.

In turn, in one run: clients in processes of their own send signed alerts over the gateway's Unix socket, and a bare loop
writes the same rows into a plain SQLite file, each synced. Then a hundred a second are sent, and the slowest of a hundred
is looked at. Each message is of another event, so nothing is known already; no rule is about them, so deciding about
them, which goes on beside it, begins nothing.
"""
import hashlib
import hmac
import json
import multiprocessing
import os
import socket
import sqlite3
import statistics
import sys
import threading
import time

SECRET = "a secret of the benchmark, and long enough"
PROCESSES, CONNECTIONS = 4, 8
PACED_SECONDS, PACED = 20, 100


def configure(world):
    with open(f"{world.home}/config.yaml", "w") as out:
        out.write(f"webhooks: {{sources: {{errors: {{kind: sentry, organization: acme, secret: '{SECRET}'}}}}}}\n")


def message(name, size=0):
    """A body of about four kilobytes, as alerts with a short trace have, or of a larger size."""
    frames = [{"filename": f"shop/part{n}.py", "function": "total", "lineno": n, "in_app": True,
               "context_line": "    return sum(items) / len(items)", "pre_context": ["def total(items):"] * 2}
              for n in range(14)]
    event = {"event_id": name, "issue_id": name, "title": "ZeroDivisionError: division by zero", "level": "error",
             "environment": "production", "tags": [["runtime", "CPython 3.12"]],
             "exception": {"values": [{"type": "ZeroDivisionError", "value": "x", "stacktrace": {"frames": frames}}]}}
    body = json.dumps({"action": "triggered", "data": {"event": event, "triggered_rule": "all"}})
    if len(body) < size:
        event["extra"] = {"dump": "x" * (size - len(body))}
        body = json.dumps({"action": "triggered", "data": {"event": event, "triggered_rule": "all"}})
    return body.encode()


class Connection:
    def __init__(self, path):
        self.path, self.stream = path, None

    def send(self, body):
        """One message that is taken; how long its answer took."""
        took, answer = self.exchange(body)
        if not answer.startswith(b"HTTP/1.1 202 "):
            raise SystemExit(f"not taken: {answer[:400]!r}")
        return took

    def exchange(self, body):
        """One message; how long its answer took, and the answer."""
        tag = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        request = (f"POST /webhooks/errors HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                   f"sentry-hook-resource: event_alert\r\nsentry-hook-signature: {tag}\r\n"
                   f"content-length: {len(body)}\r\n\r\n").encode() + body
        if self.stream is None:
            self.stream = socket.socket(socket.AF_UNIX)
            self.stream.connect(self.path)
        begun = time.monotonic()
        self.stream.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer) < self.whole(answer):
            piece = self.stream.recv(65536)
            if not piece:
                raise SystemExit(f"the gateway hung up: {answer!r}")
            answer += piece
        return time.monotonic() - begun, answer

    @staticmethod
    def whole(answer):
        head, _, _ = answer.partition(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        return len(head) + 4 + int(length.split(b":")[1])


def together(works):
    """Does all of them at once; the first trouble of any ends this process."""
    trouble = []

    def one(work):
        try:
            work()
        except BaseException as why:
            trouble.append(repr(why))

    threads = [threading.Thread(target=one, args=(work,)) for work in works]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    if trouble:
        sys.exit(f"{len(trouble)} of {len(threads)} did not end well: {trouble[0]}")


def flood(path, who, seconds, results):
    """As many as go over so many connections, one after the other on each."""
    times, lock = [], threading.Lock()
    end = time.monotonic() + seconds

    def one(connection):
        link, own, number = Connection(path), [], 0
        while time.monotonic() < end:
            own.append(link.send(message(f"{who}-{connection}-{number}")))
            number += 1
        with lock:
            times.extend(own)

    try:
        together([lambda n=n: one(n) for n in range(CONNECTIONS)])
        results.put(times)
    except SystemExit as why:
        results.put(why)


def gateway(path, name, seconds):
    results = multiprocessing.Queue()
    workers = [multiprocessing.Process(target=flood, args=(path, f"{name}-{n}", seconds, results)) for n in range(PROCESSES)]
    begun = time.monotonic()
    [worker.start() for worker in workers]
    found = [results.get() for _ in workers]
    [worker.join() for worker in workers]
    for trouble in (one for one in found if isinstance(one, SystemExit)):
        raise trouble
    times = [took for one in found for took in one]
    return len(times) / (time.monotonic() - begun), times


def bare(folder, name, seconds):
    """The same rows, each in a transaction of its own that is on the disk before the next."""
    base = sqlite3.connect(f"{folder}/bare-{name}.db", isolation_level=None)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA synchronous = FULL")
    base.execute("CREATE TABLE received (id TEXT PRIMARY KEY, source TEXT, event TEXT, at INTEGER, headers TEXT, body BLOB)")
    base.execute("CREATE INDEX by_time ON received (at)")
    base.execute("CREATE TABLE keys (source TEXT, key TEXT, id TEXT, at INTEGER, PRIMARY KEY (source, key)) WITHOUT ROWID")
    count, begun = 0, time.monotonic()
    while time.monotonic() < begun + seconds:
        body = message(f"{name}-{count}")
        key = hashlib.sha256(body).hexdigest()
        base.execute("BEGIN IMMEDIATE")
        base.execute("SELECT id FROM keys WHERE source = ? AND key = ?", ("errors", key)).fetchone()
        base.execute("INSERT INTO received VALUES (?, ?, ?, ?, ?, ?)",
                     (f"whd-{count}", "errors", "event_alert", count, "[]", body))
        base.execute("INSERT INTO keys VALUES (?, ?, ?, ?)", ("errors", key, f"whd-{count}", count))
        base.execute("INSERT INTO keys VALUES (?, ?, ?, ?)", ("errors", f"event:{count}", f"whd-{count}", count))
        base.execute("COMMIT")
        count += 1
    return count / (time.monotonic() - begun)


def paced(path, seconds, rate, size=0):
    """So many a second, whether the one before was answered or not; each waits for its own moment."""
    times, lock, begun = [], threading.Lock(), time.monotonic() + 0.5
    workers = 20

    def one(worker):
        link, own = Connection(path), []
        for number in range(worker, int(seconds * rate), workers):
            due = begun + number / rate
            time.sleep(max(0.0, due - time.monotonic()))
            body = message(f"paced-{size}-{number}", size)
            link.send(body)
            # From when it was due: who comes late waits for those before it as well.
            own.append(time.monotonic() - due)
        with lock:
            times.extend(own)

    together([lambda n=n: one(n) for n in range(workers)])
    return times


def slowest(times, share):
    times = sorted(times)
    return times[min(len(times) - 1, int(len(times) * share))]


def measure(world, report, runs):
    configure(world)
    world.run("serve", "--detach")
    path = world.json("status")["socket"]
    folder = world.folder("bare")
    rates, bares, times = [], [], []
    for number in range(runs):
        seconds = 4
        if number % 2 == 0:
            bares.append(bare(folder, number, seconds))
        rate, took = gateway(path, number, seconds)
        rates.append(rate)
        times.extend(took)
        if number % 2 == 1:
            bares.append(bare(folder, number, seconds))
    ratio = statistics.median(ours / theirs for ours, theirs in zip(rates, bares))
    report.add("durable webhooks a second against a bare loop of the same inserts",
               f"{statistics.median(rates):.0f}/s against {statistics.median(bares):.0f}/s", f"{ratio:.2f}×", "≥ 0.5×",
               ratio >= 0.5)
    report.figure(f"the slowest of a hundred of them, {PROCESSES * CONNECTIONS} at a time", slowest(times, 0.99) * 1000, "ms", 900)
    took = paced(path, PACED_SECONDS, PACED)
    report.figure(f"the slowest of a hundred at {PACED} a second", slowest(took, 0.99) * 1000, "ms", 250)

"""`scripts/bench webhooks`, what follows: how soon messages are taken while everything else is at work.

Some frames answer a model of this machine all the time, the database is copied again and again, and a hundred messages of
64 KiB a second come for a minute. Then two thousand come within two seconds: each is taken for good, or told to come again.

With --tests also how long it takes from an alert to the first question to an agent, and to the pull request. That is the
story that `scripts/demo fix` tells; its model is a script that answers at once, so none of the time is the model's.
"""
import json
import multiprocessing
import os
import queue
import re
import subprocess
import sys
import threading
import time

from hooks import PROCESSES, SECRET, Connection, message, paced, slowest, together
from seam import ask, model_process

RATE, SIZE = 100, 64 << 10
BURST, BURST_SECONDS, BURST_CONNECTIONS = 2000, 2.0, 25
STORY = "podman::alert::an_alert_becomes_a_merged_pull_request_and_what_comes_back_is_told"
TOLD = r"first question to an agent ([0-9.]+) s after the alert, pull request ([0-9.]+) s, resolved ([0-9.]+) s"


class Work:
    """What the machine does besides."""

    def __init__(self, world, gateway, frames):
        self.ended, self.copies, self.trouble = threading.Event(), 0, []
        self.turns = dict.fromkeys(frames, 0)
        self.threads = [threading.Thread(target=self.answer, args=(gateway, frame), daemon=True) for frame in frames]
        self.threads.append(threading.Thread(target=self.copy, args=(world,), daemon=True))
        for thread in self.threads:
            thread.start()

    def answer(self, gateway, frame):
        try:
            while not self.ended.is_set():
                _, asked = ask(gateway, "POST", "/v1/messages", {"frame": frame, "text": "say 120", "session": "new"})
                while asked["state"] not in ("answered", "failed", "cancelled"):
                    time.sleep(0.2)
                    _, asked = ask(gateway, "GET", f"/v1/messages/{asked['id']}")
                if asked["state"] != "answered":
                    raise SystemExit(f"{frame}: {asked['state']}: {asked.get('reason')}")
                self.turns[frame] += 1
        except BaseException as why:
            self.trouble.append(f"{frame}: {why!r}")

    def copy(self, world):
        try:
            while not self.ended.is_set():
                world.run("backup", "create")
                self.copies += 1
                # Each is as large as the database, and nobody needs it.
                for name in os.listdir(f"{world.home}/backups"):
                    os.remove(f"{world.home}/backups/{name}")
        except BaseException as why:
            self.trouble.append(f"copies: {why!r}")

    def answers(self):
        return sum(self.turns.values())

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        # Who measures beside work that was not done measures nothing.
        if self.trouble or not self.copies or min(self.turns.values()) < 1:
            sys.exit(f"answers {self.turns}, {self.copies} copies: {self.trouble}")


def put(results, measured, args):
    results.put(measured(*args))


def in_a_process(measured, *args):
    """Runs it where nobody else of ours wants the interpreter."""
    results = multiprocessing.Queue()
    process = multiprocessing.Process(target=put, args=(results, measured, args))
    process.start()
    while True:
        try:
            found = results.get(timeout=1)
            break
        except queue.Empty:
            if process.is_alive():
                continue
            # It may have said it between the look and its end.
            try:
                found = results.get(timeout=1)
                break
            except queue.Empty:
                sys.exit(f"{measured.__name__} ended with {process.exitcode}")
    process.join()
    return found


def part_of_burst(path, begun, numbers):
    """Each at its moment over one of so many connections; how each was answered, and how long that took."""
    found, lock = [], threading.Lock()

    def one(own):
        link = Connection(path)
        bodies = [(number, message(f"burst-{number}")) for number in own]
        for number, body in bodies:
            time.sleep(max(0.0, begun + number * BURST_SECONDS / BURST - time.monotonic()))
            took, answer = link.exchange(body)
            with lock:
                found.append((took, answer))
            if b"\r\nconnection: close" in answer.lower():
                link = Connection(path)

    together([lambda first=first: one(numbers[first::BURST_CONNECTIONS]) for first in range(BURST_CONNECTIONS)])
    return found


def burst(path, report):
    begun = time.monotonic() + 2.0
    parts = []
    together([lambda first=first: parts.append(
        in_a_process(part_of_burst, path, begun, range(first, BURST, PROCESSES))) for first in range(PROCESSES)])
    answers = [one for part in parts for one in part]
    taken = [json.loads(answer.partition(b"\r\n\r\n")[2])["id"] for _, answer in answers if answer.startswith(b"HTTP/1.1 202 ")]
    again = [answer for _, answer in answers
             if answer.startswith(b"HTTP/1.1 503 ") and b"\r\nretry-after:" in answer.lower()]
    for name in taken:
        # It ends the bench when it is not there.
        ask(path, "GET", f"/v1/webhooks/deliveries/{name}")
    other = BURST - len(taken) - len(again)
    report.add(f"{BURST} within {BURST_SECONDS:.0f} s: taken and there, or told to come again",
               f"{len(taken)} taken, {len(again)} told to come again, {other} otherwise",
               f"{other} lost", "0 lost", other == 0 and len(set(taken)) == len(taken))
    report.figure("the slowest answer to one of them", max(took for took, _ in answers) * 1000, "ms", 900)


def measure(world, report, frames, seconds):
    ports = multiprocessing.Queue()
    model = multiprocessing.Process(target=model_process, args=(ports,), daemon=True)
    model.start()
    # The one of before is still deciding about what came last.
    world.run("serve", "--stop", check=False)
    # One of its own, whose database is not as large as what came before made it.
    world = type(world)(world.mimir)
    try:
        with open(f"{world.home}/config.yaml", "w") as config:
            config.write(f"""
providers:
  seam: {{kind: openai-compatible, base_url: "http://127.0.0.1:{ports.get(timeout=10)}/v1", models: [seam]}}
opencode: {{default_model: seam/seam, small_model: seam/seam}}
webhooks: {{sources: {{errors: {{kind: sentry, organization: acme, secret: '{SECRET}'}}}}}}
""")
        names = [f"busy-{number}" for number in range(frames)]
        world.run("serve", "--detach")
        for name in names:
            world.run("frame", "create", name, "--workspace", world.folder(name), "--network", "sealed", "--start")
        path = world.json("status")["socket"]
        work = Work(world, path, names)
        took = in_a_process(paced, path, seconds, RATE, SIZE)
        if len(took) < RATE * seconds:
            sys.exit(f"{len(took)} of {RATE * seconds} messages were taken")
        what = f"{RATE} a second of 64 KiB, {frames} frames at work and the database copied all the time"
        report.figure(f"the slowest of a hundred, {what}", slowest(took, 0.99) * 1000, "ms", 250)
        report.figure("the slowest of all of them", max(took) * 1000, "ms", 900,
                      f"{len(took)} messages, {work.answers()} answers of frames, {work.copies} copies")
        burst(path, report)
        work.end()
    finally:
        world.close()
        model.terminate()


def story(tests, runs, report):
    """From an alert to a pull request and to its end, in real frames, so often."""
    found = []
    for _ in range(runs):
        done = subprocess.run([tests, STORY, "--exact", "--nocapture"], capture_output=True, text=True,
                              env=dict(os.environ, MIMIR_STORY="1", MIMIR_TEST_NO_SKIPS="1"))
        told = re.search(TOLD, done.stdout)
        if done.returncode != 0 or not told:
            sys.exit(f"{tests} {STORY} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        found.append([float(seconds) for seconds in told.groups()])
    for what, target, times in zip(("first question to an agent", "pull request", "issue resolved"), (None, None, 60), zip(*found)):
        middle = sorted(times)[len(times) // 2]
        report.add(f"from an alert to the {what}, without the model's time",
                   f"{middle:.1f} s ({min(times):.1f}–{max(times):.1f}), {len(times)} runs", f"{middle:.1f} s",
                   f"≤ {target} s" if target else "–", target is None or middle <= target)

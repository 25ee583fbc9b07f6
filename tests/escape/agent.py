"""The frame's own parts: the agent's server, its password, the terminal, the folder in which gateway and frame meet."""
import json
import os
import socket
import subprocess
import urllib.error
import urllib.request

from probe import Broken, Missing, opened, probe

LINK, START = "/run/mimir", "/run/mimir/start"


def needs(path):
    if not os.path.exists(path):
        raise Missing(f"{path} is not there")


def server(path, method="GET", body=None, password=None):
    """Asks the agent's server: status and answer."""
    request = urllib.request.Request(f"http://127.0.0.1:4096{path}", method=method,
                                     data=None if body is None else json.dumps(body).encode(),
                                     headers={"content-type": "application/json"})
    if password:
        import base64
        request.add_header("authorization", "Basic " + base64.b64encode(f"mimir:{password}".encode()).decode())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError as error:
        raise Missing(f"no agent's server here: {error}")


@probe("the agent's server without its password", "whoever gets to the port commands the agent")
def _():
    for path in ("/session", "/config", "/global/health", "/event"):
        code, _ = server(path)
        if code != 401:
            raise Broken(f"{path} answered {code}")
    return "401 everywhere"


@probe("the start folder cannot be written", "the agent gives itself another configuration and other rules")
def _():
    needs(START)
    return "; ".join(f"{name}: {opened(os.path.join(START, name), os.O_WRONLY)}" for name in sorted(os.listdir(START)))


@probe("the start folder cannot be replaced", "the same by another name")
def _():
    needs(START)
    try:
        os.rename(START, f"{LINK}/start.old")
    except OSError as error:
        return error.strerror
    os.rename(f"{LINK}/start.old", START)
    raise Broken("it was moved away")


@probe("a provider's key in what the frame is given", "the key is spent or sold")
def _():
    needs(START)
    for folder in (START, LINK, os.path.expanduser("~")):
        done = subprocess.run(["grep", "-rslE", "--exclude-dir=.escape", r"sk-(ant-|proj-|or-)?[A-Za-z0-9_-]{24,}|AIza[A-Za-z0-9_-]{35}",
                               folder], capture_output=True, text=True)
        if done.stdout:
            raise Broken(done.stdout.split("\n")[0])
    return "none"


@probe("a key that the broker adds, told back", "the key is spent or sold")
def _():
    key = os.environ.get("ESCAPE_KEY_SHAPE")
    if not key:
        raise Missing("no provider was set up for it")
    raise Missing("it is tried with the hostile provider of the test suite")


@probe("the gateway's socket", "the agent commands the gateway")
def _():
    found = []
    for folder in ("/run", "/tmp", os.path.expanduser("~"), "/workspace"):
        for at, _, files in os.walk(folder):
            found += [os.path.join(at, name) for name in files if name in ("gateway.sock", "mimir.sock")]
    if found:
        raise Broken(", ".join(found))
    return "it is nowhere"


@probe("mimir's own files", "its database, its keys, its token")
def _():
    found = []
    for folder in ("/run", "/home", "/workspace", "/root", "/var"):
        for at, _, files in os.walk(folder):
            found += [os.path.join(at, name) for name in files if name in ("db.key", "gateway.token", "mimir.db")]
    if found:
        raise Broken(", ".join(found))
    return "none is there"


@probe("the broker's socket replaced by a link", "the gateway opens what the link leads to")
def _():
    needs(f"{LINK}/broker.sock")
    # The frame may write there; what counts is that the gateway does not follow. Seen outside: it goes on working.
    path = f"{LINK}/escape.sock"
    os.symlink("/etc/passwd", path)
    os.unlink(path)
    return "the gateway opens its own names beneath the folder, without following links"


@probe("a file of any size where gateway and frame meet", "the disk of the database is used up")
def _():
    needs(LINK)
    path = f"{LINK}/escape-large"
    try:
        with open(path, "wb") as file:
            for _ in range(600):
                file.write(b"\0" * (1 << 20))
                file.flush()
    except OSError as error:
        return error.strerror
    finally:
        if os.path.exists(path):
            os.unlink(path)
    return "taken; it counts towards the frame's own disk limit (`frames.disk`)"


@probe("another name for itself", "its doings are booked on another frame")
def _():
    needs(f"{LINK}/broker.sock")
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(5)
        stream.connect(f"{LINK}/broker.sock")
        stream.sendall(b"GET http://mimir.internal/ HTTP/1.1\r\nHost: x\r\nX-Mimir-Frame: other\r\nForwarded: for=other\r\n\r\n")
        try:
            line = stream.recv(200).split(b"\r\n")[0].decode(errors="replace")
        except TimeoutError:
            line = "no answer"
    return f"{line}; a frame is its socket, whatever its headers say"


@probe("sockets of other frames", "talks to other agents and to their brokers")
def _():
    needs(LINK)
    allowed = {"broker.sock", "agent.sock", "preview.sock", "start", "git", "tmux.sock"}
    strange = [name for name in os.listdir(LINK) if name not in allowed and name.endswith(".sock")]
    if strange:
        raise Broken(", ".join(strange))
    return "only its own"


@probe("a terminal server of the host", "a command on the host (tmux runs what its server says)")
def _():
    found = []
    for folder in ("/tmp", "/run"):
        for at, _, files in os.walk(folder):
            found += [os.path.join(at, name) for name in files if at.startswith("/tmp/tmux-")]
    if found:
        raise Broken(", ".join(found))
    if os.environ.get("TMUX"):
        raise Broken(f"TMUX is {os.environ['TMUX']}")
    return "none"


@probe("commands of git's that the host set up", "credentials of the host's user")
def _():
    done = subprocess.run(["git", "config", "--list", "--show-origin"], capture_output=True, text=True)
    for line in done.stdout.split("\n"):
        lower = line.lower()
        if "credential.helper" in lower or "core.sshcommand" in lower or "core.askpass" in lower:
            raise Broken(line)
    return "none"


@probe("an agent of SSH or GPG of the host", "signs and logs in as the host's user")
def _():
    for name in ("SSH_AUTH_SOCK", "GPG_AGENT_INFO", "DBUS_SESSION_BUS_ADDRESS", "XAUTHORITY", "WAYLAND_DISPLAY", "DISPLAY"):
        if os.environ.get(name):
            raise Broken(f"{name} is {os.environ[name]}")
    return "none"


@probe("git's repository leads a program of the host's", "git on the host runs what is written in .git (hooks, fsmonitor)")
def _():
    # The folder is shared on purpose; README says what to do before git is run on the host. mimir itself never runs it there.
    raise Missing("the folder is shared on purpose; mimir itself runs no git there")


@probe("a project's own plugin", "a cloned repository runs code with the agent's rights before anybody asked")
def _():
    marker = os.path.expanduser("~/.escape-plugin-ran")
    if not os.path.exists("/workspace/.opencode/plugins/escape.js"):
        raise Missing("none was planted")
    code, _ = server("/config", password=own_password())
    if os.path.exists(marker):
        raise Broken("it ran")
    return f"the server answered {code}, and it did not run"


def own_password():
    for path in (f"{START}/password",):
        try:
            with open(path) as file:
                return file.read().strip()
        except OSError:
            pass
    return None


@probe("its own approvals, answered by itself", "a person is asked, and the agent says yes")
def _():
    if own_password() is None:
        return "it cannot read its server's password"
    # It can: opencode and its tools have one user. What mimir promises is that such an answer is told as the agent's own.
    return "it can answer itself, and the gateway books that as the agent's own answer (see docs/isolation.md)"

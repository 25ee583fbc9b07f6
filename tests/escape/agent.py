"""The frame's own parts: the agent's server, its password, the terminal, the folder in which gateway and frame meet."""
import json
import os
import socket
import stat
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
    # A pipe is no file: what is written into this one reaches the frame's own window alone, and means "somebody looks".
    pipes = {name for name in os.listdir(START) if stat.S_ISFIFO(os.lstat(os.path.join(START, name)).st_mode)}
    if not pipes <= {"viewers"}:
        raise Broken(f"pipes that nobody knows of: {pipes}")
    files = sorted(set(os.listdir(START)) - pipes)
    return "; ".join(f"{name}: {opened(os.path.join(START, name), os.O_WRONLY)}" for name in files)


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

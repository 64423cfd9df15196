"""A program that uses a mount when its volume goes: opens, writes, maps, waits. Prints what each thing came to as a JSON line. Arguments: directory, what."""

import errno
import fcntl
import json
import mmap
import os
import sys


def tell(**facts):
    print(json.dumps(facts), flush=True)


def outcome(call, *arguments):
    try:
        call(*arguments)
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]


def holder(directory):
    """Holds a lock, an open file with bytes that were not closed yet, and a dirty page; ends when its standard input does."""
    locked = os.open(f"{directory}/locked", os.O_RDWR | os.O_CREAT)
    fcntl.flock(locked, fcntl.LOCK_EX)
    written = os.open(f"{directory}/written", os.O_RDWR | os.O_CREAT)
    os.write(written, b"w" * 100_000)
    mapped = os.open(f"{directory}/mapped", os.O_RDWR | os.O_CREAT)
    os.ftruncate(mapped, 8192)
    memory = mmap.mmap(mapped, 8192)
    memory[0:4] = b"page"
    tell(ready=True)
    sys.stdin.read()
    tell(write=outcome(os.write, written, b"more"), fsync=outcome(os.fsync, written), close=outcome(os.close, written), msync=outcome(memory.flush), stat=outcome(os.fstat, locked))


def waiter(directory):
    """Waits in the kernel for a lock that somebody else has."""
    locked = os.open(f"{directory}/locked", os.O_RDWR)
    tell(ready=True)
    tell(flock=outcome(fcntl.flock, locked, fcntl.LOCK_EX))


def reader(directory):
    """Waits in the kernel for an answer of a mount that does not give one."""
    tell(ready=True)
    tell(stat=outcome(os.stat, f"{directory}/never-looked-up"))


{"holder": holder, "waiter": waiter, "reader": reader}[sys.argv[2]](sys.argv[1])

"""System calls that Node has no function for, tried in the directory given: each test by name, `ok` or what went wrong. For volume-posix.test.ts."""

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100


def expect(wanted, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno == wanted, f"{errno.errorcode[error.errno]} instead of {errno.errorcode[wanted]}"
    else:
        raise AssertionError(f"success instead of {errno.errorcode[wanted]}")


def renameat2(old, new, flags):
    if LIBC.renameat2(AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def fallocate(fd, mode, offset, length):
    if LIBC.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def child(work):
    """Runs in a process of its own; its exit code tells whether it went well."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
    return pid


def waited(pid):
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the other process failed"


def test_rename_noreplace():
    write("a", b"a")
    write("b", b"b")
    expect(errno.EEXIST, renameat2, "a", "b", 1)
    renameat2("a", "c", 1)
    assert read("c") == b"a" and not os.path.exists("a")


def test_rename_exchange():
    write("a", b"a")
    os.mkdir("d")
    write("d/x", b"x")
    renameat2("a", "d", 2)
    assert read("d") == b"a" and read("a/x") == b"x"
    expect(errno.ENOENT, renameat2, "a", "missing", 2)


def test_seek_data_and_hole():
    fd = os.open("sparse", os.O_RDWR | os.O_CREAT)
    os.pwrite(fd, b"x" * 4096, 8 << 20)
    os.ftruncate(fd, 16 << 20)
    os.fsync(fd)
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 0
    data = os.lseek(fd, 0, os.SEEK_DATA)
    assert 0 < data <= 8 << 20, data
    hole = os.lseek(fd, 8 << 20, os.SEEK_HOLE)
    assert (8 << 20) + 4096 <= hole <= 16 << 20, hole
    expect(errno.ENXIO, os.lseek, fd, 16 << 20, os.SEEK_DATA)
    assert os.fstat(fd).st_blocks * 512 < 4 << 20
    assert os.pread(fd, 10, 0) == bytes(10)
    os.close(fd)


def test_fallocate():
    fd = os.open("f", os.O_RDWR | os.O_CREAT)
    fallocate(fd, 0, 0, 10000)
    assert os.fstat(fd).st_size == 10000
    fallocate(fd, 1, 0, 50000)
    assert os.fstat(fd).st_size == 10000
    os.pwrite(fd, b"y" * 10000, 0)
    fallocate(fd, 3, 1000, 2000)
    assert os.pread(fd, 10000, 0) == b"y" * 1000 + bytes(2000) + b"y" * 7000
    fallocate(fd, 16, 5000, 10000)
    assert os.fstat(fd).st_size == 15000
    assert os.pread(fd, 20000, 0) == b"y" * 1000 + bytes(2000) + b"y" * 2000 + bytes(10000)
    os.close(fd)


def test_copy_file_range():
    content = os.urandom(3_000_000)
    write("from", content)
    source, target = os.open("from", os.O_RDONLY), os.open("to", os.O_RDWR | os.O_CREAT)
    done = 0
    while done < len(content) - 1000:
        count = os.copy_file_range(source, target, len(content) - 1000 - done, 1000 + done, done)
        assert count > 0
        done += count
    os.close(source)
    os.close(target)
    assert read("to") == content[1000:]


def test_shared_mmap():
    write("m", bytes(100_000))
    fd = os.open("m", os.O_RDWR)
    with mmap.mmap(fd, 100_000) as memory:
        memory[70_000:70_005] = b"hello"
        memory.flush()
        assert os.pread(fd, 5, 70_000) == b"hello"
        os.pwrite(fd, b"again", 10)
        assert memory[10:15] == b"again"
    os.close(fd)
    assert read("m")[70_000:70_005] == b"hello"


def test_private_mmap_of_a_closed_file():
    write("m", b"z" * 10_000)
    fd = os.open("m", os.O_RDONLY)
    memory = mmap.mmap(fd, 10_000, prot=mmap.PROT_READ)
    os.close(fd)
    os.unlink("m")
    assert memory[9_999:10_000] == b"z"
    memory.close()


def test_xattr():
    write("x", b"")
    os.setxattr("x", "user.one", b"1\0\xff")
    assert os.getxattr("x", "user.one") == b"1\0\xff"
    expect(errno.EEXIST, os.setxattr, "x", "user.one", b"2", os.XATTR_CREATE)
    expect(errno.ENODATA, os.setxattr, "x", "user.two", b"2", os.XATTR_REPLACE)
    os.setxattr("x", "user.two", b"")
    assert sorted(os.listxattr("x")) == ["user.one", "user.two"]
    assert os.getxattr("x", "user.two") == b""
    os.removexattr("x", "user.one")
    expect(errno.ENODATA, os.getxattr, "x", "user.one")
    expect(errno.ENODATA, os.removexattr, "x", "user.one")
    os.setxattr("x", "user.big", b"b" * 4000)
    assert len(os.getxattr("x", "user.big")) == 4000


def test_xattr_of_a_directory_outlives_a_rename():
    os.mkdir("d")
    os.setxattr("d", "user.k", b"v")
    os.rename("d", "e")
    assert os.getxattr("e", "user.k") == b"v"


def test_names_of_any_bytes():
    name = b"\xff\xfe\x80 ~\n"
    os.close(os.open(name, os.O_CREAT))
    assert name in os.listdir(b".")
    os.rename(name, b"\xc3")
    assert os.listdir(b".") == [b"\xc3"]
    os.symlink(b"\xf0\x01", b"link")
    assert os.readlink(b"link") == b"\xf0\x01"


def flock_range(fd, kind, start, length, wait=False):
    lock = struct.pack("hhqqi4x", kind, 0, start, length, 0)
    fcntl.fcntl(fd, fcntl.F_SETLKW if wait else fcntl.F_SETLK, lock)


def test_posix_locks():
    write("l", b"0123456789")
    fd = os.open("l", os.O_RDWR)
    flock_range(fd, fcntl.F_WRLCK, 0, 5)

    def other():
        mine = os.open("l", os.O_RDWR)
        expect(errno.EAGAIN, flock_range, mine, fcntl.F_WRLCK, 4, 2)
        flock_range(mine, fcntl.F_WRLCK, 5, 5)
        held = struct.unpack("hhqqi4x", fcntl.fcntl(mine, fcntl.F_GETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0)))
        assert held[0] == fcntl.F_WRLCK and held[2:4] == (0, 5) and held[4] == os.getppid(), held

    waited(child(other))
    flock_range(fd, fcntl.F_UNLCK, 2, 1)

    def between():
        mine = os.open("l", os.O_RDWR)
        flock_range(mine, fcntl.F_WRLCK, 2, 1)
        expect(errno.EAGAIN, flock_range, mine, fcntl.F_WRLCK, 1, 1)
        expect(errno.EAGAIN, flock_range, mine, fcntl.F_WRLCK, 3, 1)

    waited(child(between))
    os.close(os.open("l", os.O_RDONLY))  # any close of the file releases all of the process

    def free():
        flock_range(os.open("l", os.O_RDWR), fcntl.F_WRLCK, 0, 0)

    waited(child(free))
    os.close(fd)


def test_waiting_for_a_posix_lock():
    write("l", b"")
    fd = os.open("l", os.O_RDWR)
    flock_range(fd, fcntl.F_WRLCK, 0, 0)
    reader, writer = os.pipe()

    def other():
        mine = os.open("l", os.O_RDWR)
        flock_range(mine, fcntl.F_WRLCK, 0, 0, wait=True)
        os.write(writer, b"!")

    pid = child(other)
    time.sleep(0.2)
    os.set_blocking(reader, False)
    expect(errno.EAGAIN, os.read, reader, 1)
    flock_range(fd, fcntl.F_UNLCK, 0, 0)
    waited(pid)
    assert os.read(reader, 1) == b"!"
    os.close(fd)


def test_a_signal_ends_the_wait_for_a_lock():
    write("l", b"")
    fd = os.open("l", os.O_RDWR)
    flock_range(fd, fcntl.F_WRLCK, 0, 0)

    def other():
        signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(InterruptedError(errno.EINTR, "alarm")))
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        expect(errno.EINTR, flock_range, os.open("l", os.O_RDWR), fcntl.F_WRLCK, 0, 0, True)

    waited(child(other))
    os.close(fd)


def test_deadlock():
    write("l", b"12")
    ready, go = os.pipe()
    fd = os.open("l", os.O_RDWR)
    flock_range(fd, fcntl.F_WRLCK, 0, 1)

    def other():
        mine = os.open("l", os.O_RDWR)
        flock_range(mine, fcntl.F_WRLCK, 1, 1)
        os.write(go, b"!")
        flock_range(mine, fcntl.F_WRLCK, 0, 1, wait=True)

    pid = child(other)
    os.read(ready, 1)
    time.sleep(0.2)
    expect(errno.EDEADLK, flock_range, fd, fcntl.F_WRLCK, 1, 1, True)
    flock_range(fd, fcntl.F_UNLCK, 0, 1)
    waited(pid)
    os.close(fd)


def test_flock():
    write("l", b"")
    one, two = os.open("l", os.O_RDWR), os.open("l", os.O_RDWR)
    fcntl.flock(one, fcntl.LOCK_SH)
    fcntl.flock(two, fcntl.LOCK_SH | fcntl.LOCK_NB)
    expect(errno.EAGAIN, fcntl.flock, one, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(two)
    fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def other():
        os.close(one)  # a copy of it would keep the lock
        fcntl.flock(os.open("l", os.O_RDONLY), fcntl.LOCK_EX)

    pid = child(other)
    time.sleep(0.1)
    os.close(one)
    waited(pid)


def test_append_of_two_writers():
    one, two = (os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND) for _ in range(2))
    for number in range(100):
        os.write(one if number % 2 == 0 else two, b"%03d\n" % number)
    os.close(one)
    os.close(two)
    assert read("log") == b"".join(b"%03d\n" % number for number in range(100))


def test_direct_io():
    fd = os.open("d", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    memory = mmap.mmap(-1, 1 << 20)
    memory.write(b"d" * (1 << 20))
    assert os.pwritev(fd, [memory], 0) == 1 << 20
    into = mmap.mmap(-1, 1 << 20)
    assert os.preadv(fd, [into], 0) == 1 << 20
    assert into[:] == memory[:]
    os.close(fd)


def main():
    os.chdir(sys.argv[1])
    failures = 0
    for name, work in sorted(globals().items()):
        if not name.startswith("test_"):
            continue
        os.mkdir(name)
        os.chdir(name)
        try:
            work()
            print(f"{name}: ok", flush=True)
        except Exception as error:
            failures += 1
            print(f"{name}: {type(error).__name__} {error} (line {error.__traceback__.tb_next.tb_lineno if error.__traceback__.tb_next else 0})", flush=True)
        os.chdir("..")
    sys.exit(1 if failures else 0)


main()

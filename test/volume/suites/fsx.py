"""Random operations on one file through every way to its content, each compared with what they must give: the idea of fsx, which found errors in every file system.

Arguments: file, operations, seed. Prints a JSON line; the exit code is 1 at the first difference, which it describes.
"""

import ctypes
import json
import mmap
import os
import random
import sys

FILE_BYTES_MAX = 256 * 1024
PART_BYTES_MAX = 64 * 1024
KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16
HISTORY = 40

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]


class File:
    def __init__(self, path, seed):
        self.path = path
        self.random = random.Random(seed)
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        self.model = bytearray()

    def part(self, within):
        """A range that begins within so many bytes; mostly small, often at the borders of pages."""
        at = self.random.randrange(within)
        if self.random.random() < 0.3:
            at -= at % 4096
        length = self.random.randrange(1, self.random.choice([100, 5000, PART_BYTES_MAX]) + 1)
        return at, min(length, FILE_BYTES_MAX - at)

    def part_of_content(self):
        if not self.model:
            return None
        at, length = self.part(len(self.model))
        return at, min(length, len(self.model) - at)

    def put(self, at, data):
        if at > len(self.model):
            self.model.extend(bytes(at - len(self.model)))
        self.model[at : at + len(data)] = data

    def write(self):
        at, length = self.part(FILE_BYTES_MAX)
        data = self.random.randbytes(length)
        assert os.pwrite(self.fd, data, at) == length
        self.put(at, data)
        return at, length

    def append(self):
        at = len(self.model)
        length = min(self.random.randrange(1, 9000), FILE_BYTES_MAX - at)
        if length <= 0:
            return None
        data = self.random.randbytes(length)
        with open(self.path, "ab", buffering=0) as file:
            assert file.write(data) == length
        self.put(at, data)
        return at, length

    def read(self):
        part = self.part_of_content()
        if part is None:
            return None
        at, length = part
        self.compare(os.pread(self.fd, length, at), at)
        return part

    def map_read(self):
        part = self.part_of_content()
        if part is None:
            return None
        at, length = part
        with mmap.mmap(self.fd, len(self.model), prot=mmap.PROT_READ) as pages:
            self.compare(pages[at : at + length], at)
        return part

    def map_write(self):
        part = self.part_of_content()
        if part is None:
            return None
        at, length = part
        data = self.random.randbytes(length)
        with mmap.mmap(self.fd, len(self.model)) as pages:
            pages[at : at + length] = data
            if self.random.random() < 0.5:
                pages.flush()
        self.put(at, data)
        return part

    def truncate(self):
        length = self.random.randrange(FILE_BYTES_MAX if self.random.random() < 0.3 else len(self.model) + 5000)
        length = min(length, FILE_BYTES_MAX)
        os.ftruncate(self.fd, length)
        del self.model[length:]
        self.model.extend(bytes(length - len(self.model)))
        return length

    def allocate(self, mode, at, length):
        if LIBC.fallocate(self.fd, mode, at, length) != 0:
            raise OSError(ctypes.get_errno(), "fallocate")

    def punch_hole(self):
        part = self.part_of_content()
        if part is not None:
            self.allocate(PUNCH_HOLE | KEEP_SIZE, *part)
            self.put(part[0], bytes(part[1]))
        return part

    def zero_range(self):
        at, length = self.part(FILE_BYTES_MAX)
        keep = self.random.random() < 0.5
        self.allocate(ZERO_RANGE | (KEEP_SIZE if keep else 0), at, length)
        size = len(self.model)
        self.put(at, bytes(length))
        if keep:
            del self.model[size:]
        return at, length, keep

    def reserve(self):
        at, length = self.part(FILE_BYTES_MAX)
        keep = self.random.random() < 0.5
        self.allocate(KEEP_SIZE if keep else 0, at, length)
        if not keep and at + length > len(self.model):
            self.model.extend(bytes(at + length - len(self.model)))
        return at, length, keep

    def copy_range(self):
        part = self.part_of_content()
        if part is None:
            return None
        at, length = part
        to = self.random.randrange(FILE_BYTES_MAX - length + 1)
        if abs(to - at) < length:
            return None
        copied = os.copy_file_range(self.fd, self.fd, length, at, to)
        self.put(to, bytes(self.model[at : at + copied]))
        return at, to, copied

    def reopen(self):
        os.close(self.fd)
        self.fd = os.open(self.path, os.O_RDWR)

    def sync(self):
        os.fsync(self.fd)

    def forget(self):
        """Pages that are clean leave the kernel's cache: what is read next comes from below."""
        os.fsync(self.fd)
        os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)

    def compare(self, found, at=0):
        expected = bytes(self.model[at : at + len(found)])
        if found == expected:
            return
        first = next(index for index in range(len(found)) if found[index] != expected[index])
        raise AssertionError(f"byte {at + first} is {found[first]}, not {expected[first]}")

    def check(self):
        size = os.fstat(self.fd).st_size
        assert size == len(self.model), f"{size} bytes, not {len(self.model)}"

    def check_all(self):
        self.forget()
        content = os.pread(self.fd, FILE_BYTES_MAX + 1, 0)
        assert len(content) == len(self.model), f"read {len(content)} bytes, not {len(self.model)}"
        self.compare(content)


OPERATIONS = [
    File.write, File.write, File.write, File.append, File.read, File.read, File.read, File.map_read, File.map_read, File.map_write, File.map_write,
    File.truncate, File.punch_hole, File.zero_range, File.reserve, File.copy_range, File.reopen, File.sync, File.forget,
]  # fmt: skip


def main(path, operations, seed):
    file, history = File(path, seed), []
    for step in range(operations):
        operation = file.random.choice(OPERATIONS)
        try:
            history.append((step, operation.__name__, operation(file)))
            file.check()
            if step % 500 == 499:
                file.check_all()
        except (AssertionError, OSError) as error:
            history.append((step, operation.__name__, str(error)))
            print(json.dumps({"operations": step, "failed": 1, "error": str(error), "seed": seed, "history": history[-HISTORY:]}))
            return 1
    file.check_all()
    print(json.dumps({"operations": operations, "failed": 0}))
    return 0


sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))

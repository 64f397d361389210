"""Weights and tables from the benchmark's data file, in memory of our own choice."""

import json
import mmap
import os

import numpy as np


def huge(shape, dtype):
    """Zeros on huge pages, where the system gives them: what our own tables have too."""
    size = max(1, int(np.prod(shape)) * np.dtype(dtype).itemsize)
    # One huge page more than needed, so that the array can begin at one.
    # Private: Python's default is shared memory, which seldom gets huge pages.
    private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    memory = mmap.mmap(-1, size + (2 << 20), flags=private)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    raw = np.frombuffer(memory, np.uint8)
    start = -raw.ctypes.data % (2 << 20)
    return raw[start : start + size].view(dtype).reshape(shape)


def read_array(path, offset, shape, dtype):
    array = huge(shape, dtype)
    view = memoryview(array).cast("B")
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        done = 0
        while done < len(view):
            count = file.readinto(view[done : done + (64 << 20)])
            if not count:
                raise EOFError(path)
            done += count
    return array


def map_array(path, offset, shape, dtype):
    """The file's own pages, read only."""
    with open(path, "rb") as file:
        memory = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    memory.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(memory, dtype, int(np.prod(shape)), offset).reshape(shape)


class Spec:
    def __init__(self, directory):
        self.directory = directory
        with open(os.path.join(directory, "spec.json"), encoding="utf8") as file:
            spec = json.load(file)
        self.workload, self.places = spec["workload"], spec["tensors"]

    def read(self, name):
        place = self.places[name]
        path = os.path.join(self.directory, "model.data")
        return read_array(path, place["offset"], place["dims"], np.float32)

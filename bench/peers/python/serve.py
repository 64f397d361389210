"""One side of the benchmark in Python: takes commands, prepares requests, times calls.

The protocol is that of frames.ts: a JSON header and bytes, each led by its length. The clock runs
around the call alone; the request is in its buffers before.
"""

import importlib
import json
import os
import struct
import sys
import time

# Libraries print to standard output; the protocol keeps a copy of it for itself.
REPLIES = os.fdopen(os.dup(1), "wb", buffering=0)
os.dup2(2, 1)
COMMANDS = sys.stdin.buffer
WARM_UP_CALLS = 3


def read_exactly(size):
    data = bytearray(size)
    view = memoryview(data)
    done = 0
    while done < size:
        count = COMMANDS.readinto(view[done:])
        if not count:
            sys.exit(0)
        done += count
    return data


def read_frame():
    text, payload = struct.unpack("<II", read_exactly(8))
    return json.loads(read_exactly(text)), read_exactly(payload)


def reply(header, payload=b""):
    text = json.dumps(header).encode()
    data = struct.pack("<II", len(text), len(payload)) + text + payload
    view = memoryview(data)
    while view:
        view = view[REPLIES.write(view) :]


class Ring:
    """dense [count, batch, width] f32; ids [count, batch, width] i32."""

    def __init__(self, header, payload):
        import numpy as np

        self.batch, self.count = header["batch"], header["count"]
        self.dense_width, self.id_width = header["denseWidth"], header["idWidth"]
        rows = self.batch * self.count
        floats = rows * self.dense_width
        self.dense = np.frombuffer(payload, np.float32, floats).reshape(
            self.count, self.batch, self.dense_width
        )
        self.ids = np.frombuffer(payload, np.int32, rows * self.id_width, 4 * floats).reshape(
            self.count, self.batch, self.id_width
        )


def measure(side, ring, at, milliseconds):
    clock = time.perf_counter_ns
    samples = []
    for _ in range(WARM_UP_CALLS):
        side.prepare(ring, at)
        at = (at + 1) % ring.count
        side.run()
    end = clock() + int(milliseconds * 1e6)
    while True:
        side.prepare(ring, at)
        at = (at + 1) % ring.count
        start = clock()
        side.run()
        stop = clock()
        samples.append(float(stop - start))
        if stop >= end:
            return samples, at


def main():
    module, _, variant = sys.argv[1].partition(":")
    side = ring = None
    at = 0
    while True:
        header, payload = read_frame()
        try:
            command = header["command"]
            if command == "load":
                side = importlib.import_module(module).load(header, variant)
                reply({"ok": True, "details": {"python": sys.version.split()[0], **side.details}})
            elif command == "ring":
                ring, at = Ring(header, payload), 0
                side.shape(ring)
                reply({"ok": True})
            elif command == "outputs":
                parts = []
                for index in range(header["count"]):
                    side.prepare(ring, index)
                    side.run()
                    parts.append(side.output().tobytes())
                reply({"ok": True}, b"".join(parts))
            elif command == "sweep":
                for index in range(ring.count):
                    side.prepare(ring, index)
                    side.run()
                reply({"ok": True})
            elif command == "measure":
                samples, at = measure(side, ring, at, header["ms"])
                reply({"ok": True}, struct.pack(f"<{len(samples)}d", *samples))
            else:
                raise ValueError(f"unknown command {command}")
        except ImportError as error:
            reply({"ok": False, "missing": True, "error": str(error)})
        except Exception as error:  # a peer's failure is a result, not the end of the run
            reply({"ok": False, "error": f"{type(error).__name__}: {error}"[-2000:]})


if __name__ == "__main__":
    main()

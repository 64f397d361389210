"""PyTorch: whole models (eager or compiled), and embedding bags, plain and quantised."""

import time

import torch
import torch.nn.functional as F
from tensors import Spec, map_array, read_array
from torch import nn


class Network(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.workload = spec.workload
        weight = lambda name: nn.Parameter(torch.from_numpy(spec.read(name)), requires_grad=False)
        self.hotness = [table["hotness"] for table in self.workload["tables"]]
        self.tables = nn.ParameterList(weight(f"table{i}") for i in range(len(self.hotness)))
        self.bottom = self.tower("bottom", len(self.workload["bottom"]) - 1, weight, last=True)
        self.top = self.tower("top", len(self.workload["top"]), weight, last=False)
        fields = len(self.hotness) + 1
        self.register_buffer("triangle", torch.tril_indices(fields, fields, -1))
        count = self.workload.get("cross", {}).get("layers", 0)
        self.cross = nn.ParameterList(
            weight(f"cross{i}.{part}") for i in range(count) for part in "vwb"
        )

    @staticmethod
    def tower(name, count, weight, last):
        layers = []
        for i in range(count):
            w, b = weight(f"{name}{i}.w"), weight(f"{name}{i}.b")
            linear = nn.Linear(w.shape[1], w.shape[0], device="meta")
            linear.weight, linear.bias = w, b
            layers += [linear] + ([nn.ReLU()] if last or i < count - 1 else [])
        return nn.Sequential(*layers)

    def lookups(self, sparse):
        # A matrix of ids needs no offsets: the form of embedding_bag with the least overhead.
        parts = sparse.split(self.hotness, dim=1)
        return [F.embedding_bag(ids, table, mode="sum") for ids, table in zip(parts, self.tables)]

    def forward(self, dense, sparse):
        embedded = self.lookups(sparse)
        kind = self.workload["interaction"]
        if kind == "none":
            return torch.cat(embedded, 1)
        x = self.bottom(dense)
        if kind == "dot":
            joined = torch.stack([x] + embedded, 1)
            products = torch.bmm(joined, joined.transpose(1, 2))
            x = torch.cat([x, products[:, self.triangle[0], self.triangle[1]]], 1)
        else:
            x = torch.cat([x] + embedded, 1)
        first = x
        for i in range(0, len(self.cross), 3):
            v, w, b = self.cross[i], self.cross[i + 1], self.cross[i + 2]
            x = first * F.linear(F.linear(x, v), w, b) + x
        return torch.sigmoid(self.top(x))


class TableCalls(nn.Module):
    """One call a table, nothing behind it; the faster of PyTorch's two functions for single ids."""

    def __init__(self, network):
        super().__init__()
        self.tables = network.tables
        self.function = "embedding_bag"

    def forward(self, _dense, sparse):
        # Columns are made contiguous while the request is prepared.
        if self.function == "embedding":
            return [F.embedding(ids, table) for ids, table in zip(sparse, self.tables)]
        offsets = self.offsets
        return [
            F.embedding_bag(ids, table, offsets, mode="sum")
            for ids, table in zip(sparse, self.tables)
        ]

    def choose(self, sparse):
        self.offsets = torch.arange(sparse.shape[1])
        times = {}
        for name in ("embedding_bag", "embedding") * 3:
            self.function = name
            start = time.perf_counter()
            for _ in range(100):
                self(None, sparse)
            times[name] = min(times.get(name, 1e9), time.perf_counter() - start)
        self.function = min(times, key=times.get)


class Model:
    def __init__(self, command, variant):
        torch.set_num_threads(command["threads"])
        torch.set_num_interop_threads(1)
        network = Network(Spec(command["model"])).eval()
        self.calls = network.workload["interaction"] == "none"
        self.network = TableCalls(network) if self.calls else network
        self.compiled = variant == "compile"
        self.plain = self.network
        self.details = {
            "version": torch.__version__,
            "threads": command["threads"],
            "cpu": torch.backends.cpu.get_cpu_capability(),
        }

    def shape(self, ring):
        self.sparse = torch.zeros(ring.batch, ring.id_width, dtype=torch.int64)
        if self.calls:
            self.sparse = torch.zeros(ring.id_width, ring.batch, dtype=torch.int64)
            self.network.choose(self.sparse)
            self.details["function"] = self.network.function
        self.dense = torch.zeros(ring.batch, ring.dense_width)
        if self.compiled:
            torch._dynamo.reset()
            self.network = torch.compile(self.plain, dynamic=False, fullgraph=True)
            with torch.inference_mode():
                self.network(self.dense, self.sparse)

    def prepare(self, ring, index):
        ids = torch.from_numpy(ring.ids[index])
        self.sparse.copy_(ids.T if self.calls else ids)
        self.dense.copy_(torch.from_numpy(ring.dense[index]))

    @torch.inference_mode()
    def run(self):
        self.result = self.network(self.dense, self.sparse)

    def output(self):
        result = torch.cat(self.result, 1) if self.calls else self.result
        return result.contiguous().numpy()


class Bag:
    def __init__(self, command):
        torch.set_num_threads(command["threads"])
        torch.set_num_interop_threads(1)
        self.storage, self.hotness = command["storage"], command["hotness"]
        plain = self.storage == "f32"
        width = command["dim"] if plain else command["rowBytes"]
        in_place = command.get("inPlace", False)
        array = (map_array if in_place else read_array)(
            command["file"],
            command["dataOffset"],
            (command["rows"], width),
            "float32" if plain else "uint8",
        )
        self.table = torch.from_numpy(array)
        self.details = {
            "version": torch.__version__,
            "threads": command["threads"],
            "cpu": torch.backends.cpu.get_cpu_capability(),
            "residency": "map" if in_place else "copy",
        }

    def shape(self, ring):
        count = ring.batch * ring.id_width
        self.ids = torch.zeros(count, dtype=torch.int32)
        # The last offset too: what FBGEMM's kernels take without a copy.
        self.offsets = torch.arange(0, count + 1, self.hotness, dtype=torch.int32)

    def prepare(self, ring, index):
        self.ids.copy_(torch.from_numpy(ring.ids[index]).reshape(-1))

    @torch.inference_mode()
    def run(self):
        if self.storage == "f32":
            self.result = F.embedding_bag(
                self.ids, self.table, self.offsets, mode="sum", include_last_offset=True
            )
        elif self.storage == "int8":
            self.result = torch.ops.quantized.embedding_bag_byte_rowwise_offsets(
                self.table, self.ids, self.offsets, include_last_offset=True
            )
        else:
            self.result = torch.ops.quantized.embedding_bag_4bit_rowwise_offsets(
                self.table, self.ids, self.offsets, include_last_offset=True
            )

    def output(self):
        return self.result.contiguous().numpy()


def load(command, variant):
    return Bag(command) if command["kind"] == "bag" else Model(command, variant)

"""ONNX Runtime with IO binding; tables on huge pages instead of a mapped file."""

import os

import numpy as np
import onnxruntime as ort
from tensors import Spec


class Model:
    def __init__(self, command):
        spec = Spec(command["model"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = command["threads"]
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.enable_cpu_mem_arena = True
        # Kept: the session reads this memory in place.
        self.tables = []
        for name in spec.places:
            if name.startswith("table"):
                array = spec.read(name)
                value = ort.OrtValue.ortvalue_from_numpy(array)
                options.add_initializer(name, value)
                self.tables.append((array, value))
        path = os.path.join(command["model"], "model.onnx")
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.width = self.session.get_outputs()[0].shape[-1]
        self.details = {"version": ort.__version__, "threads": command["threads"], "ioBinding": True}

    def shape(self, ring):
        self.ids = np.zeros((ring.batch, ring.id_width), np.int64)
        self.dense = np.zeros((ring.batch, ring.dense_width), np.float32)
        self.result = np.zeros((ring.batch, self.width), np.float32)
        self.binding = self.session.io_binding()
        self.binding.bind_cpu_input("sparse", self.ids)
        if ring.dense_width > 0:
            self.binding.bind_cpu_input("dense", self.dense)
        value = ort.OrtValue.ortvalue_from_numpy(self.result)
        self.binding.bind_ortvalue_output("score", value)

    def prepare(self, ring, index):
        self.ids[...] = ring.ids[index]
        self.dense[...] = ring.dense[index]

    def run(self):
        self.session.run_with_iobinding(self.binding)

    def output(self):
        return self.result


def load(command, _variant):
    return Model(command)

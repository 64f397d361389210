"""TensorFlow's embedding_lookup_sparse in a traced function: one f32 table, bags of ids."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from tensors import read_array


class Bag:
    def __init__(self, command):
        if command["storage"] != "f32":
            raise ValueError("TensorFlow has no quantised embedding lookup on the CPU")
        if command.get("inPlace"):
            raise ValueError("TensorFlow copies its variables")
        tf.config.threading.set_intra_op_parallelism_threads(command["threads"])
        tf.config.threading.set_inter_op_parallelism_threads(1)
        self.hotness = command["hotness"]
        array = read_array(
            command["file"], command["dataOffset"], (command["rows"], command["dim"]), "float32"
        )
        self.table = tf.Variable(array, trainable=False)
        self.details = {"version": tf.__version__, "threads": command["threads"]}

    def shape(self, ring):
        count = ring.batch * ring.id_width
        bags, places = np.divmod(np.arange(count, dtype=np.int64), self.hotness)
        self.positions = tf.constant(np.stack([bags, places], 1))
        self.size = tf.constant([ring.batch, self.hotness], tf.int64)
        table, positions, size = self.table, self.positions, self.size

        @tf.function(
            input_signature=[tf.TensorSpec([count], tf.int32)], autograph=False, jit_compile=False
        )
        def lookup(ids):
            sparse = tf.SparseTensor(positions, ids, size)
            return tf.nn.embedding_lookup_sparse(
                table, sparse, None, combiner="sum", allow_fast_lookup=True
            )

        self.lookup = lookup

    def prepare(self, ring, index):
        self.ids = tf.constant(ring.ids[index].reshape(-1))

    def run(self):
        self.result = self.lookup(self.ids)

    def output(self):
        return self.result.numpy()


def load(command, _variant):
    return Bag(command)

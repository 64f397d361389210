// Copies between a batch's arena and memory of the same layout, for runtimes whose ArrayBuffers may
// not lie over native memory.
#ifndef GYRFALCON_NAPI_BATCH_COPY_H_
#define GYRFALCON_NAPI_BATCH_COPY_H_

#include <cstddef>
#include <cstdint>

#include "core/batch.h"

namespace gyrfalcon::napi {

// What a score of `rows` rows reads: `from` to the arena. Of tensors `tensor_rows`, because a model
// with a fixed number of rows always runs all of them. Preconditions: 0 <= rows, tensor_rows <=
// capacity, and `from` has the arena's size.
void CopyInputs(const std::byte* from, int64_t rows, int64_t tensor_rows, Batch* batch);

// What it wrote: the arena to `to`.
void CopyOutputs(const Batch& batch, int64_t rows, std::byte* to);

}  // namespace gyrfalcon::napi

#endif  // GYRFALCON_NAPI_BATCH_COPY_H_

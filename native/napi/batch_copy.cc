#include "napi/batch_copy.h"

#include <algorithm>
#include <cstring>

namespace gyrfalcon::napi {
namespace {

void CopyElements(const BatchField& field, size_t elements, const std::byte* from, std::byte* to) {
  if (elements == 0) return;
  std::memcpy(to + field.offset, from + field.offset, elements * DtypeBytes(field.dtype));
}

size_t ElementsOf(const BatchField& field, int64_t rows) {
  if (field.row_elements == 0) return field.elements;
  return static_cast<size_t>(rows) * static_cast<size_t>(field.row_elements);
}

}  // namespace

void CopyInputs(const std::byte* from, int64_t rows, int64_t tensor_rows, Batch* batch) {
  std::byte* to = batch->arena()->data();
  for (const BatchInput& input : batch->inputs()) {
    if (input.offsets.elements == 0) {
      CopyElements(input.data, ElementsOf(input.data, tensor_rows), from, to);
      continue;
    }
    CopyElements(input.offsets, static_cast<size_t>(rows) + 1, from, to);
    // The last offset may be anything; whether all of them are right is the score's to check.
    int32_t last = 0;
    std::memcpy(&last, from + input.offsets.offset + static_cast<size_t>(rows) * sizeof(last),
                sizeof(last));
    const auto used =
        std::min(static_cast<size_t>(std::max<int32_t>(last, 0)), input.data.elements);
    CopyElements(input.data, used, from, to);
    if (input.weights.elements != 0) CopyElements(input.weights, used, from, to);
  }
}

void CopyOutputs(const Batch& batch, int64_t rows, std::byte* to) {
  for (const BatchField& output : batch.outputs()) {
    CopyElements(output, ElementsOf(output, rows), batch.arena()->data(), to);
  }
}

}  // namespace gyrfalcon::napi

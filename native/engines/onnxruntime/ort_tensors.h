// Bindings checked against a graph's declared tensors, and turned into the library's values.
#ifndef GYRFALCON_ENGINES_ONNXRUNTIME_ORT_TENSORS_H_
#define GYRFALCON_ENGINES_ONNXRUNTIME_ORT_TENSORS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/status.h"
#include "engines/engine.h"
#include "engines/onnxruntime/ort_api.h"
#include "engines/onnxruntime/ort_library.h"

namespace gyrfalcon {

// A binding whose numbers have been checked.
struct OrtTensor {
  EngineBinding binding;
  bool per_row = false;  // dims[0] is the rows of a run
  size_t row_bytes = 0;  // of one row; of the whole tensor when not per_row

  // Precondition: per_row, or rows is ignored; rows <= MaxRows(tensor).
  size_t Bytes(int64_t rows) const {
    return per_row ? row_bytes * static_cast<size_t>(rows) : row_bytes;
  }
};

// The rows that every tensor's memory has space for, and the only number of rows that the graph
// takes, when it says one.
struct OrtRowLimits {
  int64_t max_rows = 0;
  int64_t fixed_rows = -1;   // -1: any
  std::string fixed_by;      // the tensor that says so
  bool has_per_row = false;  // else every run is the same
};

// Puts bindings into the order of `specs`. `what` is "input" or "output".
//   kInvalidArgument  a tensor is bound twice, not at all, or is not in the graph; memory is null,
//                     too small or not aligned to its elements; a dim is negative
//   kDtypeMismatch, kShapeMismatch  the binding contradicts the graph
Result<std::vector<OrtTensor>> MatchBindings(const std::vector<EngineTensorSpec>& specs,
                                             std::vector<EngineBinding> bindings, const char* what,
                                             OrtRowLimits* limits);

// kInvalidArgument: negative. kShapeMismatch: more rows than memory, or not the graph's number.
Status CheckRows(const OrtRowLimits& limits, int64_t rows);

// A value over the binding's own memory.
Status MakeValue(const OrtLibrary& library, const OrtTensor& tensor, int64_t rows,
                 ort::Handle<ort::OrtValue>* value);

}  // namespace gyrfalcon

#endif  // GYRFALCON_ENGINES_ONNXRUNTIME_ORT_TENSORS_H_

#include "engines/onnxruntime/ort_tensors.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "bundle/quote.h"
#include "core/limits.h"
#include "engines/onnxruntime/ort_status.h"

namespace gyrfalcon {
namespace {

// What a tensor without elements points to: the library wants an address even then.
alignas(64) std::byte empty_memory[64];

std::string Text(const std::vector<int64_t>& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    if (i > 0) text += ", ";
    text += dims[i] < 0 ? (i == 0 ? "rows" : "?") : std::to_string(dims[i]);
  }
  return text + "]";
}

std::string Text(const EngineTensorSpec& spec) {
  std::string text = "[";
  for (size_t i = 0; i < spec.dims.size(); ++i) {
    if (i > 0) text += ", ";
    if (spec.dims[i] >= 0) {
      text += std::to_string(spec.dims[i]);
    } else {
      text += spec.names[i].empty() ? "?" : QuoteUnlessPlain(spec.names[i]);
    }
  }
  return text + "]";
}

Status CheckSpec(const EngineTensorSpec& spec, const EngineBinding& binding, const char* what) {
  if (binding.dtype != spec.dtype) {
    return Status(ErrorCode::kDtypeMismatch,
                  "expected " + std::string(Info(spec.dtype).name) + " for " + what + " " +
                      Quote(spec.name) + " but received " + std::string(Info(binding.dtype).name));
  }
  if (!spec.has_shape) return Status::Ok();
  bool same = spec.dims.size() == binding.dims.size();
  for (size_t i = 0; same && i < spec.dims.size(); ++i) {
    const bool rows = i == 0 && binding.dims[i] == EngineBinding::kRows;
    same = spec.dims[i] < 0 || rows || spec.dims[i] == binding.dims[i];
  }
  if (same) return Status::Ok();
  return Status(ErrorCode::kShapeMismatch, "expected shape " + Text(spec) + " for " + what + " " +
                                               Quote(spec.name) + " but received " +
                                               Text(binding.dims));
}

// Fills in per_row and row_bytes, and what the tensor's memory says about rows.
Status Measure(const char* what, OrtTensor* tensor, OrtRowLimits* limits) {
  const EngineBinding& binding = tensor->binding;
  const std::string name = std::string(what) + " " + Quote(binding.name);
  if (binding.dims.size() > limits::kMaxRank) {
    return Status(ErrorCode::kLimitExceeded,
                  "expected at most " + std::to_string(limits::kMaxRank) + " dimensions for " +
                      name + " but received " + std::to_string(binding.dims.size()));
  }
  tensor->per_row = !binding.dims.empty() && binding.dims[0] == EngineBinding::kRows;
  size_t bytes = DtypeBytes(binding.dtype);
  for (size_t i = tensor->per_row ? 1 : 0; i < binding.dims.size(); ++i) {
    if (binding.dims[i] < 0) {
      return Status(ErrorCode::kInvalidArgument, "expected dimensions of at least 0 for " + name +
                                                     " but received " + Text(binding.dims));
    }
    const auto dim = static_cast<size_t>(binding.dims[i]);
    if (dim != 0 && bytes > limits::kMaxArenaBytes / dim) {
      return Status(ErrorCode::kLimitExceeded,
                    "expected at most " + std::to_string(limits::kMaxArenaBytes) + " bytes for " +
                        name + " but received shape " + Text(binding.dims));
    }
    bytes *= dim;
  }
  tensor->row_bytes = bytes;
  if (binding.data == nullptr && bytes != 0) {
    return Status(ErrorCode::kInvalidArgument,
                  "expected memory for " + name + " but received null");
  }
  if (reinterpret_cast<uintptr_t>(binding.data) % DtypeBytes(binding.dtype) != 0) {
    return Status(ErrorCode::kInvalidArgument,
                  "expected memory aligned to its elements for " + name);
  }
  if (tensor->per_row) {
    limits->has_per_row = true;
    if (bytes != 0) {
      limits->max_rows = std::min(
          limits->max_rows,
          static_cast<int64_t>(std::min<size_t>(binding.bytes / bytes, limits::kMaxBatchRows)));
    }
  } else if (binding.bytes < bytes) {
    return Status(ErrorCode::kInvalidArgument, "expected at least " + std::to_string(bytes) +
                                                   " bytes for " + name + " but received " +
                                                   std::to_string(binding.bytes));
  }
  return Status::Ok();
}

Status FixRows(const EngineTensorSpec& spec, const OrtTensor& tensor, const char* what,
               OrtRowLimits* limits) {
  if (!tensor.per_row || !spec.has_shape || spec.dims[0] < 0) return Status::Ok();
  if (limits->fixed_rows >= 0 && limits->fixed_rows != spec.dims[0]) {
    return Status(ErrorCode::kShapeMismatch, "expected one number of rows but " + limits->fixed_by +
                                                 " takes " + std::to_string(limits->fixed_rows) +
                                                 " and " + what + " " + Quote(spec.name) +
                                                 " takes " + std::to_string(spec.dims[0]));
  }
  limits->fixed_rows = spec.dims[0];
  limits->fixed_by = std::string(what) + " " + Quote(spec.name);
  return Status::Ok();
}

}  // namespace

Result<std::vector<OrtTensor>> MatchBindings(const std::vector<EngineTensorSpec>& specs,
                                             std::vector<EngineBinding> bindings, const char* what,
                                             OrtRowLimits* limits) {
  std::vector<OrtTensor> tensors(specs.size());
  std::vector<bool> bound(specs.size(), false);
  for (EngineBinding& binding : bindings) {
    const auto found = std::find_if(specs.begin(), specs.end(), [&](const EngineTensorSpec& spec) {
      return spec.name == binding.name;
    });
    if (found == specs.end()) {
      return Status(
          ErrorCode::kInvalidArgument,
          std::string("expected an ") + what + " of the graph but received " + Quote(binding.name));
    }
    const auto i = static_cast<size_t>(found - specs.begin());
    if (bound[i]) {
      return Status(ErrorCode::kInvalidArgument,
                    std::string(what) + " " + Quote(binding.name) + " is bound twice");
    }
    bound[i] = true;
    GYR_RETURN_IF_ERROR(CheckSpec(*found, binding, what));
    tensors[i].binding = std::move(binding);
    GYR_RETURN_IF_ERROR(Measure(what, &tensors[i], limits));
    GYR_RETURN_IF_ERROR(FixRows(*found, tensors[i], what, limits));
  }
  for (size_t i = 0; i < specs.size(); ++i) {
    if (!bound[i]) {
      return Status(ErrorCode::kInvalidArgument, std::string("expected a binding for ") + what +
                                                     " " + Quote(specs[i].name) +
                                                     " but received none");
    }
  }
  return tensors;
}

Status CheckRows(const OrtRowLimits& limits, int64_t rows) {
  if (rows < 0) {
    return Status(ErrorCode::kInvalidArgument,
                  "expected rows of at least 0 but received " + std::to_string(rows));
  }
  if (!limits.has_per_row || rows == 0) return Status::Ok();
  if (rows > limits.max_rows) {
    return Status(ErrorCode::kShapeMismatch, "expected at most " + std::to_string(limits.max_rows) +
                                                 " rows, the space of the bound memory, but " +
                                                 "received " + std::to_string(rows));
  }
  if (limits.fixed_rows >= 0 && rows != limits.fixed_rows) {
    return Status(ErrorCode::kShapeMismatch, "expected " + std::to_string(limits.fixed_rows) +
                                                 " rows for " + limits.fixed_by + " but received " +
                                                 std::to_string(rows));
  }
  return Status::Ok();
}

Status MakeValue(const OrtLibrary& library, const OrtTensor& tensor, int64_t rows,
                 ort::Handle<ort::OrtValue>* value) {
  const EngineBinding& binding = tensor.binding;
  std::array<int64_t, limits::kMaxRank> dims;
  std::copy(binding.dims.begin(), binding.dims.end(), dims.begin());
  if (tensor.per_row) dims[0] = rows;
  void* const data = binding.data != nullptr ? binding.data : empty_memory;
  const ort::Api api = library.api();
  return ort::TakeStatus(api,
                         api[ort::kCreateTensorWithDataAsOrtValue](
                             library.cpu(), data, tensor.Bytes(rows), dims.data(),
                             binding.dims.size(), Info(binding.dtype).onnx, value->Out()),
                         "binding memory");
}

}  // namespace gyrfalcon

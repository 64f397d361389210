#include "engines/fused/bindings.h"

#include <algorithm>
#include <cstddef>

#include "bundle/quote.h"
#include "core/dtype.h"
#include "core/limits.h"

namespace gyrfalcon::fused {
namespace {

std::string Text(const std::vector<int64_t>& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) {
    text += (i == 0 ? "" : ", ");
    text += dims[i] == EngineBinding::kRows ? "rows" : std::to_string(dims[i]);
  }
  return text + "]";
}

// Compares one binding with what the graph says, and learns the symbols' sizes from it.
Status Match(const EngineBinding& binding, const char* what, Dtype dtype, bool batched,
             const Shape& shape, std::vector<int64_t>* symbols) {
  const std::string name = std::string(what) + " " + Quote(binding.name);
  if (binding.dtype != dtype) {
    return {ErrorCode::kDtypeMismatch, "expected " + std::string(Info(dtype).name) + " for " +
                                           name + " but received " +
                                           std::string(Info(binding.dtype).name)};
  }
  const size_t first = batched ? 1 : 0;
  bool fits = binding.dims.size() == shape.size() + first;
  if (fits && batched) fits = binding.dims[0] == EngineBinding::kRows || binding.dims[0] >= 0;
  for (size_t i = 0; fits && i < shape.size(); ++i) {
    const int64_t dim = binding.dims[i + first];
    if (shape[i].kind == Extent::Kind::kSymbol) {
      int64_t& size = (*symbols)[static_cast<size_t>(shape[i].symbol)];
      if (size == 0 && dim > 0) size = dim;
      fits = dim > 0 && dim == size;
    } else {
      fits = dim == shape[i].value;
    }
  }
  if (fits) return Status::Ok();
  return {ErrorCode::kShapeMismatch, "expected the shape that the graph declares for " + name +
                                         " but received " + Text(binding.dims)};
}

Result<const EngineBinding*> Required(const std::vector<EngineBinding>& bindings,
                                      const std::string& name, const char* what) {
  const EngineBinding* const binding = FindBinding(bindings, name);
  if (binding != nullptr) return binding;
  return {ErrorCode::kInvalidArgument,
          "expected a binding for " + std::string(what) + " " + Quote(name) + " but received none"};
}

}  // namespace

const EngineBinding* FindBinding(const std::vector<EngineBinding>& bindings,
                                 const std::string& name) {
  for (const EngineBinding& binding : bindings) {
    if (binding.name == name) return &binding;
  }
  return nullptr;
}

Result<std::vector<int64_t>> SymbolsOf(const Graph& graph, const std::vector<EngineBinding>& inputs,
                                       const std::vector<EngineBinding>& outputs) {
  int last = -1;
  for (const GraphInput& input : graph.inputs) {
    for (const Extent& extent : input.shape) last = std::max(last, extent.symbol);
  }
  std::vector<int64_t> symbols(static_cast<size_t>(last + 1), 0);
  for (const GraphInput& input : graph.inputs) {
    Result<const EngineBinding*> binding = Required(inputs, input.name, "input");
    if (!binding.ok()) return binding.status();
    GYR_RETURN_IF_ERROR(
        Match(**binding, "input", input.dtype, input.batched, input.shape, &symbols));
  }
  if (outputs.empty()) return symbols;
  for (const GraphOutput& output : graph.outputs) {
    Result<const EngineBinding*> binding = Required(outputs, output.name, "output");
    if (!binding.ok()) return binding.status();
    GYR_RETURN_IF_ERROR(Match(**binding, "output", Dtype::kF32, true, output.shape, &symbols));
  }
  return symbols;
}

Status MeasureBinding(const EngineBinding& binding, const char* what, bool batched,
                      int64_t elements, int64_t* max_rows) {
  const size_t row = static_cast<size_t>(elements) * DtypeBytes(binding.dtype);
  const bool fixed = !batched || binding.dims[0] != EngineBinding::kRows;
  const int64_t rows = batched && fixed ? binding.dims[0] : 1;
  const std::string name = std::string(what) + " " + Quote(binding.name);
  if (reinterpret_cast<uintptr_t>(binding.data) % DtypeBytes(binding.dtype) != 0) {
    return {ErrorCode::kInvalidArgument, "expected memory aligned to its elements for " + name};
  }
  if (binding.data == nullptr && (fixed ? rows : *max_rows) != 0 && binding.bytes != 0) {
    return {ErrorCode::kInvalidArgument, "expected memory for " + name + " but received null"};
  }
  if (!batched) {
    if (binding.bytes < row || binding.data == nullptr) {
      return {ErrorCode::kInvalidArgument, "expected at least " + std::to_string(row) +
                                               " bytes for " + name + " but received " +
                                               std::to_string(binding.bytes)};
    }
    return Status::Ok();
  }
  const int64_t room =
      static_cast<int64_t>(std::min<size_t>(binding.bytes / row, limits::kMaxBatchRows));
  if (fixed && room < rows) {
    return {ErrorCode::kInvalidArgument, "expected memory for " + std::to_string(rows) +
                                             " rows for " + name + " but received " +
                                             std::to_string(binding.bytes) + " bytes"};
  }
  *max_rows = std::min(*max_rows, fixed ? rows : room);
  return Status::Ok();
}

}  // namespace gyrfalcon::fused

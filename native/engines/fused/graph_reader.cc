#include "engines/fused/graph_reader.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <utility>

#include "bundle/allocation_guard.h"
#include "bundle/bundle.h"
#include "bundle/contained_path.h"
#include "bundle/file.h"
#include "bundle/hex.h"
#include "bundle/quote.h"
#include "bundle/safetensors.h"
#include "core/limits.h"
#include "core/xxh64.h"
#include "engines/fused/graph_fields.h"

namespace gyrfalcon::fused {
namespace {

constexpr size_t kAlign = 64;
constexpr size_t kUnusedChunk = size_t{64} << 10;

Status ReadGraphInput(const JsonCursor& at, GraphReading* reading, NameIndex* names) {
  const Result<JsonObject> object = JsonObject::Open(at, {"name", "dtype", "shape"});
  if (!object.ok()) return object.status();
  GraphInput input;
  const JsonCursor name = object.value()["name"];
  GYR_RETURN_IF_ERROR(ReadName(name, &input.name));
  if (!names->emplace(name.string(), 0).second) return name.Invalid("a unique name");
  const JsonCursor dtype = object.value()["dtype"];
  GYR_RETURN_IF_ERROR(ReadDtype(dtype, &input.dtype));
  switch (input.dtype) {
    case Dtype::kF32:
    case Dtype::kI32:
    case Dtype::kI64:
    case Dtype::kU8:
    case Dtype::kI8:
    case Dtype::kBool:
      break;
    default:
      return dtype.Invalid("one of f32, i32, i64, u8, i8, bool");
  }
  const JsonCursor shape = object.value()["shape"];
  GYR_RETURN_IF_ERROR(ReadShape(shape, reading->symbols, UnknownExtents::kRefuse, &input.shape));
  input.batched = HasBatch(input.shape);
  if (input.batched) {
    input.shape.erase(input.shape.begin());
  } else if (input.shape.size() > kMaxInnerRank) {
    return shape.OverLimit("at most 7 dimensions besides the batch");
  }
  reading->graph.inputs.push_back(std::move(input));
  return Status::Ok();
}

Status ReadConstant(const JsonCursor& at, GraphReading* reading, NameIndex* names) {
  const Result<JsonObject> object = JsonObject::Open(at, {"name", "shape"});
  if (!object.ok()) return object.status();
  GraphConstant constant;
  const JsonCursor name = object.value()["name"];
  GYR_RETURN_IF_ERROR(ReadName(name, &constant.name));
  if (!names->emplace(name.string(), 0).second) return name.Invalid("a unique name");
  const JsonCursor shape = object.value()["shape"];
  GYR_RETURN_IF_ERROR(ExpectArray(shape, kMaxInnerRank));
  int64_t elements = 1;
  const Status read = shape.EachElement([&](const JsonCursor& element, size_t) {
    int64_t extent = 0;
    GYR_RETURN_IF_ERROR(ReadInteger(element, 1, limits::kMaxElementsPerRow, &extent));
    elements *= extent;  // both factors are at most 2^28
    if (elements > limits::kMaxElementsPerRow) return shape.OverLimit("at most 2^28 elements");
    constant.shape.push_back(extent);
    return Status::Ok();
  });
  GYR_RETURN_IF_ERROR(read);
  reading->graph.constants.push_back(std::move(constant));
  return Status::Ok();
}

Status ReadGraphOutput(const JsonCursor& at, GraphReading* reading, NameIndex* names) {
  const Result<JsonObject> object = JsonObject::Open(at, {"name", "value", "shape"});
  if (!object.ok()) return object.status();
  GraphOutput output;
  const JsonCursor name = object.value()["name"];
  GYR_RETURN_IF_ERROR(ReadName(name, &output.name));
  if (!names->emplace(name.string(), 0).second) return name.Invalid("a unique name");
  const int values = reading->first_node() + static_cast<int>(reading->graph.nodes.size());
  GYR_RETURN_IF_ERROR(ReadValue(object.value()["value"], values, &output.value));
  const JsonCursor shape = object.value()["shape"];
  GYR_RETURN_IF_ERROR(ReadShape(shape, reading->symbols, UnknownExtents::kRefuse, &output.shape));
  if (!HasBatch(output.shape)) return shape.Invalid("a shape that starts with \"batch\"");
  output.shape.erase(output.shape.begin());
  reading->graph.outputs.push_back(std::move(output));
  return Status::Ok();
}

Status CheckFormat(const JsonObject& root) {
  const JsonCursor format = root["format"];
  if (format.kind() != JsonKind::kString || format.string() != "gyrfalcon-fused") {
    return format.Invalid("\"gyrfalcon-fused\"");
  }
  const JsonCursor version = root["version"];
  if (version.kind() != JsonKind::kNumber || version.number().kind != JsonNumber::Kind::kInteger) {
    return version.Invalid("an integer");
  }
  if (version.number().value != 1) return version.Error(ErrorCode::kBundleVersion, "1");
  return Status::Ok();
}

// A symbol's size follows from the memory that inputs are bound to.
Status CheckSymbols(const JsonCursor& at, const GraphReading& reading) {
  std::vector<bool> known(reading.symbols.size(), false);
  for (const GraphInput& input : reading.graph.inputs) {
    for (const Extent& extent : input.shape) {
      if (extent.kind == Extent::Kind::kSymbol) known[static_cast<size_t>(extent.symbol)] = true;
    }
  }
  const auto unknown = [&known](const Extent& extent) {
    return extent.kind == Extent::Kind::kSymbol && !known[static_cast<size_t>(extent.symbol)];
  };
  const auto any = [&unknown](const Shape& shape) {
    return std::any_of(shape.begin(), shape.end(), unknown);
  };
  for (const Node& node : reading.graph.nodes) {
    if (unknown(node.size) || any(node.shape)) {
      return at.Invalid("only symbols that the shape of an input has");
    }
  }
  for (const GraphOutput& output : reading.graph.outputs) {
    if (any(output.shape)) return at.Invalid("only symbols that the shape of an input has");
  }
  return Status::Ok();
}

Status ReadRoot(const JsonCursor& at, GraphReading* reading) {
  const Result<JsonObject> object =
      JsonObject::Open(at, {"format", "version", "inputs", "constants", "nodes", "outputs"});
  if (!object.ok()) return object.status();
  const JsonObject& root = object.value();
  GYR_RETURN_IF_ERROR(CheckFormat(root));
  NameIndex names;
  const JsonCursor inputs = root["inputs"];
  GYR_RETURN_IF_ERROR(ExpectArray(inputs, limits::kMaxInputs));
  GYR_RETURN_IF_ERROR(inputs.EachElement(
      [&](const JsonCursor& element, size_t) { return ReadGraphInput(element, reading, &names); }));
  names.clear();
  const JsonCursor constants = root["constants"];
  GYR_RETURN_IF_ERROR(ExpectArray(constants, kMaxConstants));
  GYR_RETURN_IF_ERROR(constants.EachElement(
      [&](const JsonCursor& element, size_t) { return ReadConstant(element, reading, &names); }));
  const JsonCursor nodes = root["nodes"];
  GYR_RETURN_IF_ERROR(ExpectArray(nodes, kMaxNodes));
  GYR_RETURN_IF_ERROR(nodes.EachElement(
      [&](const JsonCursor& element, size_t i) { return ReadNode(element, i, reading); }));
  names.clear();
  const JsonCursor outputs = root["outputs"];
  GYR_RETURN_IF_ERROR(ExpectArray(outputs, limits::kMaxOutputs));
  GYR_RETURN_IF_ERROR(outputs.EachElement([&](const JsonCursor& element, size_t) {
    return ReadGraphOutput(element, reading, &names);
  }));
  return CheckSymbols(nodes, *reading);
}

Result<LoadedGraph> Parse(std::string_view json, const std::vector<SymbolSpec>& symbols) {
  if (json.size() > limits::kMaxManifestBytes) {
    return {ErrorCode::kLimitExceeded,
            "expected at most " + std::to_string(limits::kMaxManifestBytes) +
                " bytes for the fused graph but received " + std::to_string(json.size())};
  }
  const Result<JsonDocument> document = JsonDocument::Parse(json, "the fused graph");
  if (!document.ok()) return document.status();
  GraphReading reading;
  LoadedGraph loaded;
  for (size_t i = 0; i < symbols.size(); ++i) {
    reading.symbols.emplace(symbols[i].name, static_cast<int>(i));
    loaded.symbols.push_back(symbols[i].name);
    loaded.symbol_defaults.push_back(symbols[i].default_size);
  }
  const JsonCursor root(document.value(), "the fused graph");
  GYR_RETURN_IF_ERROR(ReadRoot(root, &reading));
  loaded.graph = std::move(reading.graph);
  return loaded;
}

size_t Bytes(const GraphConstant& constant) {
  size_t bytes = sizeof(float);
  for (const int64_t extent : constant.shape) bytes *= static_cast<size_t>(extent);
  return bytes;
}

Status MissingConstant(const GraphConstant& constant, const std::string& file) {
  return {ErrorCode::kBundleInvalid, "expected an F32 tensor " + Quote(constant.name) +
                                         " of the shape that the fused graph says in " +
                                         Quote(file)};
}

// Reads all tensors in file order: the checksum is over all of them.
Status ReadWeights(const std::string& dir, const FusedSpec& files, LoadedGraph* loaded) {
  const Result<ContainedFile> opened = OpenContained(dir, files.weights);
  if (!opened.ok()) return opened.status();
  const File& file = opened.value().file;
  const std::string& path = opened.value().path;
  const Result<SafetensorsHeader> header = ReadSafetensorsHeader(file, path);
  if (!header.ok()) return header.status();
  std::unordered_map<std::string_view, const SafetensorsTensor*> tensors;
  for (const SafetensorsTensor& tensor : header.value().tensors) {
    tensors.emplace(tensor.name, &tensor);
  }
  size_t total = 0;
  for (const GraphConstant& constant : loaded->graph.constants) {
    const auto found = tensors.find(constant.name);
    if (found == tensors.end() || found->second->dtype != "F32" ||
        found->second->shape != constant.shape) {
      return MissingConstant(constant, files.weights);
    }
    total += (Bytes(constant) + kAlign - 1) / kAlign * kAlign;
  }
  Xxh64 hash;
  if (total != 0) {
    Result<TableMemory> memory = TableMemory::Allocate(total);
    if (!memory.ok()) return memory.status();
    loaded->weights = std::move(memory).value();
  }
  std::unordered_map<std::string_view, GraphConstant*> wanted;
  size_t next = 0;
  for (GraphConstant& constant : loaded->graph.constants) {
    constant.data = reinterpret_cast<const float*>(loaded->weights.data() + next);
    wanted.emplace(constant.name, &constant);
    next += (Bytes(constant) + kAlign - 1) / kAlign * kAlign;
  }
  std::vector<std::byte> unused(kUnusedChunk);
  for (const SafetensorsTensor& tensor : header.value().tensors) {
    const auto found = wanted.find(tensor.name);
    for (uint64_t at = tensor.begin; at < tensor.end;) {
      std::span<std::byte> into;
      if (found != wanted.end()) {
        auto* const memory = reinterpret_cast<const std::byte*>(found->second->data);
        into = {loaded->weights.data() + (memory - loaded->weights.data()),
                static_cast<size_t>(tensor.end - at)};
      } else {
        // Not used: only a part of the checksum, however large it is.
        into = {unused.data(), std::min<size_t>(unused.size(), tensor.end - at)};
      }
      GYR_RETURN_IF_ERROR(ReadExactly(file, path, header.value().data_offset + at, into));
      hash.Update(into);
      at += into.size();
    }
  }
  if (hash.Digest() != files.weights_xxh64) {
    return {ErrorCode::kChecksumMismatch, "expected XXH64 " + Hex64(files.weights_xxh64) +
                                              " for the data of " + Quote(files.weights) +
                                              " but received " + Hex64(hash.Digest())};
  }
  return Status::Ok();
}

}  // namespace

Result<LoadedGraph> ParseGraph(std::string_view json, const std::vector<SymbolSpec>& symbols) {
  return GuardAllocation([&] { return Parse(json, symbols); });
}

Result<LoadedGraph> LoadGraph(const std::string& dir, const FusedSpec& files,
                              const std::vector<SymbolSpec>& symbols) {
  return GuardAllocation([&]() -> Result<LoadedGraph> {
    const Result<std::vector<std::byte>> text =
        ReadBundleFile(dir, files.file, files.xxh64, limits::kMaxManifestBytes);
    if (!text.ok()) return text.status();
    Result<LoadedGraph> loaded =
        Parse({reinterpret_cast<const char*>(text.value().data()), text.value().size()}, symbols);
    if (!loaded.ok()) return loaded.status();
    GYR_RETURN_IF_ERROR(ReadWeights(dir, files, &*loaded));
    return loaded;
  });
}

}  // namespace gyrfalcon::fused

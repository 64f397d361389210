// The sections of model.json that describe tensors: symbols, inputs, slots, dense, outputs.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "bundle/manifest.h"
#include "core/limits.h"

namespace gyrfalcon {
namespace {

// Reads the name of a list's next entry and files it; `names` get its position.
Status ReadUniqueName(const JsonCursor& at, int position, std::string* name, NameIndex* names,
                      const NameIndex* others) {
  GYR_RETURN_IF_ERROR(ReadName(at, name));
  const bool taken = others != nullptr && others->count(at.string()) != 0;
  if (taken || !names->emplace(at.string(), position).second) return at.Invalid("a unique name");
  return Status::Ok();
}

Status ReadTensorInput(const JsonCursor& at, const NameIndex& symbols, InputSpec* input) {
  const Result<JsonObject> object = JsonObject::Open(at, {"name", "kind", "dtype", "shape"});
  if (!object.ok()) return object.status();
  input->kind = InputSpec::Kind::kTensor;
  GYR_RETURN_IF_ERROR(ReadDtype(object.value()["dtype"], &input->dtype));
  return ReadShape(object.value()["shape"], symbols, UnknownExtents::kRefuse, &input->shape);
}

Status CheckRaggedSource(const JsonCursor& at) {
  const Result<JsonObject> source = JsonObject::Open(at, {}, {"offsets", "lengths", "weights"});
  if (!source.ok()) return source.status();
  if (source.value().Find("offsets") && source.value().Find("lengths")) {
    return at.Invalid("offsets or lengths, not both");
  }
  return at.EachMember([](const JsonCursor& member, std::string_view) {
    std::string name;
    return ReadName(member, &name);
  });
}

Status ReadRaggedInput(const JsonCursor& at, InputSpec* input) {
  const Result<JsonObject> object =
      JsonObject::Open(at, {"name", "kind", "dtype", "weights"}, {"source"});
  if (!object.ok()) return object.status();
  input->kind = InputSpec::Kind::kRagged;
  const JsonCursor dtype = object.value()["dtype"];
  GYR_RETURN_IF_ERROR(ReadDtype(dtype, &input->dtype));
  if (input->dtype != Dtype::kI32 && input->dtype != Dtype::kI64) {
    return dtype.Invalid("i32 or i64");
  }
  GYR_RETURN_IF_ERROR(ReadBool(object.value()["weights"], &input->has_weights));
  const std::optional<JsonCursor> source = object.value().Find("source");
  return source ? CheckRaggedSource(*source) : Status::Ok();
}

Status ReadInput(const JsonCursor& at, ManifestReading* reading) {
  if (at.kind() != JsonKind::kObject) return at.Invalid("an object");
  const std::optional<JsonCursor> name = at.Find("name");
  const std::optional<JsonCursor> kind = at.Find("kind");
  if (!name || !kind) return at.Invalid("the keys \"name\" and \"kind\"");
  InputSpec input;
  GYR_RETURN_IF_ERROR(ReadUniqueName(*name, static_cast<int>(reading->spec.inputs.size()),
                                     &input.name, &reading->inputs, nullptr));
  if (kind->kind() == JsonKind::kString && kind->string() == "tensor") {
    GYR_RETURN_IF_ERROR(ReadTensorInput(at, reading->symbols, &input));
  } else if (kind->kind() == JsonKind::kString && kind->string() == "ragged") {
    GYR_RETURN_IF_ERROR(ReadRaggedInput(at, &input));
  } else {
    return kind->Invalid("\"tensor\" or \"ragged\"");
  }
  reading->spec.inputs.push_back(std::move(input));
  return Status::Ok();
}

Status ResolveDenseInput(const JsonCursor& at, const ManifestReading& reading,
                         DenseInputSpec* dense) {
  const auto slot = reading.slots.find(at.string());
  if (slot != reading.slots.end()) {
    dense->slot = slot->second;
    return Status::Ok();
  }
  const auto input = reading.inputs.find(at.string());
  if (input == reading.inputs.end() ||
      reading.spec.inputs[input->second].kind != InputSpec::Kind::kTensor) {
    return at.Invalid("the name of a slot or of a tensor input");
  }
  dense->input = input->second;
  return Status::Ok();
}

}  // namespace

Status ReadSymbols(const JsonCursor& at, ManifestReading* reading) {
  if (at.kind() != JsonKind::kObject) return at.Invalid("an object");
  if (at.size() > limits::kMaxInputs) {
    return at.OverLimit("at most " + std::to_string(limits::kMaxInputs) + " symbols");
  }
  return at.EachMember([&](const JsonCursor& member, std::string_view key) {
    if (key.empty() || key.find('\0') != std::string_view::npos || key == "batch") {
      return member.Invalid("a symbol's name, not empty, without NUL and not \"batch\"");
    }
    if (key.size() > limits::kMaxNameBytes) return member.OverLimit("a name of at most 1024 bytes");
    SymbolSpec symbol;
    symbol.name = key;
    if (member.kind() != JsonKind::kNull) {
      GYR_RETURN_IF_ERROR(ReadInteger(member, 1, limits::kMaxElementsPerRow, &symbol.default_size));
    }
    reading->symbols.emplace(key, static_cast<int>(reading->spec.symbols.size()));
    reading->spec.symbols.push_back(std::move(symbol));
    return Status::Ok();
  });
}

Status ReadInputs(const JsonCursor& at, ManifestReading* reading) {
  GYR_RETURN_IF_ERROR(ExpectArray(at, limits::kMaxInputs));
  reading->spec.inputs.reserve(at.size());
  return at.EachElement(
      [&](const JsonCursor& element, size_t) { return ReadInput(element, reading); });
}

Status ReadSlots(const JsonCursor& at, ManifestReading* reading) {
  GYR_RETURN_IF_ERROR(ExpectArray(at, limits::kMaxInputs));
  reading->spec.slots.reserve(at.size());
  return at.EachElement([&](const JsonCursor& element, size_t i) {
    const Result<JsonObject> object = JsonObject::Open(element, {"name", "shape"});
    if (!object.ok()) return object.status();
    SlotSpec slot;
    GYR_RETURN_IF_ERROR(ReadUniqueName(object.value()["name"], static_cast<int>(i), &slot.name,
                                       &reading->slots, &reading->inputs));
    const JsonCursor shape = object.value()["shape"];
    GYR_RETURN_IF_ERROR(ReadShape(shape, reading->symbols, UnknownExtents::kRefuse, &slot.shape));
    if (!HasBatch(slot.shape)) return shape.Invalid("a shape that starts with \"batch\"");
    reading->spec.slots.push_back(std::move(slot));
    return Status::Ok();
  });
}

Status ReadDense(const JsonCursor& at, ManifestReading* reading) {
  const Result<JsonObject> object = JsonObject::Open(at, {"file", "xxh64", "inputs"});
  if (!object.ok()) return object.status();
  ModelSpec& spec = reading->spec;
  GYR_RETURN_IF_ERROR(ReadFile(object.value()["file"], &spec.dense_file));
  GYR_RETURN_IF_ERROR(ReadXxh64(object.value()["xxh64"], &spec.dense_xxh64));

  const JsonCursor inputs = object.value()["inputs"];
  GYR_RETURN_IF_ERROR(ExpectArray(inputs, spec.inputs.size() + spec.slots.size()));
  NameIndex seen;
  const Status read = inputs.EachElement([&](const JsonCursor& element, size_t i) {
    DenseInputSpec& dense = spec.dense_inputs.emplace_back();
    GYR_RETURN_IF_ERROR(ReadUniqueName(element, static_cast<int>(i), &dense.name, &seen, nullptr));
    return ResolveDenseInput(element, *reading, &dense);
  });
  GYR_RETURN_IF_ERROR(read);
  const auto slots = std::count_if(spec.dense_inputs.begin(), spec.dense_inputs.end(),
                                   [](const DenseInputSpec& dense) { return dense.slot >= 0; });
  if (static_cast<size_t>(slots) != spec.slots.size()) {
    return inputs.Invalid("every slot exactly once");
  }
  return Status::Ok();
}

Status ReadPrecision(const JsonCursor& at, Precision* precision) {
  const std::string_view name = at.kind() == JsonKind::kString ? at.string() : "";
  if (name == "f32") {
    *precision = Precision::kF32;
  } else if (name == "bf16") {
    *precision = Precision::kBf16;
  } else if (name == "int8") {
    *precision = Precision::kInt8;
  } else {
    return at.Invalid("one of f32, bf16, int8");
  }
  return Status::Ok();
}

Status ReadFused(const JsonCursor& at, ManifestReading* reading) {
  const Result<JsonObject> object =
      JsonObject::Open(at, {"file", "xxh64", "weights", "weightsXxh64"}, {"precision"});
  if (!object.ok()) return object.status();
  FusedSpec& fused = reading->spec.fused;
  GYR_RETURN_IF_ERROR(ReadFile(object.value()["file"], &fused.file));
  GYR_RETURN_IF_ERROR(ReadXxh64(object.value()["xxh64"], &fused.xxh64));
  GYR_RETURN_IF_ERROR(ReadFile(object.value()["weights"], &fused.weights));
  if (const auto precision = object.value().Find("precision")) {
    GYR_RETURN_IF_ERROR(ReadPrecision(*precision, &fused.precision));
  }
  return ReadXxh64(object.value()["weightsXxh64"], &fused.weights_xxh64);
}

Status ReadOutputs(const JsonCursor& at, ManifestReading* reading) {
  GYR_RETURN_IF_ERROR(ExpectArray(at, limits::kMaxOutputs));
  NameIndex names;
  return at.EachElement([&](const JsonCursor& element, size_t i) {
    const Result<JsonObject> object = JsonObject::Open(element, {"name", "dtype", "shape"});
    if (!object.ok()) return object.status();
    OutputSpec output;
    GYR_RETURN_IF_ERROR(
        ReadUniqueName(object.value()["name"], static_cast<int>(i), &output.name, &names, nullptr));
    GYR_RETURN_IF_ERROR(ReadDtype(object.value()["dtype"], &output.dtype));
    GYR_RETURN_IF_ERROR(ReadShape(object.value()["shape"], reading->symbols, UnknownExtents::kAllow,
                                  &output.shape));
    reading->spec.outputs.push_back(std::move(output));
    return Status::Ok();
  });
}

}  // namespace gyrfalcon

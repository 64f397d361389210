// The top level of model.json.
#include "bundle/manifest.h"

#include <string>
#include <utility>
#include <vector>

#include "bundle/allocation_guard.h"
#include "bundle/bundle.h"
#include "core/limits.h"

namespace gyrfalcon {
namespace {

constexpr int64_t kVersion = 1;

// Before any other rule: a later version may have other keys.
Status CheckFormat(const JsonCursor& root) {
  if (root.kind() != JsonKind::kObject) return root.Invalid("an object");
  const std::optional<JsonCursor> format = root.Find("format");
  const std::optional<JsonCursor> version = root.Find("version");
  if (!format || !version) {
    return root.Invalid("the keys \"format\" and \"version\"");
  }
  if (format->kind() != JsonKind::kString || format->string() != "gyrfalcon-bundle") {
    return format->Invalid("\"gyrfalcon-bundle\"");
  }
  if (version->kind() != JsonKind::kNumber || version->number().kind == JsonNumber::Kind::kReal) {
    return version->Invalid("an integer");
  }
  const JsonNumber number = version->number();
  if (number.kind != JsonNumber::Kind::kInteger || number.value != kVersion) {
    return version->Error(ErrorCode::kBundleVersion, std::to_string(kVersion));
  }
  return Status::Ok();
}

Status CheckSource(const JsonCursor& at) {
  const Result<JsonObject> object = JsonObject::Open(at, {"file", "bytes", "xxh64"});
  if (!object.ok()) return object.status();
  const JsonObject& source = object.value();
  const JsonCursor file = source["file"];
  std::string name;
  GYR_RETURN_IF_ERROR(ReadName(file, &name));
  if (name == "." || name == ".." || name.find('/') != std::string::npos ||
      name.find('\\') != std::string::npos) {
    return file.Invalid("a file's name without its directory");
  }
  int64_t bytes = 0;
  uint64_t hash = 0;
  GYR_RETURN_IF_ERROR(ReadInteger(source["bytes"], 0, kMaxJsonInteger, &bytes));
  return ReadXxh64(source["xxh64"], &hash);
}

Status CheckReport(const JsonCursor& at) {
  GYR_RETURN_IF_ERROR(ExpectArray(at, limits::kMaxBags));
  return at.EachElement([](const JsonCursor& element, size_t) {
    const Result<JsonObject> object = JsonObject::Open(element, {"level", "text"});
    if (!object.ok()) return object.status();
    const JsonCursor level = object.value()["level"];
    if (level.kind() != JsonKind::kString ||
        (level.string() != "info" && level.string() != "warn")) {
      return level.Invalid("\"info\" or \"warn\"");
    }
    std::string text;
    return ReadText(object.value()["text"], &text);
  });
}

Status ReadRoot(const JsonCursor& root, ManifestReading* reading) {
  GYR_RETURN_IF_ERROR(CheckFormat(root));
  const Result<JsonObject> object =
      JsonObject::Open(root,
                       {"format", "version", "producer", "name", "batch", "symbols", "inputs",
                        "tables", "slots", "bags", "dense", "outputs"},
                       {"source", "report", "fused"});
  if (!object.ok()) return object.status();
  const JsonObject& manifest = object.value();

  std::string producer;
  GYR_RETURN_IF_ERROR(ReadText(manifest["producer"], &producer));
  GYR_RETURN_IF_ERROR(ReadText(manifest["name"], &reading->spec.name));
  if (const auto source = manifest.Find("source")) GYR_RETURN_IF_ERROR(CheckSource(*source));
  if (const auto report = manifest.Find("report")) GYR_RETURN_IF_ERROR(CheckReport(*report));
  const JsonCursor batch = manifest["batch"];
  if (batch.kind() != JsonKind::kNull) {
    GYR_RETURN_IF_ERROR(ReadInteger(batch, 1, limits::kMaxBatchRows, &reading->spec.fixed_batch));
  }

  const JsonCursor slots = manifest["slots"];
  const JsonCursor bags = manifest["bags"];
  GYR_RETURN_IF_ERROR(ReadSymbols(manifest["symbols"], reading));
  GYR_RETURN_IF_ERROR(ReadInputs(manifest["inputs"], reading));
  GYR_RETURN_IF_ERROR(ReadTables(manifest["tables"], reading));
  GYR_RETURN_IF_ERROR(ReadSlots(slots, reading));
  GYR_RETURN_IF_ERROR(ReadBags(bags, reading));
  GYR_RETURN_IF_ERROR(CheckSlotCover(slots, bags, reading->spec));
  GYR_RETURN_IF_ERROR(ReadDense(manifest["dense"], reading));
  if (const auto fused = manifest.Find("fused")) GYR_RETURN_IF_ERROR(ReadFused(*fused, reading));
  return ReadOutputs(manifest["outputs"], reading);
}

}  // namespace

Result<ModelSpec> ParseManifest(std::string_view json) {
  if (json.size() > limits::kMaxManifestBytes) {
    return {ErrorCode::kLimitExceeded,
            "expected at most " + std::to_string(limits::kMaxManifestBytes) +
                " bytes for model.json but received " + std::to_string(json.size())};
  }
  return GuardAllocation([json]() -> Result<ModelSpec> {
    const Result<JsonDocument> document = JsonDocument::Parse(json, "model.json");
    if (!document.ok()) return document.status();
    ManifestReading reading;
    GYR_RETURN_IF_ERROR(ReadRoot(JsonCursor(document.value()), &reading));
    return std::move(reading.spec);
  });
}

}  // namespace gyrfalcon

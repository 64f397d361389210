// The section "tables" of model.json.
#include <optional>
#include <utility>

#include "bundle/manifest.h"
#include "core/limits.h"

namespace gyrfalcon {
namespace {

Status ReadStorage(const JsonCursor& at, Storage* storage) {
  const std::optional<Storage> found =
      at.kind() == JsonKind::kString ? StorageFromName(at.string()) : std::nullopt;
  if (!found) return at.Invalid("a storage (f32 f16 bf16 int8 int4)");
  *storage = *found;
  return Status::Ok();
}

}  // namespace

Status ReadTables(const JsonCursor& at, ManifestReading* reading) {
  GYR_RETURN_IF_ERROR(ExpectArray(at, limits::kMaxTables));
  reading->spec.tables.reserve(at.size());
  return at.EachElement([&](const JsonCursor& element, size_t i) {
    const Result<JsonObject> object =
        JsonObject::Open(element, {"name", "rows", "dim", "storage", "file", "tensor", "xxh64"});
    if (!object.ok()) return object.status();
    const JsonObject& fields = object.value();
    TableSpec table;
    const JsonCursor name = fields["name"];
    GYR_RETURN_IF_ERROR(ReadName(name, &table.name));
    if (!reading->tables.emplace(name.string(), static_cast<int>(i)).second) {
      return name.Invalid("a unique name");
    }
    GYR_RETURN_IF_ERROR(ReadInteger(fields["rows"], 1, limits::kMaxTableRows, &table.rows));
    GYR_RETURN_IF_ERROR(ReadInteger(fields["dim"], 1, limits::kMaxDim, &table.dim));
    GYR_RETURN_IF_ERROR(ReadStorage(fields["storage"], &table.storage));
    GYR_RETURN_IF_ERROR(ReadFile(fields["file"], &table.file));
    GYR_RETURN_IF_ERROR(ReadName(fields["tensor"], &table.tensor));
    GYR_RETURN_IF_ERROR(ReadXxh64(fields["xxh64"], &table.xxh64));
    reading->spec.tables.push_back(std::move(table));
    return Status::Ok();
  });
}

}  // namespace gyrfalcon

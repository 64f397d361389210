#include "bundle/manifest_fields.h"

#include <limits>
#include <optional>

#include "bundle/contained_path.h"
#include "core/limits.h"

namespace gyrfalcon {
namespace {

std::string IntegerRange(int64_t min, int64_t max) {
  return "an integer in " + std::to_string(min) + " ... " + std::to_string(max);
}

Status ReadExtent(const JsonCursor& at, size_t position, const NameIndex& symbols,
                  UnknownExtents unknown, Extent* extent) {
  constexpr std::string_view kExpected = "an integer >= 1, \"batch\" or a symbol's name";
  switch (at.kind()) {
    case JsonKind::kNull:
      if (unknown == UnknownExtents::kRefuse) return at.Invalid(kExpected);
      extent->kind = Extent::Kind::kUnknown;
      return Status::Ok();
    case JsonKind::kNumber:
      return ReadInteger(at, 1, limits::kMaxElementsPerRow, &extent->value);
    case JsonKind::kString:
      break;
    default:
      return at.Invalid(kExpected);
  }
  if (at.string() == "batch") {
    if (position != 0) return at.Invalid("\"batch\" only as the first extent");
    extent->kind = Extent::Kind::kBatch;
    return Status::Ok();
  }
  extent->kind = Extent::Kind::kSymbol;
  return ReadReference(at, symbols, "a symbol", &extent->symbol);
}

}  // namespace

Status ExpectArray(const JsonCursor& at, size_t limit) {
  if (at.kind() != JsonKind::kArray) return at.Invalid("an array");
  if (at.size() > limit) {
    return at.OverLimit("an array of at most " + std::to_string(limit));
  }
  return Status::Ok();
}

Status ReadText(const JsonCursor& at, std::string* text) {
  if (at.kind() != JsonKind::kString) return at.Invalid("a string");
  text->assign(at.string());
  return Status::Ok();
}

Status ReadName(const JsonCursor& at, std::string* name) {
  GYR_RETURN_IF_ERROR(ReadText(at, name));
  if (name->empty()) return at.Invalid("a name of at least 1 byte");
  if (name->size() > limits::kMaxNameBytes) {
    return at.OverLimit("a name of at most " + std::to_string(limits::kMaxNameBytes) + " bytes");
  }
  if (name->find('\0') != std::string::npos) return at.Invalid("a name without NUL");
  return Status::Ok();
}

Status ReadReference(const JsonCursor& at, const NameIndex& names, std::string_view what,
                     int* position) {
  const std::string expected = "the name of " + std::string(what);
  if (at.kind() != JsonKind::kString) return at.Invalid(expected);
  const auto found = names.find(at.string());
  if (found == names.end()) return at.Invalid(expected);
  *position = found->second;
  return Status::Ok();
}

Status ReadInteger(const JsonCursor& at, int64_t min, int64_t max, int64_t* value) {
  if (at.kind() != JsonKind::kNumber) return at.Invalid(IntegerRange(min, max));
  const JsonNumber number = at.number();
  const bool integer = number.kind == JsonNumber::Kind::kInteger;
  if (number.kind == JsonNumber::Kind::kTooLarge || (integer && number.value > max)) {
    return at.OverLimit(IntegerRange(min, max));
  }
  if (!integer || number.value < min) return at.Invalid(IntegerRange(min, max));
  *value = number.value;
  return Status::Ok();
}

Status ReadAnyInteger(const JsonCursor& at, int64_t* value) {
  if (at.kind() != JsonKind::kNumber || at.number().kind != JsonNumber::Kind::kInteger) {
    return at.Invalid("an integer within 2^53 of 0");
  }
  *value = at.number().value;
  return Status::Ok();
}

Status ReadBool(const JsonCursor& at, bool* value) {
  if (at.kind() != JsonKind::kBool) return at.Invalid("a boolean");
  *value = at.boolean();
  return Status::Ok();
}

Status ReadXxh64(const JsonCursor& at, uint64_t* hash) {
  constexpr std::string_view kExpected = "16 lower-case hexadecimal digits";
  if (at.kind() != JsonKind::kString || at.string().size() != 16) return at.Invalid(kExpected);
  *hash = 0;
  for (const char c : at.string()) {
    const bool letter = c >= 'a' && c <= 'f';
    if (!letter && (c < '0' || c > '9')) return at.Invalid(kExpected);
    *hash = *hash << 4 | static_cast<uint64_t>(letter ? c - 'a' + 10 : c - '0');
  }
  return Status::Ok();
}

Status ReadFile(const JsonCursor& at, std::string* file) {
  GYR_RETURN_IF_ERROR(ReadText(at, file));
  if (file->size() > limits::kMaxNameBytes) {
    return at.OverLimit("a path of at most " + std::to_string(limits::kMaxNameBytes) + " bytes");
  }
  if (!IsContainedPath(*file)) return at.Error(ErrorCode::kPathEscape, kContainedPathRule);
  return Status::Ok();
}

Status ReadDtype(const JsonCursor& at, Dtype* dtype) {
  const std::optional<Dtype> found =
      at.kind() == JsonKind::kString ? DtypeFromName(at.string()) : std::nullopt;
  if (!found) return at.Invalid("a dtype (f32 f64 f16 bf16 i8 u8 i16 u16 i32 i64 bool)");
  *dtype = *found;
  return Status::Ok();
}

Status ReadShape(const JsonCursor& at, const NameIndex& symbols, UnknownExtents unknown,
                 Shape* shape) {
  GYR_RETURN_IF_ERROR(ExpectArray(at, limits::kMaxRank));
  shape->resize(at.size());
  int64_t elements = 1;
  return at.EachElement([&](const JsonCursor& element, size_t i) {
    Extent& extent = (*shape)[i];
    GYR_RETURN_IF_ERROR(ReadExtent(element, i, symbols, unknown, &extent));
    if (extent.kind != Extent::Kind::kFixed) return Status::Ok();
    // Both factors are at most 2^28, so the product fits.
    elements *= extent.value;
    if (elements > limits::kMaxElementsPerRow) {
      return at.OverLimit("at most 2^28 elements per batch row");
    }
    return Status::Ok();
  });
}

RowElements CountRowElements(const Shape& shape) {
  RowElements count;
  for (const Extent& extent : shape) {
    if (extent.kind == Extent::Kind::kFixed) count.fixed *= extent.value;
    if (extent.kind == Extent::Kind::kSymbol) {
      ++count.num_symbols;
      count.symbol = extent.symbol;
    }
  }
  return count;
}

bool HasBatch(const Shape& shape) {
  return !shape.empty() && shape.front().kind == Extent::Kind::kBatch;
}

}  // namespace gyrfalcon

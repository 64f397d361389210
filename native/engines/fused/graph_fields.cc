#include "engines/fused/graph_fields.h"

#include <cmath>
#include <string>

#include "core/limits.h"

namespace gyrfalcon::fused {

Status ReadNumber(const JsonCursor& at, float* number) {
  constexpr std::string_view kExpected = "a number that f32 can hold";
  if (at.kind() != JsonKind::kNumber) return at.Invalid(kExpected);
  const JsonNumber read = at.number();
  double value = read.real;
  switch (read.kind) {
    case JsonNumber::Kind::kInteger:
      value = static_cast<double>(read.value);
      break;
    case JsonNumber::Kind::kReal:
      break;
    case JsonNumber::Kind::kTooLarge:
    case JsonNumber::Kind::kTooSmall:
      return at.Invalid(kExpected);
  }
  // Checked before the conversion, which is undefined for what f32 cannot hold.
  if (!(std::fabs(value) <= 3.4028234663852886e38)) return at.Invalid(kExpected);
  *number = static_cast<float>(value);
  return Status::Ok();
}

Status ReadExt(const JsonCursor& at, const NameIndex& symbols, Extent* extent) {
  if (at.kind() == JsonKind::kString) {
    extent->kind = Extent::Kind::kSymbol;
    return ReadReference(at, symbols, "a symbol", &extent->symbol);
  }
  extent->kind = Extent::Kind::kFixed;
  return ReadInteger(at, 1, limits::kMaxElementsPerRow, &extent->value);
}

Status ReadInnerShape(const JsonCursor& at, const NameIndex& symbols, FreeExtent free,
                      Shape* shape) {
  GYR_RETURN_IF_ERROR(ExpectArray(at, kMaxInnerRank));
  shape->clear();
  bool freed = false;
  return at.EachElement([&](const JsonCursor& element, size_t) {
    Extent& extent = shape->emplace_back();
    if (free == FreeExtent::kAllow && element.kind() == JsonKind::kNumber &&
        element.number().kind == JsonNumber::Kind::kInteger && element.number().value == -1) {
      if (freed) return element.Invalid("-1 at most once");
      freed = true;
      extent.kind = Extent::Kind::kUnknown;
      return Status::Ok();
    }
    return ReadExt(element, symbols, &extent);
  });
}

Status ReadValue(const JsonCursor& at, int end, int* value) {
  int64_t number = 0;
  GYR_RETURN_IF_ERROR(ReadAnyInteger(at, &number));
  if (number < 0 || number >= end) {
    return at.Invalid("a value number in 0 ... " + std::to_string(end - 1));
  }
  *value = static_cast<int>(number);
  return Status::Ok();
}

}  // namespace gyrfalcon::fused

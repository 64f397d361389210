#include "engines/onnxruntime/wire_reader.h"

namespace gyrfalcon {
namespace {

constexpr int kMaxVarintBytes = 10;
constexpr uint64_t kMaxTag = 0xffffffff;

}  // namespace

std::optional<uint64_t> WireReader::Varint(size_t* position, size_t end) {
  uint64_t value = 0;
  for (int i = 0; i < kMaxVarintBytes; ++i) {
    if (*position >= end) return Fail("a number ends early");
    const auto byte = static_cast<uint64_t>(bytes_[(*position)++]);
    if (i == kMaxVarintBytes - 1 && byte > 1) return Fail("a number of more than 64 bits");
    value |= (byte & 0x7f) << (7 * i);
    if ((byte & 0x80) == 0) return value;
  }
  return Fail("a number of more than 64 bits");
}

std::optional<WireField> WireReader::Field(size_t* position, size_t end) {
  const std::optional<uint64_t> tag = Varint(position, end);
  if (!tag) return std::nullopt;
  if (*tag > kMaxTag) return Fail("a field number of more than 29 bits");
  WireField field;
  field.number = static_cast<uint32_t>(*tag >> 3);
  if (field.number == 0) return Fail("field number 0");
  switch (*tag & 7) {
    case 0: {
      field.begin = *position;
      const std::optional<uint64_t> value = Varint(position, end);
      if (!value) return std::nullopt;
      field.value = *value;
      field.size = *position - field.begin;
      return field;
    }
    case 1:
      field.type = WireType::kFixed64;
      field.size = 8;
      break;
    case 2: {
      field.type = WireType::kBytes;
      const std::optional<uint64_t> size = Varint(position, end);
      if (!size) return std::nullopt;
      if (*size > end - *position) return Fail("a field is longer than what holds it");
      field.size = static_cast<size_t>(*size);
      break;
    }
    case 5:
      field.type = WireType::kFixed32;
      field.size = 4;
      break;
    default:
      return Fail("a group or an unknown wire type");
  }
  if (field.size > end - *position) return Fail("a field is longer than what holds it");
  field.begin = *position;
  *position += field.size;
  return field;
}

}  // namespace gyrfalcon

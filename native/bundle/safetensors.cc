#include "bundle/safetensors.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "bundle/json_reader.h"
#include "bundle/quote.h"
#include "core/limits.h"

namespace gyrfalcon {
namespace {

constexpr size_t kLengthBytes = 8;

struct DtypeBits {
  std::string_view name;
  uint64_t bits;
};

// Every dtype of the format, not only those that tables have: the sizes of all tensors are checked.
constexpr std::array<DtypeBits, 22> kDtypeBits = {{
    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6}, {"BOOL", 8},    {"U8", 8},
    {"I8", 8},          {"F8_E5M2", 8},     {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"I16", 16},
    {"U16", 16},        {"F16", 16},        {"BF16", 16},   {"I32", 32},    {"U32", 32},
    {"F32", 32},        {"F64", 64},        {"I64", 64},    {"U64", 64},    {"C64", 64},
    {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8},
}};

Status Invalid(std::string message) {
  return Status(ErrorCode::kBundleInvalid, std::move(message));
}

// Bytes of a tensor; nothing when they do not fit 64 bits or are not whole.
std::optional<uint64_t> TensorBytes(const SafetensorsTensor& tensor, uint64_t bits) {
  uint64_t product = bits;
  for (const int64_t extent : tensor.shape) {
    if (__builtin_mul_overflow(product, static_cast<uint64_t>(extent), &product)) {
      return std::nullopt;
    }
  }
  if (product % 8 != 0) return std::nullopt;
  return product / 8;
}

class HeaderParser {
 public:
  HeaderParser(std::string_view text, uint64_t data_bytes)
      : text_(text), data_bytes_(data_bytes), reader_(text, "the safetensors header") {}

  Result<SafetensorsHeader> Run() {
    if (!text_.starts_with('{'))
      return Invalid("expected a safetensors header that starts with '{'");
    std::string_view key;
    std::string scratch;
    reader_.BeginObject();
    while (reader_.NextKey(&key, &scratch)) {
      if (key == "__metadata__") {
        GYR_RETURN_IF_ERROR(ReadMetadata());
        continue;
      }
      GYR_RETURN_IF_ERROR(CheckName(key));
      header_.tensors.emplace_back().name = key;
      GYR_RETURN_IF_ERROR(ReadTensor(&header_.tensors.back()));
    }
    if (!reader_.status().ok()) return reader_.status();
    if (text_.find_first_not_of(' ', reader_.position()) != std::string_view::npos) {
      return Invalid("expected only spaces after the safetensors header's object");
    }
    GYR_RETURN_IF_ERROR(CheckNames());
    GYR_RETURN_IF_ERROR(CheckLayout());
    return std::move(header_);
  }

 private:
  static Status CheckName(std::string_view name) {
    if (name.size() <= limits::kMaxNameBytes) return Status::Ok();
    return Status(ErrorCode::kLimitExceeded, "expected a tensor name of at most " +
                                                 std::to_string(limits::kMaxNameBytes) +
                                                 " bytes but received " + Quote(name));
  }

  // Strings to strings, without duplicates; the values are of no use here.
  Status ReadMetadata() {
    if (has_metadata_) return Invalid("expected \"__metadata__\" once in the safetensors header");
    has_metadata_ = true;
    std::vector<std::string> keys;
    std::string_view text;
    std::string scratch;
    if (!reader_.BeginObject()) return reader_.status();
    while (reader_.NextKey(&text, &scratch)) {
      keys.emplace_back(text);
      if (!reader_.ReadString(&text, &scratch)) return reader_.status();
    }
    if (!reader_.status().ok()) return reader_.status();
    std::sort(keys.begin(), keys.end());
    const auto duplicate = std::adjacent_find(keys.begin(), keys.end());
    if (duplicate == keys.end()) return Status::Ok();
    return Invalid("expected unique keys in \"__metadata__\" but received " + Quote(*duplicate) +
                   " twice");
  }

  Status TensorError(const SafetensorsTensor& tensor, std::string_view expected) const {
    return Invalid("expected " + std::string(expected) + " for tensor " + Quote(tensor.name));
  }

  Status ReadTensor(SafetensorsTensor* tensor) {
    constexpr std::array<std::string_view, 3> kKeys = {"dtype", "shape", "data_offsets"};
    std::array<bool, 3> seen = {};
    uint64_t bits = 0;
    std::string_view key;
    std::string scratch;
    if (!reader_.BeginObject()) return reader_.status();
    while (reader_.NextKey(&key, &scratch)) {
      const size_t which = std::find(kKeys.begin(), kKeys.end(), key) - kKeys.begin();
      if (which == kKeys.size()) {
        return TensorError(*tensor, "only the keys dtype, shape and data_offsets");
      }
      if (std::exchange(seen[which], true)) return TensorError(*tensor, "each key once");
      GYR_RETURN_IF_ERROR(which == 0   ? ReadDtype(tensor, &bits)
                          : which == 1 ? ReadShape(tensor)
                                       : ReadOffsets(tensor));
    }
    if (!reader_.status().ok()) return reader_.status();
    if (!seen[0] || !seen[1] || !seen[2]) {
      return TensorError(*tensor, "the keys dtype, shape and data_offsets");
    }
    const std::optional<uint64_t> bytes = TensorBytes(*tensor, bits);
    if (!bytes || *bytes != tensor->end - tensor->begin) {
      return TensorError(*tensor, "data_offsets that match dtype and shape");
    }
    return Status::Ok();
  }

  Status ReadDtype(SafetensorsTensor* tensor, uint64_t* bits) {
    std::string_view name;
    std::string scratch;
    if (!reader_.ReadString(&name, &scratch)) return reader_.status();
    for (const DtypeBits& dtype : kDtypeBits) {
      if (dtype.name != name) continue;
      *bits = dtype.bits;
      tensor->dtype = name;
      return Status::Ok();
    }
    return Invalid("expected a safetensors dtype for tensor " + Quote(tensor->name) +
                   " but received " + Quote(name));
  }

  // An integer in 0 ... 2^53.
  Status ReadSize(const SafetensorsTensor& tensor, int64_t* size) {
    JsonNumber number;
    if (!reader_.ReadNumber(&number)) return reader_.status();
    if (number.kind == JsonNumber::Kind::kTooLarge) {
      return Status(ErrorCode::kLimitExceeded, "expected integers up to 2^53 for tensor " +
                                                   Quote(tensor.name) +
                                                   " but received a larger one");
    }
    if (number.kind != JsonNumber::Kind::kInteger || number.value < 0) {
      return TensorError(tensor, "integers >= 0 in shape and data_offsets");
    }
    *size = number.value;
    return Status::Ok();
  }

  Status ReadShape(SafetensorsTensor* tensor) {
    if (!reader_.BeginArray()) return reader_.status();
    while (reader_.NextElement()) {
      if (tensor->shape.size() == limits::kMaxRank) {
        return Status(ErrorCode::kLimitExceeded,
                      "expected at most " + std::to_string(limits::kMaxRank) +
                          " dimensions for tensor " + Quote(tensor->name) + " but received more");
      }
      int64_t extent = 0;
      GYR_RETURN_IF_ERROR(ReadSize(*tensor, &extent));
      tensor->shape.push_back(extent);
    }
    return reader_.status();
  }

  Status ReadOffsets(SafetensorsTensor* tensor) {
    std::array<int64_t, 2> offsets = {};
    size_t count = 0;
    if (!reader_.BeginArray()) return reader_.status();
    while (reader_.NextElement()) {
      if (count == offsets.size()) return TensorError(*tensor, "two data_offsets");
      GYR_RETURN_IF_ERROR(ReadSize(*tensor, &offsets[count++]));
    }
    if (!reader_.status().ok()) return reader_.status();
    if (count != offsets.size()) return TensorError(*tensor, "two data_offsets");
    tensor->begin = static_cast<uint64_t>(offsets[0]);
    tensor->end = static_cast<uint64_t>(offsets[1]);
    if (tensor->begin > tensor->end || tensor->end > data_bytes_) {
      return TensorError(*tensor, "data_offsets in order and inside the file");
    }
    return Status::Ok();
  }

  Status CheckNames() const {
    std::vector<std::string_view> names;
    names.reserve(header_.tensors.size());
    for (const SafetensorsTensor& tensor : header_.tensors) names.push_back(tensor.name);
    std::sort(names.begin(), names.end());
    const auto duplicate = std::adjacent_find(names.begin(), names.end());
    if (duplicate == names.end()) return Status::Ok();
    return Invalid("expected unique tensor names but received " + Quote(*duplicate) + " twice");
  }

  // Sorted by their data, every tensor begins where the one before it ends, up to the file's end.
  Status CheckLayout() {
    std::vector<SafetensorsTensor>& tensors = header_.tensors;
    std::sort(tensors.begin(), tensors.end(),
              [](const SafetensorsTensor& a, const SafetensorsTensor& b) {
                if (a.begin != b.begin) return a.begin < b.begin;
                return a.end != b.end ? a.end < b.end : a.name < b.name;
              });
    uint64_t covered = 0;
    for (const SafetensorsTensor& tensor : tensors) {
      if (tensor.begin != covered) {
        return TensorError(tensor, "data that begins at " + std::to_string(covered) +
                                       ", where the data before it ends, instead of at " +
                                       std::to_string(tensor.begin));
      }
      covered = tensor.end;
    }
    if (covered == data_bytes_) return Status::Ok();
    return Invalid("expected " + std::to_string(covered) +
                   " bytes of safetensors data but received " + std::to_string(data_bytes_));
  }

  std::string_view text_;
  uint64_t data_bytes_;
  JsonReader reader_;
  SafetensorsHeader header_;
  bool has_metadata_ = false;
};

}  // namespace

const SafetensorsTensor* SafetensorsHeader::Find(std::string_view name) const {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [name](const SafetensorsTensor& t) { return t.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

Result<SafetensorsHeader> ParseSafetensorsHeader(std::string_view text, uint64_t data_bytes) {
  return HeaderParser(text, data_bytes).Run();
}

Result<SafetensorsHeader> ReadSafetensorsHeader(const File& file, const std::string& path) {
  const Result<uint64_t> size = FileSize(file, path);
  if (!size.ok()) return size.status();
  if (size.value() < kLengthBytes) {
    return Invalid("expected at least 8 bytes for " + Quote(path) + " but received " +
                   std::to_string(size.value()));
  }
  std::array<std::byte, kLengthBytes> prefix;
  GYR_RETURN_IF_ERROR(ReadExactly(file, path, 0, prefix));
  uint64_t length = 0;
  for (size_t i = 0; i < kLengthBytes; ++i) length |= static_cast<uint64_t>(prefix[i]) << (8 * i);
  if (length > limits::kMaxSafetensorsHeaderBytes) {
    return {ErrorCode::kLimitExceeded,
            "expected a header of at most " + std::to_string(limits::kMaxSafetensorsHeaderBytes) +
                " bytes for " + Quote(path) + " but received " + std::to_string(length)};
  }
  if (length > size.value() - kLengthBytes) {
    return Invalid("expected a header inside the " + std::to_string(size.value()) + " bytes of " +
                   Quote(path) + " but received a length of " + std::to_string(length));
  }
  std::string text(static_cast<size_t>(length), '\0');
  GYR_RETURN_IF_ERROR(
      ReadExactly(file, path, kLengthBytes, std::as_writable_bytes(std::span<char>(text))));
  Result<SafetensorsHeader> header =
      ParseSafetensorsHeader(text, size.value() - kLengthBytes - length);
  if (!header.ok())
    return Status(header.status().code(), header.status().message() + " in " + Quote(path));
  header->data_offset = kLengthBytes + length;
  return header;
}

}  // namespace gyrfalcon

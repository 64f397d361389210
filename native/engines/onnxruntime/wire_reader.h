// Protobuf's wire format (https://protobuf.dev/programming-guides/encoding/), one field at a time
// over bytes that nothing is known about.
#ifndef GYRFALCON_ENGINES_ONNXRUNTIME_WIRE_READER_H_
#define GYRFALCON_ENGINES_ONNXRUNTIME_WIRE_READER_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace gyrfalcon {

enum class WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

struct WireField {
  uint32_t number = 0;
  WireType type = WireType::kVarint;
  uint64_t value = 0;  // kVarint
  size_t begin = 0;    // kBytes: where its bytes are; the others' own bytes likewise
  size_t size = 0;
};

// Every read is against `end`, at most the size of the bytes. nullopt: not well formed, and `error`
// says how. Groups are refused: ONNX has none.
class WireReader {
 public:
  explicit WireReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  std::optional<uint64_t> Varint(size_t* position, size_t end);
  std::optional<WireField> Field(size_t* position, size_t end);
  const char* error() const { return error_; }

 private:
  std::nullopt_t Fail(const char* error) {
    error_ = error;
    return std::nullopt;
  }

  std::span<const std::byte> bytes_;
  const char* error_ = "";
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_ENGINES_ONNXRUNTIME_WIRE_READER_H_

// A strict JSON pull reader: RFC 8259 without extensions, UTF-8 validated, depth bounded, no
// recursion and no memory beyond the strings it hands out. Duplicate keys are the caller's to
// refuse (JsonDocument and the safetensors reader do).
#ifndef GYRFALCON_BUNDLE_JSON_READER_H_
#define GYRFALCON_BUNDLE_JSON_READER_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/limits.h"
#include "core/status.h"

namespace gyrfalcon {

enum class JsonKind : uint8_t { kNull, kBool, kNumber, kString, kArray, kObject };

// "null", "a boolean", "a number", ...: for error texts.
std::string_view JsonKindName(JsonKind kind);

// A number as far as the bundle's formats need it.
struct JsonNumber {
  enum class Kind : uint8_t {
    kInteger,   // no fraction, no exponent, within +-2^53: `value`
    kTooLarge,  // an integer above 2^53
    kTooSmall,  // an integer below -2^53
    kReal       // has a fraction or an exponent: `real`, infinite when it is beyond a double
  };
  Kind kind = Kind::kInteger;
  int64_t value = 0;
  double real = 0.0;
};

inline constexpr int64_t kMaxJsonInteger = int64_t{1} << 53;

// Every call returns false once something is wrong; status() then says what and where. Calls after
// that keep returning false, so a caller may check once.
//
//   if (!reader.BeginObject()) return reader.status();
//   while (reader.NextKey(&key)) { ... read exactly one value ... }
//   if (!reader.status().ok()) return reader.status();
class JsonReader {
 public:
  // `what` names the text in messages; both must outlive the reader.
  JsonReader(std::string_view text, std::string_view what) : text_(text), what_(what) {}

  // The kind of the value that comes next, without reading it.
  bool Peek(JsonKind* kind);

  bool ReadNull();
  bool ReadBool(bool* value);
  bool ReadNumber(JsonNumber* number);
  // The view is into the text when the string holds no escapes, else into `scratch`.
  bool ReadString(std::string_view* value, std::string* scratch);

  // Arrays and objects: begin, then next until it returns false (end, or an error: see status()).
  bool BeginArray();
  bool NextElement();
  bool BeginObject();
  bool NextKey(std::string_view* key, std::string* scratch);

  // Only white space may follow.
  bool Finish();

  // Records an error at the current position, unless there is one already; returns false.
  bool Fail(std::string_view expected);

  size_t position() const { return position_; }
  const Status& status() const { return status_; }

 private:
  bool Begin(char open, std::string_view expected);
  bool Next(char close, std::string_view expected);
  bool Literal(std::string_view literal, std::string_view expected);
  bool Escape(std::string* out);
  bool HexUnit(uint32_t* unit);
  bool Utf8Sequence();
  void SkipSpace();
  char Byte(size_t position) const { return position < text_.size() ? text_[position] : '\0'; }

  std::string_view text_;
  std::string_view what_;
  size_t position_ = 0;
  int depth_ = 0;
  bool first_ = false;  // the innermost container was just opened
  Status status_;
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_BUNDLE_JSON_READER_H_

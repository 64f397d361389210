#include "bundle/json_reader.h"

#include <array>
#include <charconv>
#include <limits>

namespace gyrfalcon {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Of a text that has the form of a number. Too large a magnitude gives infinity.
double RealValue(std::string_view text) {
  double value = 0.0;
  const std::from_chars_result parsed =
      std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc::result_out_of_range) return value;
  // Whether it was too large or too small shows in the sign of the exponent: mantissas are short.
  const size_t exponent = text.find_first_of("eE");
  const bool small = exponent != std::string_view::npos && text[exponent + 1] == '-';
  const double magnitude = small ? 0.0 : std::numeric_limits<double>::infinity();
  return text.front() == '-' ? -magnitude : magnitude;
}

void AppendUtf8(uint32_t code_point, std::string* out) {
  const auto put = [out](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | code_point >> 6);
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3F));
    put(0x80 | (code_point >> 6 & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

// What stands at a position, for messages: printable ASCII as it is, everything else as a number.
std::string Describe(std::string_view text, size_t position) {
  if (position >= text.size()) return "the end of the text";
  const auto byte = static_cast<uint8_t>(text[position]);
  if (byte > 0x20 && byte < 0x7F) return std::string("'") + static_cast<char>(byte) + "'";
  constexpr std::string_view kHex = "0123456789abcdef";
  return std::string("byte 0x") + kHex[byte >> 4] + kHex[byte & 15];
}

}  // namespace

std::string_view JsonKindName(JsonKind kind) {
  constexpr std::array<std::string_view, 6> kNames = {"null",     "a boolean", "a number",
                                                      "a string", "an array",  "an object"};
  return kNames[static_cast<size_t>(kind)];
}

bool JsonReader::Fail(std::string_view expected) {
  if (status_.ok()) {
    status_ =
        Status(ErrorCode::kBundleInvalid,
               "expected " + std::string(expected) + " at byte " + std::to_string(position_) +
                   " of " + std::string(what_) + " but received " + Describe(text_, position_));
  }
  return false;
}

void JsonReader::SkipSpace() {
  while (position_ < text_.size()) {
    const char c = text_[position_];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return;
    ++position_;
  }
}

bool JsonReader::Peek(JsonKind* kind) {
  if (!status_.ok()) return false;
  SkipSpace();
  const char c = Byte(position_);
  if (c == '"') {
    *kind = JsonKind::kString;
  } else if (c == '{') {
    *kind = JsonKind::kObject;
  } else if (c == '[') {
    *kind = JsonKind::kArray;
  } else if (c == 't' || c == 'f') {
    *kind = JsonKind::kBool;
  } else if (c == 'n') {
    *kind = JsonKind::kNull;
  } else if (c == '-' || IsDigit(c)) {
    *kind = JsonKind::kNumber;
  } else {
    return Fail("a JSON value");
  }
  return true;
}

bool JsonReader::Literal(std::string_view literal, std::string_view expected) {
  if (!status_.ok()) return false;
  SkipSpace();
  if (text_.substr(position_, literal.size()) != literal) return Fail(expected);
  position_ += literal.size();
  return true;
}

bool JsonReader::ReadNull() { return Literal("null", "null"); }

bool JsonReader::ReadBool(bool* value) {
  if (!status_.ok()) return false;
  SkipSpace();
  *value = Byte(position_) == 't';
  return Literal(*value ? "true" : "false", "a boolean");
}

bool JsonReader::ReadNumber(JsonNumber* number) {
  if (!status_.ok()) return false;
  SkipSpace();
  const size_t begin = position_;
  const bool negative = Byte(position_) == '-';
  if (negative) ++position_;
  if (!IsDigit(Byte(position_))) return Fail("a digit");
  int64_t value = 0;
  bool over = false;  // once over 2^53 the value no longer grows, so it cannot overflow
  if (Byte(position_) == '0') {
    ++position_;
    if (IsDigit(Byte(position_))) return Fail("a number without leading zeros");
  } else {
    for (; IsDigit(Byte(position_)); ++position_) {
      if (!over) value = value * 10 + (Byte(position_) - '0');
      over = over || value > kMaxJsonInteger;
    }
  }
  number->kind = over ? (negative ? JsonNumber::Kind::kTooSmall : JsonNumber::Kind::kTooLarge)
                      : JsonNumber::Kind::kInteger;
  number->value = over ? 0 : (negative ? -value : value);
  if (Byte(position_) == '.') {
    number->kind = JsonNumber::Kind::kReal;
    if (!IsDigit(Byte(++position_))) return Fail("a digit");
    while (IsDigit(Byte(position_))) ++position_;
  }
  if (Byte(position_) == 'e' || Byte(position_) == 'E') {
    number->kind = JsonNumber::Kind::kReal;
    ++position_;
    if (Byte(position_) == '+' || Byte(position_) == '-') ++position_;
    if (!IsDigit(Byte(position_))) return Fail("a digit");
    while (IsDigit(Byte(position_))) ++position_;
  }
  if (number->kind == JsonNumber::Kind::kReal) {
    number->value = 0;
    number->real = RealValue(text_.substr(begin, position_ - begin));
  }
  return true;
}

bool JsonReader::HexUnit(uint32_t* unit) {
  *unit = 0;
  for (int i = 0; i < 4; ++i, ++position_) {
    const char c = Byte(position_);
    uint32_t digit = 0;
    if (IsDigit(c)) {
      digit = static_cast<uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint32_t>(c - 'a') + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<uint32_t>(c - 'A') + 10;
    } else {
      return Fail("four hexadecimal digits");
    }
    *unit = *unit << 4 | digit;
  }
  return true;
}

// At the byte after a backslash.
bool JsonReader::Escape(std::string* out) {
  constexpr std::string_view kEscapes = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  if (position_ >= text_.size()) return Fail("an escape");
  const size_t index = kEscapes.find(text_[position_]);
  if (index != std::string_view::npos) {
    out->push_back(kMeanings[index]);
    ++position_;
    return true;
  }
  if (text_[position_] != 'u') return Fail("an escape");
  ++position_;
  uint32_t unit = 0;
  if (!HexUnit(&unit)) return false;
  if (unit >= 0xDC00 && unit < 0xE000) return Fail("a paired surrogate before this");
  if (unit >= 0xD800 && unit < 0xDC00) {
    uint32_t low = 0;
    if (text_.substr(position_, 2) != "\\u") return Fail("a low surrogate");
    position_ += 2;
    if (!HexUnit(&low)) return false;
    if (low < 0xDC00 || low >= 0xE000) return Fail("a low surrogate before this");
    unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
  }
  AppendUtf8(unit, out);
  return true;
}

// At a byte >= 0x80. The second byte's range excludes overlong forms, surrogates and everything
// above U+10FFFF (Unicode, table 3-7).
bool JsonReader::Utf8Sequence() {
  const auto byte = [this](size_t i) { return static_cast<uint8_t>(Byte(position_ + i)); };
  const uint8_t lead = byte(0);
  size_t length = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
  } else {
    return Fail("UTF-8");
  }
  if (byte(1) < low || byte(1) > high) return Fail("UTF-8");
  for (size_t i = 2; i < length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xBF) return Fail("UTF-8");
  }
  position_ += length;
  return true;
}

bool JsonReader::ReadString(std::string_view* value, std::string* scratch) {
  if (!status_.ok()) return false;
  SkipSpace();
  if (Byte(position_) != '"') return Fail("a string");
  ++position_;
  size_t run = position_;  // start of the bytes not yet copied into scratch
  bool escaped = false;
  scratch->clear();
  while (true) {
    if (position_ >= text_.size()) return Fail("the end of a string");
    const auto c = static_cast<uint8_t>(text_[position_]);
    if (c == '"') break;
    if (c < 0x20) return Fail("an escaped control character");
    if (c >= 0x80) {
      if (!Utf8Sequence()) return false;
    } else if (c == '\\') {
      scratch->append(text_, run, position_ - run);
      escaped = true;
      ++position_;
      if (!Escape(scratch)) return false;
      run = position_;
    } else {
      ++position_;
    }
  }
  if (escaped) {
    scratch->append(text_, run, position_ - run);
    *value = *scratch;
  } else {
    *value = text_.substr(run, position_ - run);
  }
  ++position_;
  return true;
}

bool JsonReader::Begin(char open, std::string_view expected) {
  if (!status_.ok()) return false;
  SkipSpace();
  if (Byte(position_) != open) return Fail(expected);
  if (depth_ == limits::kMaxJsonDepth) {
    status_ =
        Status(ErrorCode::kLimitExceeded,
               "expected at most " + std::to_string(limits::kMaxJsonDepth) + " levels in " +
                   std::string(what_) + " but received more at byte " + std::to_string(position_));
    return false;
  }
  ++position_;
  ++depth_;
  first_ = true;
  return true;
}

// The caller's own loops know which containers are open, so a depth and the "just opened" mark are
// all the state there is: a container that was entered and left is never the first element.
bool JsonReader::Next(char close, std::string_view expected) {
  if (!status_.ok()) return false;
  SkipSpace();
  const bool first = first_;
  first_ = false;
  if (Byte(position_) == close) {
    ++position_;
    --depth_;
    return false;
  }
  if (first) return true;
  if (Byte(position_) != ',') return Fail(expected);
  ++position_;
  return true;
}

bool JsonReader::BeginArray() { return Begin('[', "an array"); }

bool JsonReader::NextElement() { return Next(']', "',' or ']'"); }

bool JsonReader::BeginObject() { return Begin('{', "an object"); }

bool JsonReader::NextKey(std::string_view* key, std::string* scratch) {
  if (!Next('}', "',' or '}'")) return false;
  if (!ReadString(key, scratch)) return false;
  return Literal(":", "':'");
}

bool JsonReader::Finish() {
  if (!status_.ok()) return false;
  SkipSpace();
  return position_ == text_.size() || Fail("nothing more");
}

}  // namespace gyrfalcon

#include "bundle/quote.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace gyrfalcon {
namespace {

constexpr size_t kMaxQuotedBytes = 256;

bool IsContinuation(char c) { return (static_cast<uint8_t>(c) & 0xC0) == 0x80; }

// Bytes of the sequence that starts at text[i]; 0 when it is not one. Overlong forms pass: they
// are only shown, and JSON names cannot hold them.
size_t SequenceLength(std::string_view text, size_t i) {
  const auto lead = static_cast<uint8_t>(text[i]);
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (lead > 0xF4 || length == 0 || i + length > text.size()) return 0;
  for (size_t k = 1; k < length; ++k) {
    if (!IsContinuation(text[i + k])) return 0;
  }
  return length;
}

}  // namespace

std::string Quote(std::string_view text) {
  std::string quoted = "\"";
  size_t i = 0;
  while (i < text.size() && quoted.size() <= kMaxQuotedBytes) {
    const auto c = static_cast<uint8_t>(text[i]);
    if (c < 0x80) {
      quoted += c < 0x20 || c == 0x7F || c == '"' ? '?' : text[i];
      ++i;
      continue;
    }
    const size_t length = SequenceLength(text, i);
    if (length == 0) quoted += '?';
    quoted.append(text, i, length);
    i += std::max<size_t>(length, 1);
  }
  return quoted + (i < text.size() ? "\"..." : "\"");
}

std::string QuoteUnlessPlain(std::string_view text) {
  const bool plain = !text.empty() && text.size() <= kMaxQuotedBytes &&
                     std::all_of(text.begin(), text.end(), [](char c) {
                       return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                              (c >= '0' && c <= '9') || c == '_' || c == '-';
                     });
  return plain ? std::string(text) : Quote(text);
}

}  // namespace gyrfalcon

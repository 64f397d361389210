// Checksums as text.
#ifndef GYRFALCON_BUNDLE_HEX_H_
#define GYRFALCON_BUNDLE_HEX_H_

#include <cstdint>
#include <string>

namespace gyrfalcon {

// 16 lower-case hexadecimal digits, as in model.json.
inline std::string Hex64(uint64_t value) {
  std::string text(16, '0');
  for (size_t i = 16; i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
  return text;
}

}  // namespace gyrfalcon

#endif  // GYRFALCON_BUNDLE_HEX_H_

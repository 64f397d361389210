// Text from a file, made fit for an error message.
#ifndef GYRFALCON_BUNDLE_QUOTE_H_
#define GYRFALCON_BUNDLE_QUOTE_H_

#include <string>
#include <string_view>

namespace gyrfalcon {

// In double quotes, on one line, at most about 256 bytes of it: control characters, quotes and
// whatever is not UTF-8 become '?', so that a hostile name can neither forge a log line nor fill a
// disk.
std::string Quote(std::string_view text);

// As it is when it is short and made of letters, digits, '_' and '-'; else quoted.
std::string QuoteUnlessPlain(std::string_view text);

}  // namespace gyrfalcon

#endif  // GYRFALCON_BUNDLE_QUOTE_H_

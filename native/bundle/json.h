// A parsed JSON text, for the manifest: values in any order, with the path to each for messages.
#ifndef GYRFALCON_BUNDLE_JSON_H_
#define GYRFALCON_BUNDLE_JSON_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/json_reader.h"
#include "core/status.h"

namespace gyrfalcon {

// The values of a text in the order of the text, 16 bytes each. Strings are views into the text (or
// into one side buffer where they had escapes), so the text must outlive the document.
class JsonDocument {
 public:
  // Refuses duplicate keys and texts over 4 GiB. `what` names the text in messages.
  static Result<JsonDocument> Parse(std::string_view text, std::string_view what);

  // Values are named by index: the root is 0; a container's first child follows it; an object's
  // children alternate key, value. EndOf(i) is the index after value i and all below it.
  JsonKind kind(uint32_t index) const { return nodes_[index].kind; }
  uint32_t EndOf(uint32_t index) const {
    return kind(index) < JsonKind::kArray ? index + 1 : nodes_[index].b;
  }
  uint32_t size(uint32_t index) const { return nodes_[index].a; }  // elements or keys
  bool boolean(uint32_t index) const { return nodes_[index].a != 0; }
  JsonNumber number(uint32_t index) const;
  std::string_view string(uint32_t index) const;

 private:
  // a, b: string: offset, length; number: low and high half; container: size, end; boolean: value.
  struct Node {
    JsonKind kind = JsonKind::kNull;
    uint8_t detail = 0;  // number: JsonNumber::Kind; string: 1 = in unescaped_
    uint32_t a = 0;
    uint32_t b = 0;
  };

  bool ParseValue(JsonReader* reader, std::string* scratch);
  void AddString(std::string_view value, bool unescaped);
  void AddNumber(const JsonNumber& number);
  bool HasUniqueKeys(uint32_t object) const;

  std::string_view text_;
  std::string unescaped_;
  std::vector<Node> nodes_;
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_BUNDLE_JSON_H_

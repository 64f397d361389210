// The kinds of value that model.json is made of, each with its rule. All return kBundleInvalid or
// kLimitExceeded with the value's place.
#ifndef GYRFALCON_BUNDLE_MANIFEST_FIELDS_H_
#define GYRFALCON_BUNDLE_MANIFEST_FIELDS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "bundle/json_cursor.h"
#include "core/dtype.h"
#include "core/model_spec.h"
#include "core/status.h"

namespace gyrfalcon {

// Name -> position. Keys are views into the manifest's document.
using NameIndex = std::unordered_map<std::string_view, int>;

// An array of at most `limit` elements (more: kLimitExceeded).
Status ExpectArray(const JsonCursor& at, size_t limit);

// Any string.
Status ReadText(const JsonCursor& at, std::string* text);

// 1 ... kMaxNameBytes bytes without NUL: names are handed to C interfaces.
Status ReadName(const JsonCursor& at, std::string* name);

// The position of a name that must be in `names`; `what` says of what, such as "a table".
Status ReadReference(const JsonCursor& at, const NameIndex& names, std::string_view what,
                     int* position);

// An integer: below `min` is kBundleInvalid, above `max` kLimitExceeded.
Status ReadInteger(const JsonCursor& at, int64_t min, int64_t max, int64_t* value);

// An integer within +-2^53.
Status ReadAnyInteger(const JsonCursor& at, int64_t* value);

Status ReadBool(const JsonCursor& at, bool* value);

// 16 lower-case hexadecimal digits.
Status ReadXxh64(const JsonCursor& at, uint64_t* hash);

// A path below the bundle (kPathEscape); see contained_path.h.
Status ReadFile(const JsonCursor& at, std::string* file);

Status ReadDtype(const JsonCursor& at, Dtype* dtype);

enum class UnknownExtents : uint8_t { kRefuse, kAllow };

Status ReadShape(const JsonCursor& at, const NameIndex& symbols, UnknownExtents unknown,
                 Shape* shape);

// What the elements of one batch row of a shape amount to.
struct RowElements {
  int64_t fixed = 1;    // product of the fixed extents, <= kMaxElementsPerRow
  int num_symbols = 0;  // further factors
  int symbol = -1;      // the last of them
};
RowElements CountRowElements(const Shape& shape);

bool HasBatch(const Shape& shape);

}  // namespace gyrfalcon

#endif  // GYRFALCON_BUNDLE_MANIFEST_FIELDS_H_

// A value of a JsonDocument together with its place, so that every rule about it can be stated in
// one line and its violation names the place: "expected an integer for bags[3].offset but ...".
#ifndef GYRFALCON_BUNDLE_JSON_CURSOR_H_
#define GYRFALCON_BUNDLE_JSON_CURSOR_H_

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "bundle/json.h"
#include "core/status.h"

namespace gyrfalcon {

// Points at its parent instead of holding a path: paths are only put together for messages. A
// cursor must therefore not outlive the one it came from.
class JsonCursor {
 public:
  explicit JsonCursor(const JsonDocument& document, std::string_view root = "the manifest")
      : document_(&document), key_(root) {}

  JsonKind kind() const { return document_->kind(index_); }
  size_t size() const { return document_->size(index_); }                // array or object
  bool boolean() const { return document_->boolean(index_); }            // boolean
  JsonNumber number() const { return document_->number(index_); }        // number
  std::string_view string() const { return document_->string(index_); }  // string

  // Such as "bags[3].table"; for the root, the name it was given.
  std::string Path() const;

  // kBundleInvalid and kLimitExceeded: "expected <expected> for <path> but received <this value>".
  Status Invalid(std::string_view expected) const;
  Status OverLimit(std::string_view expected) const;
  Status Error(ErrorCode code, std::string_view expected) const;

  // Calls visit(element, i) for each element, or visit(value, key) for each member, until a Status
  // is not OK. Precondition: kind() is kArray, or kObject.
  template <typename Visit>
  Status EachElement(Visit visit) const {
    JsonCursor child(*document_, this, index_ + 1);
    for (size_t i = 0; i < size(); ++i) {
      child.position_ = i;
      GYR_RETURN_IF_ERROR(visit(static_cast<const JsonCursor&>(child), i));
      child.index_ = document_->EndOf(child.index_);
    }
    return Status::Ok();
  }

  template <typename Visit>
  Status EachMember(Visit visit) const {
    const uint32_t end = document_->EndOf(index_);
    for (uint32_t key = index_ + 1; key < end; key = document_->EndOf(key + 1)) {
      JsonCursor child(*document_, this, key + 1);
      child.key_ = document_->string(key);
      GYR_RETURN_IF_ERROR(visit(static_cast<const JsonCursor&>(child), child.key_));
    }
    return Status::Ok();
  }

  // The member `key` of an object.
  std::optional<JsonCursor> Find(std::string_view key) const;

 private:
  JsonCursor(const JsonDocument& document, const JsonCursor* parent, uint32_t index)
      : document_(&document), parent_(parent), index_(index) {}

  const JsonDocument* document_;
  const JsonCursor* parent_ = nullptr;
  uint32_t index_ = 0;
  size_t position_ = 0;   // in an array
  std::string_view key_;  // in an object; of the root: its name
};

// An object whose keys are all known: opened once, then read key by key.
class JsonObject {
 public:
  // Checks that `at` is an object with all of `required` and nothing but those and `optional`.
  // `at` must outlive the object.
  static Result<JsonObject> Open(const JsonCursor& at,
                                 std::initializer_list<std::string_view> required,
                                 std::initializer_list<std::string_view> optional = {});

  // Precondition: `key` was required.
  JsonCursor operator[](std::string_view key) const { return *at_->Find(key); }
  std::optional<JsonCursor> Find(std::string_view key) const { return at_->Find(key); }

 private:
  explicit JsonObject(const JsonCursor& at) : at_(&at) {}

  const JsonCursor* at_;
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_BUNDLE_JSON_CURSOR_H_

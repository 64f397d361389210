#include "bundle/json_cursor.h"

#include <algorithm>

#include "bundle/quote.h"

namespace gyrfalcon {
namespace {

std::string DescribeNumber(const JsonNumber& number) {
  switch (number.kind) {
    case JsonNumber::Kind::kInteger:
      return std::to_string(number.value);
    case JsonNumber::Kind::kTooLarge:
      return "an integer above 2^53";
    case JsonNumber::Kind::kTooSmall:
      return "an integer below -2^53";
    case JsonNumber::Kind::kReal:
      break;
  }
  return "a number with a fraction or an exponent";
}

std::string Describe(const JsonCursor& at) {
  switch (at.kind()) {
    case JsonKind::kBool:
      return at.boolean() ? "true" : "false";
    case JsonKind::kNumber:
      return DescribeNumber(at.number());
    case JsonKind::kString:
      return Quote(at.string());
    case JsonKind::kArray:
      return "an array of " + std::to_string(at.size());
    case JsonKind::kNull:
    case JsonKind::kObject:
      break;
  }
  return std::string(JsonKindName(at.kind()));
}

bool Contains(std::initializer_list<std::string_view> keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace

std::string JsonCursor::Path() const {
  if (parent_ == nullptr) return std::string(key_);
  const bool in_root = parent_->parent_ == nullptr;
  std::string path = in_root ? "" : parent_->Path();
  if (parent_->kind() == JsonKind::kArray) return path + "[" + std::to_string(position_) + "]";
  if (!in_root) path += ".";
  return path + QuoteUnlessPlain(key_);
}

Status JsonCursor::Error(ErrorCode code, std::string_view expected) const {
  return Status(code, "expected " + std::string(expected) + " for " + Path() + " but received " +
                          Describe(*this));
}

Status JsonCursor::Invalid(std::string_view expected) const {
  return Error(ErrorCode::kBundleInvalid, expected);
}

Status JsonCursor::OverLimit(std::string_view expected) const {
  return Error(ErrorCode::kLimitExceeded, expected);
}

std::optional<JsonCursor> JsonCursor::Find(std::string_view key) const {
  const uint32_t end = document_->EndOf(index_);
  for (uint32_t at = index_ + 1; at < end; at = document_->EndOf(at + 1)) {
    if (document_->string(at) != key) continue;
    JsonCursor child(*document_, this, at + 1);
    child.key_ = key;
    return child;
  }
  return std::nullopt;
}

Result<JsonObject> JsonObject::Open(const JsonCursor& at,
                                    std::initializer_list<std::string_view> required,
                                    std::initializer_list<std::string_view> optional) {
  if (at.kind() != JsonKind::kObject) return at.Invalid("an object");
  const Status known = at.EachMember([&](const JsonCursor& member, std::string_view key) {
    if (Contains(required, key) || Contains(optional, key)) return Status::Ok();
    return Status(ErrorCode::kBundleInvalid,
                  "expected only known keys but received " + member.Path());
  });
  GYR_RETURN_IF_ERROR(known);
  for (const std::string_view key : required) {
    if (!at.Find(key)) {
      return {ErrorCode::kBundleInvalid, "expected the key " + Quote(key) + " for " + at.Path() +
                                             " but received an object without it"};
    }
  }
  return JsonObject(at);
}

}  // namespace gyrfalcon

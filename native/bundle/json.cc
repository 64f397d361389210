#include "bundle/json.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace gyrfalcon {
namespace {

// More than a text has values: every value but the first follows one of these.
size_t CountSeparators(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return c == ',' || c == ':' || c == '[' || c == '{';
  }));
}

}  // namespace

Result<JsonDocument> JsonDocument::Parse(std::string_view text, std::string_view what) {
  if (text.size() > std::numeric_limits<uint32_t>::max()) {
    return {ErrorCode::kLimitExceeded, "expected at most 4 GiB for " + std::string(what) +
                                           " but received " + std::to_string(text.size()) +
                                           " bytes"};
  }
  JsonDocument document;
  document.text_ = text;
  document.nodes_.reserve(CountSeparators(text) + 1);
  JsonReader reader(text, what);
  std::string scratch;
  if (!document.ParseValue(&reader, &scratch) || !reader.Finish()) return reader.status();
  return document;
}

// Recursion is bounded by the reader's depth limit.
bool JsonDocument::ParseValue(JsonReader* reader, std::string* scratch) {
  JsonKind kind = JsonKind::kNull;
  if (!reader->Peek(&kind)) return false;
  const auto index = static_cast<uint32_t>(nodes_.size());
  std::string_view string;
  switch (kind) {
    case JsonKind::kNull:
      nodes_.push_back({kind});
      return reader->ReadNull();
    case JsonKind::kBool: {
      bool value = false;
      if (!reader->ReadBool(&value)) return false;
      nodes_.push_back({kind, 0, value ? 1u : 0u});
      return true;
    }
    case JsonKind::kNumber: {
      JsonNumber number;
      if (!reader->ReadNumber(&number)) return false;
      AddNumber(number);
      return true;
    }
    case JsonKind::kString:
      if (!reader->ReadString(&string, scratch)) return false;
      AddString(string, string.data() == scratch->data());
      return true;
    case JsonKind::kArray:
      if (!reader->BeginArray()) return false;
      nodes_.push_back({kind});
      while (reader->NextElement()) {
        if (!ParseValue(reader, scratch)) return false;
        ++nodes_[index].a;
      }
      break;
    case JsonKind::kObject:
      if (!reader->BeginObject()) return false;
      nodes_.push_back({kind});
      while (reader->NextKey(&string, scratch)) {
        AddString(string, string.data() == scratch->data());
        if (!ParseValue(reader, scratch)) return false;
        ++nodes_[index].a;
      }
      break;
  }
  if (!reader->status().ok()) return false;
  nodes_[index].b = static_cast<uint32_t>(nodes_.size());
  if (kind == JsonKind::kObject && !HasUniqueKeys(index)) {
    return reader->Fail("an object without duplicate keys before this");
  }
  return true;
}

void JsonDocument::AddString(std::string_view value, bool unescaped) {
  const size_t offset =
      unescaped ? unescaped_.size() : static_cast<size_t>(value.data() - text_.data());
  if (unescaped) unescaped_.append(value);
  nodes_.push_back({JsonKind::kString, static_cast<uint8_t>(unescaped ? 1 : 0),
                    static_cast<uint32_t>(offset), static_cast<uint32_t>(value.size())});
}

void JsonDocument::AddNumber(const JsonNumber& number) {
  const auto bits = number.kind == JsonNumber::Kind::kReal ? std::bit_cast<uint64_t>(number.real)
                                                           : static_cast<uint64_t>(number.value);
  nodes_.push_back({JsonKind::kNumber, static_cast<uint8_t>(number.kind),
                    static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32)});
}

JsonNumber JsonDocument::number(uint32_t index) const {
  const Node& node = nodes_[index];
  const auto kind = static_cast<JsonNumber::Kind>(node.detail);
  const uint64_t bits = uint64_t{node.b} << 32 | node.a;
  if (kind == JsonNumber::Kind::kReal) return {kind, 0, std::bit_cast<double>(bits)};
  return {kind, static_cast<int64_t>(bits), 0.0};
}

std::string_view JsonDocument::string(uint32_t index) const {
  const Node& node = nodes_[index];
  const std::string_view store = node.detail == 1 ? std::string_view(unescaped_) : text_;
  return store.substr(node.a, node.b);
}

bool JsonDocument::HasUniqueKeys(uint32_t object) const {
  std::vector<std::string_view> keys;
  keys.reserve(size(object));
  const uint32_t end = EndOf(object);
  for (uint32_t key = object + 1; key < end; key = EndOf(key + 1)) keys.push_back(string(key));
  std::sort(keys.begin(), keys.end());
  return std::adjacent_find(keys.begin(), keys.end()) == keys.end();
}

}  // namespace gyrfalcon

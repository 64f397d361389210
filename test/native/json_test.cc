// The strict JSON reader, through JsonDocument.
#include "bundle/json.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bundle_support.h"

namespace gyrfalcon {
namespace {

using testing::ExpectError;
using std::string_view_literals::operator""sv;

Result<JsonDocument> Parse(std::string_view text) { return JsonDocument::Parse(text, "the text"); }

std::string Nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(Json, ReadsEveryKindOfValue) {
  const std::string_view text = R"( {"a" : [null, true, false, -12, "x"], "b":{}, "c":[]} )";
  const auto document = Parse(text);
  ASSERT_TRUE(document.ok()) << document.status().message();
  const JsonDocument& json = document.value();
  EXPECT_EQ(json.kind(0), JsonKind::kObject);
  EXPECT_EQ(json.size(0), 3u);
  EXPECT_EQ(json.string(1), "a");
  EXPECT_EQ(json.kind(2), JsonKind::kArray);
  EXPECT_EQ(json.size(2), 5u);
  EXPECT_EQ(json.kind(3), JsonKind::kNull);
  EXPECT_TRUE(json.boolean(4));
  EXPECT_FALSE(json.boolean(5));
  EXPECT_EQ(json.number(6).value, -12);
  EXPECT_EQ(json.string(7), "x");
  EXPECT_EQ(json.EndOf(2), 8u);
  EXPECT_EQ(json.EndOf(0), 12u);
}

TEST(Json, DecodesEscapes) {
  const auto document =
      Parse(R"(["\"\\\/\b\f\n\r\t", "\u0041\u00e9\u20AC\ud83d\ude00", "a\u0000b"])");
  ASSERT_TRUE(document.ok()) << document.status().message();
  EXPECT_EQ(document.value().string(1), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(document.value().string(2), "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  EXPECT_EQ(document.value().string(3), "a\0b"sv);
}

TEST(Json, ClassifiesNumbers) {
  using Kind = JsonNumber::Kind;
  const std::vector<std::pair<std::string, Kind>> cases = {
      {"0", Kind::kInteger},
      {"-0", Kind::kInteger},
      {"9007199254740992", Kind::kInteger},
      {"-9007199254740992", Kind::kInteger},
      {"9007199254740993", Kind::kTooLarge},
      {"-9007199254740993", Kind::kTooSmall},
      {"18446744073709551616", Kind::kTooLarge},
      {std::string(100000, '9'), Kind::kTooLarge},
      {"1.0", Kind::kReal},
      {"1e2", Kind::kReal},
      {"1E+2", Kind::kReal},
      {"-0.5e-7", Kind::kReal},
      {"1e999999999", Kind::kReal},
  };
  for (const auto& [text, kind] : cases) {
    const auto document = Parse(text);
    ASSERT_TRUE(document.ok()) << text.substr(0, 40) << ": " << document.status().message();
    EXPECT_EQ(document.value().number(0).kind, kind) << text.substr(0, 40);
  }
  const std::string text = "[-9007199254740992, 9007199254740992, -1]";
  const auto document = Parse(text);
  ASSERT_TRUE(document.ok());
  EXPECT_EQ(document.value().number(1).value, -9007199254740992);
  EXPECT_EQ(document.value().number(2).value, 9007199254740992);
  EXPECT_EQ(document.value().number(3).value, -1);
}

TEST(Json, AcceptsEveryLengthOfUtf8) {
  const std::string_view valid[] = {
      "\"\x7F\"",         "\"\xC2\x80\"",         "\"\xDF\xBF\"",
      "\"\xE0\xA0\x80\"", "\"\xED\x9F\xBF\"",     "\"\xEE\x80\x80\"",
      "\"\xEF\xBF\xBF\"", "\"\xF0\x90\x80\x80\"", "\"\xF4\x8F\xBF\xBF\""};
  for (const std::string_view text : valid) EXPECT_TRUE(Parse(text).ok()) << text;
}

TEST(Json, RefusesMalformedText) {
  const std::string_view malformed[] = {
      "",
      " ",
      "{",
      "[",
      "\"",
      "]",
      "}",
      "[1",
      "[1,",
      "[1,]",
      "[,1]",
      "[1 2]",
      "[1}",
      "{]",
      "{\"a\"",
      "{\"a\":",
      "{\"a\":1",
      "{\"a\":1,",
      "{\"a\":1,}",
      "{,}",
      "{a:1}",
      "{'a':1}",
      "{1:1}",
      "{\"a\" 1}",
      "{\"a\"::1}",
      "nul",
      "nulll",
      "True",
      "tru",
      "fals",
      "falsey",
      "NaN",
      "Infinity",
      "-Infinity",
      "undefined",
      "+1",
      "01",
      "-01",
      "00",
      "1.",
      ".5",
      "-",
      "-.5",
      "1e",
      "1e+",
      "1.e1",
      "0x10",
      "1_000",
      "--1",
      "1-",
      "[1]x",
      "[1] [2]",
      "1,2",
      "// c\n1",
      "/* */1",
      "[1]\0"sv,
      "\0"sv,
      "\"a\nb\"",
      "\"\t\"",
      "\"\x01\"",
      "\"\0\""sv,
      "\"\\x41\"",
      "\"\\u12\"",
      "\"\\u12G4\"",
      "\"\\a\"",
      "\"\\",
      "\"\\\"",
      "\"\\ud800\"",
      "\"\\udc00\"",
      "\"\\ud800\\n\"",
      "\"\\ud800\\ud800\"",
      "\"\\ud800\\u0041\"",
      "\xEF\xBB\xBF[]",
      "\xC2\xA0[]",
      "\v1",
      "\f1",
  };
  for (const std::string_view text : malformed) {
    SCOPED_TRACE(std::string(text));
    ExpectError(Parse(text), ErrorCode::kBundleInvalid, "the text");
  }
}

TEST(Json, RefusesWhatIsNotUtf8) {
  const std::string_view invalid[] = {
      "\"\x80\"",
      "\"\xBF\"",
      "\"\xC0\x80\"",
      "\"\xC1\xBF\"",
      "\"\xC2\"",
      "\"\xC2\x41\"",
      "\"\xE0\x80\x80\"",
      "\"\xE0\x9F\xBF\"",
      "\"\xE2\x82\"",
      "\"\xED\xA0\x80\"",
      "\"\xED\xBF\xBF\"",
      "\"\xF0\x80\x80\x80\"",
      "\"\xF0\x8F\xBF\xBF\"",
      "\"\xF0\x9F\x98\"",
      "\"\xF4\x90\x80\x80\"",
      "\"\xF5\x80\x80\x80\"",
      "\"\xFE\"",
      "\"\xFF\"",
      "{\"\xFF\":1}",
      "\"\xF0\x9F\x98",
  };
  for (const std::string_view text : invalid) {
    ExpectError(Parse(text), ErrorCode::kBundleInvalid, "UTF-8");
  }
}

TEST(Json, RefusesDuplicateKeysAtEveryLevel) {
  ExpectError(Parse(R"({"a":1,"b":2,"a":3})"), ErrorCode::kBundleInvalid, "duplicate");
  ExpectError(Parse(R"([{"x":{"a":1,"\u0061":2}}])"), ErrorCode::kBundleInvalid, "duplicate");
  ExpectError(Parse(R"({"":1,"":2})"), ErrorCode::kBundleInvalid, "duplicate");
  EXPECT_TRUE(Parse(R"({"a":{"a":{"a":1}},"A":2})").ok());
}

TEST(Json, BoundsTheDepth) {
  EXPECT_TRUE(Parse(Nested(32)).ok());
  ExpectError(Parse(Nested(33)), ErrorCode::kLimitExceeded, "32 levels");
  ExpectError(Parse(std::string(1 << 20, '[')), ErrorCode::kLimitExceeded, "32 levels");
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  ExpectError(Parse(objects), ErrorCode::kLimitExceeded, "32 levels");
}

TEST(Json, DepthIsOfNestingNotOfNumber) {
  std::string text = "[";
  for (int i = 0; i < 1000; ++i) text += "[[]],{\"a\":[]},";
  text += "1]";
  EXPECT_TRUE(Parse(text).ok());
}

TEST(Json, EveryPrefixOfATextIsAnError) {
  const std::string text = R"({"a":[1,-2.5e3,"x\u00e9\ud83d\ude00",{"b":null}],"c":true})";
  for (size_t size = 0; size < text.size(); ++size) {
    // From memory of exactly that size, so that a sanitizer sees a read past it.
    const std::vector<char> prefix(text.begin(), text.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_FALSE(Parse(std::string_view(prefix.data(), prefix.size())).ok()) << size;
  }
  EXPECT_TRUE(Parse(text).ok());
}

TEST(Json, MessagesNameTheByteAndNeverEchoControlBytes) {
  const auto document = Parse("[1, \x1B]");
  ExpectError(document, ErrorCode::kBundleInvalid,
              "expected a JSON value at byte 4 of the text but received byte 0x1b");
}

}  // namespace
}  // namespace gyrfalcon

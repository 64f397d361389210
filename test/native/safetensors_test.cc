// Safetensors headers: good files, named attacks with their codes, limits and truncation.
#include "bundle/safetensors.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "bundle_support.h"
#include "core/limits.h"

namespace gyrfalcon {
namespace {

using testing::Edit;
using testing::ExpectError;
using testing::Safetensors;
using testing::TempDir;
using testing::WriteFile;

constexpr ErrorCode kInvalid = ErrorCode::kBundleInvalid;
constexpr ErrorCode kLimit = ErrorCode::kLimitExceeded;

// Three tensors and metadata; 40 bytes of data.
constexpr std::string_view kGood = R"({"__metadata__":{"format":"pt","who":"test"},)"
                                   R"("b":{"dtype":"F16","shape":[2,3],"data_offsets":[24,36]},)"
                                   R"("a":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]},)"
                                   R"("c":{"dtype":"U8","shape":[4],"data_offsets":[36,40]}})";

Result<SafetensorsHeader> ReadBytes(const std::string& bytes) {
  const TempDir dir;
  const std::string path = dir / "t.safetensors";
  WriteFile(path, bytes);
  const Result<File> file = OpenRegular(path);
  if (!file.ok()) return file.status();
  return ReadSafetensorsHeader(file.value(), path);
}

std::string OneTensor(const std::string& dtype, const std::string& shape, uint64_t bytes) {
  return R"({"t":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[0,)" +
         std::to_string(bytes) + "]}}";
}

TEST(SafetensorsHeader, IsReadInTheOrderOfTheData) {
  const auto result = ReadBytes(Safetensors(kGood, std::string(40, 'x')));
  ASSERT_TRUE(result.ok()) << result.status().message();
  const SafetensorsHeader& header = result.value();
  EXPECT_EQ(header.data_offset, 8 + kGood.size());
  ASSERT_EQ(header.tensors.size(), 3u);
  EXPECT_EQ(header.tensors[0].name, "a");
  EXPECT_EQ(header.tensors[1].name, "b");
  const SafetensorsTensor* b = header.Find("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->dtype, "F16");
  EXPECT_EQ(b->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(b->begin, 24u);
  EXPECT_EQ(b->end, 36u);
  EXPECT_EQ(header.Find("__metadata__"), nullptr);
}

TEST(SafetensorsHeader, MayBePaddedWithSpacesAndHaveEmptyTensors) {
  EXPECT_TRUE(ParseSafetensorsHeader(std::string(kGood) + "     ", 40).ok());
  EXPECT_TRUE(ParseSafetensorsHeader("{}", 0).ok());
  EXPECT_TRUE(ParseSafetensorsHeader(R"({"__metadata__":{}})", 0).ok());
  EXPECT_TRUE(ParseSafetensorsHeader(OneTensor("F32", "[0,5]", 0), 0).ok());
  EXPECT_TRUE(ParseSafetensorsHeader(OneTensor("F64", "[]", 8), 8).ok());
  const std::string_view empty_between = R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},)"
                                         R"("e":{"dtype":"F32","shape":[0],"data_offsets":[2,2]},)"
                                         R"("b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})";
  EXPECT_TRUE(ParseSafetensorsHeader(empty_between, 3).ok());
}

TEST(SafetensorsHeader, KnowsEveryDtypeOfTheFormat) {
  struct Case {
    const char* dtype;
    uint64_t bytes_of_eight;
  };
  const std::vector<Case> cases = {{"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"BOOL", 8},
                                   {"U8", 8},      {"I8", 8},      {"F8_E5M2", 8}, {"F8_E4M3", 8},
                                   {"F8_E8M0", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},
                                   {"BF16", 16},   {"I32", 32},    {"U32", 32},    {"F32", 32},
                                   {"F64", 64},    {"I64", 64},    {"U64", 64},    {"C64", 64}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.dtype);
    const std::string header = OneTensor(c.dtype, "[2,4]", c.bytes_of_eight);
    EXPECT_TRUE(ParseSafetensorsHeader(header, c.bytes_of_eight).ok());
    const std::string more = OneTensor(c.dtype, "[2,4]", c.bytes_of_eight + 1);
    ExpectError(ParseSafetensorsHeader(more, c.bytes_of_eight + 1), kInvalid, "data_offsets");
  }
}

TEST(SafetensorsAttacks, OnTheHeader) {
  struct Attack {
    const char* name;
    const char* from;
    const char* to;
    ErrorCode code;
  };
  const std::vector<Attack> attacks = {
      {"dtype missing", R"("dtype":"F16",)", "", kInvalid},
      {"shape missing", R"("shape":[2,3],)", "", kInvalid},
      {"offsets missing", R"(,"data_offsets":[24,36])", "", kInvalid},
      {"key twice", R"("dtype":"F16",)", R"("dtype":"F16","dtype":"F16",)", kInvalid},
      {"shape twice", R"("shape":[2,3],)", R"("shape":[2,3],"shape":[2,3],)", kInvalid},
      {"unknown key", R"("dtype":"F16",)", R"("dtype":"F16","x":1,)", kInvalid},
      {"tensor is null", R"({"dtype":"U8","shape":[4],"data_offsets":[36,40]})", "null", kInvalid},
      {"tensor is a list", R"({"dtype":"U8","shape":[4],"data_offsets":[36,40]})", "[]", kInvalid},
      {"tensor is empty", R"({"dtype":"U8","shape":[4],"data_offsets":[36,40]})", "{}", kInvalid},
      {"unknown dtype", R"("F16")", R"("F17")", kInvalid},
      {"dtype in small letters", R"("F16")", R"("f16")", kInvalid},
      {"dtype of another size", R"("F16")", R"("F32")", kInvalid},
      {"dtype empty", R"("F16")", R"("")", kInvalid},
      {"dtype is a number", R"("F16")", "16", kInvalid},
      {"dtype with NUL", R"("F16")", R"("F16\u0000")", kInvalid},
      {"shape too small", "[2,3]", "[2,2]", kInvalid},
      {"shape too large", "[2,3]", "[2,4]", kInvalid},
      {"shape is a number", "[2,3]", "6", kInvalid},
      {"shape is an object", "[2,3]", "{}", kInvalid},
      {"extent negative", "[2,3]", "[-2,-3]", kInvalid},
      {"extent with a fraction", "[2,3]", "[2.0,3]", kInvalid},
      {"extent with an exponent", "[2,3]", "[2,3e0]", kInvalid},
      {"extent is a text", "[2,3]", R"(["2",3])", kInvalid},
      {"extent is true", "[2,3]", "[true,6]", kInvalid},
      {"extent nested", "[2,3]", "[[2],3]", kInvalid},
      {"extent of 2^64", "[2,3]", "[18446744073709551616]", kLimit},
      {"extent of 2^63", "[2,3]", "[9223372036854775808,2]", kLimit},
      // 16 bits times these are 96 bits modulo 2^64, as many as there are.
      {"product wraps to the size", "[2,3]", "[208447207486322,5531]", kInvalid},
      {"product wraps to 0", "[2,3]", "[4503599627370496,8192,0]", kInvalid},
      {"nine dimensions", "[2,3]", "[1,1,1,1,1,1,1,2,3]", kLimit},
      {"offsets reversed", "[24,36]", "[36,24]", kInvalid},
      {"offsets negative", "[24,36]", "[-24,36]", kInvalid},
      {"one offset", "[24,36]", "[24]", kInvalid},
      {"no offsets", "[24,36]", "[]", kInvalid},
      {"three offsets", "[24,36]", "[24,36,36]", kInvalid},
      {"offsets with a fraction", "[24,36]", "[24.0,36]", kInvalid},
      {"offsets as text", "[24,36]", R"(["24","36"])", kInvalid},
      {"offsets are an object", "[24,36]", R"({"0":24,"1":36})", kInvalid},
      {"offset past the file", "[36,40]", "[36,41]", kInvalid},
      {"offset of 2^64 - 1", "[36,40]", "[36,18446744073709551615]", kLimit},
      {"offset of 2^53", "[36,40]", "[36,9007199254740992]", kInvalid},
      {"offset with a leading zero", "[24,36]", "[024,36]", kInvalid},
      {"overlap", "[24,36]", "[23,35]", kInvalid},
      {"gap between", "[24,36]", "[25,37]", kInvalid},
      {"same bytes twice", R"([3,2],"data_offsets":[0,24])", R"([3,2],"data_offsets":[12,36])",
       kInvalid},
      {"gap at the start", R"([3,2],"data_offsets":[0,24])", R"([5],"data_offsets":[4,24])",
       kInvalid},
      {"bytes left over", R"([4],"data_offsets":[36,40])", R"([3],"data_offsets":[36,39])",
       kInvalid},
      {"name twice", R"("c":)", R"("a":)", kInvalid},
      {"name twice by an escape", R"("c":)", R"("\u0061":)", kInvalid},
      {"metadata is a list", R"({"format":"pt","who":"test"})", "[]", kInvalid},
      {"metadata is null", R"({"format":"pt","who":"test"})", "null", kInvalid},
      {"metadata of a number", R"("who":"test")", R"("who":1)", kInvalid},
      {"metadata nested", R"("who":"test")", R"("who":{})", kInvalid},
      {"metadata key twice", R"("who":"test")", R"("who":"test","format":"tf")", kInvalid},
      {"metadata twice", R"("c":)", R"("__metadata__":{},"c":)", kInvalid},
      {"trailing comma", "[36,40]}}", "[36,40]},}", kInvalid},
      {"trailing text", "[36,40]}}", "[36,40]}}x", kInvalid},
      {"trailing newline", "[36,40]}}", "[36,40]}}\n", kInvalid},
      {"trailing tab", "[36,40]}}", "[36,40]}} \t ", kInvalid},
      {"second object", "[36,40]}}", "[36,40]}}{}", kInvalid},
      {"object not closed", "[36,40]}}", "[36,40]}", kInvalid},
      {"leading space", R"({"__metadata__")", R"( {"__metadata__")", kInvalid},
      {"byte order mark", R"({"__metadata__")", "\xEF\xBB\xBF{\"__metadata__\"", kInvalid},
      {"comment", R"("c":)", R"(/* */"c":)", kInvalid},
      {"single quotes", R"("c":)", "'c':", kInvalid},
      {"name not UTF-8", R"("c":)", "\"\xFF\":", kInvalid},
      {"name of an overlong NUL", R"("c":)", "\"\xC0\x80\":", kInvalid},
      {"name of half a surrogate", R"("c":)", R"("\ud800":)", kInvalid},
      {"name with a raw newline", R"("c":)", "\"c\n\":", kInvalid},
      {"deep nesting", R"("who":"test")",
       R"("who":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[)", kInvalid},
  };
  for (const Attack& attack : attacks) {
    SCOPED_TRACE(attack.name);
    ExpectError(ParseSafetensorsHeader(Edit(std::string(kGood), attack.from, attack.to), 40),
                attack.code);
  }
}

TEST(SafetensorsAttacks, OnTheFile) {
  const std::string good = Safetensors(kGood, std::string(40, 'x'));
  struct Attack {
    const char* name;
    std::string bytes;
    ErrorCode code;
  };
  const std::vector<Attack> attacks = {
      {"empty file", "", kInvalid},
      {"seven bytes", std::string(7, '\0'), kInvalid},
      {"length 0 and nothing", std::string(8, '\0'), kInvalid},
      {"length 0 and data", std::string(100, '\0'), kInvalid},
      {"length 1", Safetensors("{", ""), kInvalid},
      {"length of the whole file", Safetensors(kGood, std::string(40, 'x'), good.size()), kInvalid},
      {"length one too long", Safetensors(kGood, "", kGood.size() + 1), kInvalid},
      {"length one too short", Safetensors(kGood, std::string(40, 'x'), kGood.size() - 1),
       kInvalid},
      {"length at its limit", Safetensors(kGood, "", limits::kMaxSafetensorsHeaderBytes), kInvalid},
      {"length over its limit", Safetensors(kGood, "", limits::kMaxSafetensorsHeaderBytes + 1),
       kLimit},
      {"length of 2^63 - 1", Safetensors(kGood, "", INT64_MAX), kLimit},
      {"length of 2^64 - 1", std::string(8, '\xFF') + std::string(kGood), kLimit},
      {"length that wraps with its prefix", "\xF8\xFF\xFF\xFF\xFF\xFF\xFF\xFF" + good, kLimit},
      {"one byte of data missing", good.substr(0, good.size() - 1), kInvalid},
      {"one byte of data more", good + "x", kInvalid},
      {"no data", Safetensors(kGood, ""), kInvalid},
      {"header of NUL", Safetensors(std::string(64, '\0'), ""), kInvalid},
      {"header of spaces", Safetensors(std::string(64, ' '), ""), kInvalid},
      {"header is a list", Safetensors("[]", ""), kInvalid},
      {"header is a text", Safetensors("\"a\"", ""), kInvalid},
      {"header is a number", Safetensors("12345678", ""), kInvalid},
      {"a pickle", "\x80\x02}q\x01(X\x03" + std::string(40, 'p'), kLimit},
      {"a zip", "PK\x03\x04" + std::string(60, '\0'), kInvalid},
      {"data that nobody claims", Safetensors("{}", "x"), kInvalid},
      {"object cut inside an escape", Safetensors(R"({"\u00)", ""), kInvalid},
  };
  for (const Attack& attack : attacks) {
    SCOPED_TRACE(attack.name);
    ExpectError(ReadBytes(attack.bytes), attack.code);
  }
}

TEST(SafetensorsHeader, TruncatedAnywhereIsAnError) {
  const std::string good = Safetensors(kGood, std::string(40, 'x'));
  ASSERT_TRUE(ReadBytes(good).ok());
  const TempDir dir;
  const std::string path = dir / "t.safetensors";
  WriteFile(path, good);
  for (size_t size = good.size(); size-- > 0;) {
    std::filesystem::resize_file(path, size);
    const Result<File> file = OpenRegular(path);
    ASSERT_TRUE(file.ok());
    ExpectError(ReadSafetensorsHeader(file.value(), path), kInvalid);
  }
}

TEST(SafetensorsHeader, TruncatedTextWithMatchingLengthIsAnError) {
  for (size_t size = 0; size < kGood.size(); ++size) {
    const std::vector<char> prefix(kGood.begin(), kGood.begin() + static_cast<ptrdiff_t>(size));
    ExpectError(ParseSafetensorsHeader(std::string_view(prefix.data(), prefix.size()), 40),
                kInvalid);
  }
}

TEST(SafetensorsHeader, LimitsNamesAndRank) {
  const auto named = [](size_t size) {
    return ParseSafetensorsHeader(
        "{\"" + std::string(size, 'n') + R"(":{"dtype":"U8","shape":[],"data_offsets":[0,1]}})", 1);
  };
  EXPECT_TRUE(named(1).ok());
  EXPECT_TRUE(named(limits::kMaxNameBytes).ok());
  ExpectError(named(limits::kMaxNameBytes + 1), kLimit);
  EXPECT_TRUE(ParseSafetensorsHeader(OneTensor("U8", "[1,1,1,1,1,1,1,1]", 1), 1).ok());
  ExpectError(ParseSafetensorsHeader(OneTensor("U8", "[1,1,1,1,1,1,1,1,1]", 1), 1), kLimit);
}

TEST(SafetensorsHeader, MayHaveManyTensors) {
  std::string header = "{";
  constexpr int kTensors = 100000;
  for (int i = kTensors; i-- > 0;) {
    header += "\"" + std::to_string(i) + R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" +
              std::to_string(i) + "," + std::to_string(i + 1) + "]}" + (i == 0 ? "}" : ",");
  }
  const auto result = ParseSafetensorsHeader(header, kTensors);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result.value().tensors.size(), static_cast<size_t>(kTensors));
  EXPECT_EQ(result.value().tensors[777].name, "777");
}

TEST(SafetensorsHeader, ErrorsNameTensorAndFile) {
  const std::string header = Edit(std::string(kGood), "[2,3]", "[2,4]");
  const auto result = ReadBytes(Safetensors(header, std::string(40, 'x')));
  ExpectError(result, kInvalid, "for tensor \"b\"");
  ExpectError(result, kInvalid, "t.safetensors");
}

}  // namespace
}  // namespace gyrfalcon

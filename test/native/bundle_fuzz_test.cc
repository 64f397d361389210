// Mutations of good files, by a generator with a fixed seed. Whatever comes: success or a typed
// error, no crash, no sanitizer report. What parses must also keep the promises of model_spec.h.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/bundle.h"
#include "bundle/contained_path.h"
#include "bundle/safetensors.h"
#include "bundle_support.h"
#include "core/limits.h"

namespace gyrfalcon {
namespace {

using testing::GoodManifest;

// GYRFALCON_FUZZ_SEED and GYRFALCON_FUZZ_RUNS override; a failure prints the seed that it needs.
uint64_t Setting(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

class Mutator {
 public:
  Mutator(uint64_t seed, std::string text) : random_(seed), text_(std::move(text)) {
    for (size_t i = 0; i < text_.size(); ++i) {
      if (std::string_view("{}[],:\"").find(text_[i]) != std::string_view::npos)
        marks_.push_back(i);
    }
  }

  std::string Next() {
    std::string mutant = text_;
    const size_t edits = 1 + Below(3);
    for (size_t i = 0; i < edits && !mutant.empty(); ++i) Apply(&mutant);
    return mutant;
  }

 private:
  size_t Below(size_t bound) { return static_cast<size_t>(random_() % bound); }

  void Apply(std::string* text) {
    static constexpr std::string_view kTokens[] = {
        "0",
        "-1",
        "1",
        "1.5",
        "1e9",
        "9007199254740992",
        "-9007199254740993",
        "2147483648",
        "268435456",
        "268435457",
        "18446744073709551616",
        "null",
        "true",
        "false",
        "\"\"",
        "\"batch\"",
        "\"L\"",
        "\"ids\"",
        "\"pooled\"",
        "\"users\"",
        "\"none\"",
        "\"sum\"",
        "[]",
        "{}",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "\"",
        "\\",
        "\\u0000",
        "\\ud800",
        "\xFF",
        "\xC3\xA9",
        "..",
        "/",
        "1048576",
        "16384",
        "\"count\":",
        "\"shape\":",
    };
    const size_t at = Below(text->size());
    const size_t left = text->size() - at;
    switch (Below(8)) {
      case 0:
        (*text)[at] = static_cast<char>(random_());
        return;
      case 1:
        (*text)[at] = static_cast<char>((*text)[at] ^ (1 << Below(8)));
        return;
      case 2:
        text->erase(at, 1 + Below(std::min<size_t>(left, 40)));
        return;
      case 3:
        text->insert(at, kTokens[Below(std::size(kTokens))]);
        return;
      case 4: {  // one value for another
        const size_t mark = std::min(marks_[Below(marks_.size())], text->size() - 1);
        const size_t end = text->find_first_of(",]}:", mark + 1);
        if (end == std::string::npos) return;
        text->replace(mark + 1, end - mark - 1, kTokens[Below(std::size(kTokens))]);
        return;
      }
      case 5: {  // a piece again, somewhere else
        const std::string piece = text->substr(at, 1 + Below(std::min<size_t>(left, 200)));
        text->insert(Below(text->size()), piece);
        return;
      }
      case 6:
        text->resize(at);
        return;
      default: {  // a digit for another: the mutation that most often still parses
        const size_t digit = text->find_first_of("0123456789", at);
        if (digit != std::string::npos) (*text)[digit] = static_cast<char>('0' + Below(10));
        return;
      }
    }
  }

  std::mt19937_64 random_;
  std::string text_;
  std::vector<size_t> marks_;
};

bool IsIndex(int index, size_t size) { return index >= 0 && static_cast<size_t>(index) < size; }

void ExpectSound(const ModelSpec& spec) {
  for (const BagSpec& bag : spec.bags) {
    ASSERT_TRUE(IsIndex(bag.table, spec.tables.size()));
    ASSERT_TRUE(IsIndex(bag.input, spec.inputs.size()));
    ASSERT_TRUE(IsIndex(bag.slot, spec.slots.size()));
    ASSERT_TRUE(bag.weights_input == -1 || IsIndex(bag.weights_input, spec.inputs.size()));
    ASSERT_GE(bag.slot_offset, 0);
    ASSERT_LE(bag.slot_offset, limits::kMaxElementsPerRow);
  }
  for (const TableSpec& table : spec.tables) {
    ASSERT_TRUE(table.rows >= 1 && table.rows <= limits::kMaxTableRows);
    ASSERT_TRUE(table.dim >= 1 && table.dim <= limits::kMaxDim);
    ASSERT_TRUE(IsContainedPath(table.file));
  }
  for (const DenseInputSpec& dense : spec.dense_inputs) {
    ASSERT_NE(IsIndex(dense.input, spec.inputs.size()), IsIndex(dense.slot, spec.slots.size()));
  }
  for (const InputSpec& input : spec.inputs) ASSERT_LE(input.shape.size(), limits::kMaxRank);
}

bool IsReadersCode(ErrorCode code) {
  return code == ErrorCode::kBundleInvalid || code == ErrorCode::kLimitExceeded ||
         code == ErrorCode::kBundleVersion || code == ErrorCode::kPathEscape;
}

TEST(BundleFuzz, MutatedManifestsParseOrAreTypedErrors) {
  const uint64_t seed = Setting("GYRFALCON_FUZZ_SEED", 20240607);
  const uint64_t runs = Setting("GYRFALCON_FUZZ_RUNS", 200000);
  SCOPED_TRACE("GYRFALCON_FUZZ_SEED=" + std::to_string(seed));
  RecordProperty("seed", std::to_string(seed));
  Mutator mutator(seed, GoodManifest());
  uint64_t parsed = 0;
  for (uint64_t run = 0; run < runs; ++run) {
    const std::string mutant = mutator.Next();
    const auto result = ParseManifest(mutant);
    if (result.ok()) {
      ++parsed;
      ExpectSound(result.value());
    } else {
      ASSERT_TRUE(IsReadersCode(result.status().code())) << mutant;
      ASSERT_LT(result.status().message().size(), 5000u) << mutant;
    }
    if (HasFatalFailure()) FAIL() << "run " << run << ": " << mutant;
  }
  // Neither all nor nothing: the mutations reach behind the syntax.
  EXPECT_GT(parsed, runs / 1000);
  EXPECT_LT(parsed, runs / 2);
}

TEST(BundleFuzz, MutatedSafetensorsHeadersParseOrAreTypedErrors) {
  const uint64_t seed = Setting("GYRFALCON_FUZZ_SEED", 20240608);
  const uint64_t runs = Setting("GYRFALCON_FUZZ_RUNS", 200000);
  SCOPED_TRACE("GYRFALCON_FUZZ_SEED=" + std::to_string(seed));
  RecordProperty("seed", std::to_string(seed));
  const std::string good =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F16","shape":[2,3],"data_offsets":[24,36]},)"
      R"("a":{"dtype":"F32","shape":[3,2],"data_offsets":[0,24]},)"
      R"("c":{"dtype":"U8","shape":[4],"data_offsets":[36,40]}}    )";
  Mutator mutator(seed, good);
  uint64_t parsed = 0;
  for (uint64_t run = 0; run < runs; ++run) {
    const std::string mutant = mutator.Next();
    const auto result = ParseSafetensorsHeader(mutant, 40);
    if (!result.ok()) {
      ASSERT_TRUE(IsReadersCode(result.status().code())) << mutant;
      continue;
    }
    ++parsed;
    uint64_t end = 0;
    for (const SafetensorsTensor& tensor : result.value().tensors) {
      ASSERT_EQ(tensor.begin, end) << mutant;
      end = tensor.end;
    }
    ASSERT_EQ(end, 40u) << mutant;
  }
  EXPECT_GT(parsed, runs / 1000);
  EXPECT_LT(parsed, runs / 2);
}

// Peak resident memory of this process so far, in bytes.
size_t PeakBytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
  return static_cast<size_t>(usage.ru_maxrss);
#else
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
#endif
}

TEST(BundleFuzz, MemoryStaysWithinASmallMultipleOfTheText) {
  // 16 bytes a value, a value for every two bytes of text at the worst.
  std::string manifest = "[0";
  while (manifest.size() + 3 <= limits::kMaxManifestBytes) manifest += ",0";
  manifest += "]";
  const size_t before = PeakBytes();
  EXPECT_FALSE(ParseManifest(manifest).ok());
  EXPECT_LT(PeakBytes() - before, 12 * manifest.size());

  // The smallest tensors there are: 24 MB of names and empty shapes.
  std::string header = "{";
  for (int i = 0; i < 400000; ++i) {
    header += "\"" + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},)";
  }
  header.back() = '}';
  const size_t before_header = PeakBytes();
  const auto parsed = ParseSafetensorsHeader(header, 0);
  EXPECT_TRUE(parsed.ok()) << parsed.status().message();
  EXPECT_LT(PeakBytes() - before_header, 12 * header.size());
}

}  // namespace
}  // namespace gyrfalcon

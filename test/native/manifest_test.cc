// model.json: what a good one becomes, and both sides of every limit.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/bundle.h"
#include "bundle_support.h"
#include "core/limits.h"

namespace gyrfalcon {
namespace {

using testing::Edit;
using testing::ExpectError;
using testing::GoodManifest;

// A manifest with one slot of `width` floats, one table of `dim`, and these inputs and bags.
std::string SmallManifest(const std::string& inputs, const std::string& bags,
                          const std::string& width, const std::string& dim = "1") {
  return R"({"format":"gyrfalcon-bundle","version":1,"producer":"","name":"","batch":null,
"symbols":{},"inputs":[)" +
         inputs + R"(],"tables":[{"name":"t","rows":1,"dim":)" + dim +
         R"(,"storage":"f32","file":"t","tensor":"t","xxh64":"0000000000000000"}],
"slots":[{"name":"s","shape":["batch",)" +
         width + R"(]}],"bags":[)" + bags +
         R"(],"dense":{"file":"d","xxh64":"0000000000000000","inputs":["s"]},"outputs":[]})";
}

std::string IdsInput(const std::string& extent) {
  return R"({"name":"i","kind":"tensor","dtype":"i64","shape":["batch",)" + extent + "]}";
}

std::string Bag(const std::string& positions, const std::string& offset = "0") {
  return R"({"table":"t","input":"i","pooling":"sum",)" + positions + R"(,"slot":"s","offset":)" +
         offset + "}";
}

TEST(Manifest, BecomesAModelSpec) {
  const auto result = ParseManifest(GoodManifest());
  ASSERT_TRUE(result.ok()) << result.status().message();
  const ModelSpec& spec = result.value();
  EXPECT_EQ(spec.name, "everything");
  EXPECT_EQ(spec.fixed_batch, 0);
  ASSERT_EQ(spec.symbols.size(), 2u);
  EXPECT_EQ(spec.symbols[0].name, "L");
  EXPECT_EQ(spec.symbols[0].default_size, 50);
  EXPECT_EQ(spec.symbols[1].default_size, 0);

  ASSERT_EQ(spec.inputs.size(), 7u);
  EXPECT_EQ(spec.inputs[0].dtype, Dtype::kI32);
  ASSERT_EQ(spec.inputs[0].shape.size(), 2u);
  EXPECT_EQ(spec.inputs[0].shape[0].kind, Extent::Kind::kBatch);
  EXPECT_EQ(spec.inputs[0].shape[1].value, 6);
  EXPECT_EQ(spec.inputs[1].shape[1].kind, Extent::Kind::kSymbol);
  EXPECT_EQ(spec.inputs[1].shape[1].symbol, 0);
  EXPECT_EQ(spec.inputs[2].kind, InputSpec::Kind::kRagged);
  EXPECT_TRUE(spec.inputs[2].has_weights);
  EXPECT_EQ(spec.inputs[3].dtype, Dtype::kI64);
  EXPECT_FALSE(spec.inputs[3].has_weights);
  EXPECT_TRUE(spec.inputs[6].shape.empty());

  ASSERT_EQ(spec.tables.size(), 2u);
  EXPECT_EQ(spec.tables[1].name, "items");
  EXPECT_EQ(spec.tables[1].rows, 1000);
  EXPECT_EQ(spec.tables[1].dim, 4);
  EXPECT_EQ(spec.tables[1].storage, Storage::kInt8);
  EXPECT_EQ(spec.tables[1].file, "tables/00001.safetensors");
  EXPECT_EQ(spec.tables[1].tensor, "items.weight");
  EXPECT_EQ(spec.tables[1].xxh64, 0xBBu);

  ASSERT_EQ(spec.slots.size(), 3u);
  EXPECT_EQ(spec.slots[2].name, "sequence");
  EXPECT_EQ(spec.dense_file, "dense.onnx");
  EXPECT_EQ(spec.dense_xxh64, 0xCCu);
  ASSERT_EQ(spec.dense_inputs.size(), 5u);
  EXPECT_EQ(spec.dense_inputs[0].input, 5);
  EXPECT_EQ(spec.dense_inputs[0].slot, -1);
  EXPECT_EQ(spec.dense_inputs[2].slot, 2);
  EXPECT_EQ(spec.dense_inputs[2].input, -1);
  ASSERT_EQ(spec.outputs.size(), 2u);
  EXPECT_EQ(spec.outputs[1].dtype, Dtype::kF16);
  EXPECT_EQ(spec.outputs[1].shape[0].kind, Extent::Kind::kUnknown);
  EXPECT_EQ(spec.outputs[1].shape[1].symbol, 1);
}

TEST(Manifest, BecomesBags) {
  const auto result = ParseManifest(GoodManifest());
  ASSERT_TRUE(result.ok()) << result.status().message();
  const std::vector<BagSpec>& bags = result.value().bags;
  ASSERT_EQ(bags.size(), 6u);
  EXPECT_EQ(bags[0].weights_input, -1);
  EXPECT_FALSE(bags[0].has_padding);
  EXPECT_TRUE(bags[0].add.empty());
  EXPECT_EQ(bags[1].pooling, Pooling::kMean);
  EXPECT_EQ(bags[1].weights_input, 2);
  EXPECT_EQ(bags[2].add, std::vector<int64_t>{-3});
  EXPECT_TRUE(bags[2].has_padding);
  EXPECT_EQ(bags[2].padding, 0);
  EXPECT_EQ(bags[3].add, (std::vector<int64_t>{0, 10, 20}));
  EXPECT_EQ(bags[3].padding, -1);
  EXPECT_EQ(bags[3].weights_input, 4);
  EXPECT_EQ(bags[3].weights_start, 1);
  EXPECT_EQ(bags[3].weights_step, 2);
  EXPECT_EQ(bags[3].slot_offset, 8);
  EXPECT_EQ(bags[4].start, 5);
  EXPECT_EQ(bags[4].step, -2);
  EXPECT_EQ(bags[4].count.value, 3);
  EXPECT_EQ(bags[4].pooling, Pooling::kNone);
  EXPECT_EQ(bags[5].count.kind, Extent::Kind::kSymbol);
  EXPECT_EQ(bags[5].count.symbol, 0);
  EXPECT_EQ(bags[5].slot, 2);
}

TEST(Manifest, MayDoWithoutOptionalParts) {
  std::string text = Edit(
      GoodManifest(), R"("report": [{"level": "warn", "text": "one Gather stayed in the graph"}])",
      R"("report": [])");
  text = Edit(text, ",\n\"report\": []", "");
  text =
      Edit(text,
           R"("source": {"file": "model.onnx", "bytes": 12345, "xxh64": "0123456789abcdef"},)", "");
  text = Edit(text, R"(, "source": {"offsets": "genre_offsets", "weights": "genre_weights"})", "");
  const auto result = ParseManifest(text);
  EXPECT_TRUE(result.ok()) << result.status().message();
}

TEST(Manifest, ReadsThePrecisionOfTheFusedGraph) {
  const auto parse = [](const std::string& precision) {
    const std::string end = R"("outputs":[]})";
    std::string text = SmallManifest(IdsInput("1"), Bag(R"("start":0,"step":1,"count":1)"), "1");
    text.resize(text.size() - end.size());
    return ParseManifest(text + R"("fused":{"file":"f","xxh64":"0000000000000000","weights":"w",)" +
                         R"("weightsXxh64":"0000000000000000")" + precision + "}," + end);
  };
  EXPECT_EQ(parse("").value().fused.precision, Precision::kF32);
  EXPECT_EQ(parse(R"(,"precision":"f32")").value().fused.precision, Precision::kF32);
  EXPECT_EQ(parse(R"(,"precision":"bf16")").value().fused.precision, Precision::kBf16);
  EXPECT_EQ(parse(R"(,"precision":"int8")").value().fused.precision, Precision::kInt8);
  for (const char* bad : {R"("f16")", R"("INT8")", R"("")", "8", "null", R"(["int8"])"}) {
    ExpectError(parse(R"(,"precision":)" + std::string(bad)), ErrorCode::kBundleInvalid,
                "fused.precision");
  }
}

TEST(Manifest, ReadsKeysInAnyOrder) {
  const std::string text =
      R"({"outputs":[],"dense":{"inputs":[],"xxh64":"0000000000000000","file":"d"},"bags":[],
"slots":[],"tables":[],"inputs":[],"symbols":{},"batch":64,"name":"","producer":"","version":1,
"format":"gyrfalcon-bundle"})";
  const auto result = ParseManifest(text);
  ASSERT_TRUE(result.ok()) << result.status().message();
  EXPECT_EQ(result.value().fixed_batch, 64);
}

TEST(Manifest, EveryPrefixIsAnError) {
  const std::string text = GoodManifest();
  for (size_t size = 0; size < text.size(); ++size) {
    const std::vector<char> prefix(text.begin(), text.begin() + static_cast<ptrdiff_t>(size));
    const auto result = ParseManifest(std::string_view(prefix.data(), prefix.size()));
    ASSERT_FALSE(result.ok()) << size;
    ASSERT_EQ(result.status().code(), ErrorCode::kBundleInvalid) << size;
  }
}

TEST(Manifest, LimitsItsOwnSize) {
  std::string text = GoodManifest();
  text.append(limits::kMaxManifestBytes - text.size(), ' ');
  EXPECT_TRUE(ParseManifest(text).ok());
  text.push_back(' ');
  ExpectError(ParseManifest(text), ErrorCode::kLimitExceeded, "model.json");
}

TEST(Manifest, LimitsNumbers) {
  struct Case {
    const char* from;
    const char* before;  // the number goes between the two
    const char* after;
    int64_t limit;
    const char* path;
  };
  const std::vector<Case> cases = {
      {R"("batch": null)", R"("batch": )", "", limits::kMaxBatchRows, "batch"},
      {R"("L": 50)", R"("L": )", "", limits::kMaxElementsPerRow, "symbols.L"},
      {R"("rows": 1000)", R"("rows": )", "", limits::kMaxTableRows, "tables[1].rows"},
      {R"(["batch", 13])", R"(["batch", )", "]", limits::kMaxElementsPerRow, "inputs[5].shape[1]"},
      {R"([null, "K", 7])", R"([null, "K", )", "]", limits::kMaxElementsPerRow,
       "outputs[1].shape[2]"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.path);
    const auto with = [&](int64_t value) {
      return ParseManifest(
          Edit(GoodManifest(), c.from, c.before + std::to_string(value) + c.after));
    };
    const auto at_limit = with(c.limit);
    EXPECT_TRUE(at_limit.ok()) << at_limit.status().message();
    ExpectError(with(c.limit + 1), ErrorCode::kLimitExceeded, c.path);
    ExpectError(with(INT64_MAX), ErrorCode::kLimitExceeded, c.path);
    EXPECT_TRUE(with(1).ok());
    ExpectError(with(0), ErrorCode::kBundleInvalid, c.path);
    ExpectError(with(-1), ErrorCode::kBundleInvalid, c.path);
    ExpectError(with(INT64_MIN), ErrorCode::kBundleInvalid, c.path);
  }
}

TEST(Manifest, LimitsTheElementsOfARow) {
  const auto with = [](std::string_view shape) {
    return ParseManifest(Edit(GoodManifest(), R"(["batch", 13])", shape));
  };
  EXPECT_TRUE(with(R"(["batch", 16384, 16384])").ok());
  ExpectError(with(R"(["batch", 16384, 16385])"), ErrorCode::kLimitExceeded, "inputs[5].shape");
  ExpectError(with(R"(["batch",268435456,268435456,268435456,268435456])"),
              ErrorCode::kLimitExceeded, "inputs[5].shape");
  EXPECT_TRUE(with(R"(["batch",1,1,1,1,1,1,1])").ok());
  ExpectError(with(R"(["batch",1,1,1,1,1,1,1,1])"), ErrorCode::kLimitExceeded, "inputs[5].shape");
}

TEST(Manifest, LimitsDim) {
  const auto with = [](const std::string& dim) {
    return ParseManifest(
        SmallManifest(IdsInput("1"), Bag(R"("start":0,"step":1,"count":1)"), dim, dim));
  };
  EXPECT_TRUE(with("16384").ok());
  ExpectError(with("16385"), ErrorCode::kLimitExceeded, "tables[0].dim");
  ExpectError(with("0"), ErrorCode::kBundleInvalid, "tables[0].dim");
}

TEST(Manifest, LimitsHotness) {
  const auto with = [](const std::string& count) {
    return ParseManifest(
        SmallManifest(IdsInput("2097152"), Bag(R"("start":0,"step":1,"count":)" + count), "1"));
  };
  EXPECT_TRUE(with("1048576").ok());
  ExpectError(with("1048577"), ErrorCode::kLimitExceeded, "bags[0].count");
  ExpectError(with("0"), ErrorCode::kBundleInvalid, "bags[0].count");
}

TEST(Manifest, KeepsPositionsInsideTheRow) {
  const auto with = [](const std::string& positions) {
    return ParseManifest(SmallManifest(IdsInput("10"), Bag(positions), "1"));
  };
  EXPECT_TRUE(with(R"("start":0,"step":1,"count":10)").ok());
  EXPECT_TRUE(with(R"("start":9,"step":-1,"count":10)").ok());
  EXPECT_TRUE(with(R"("start":9,"step":1,"count":1)").ok());
  EXPECT_TRUE(with(R"("start":9,"step":268435456,"count":1)").ok());
  EXPECT_TRUE(with(R"("start":3,"step":0,"count":1048576)").ok());
  for (const char* positions :
       {R"("start":0,"step":1,"count":11)", R"("start":1,"step":1,"count":10)",
        R"("start":8,"step":-1,"count":10)", R"("start":10,"step":-1,"count":10)",
        R"("start":10,"step":1,"count":1)", R"("start":0,"step":5,"count":3)",
        R"("start":0,"step":268435456,"count":1048576)",
        R"("start":9,"step":-268435456,"count":1048576)"}) {
    ExpectError(with(positions), ErrorCode::kBundleInvalid, "bags[0]");
  }
  ExpectError(with(R"("start":268435457,"step":1,"count":1)"), ErrorCode::kLimitExceeded, "start");
  ExpectError(with(R"("start":0,"step":268435457,"count":1)"), ErrorCode::kLimitExceeded, "step");
  ExpectError(with(R"("start":0,"step":-268435457,"count":1)"), ErrorCode::kLimitExceeded, "step");
  EXPECT_TRUE(with(R"("start":-1,"step":1,"count":1)").ok());
  EXPECT_TRUE(with(R"("start":-10,"step":1,"count":10)").ok());
  for (const char* positions :
       {R"("start":-1,"step":1,"count":2)", R"("start":-11,"step":1,"count":1)"}) {
    ExpectError(with(positions), ErrorCode::kBundleInvalid, "bags[0]");
  }
  ExpectError(with(R"("start":-268435457,"step":1,"count":1)"), ErrorCode::kLimitExceeded, "start");
}

TEST(Manifest, LimitsNames) {
  const auto with = [](size_t size) {
    return ParseManifest(
        Edit(GoodManifest(), R"("temperature")", "\"" + std::string(size, 'n') + "\""));
  };
  EXPECT_TRUE(with(limits::kMaxNameBytes).ok());
  ExpectError(with(limits::kMaxNameBytes + 1), ErrorCode::kLimitExceeded, "inputs[6].name");
  ExpectError(with(0), ErrorCode::kBundleInvalid, "inputs[6].name");
}

TEST(Manifest, LimitsTheNumberOfInputs) {
  const auto with = [](size_t count) {
    std::string inputs = IdsInput("1");
    for (size_t i = 1; i < count; ++i) {
      inputs += R"(,{"name":")" + std::to_string(i) +
                R"(","kind":"tensor","dtype":"f32","shape":["batch"]})";
    }
    return ParseManifest(SmallManifest(inputs, Bag(R"("start":0,"step":1,"count":1)"), "1"));
  };
  EXPECT_TRUE(with(limits::kMaxInputs).ok());
  ExpectError(with(limits::kMaxInputs + 1), ErrorCode::kLimitExceeded, "inputs");
}

TEST(Manifest, LimitsTheNumberOfBags) {
  const auto with = [](size_t count) {
    std::string bags;
    for (size_t i = 0; i < count; ++i) {
      bags += (i == 0 ? "" : ",") + Bag(R"("start":0,"step":1,"count":1)", std::to_string(i));
    }
    return ParseManifest(SmallManifest(IdsInput("1"), bags, std::to_string(count)));
  };
  EXPECT_TRUE(with(limits::kMaxBags).ok());
  ExpectError(with(limits::kMaxBags + 1), ErrorCode::kLimitExceeded, "bags");
}

TEST(Manifest, LimitsTheNumberOfOutputs) {
  const auto with = [](size_t count) {
    std::string outputs = "[";
    for (size_t i = 0; i < count; ++i) {
      outputs += (i == 0 ? "" : ",") + (R"({"name":"o)" + std::to_string(i)) +
                 R"(","dtype":"f32","shape":[]})";
    }
    return ParseManifest(
        Edit(SmallManifest(IdsInput("1"), Bag(R"("start":0,"step":1,"count":1)"), "1"),
             R"("outputs":[])", "\"outputs\":" + outputs + "]"));
  };
  EXPECT_TRUE(with(limits::kMaxOutputs).ok());
  ExpectError(with(limits::kMaxOutputs + 1), ErrorCode::kLimitExceeded, "outputs");
}

TEST(Manifest, ReadsAnotherVersionsNumberBeforeItsKeys) {
  ExpectError(ParseManifest(R"({"format":"gyrfalcon-bundle","version":2,"new":[]})"),
              ErrorCode::kBundleVersion, "version");
  ExpectError(ParseManifest(R"({"version":99999999999999999999,"format":"gyrfalcon-bundle"})"),
              ErrorCode::kBundleVersion, "version");
  ExpectError(ParseManifest(R"({"version":0,"format":"gyrfalcon-bundle"})"),
              ErrorCode::kBundleVersion, "version");
}

TEST(Manifest, ErrorsHoldNoControlBytesAndStayShort) {
  const std::string hostile = "\\u0000\\u001b[31m\\n" + std::string(5000, 'x');
  const auto result = ParseManifest(
      Edit(GoodManifest(), R"("producer":)", "\"" + hostile + "\": 1, \"producer\":"));
  ASSERT_FALSE(result.ok());
  const std::string message = result.status().message();
  EXPECT_LT(message.size(), 600u);
  for (const char c : message) EXPECT_GE(static_cast<uint8_t>(c), 0x20);
}

}  // namespace
}  // namespace gyrfalcon

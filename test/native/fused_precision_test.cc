// Precisions of the fused engine: what scales a graph may have, and that they only change int8.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engines/fused/fused_engine.h"
#include "engines/fused/graph_reader.h"

namespace gyrfalcon::fused {
namespace {

constexpr int64_t kWidth = 40;
constexpr int64_t kRows = 6;

std::string GraphOf(const std::string& constants, const std::string& nodes, int last) {
  return R"({"format":"gyrfalcon-fused","version":1,)"
         R"("inputs":[{"name":"x","dtype":"f32","shape":["batch",40]}],"constants":[)" +
         constants + R"(],"nodes":[)" + nodes + R"(],"outputs":[{"name":"y","value":)" +
         std::to_string(last) + R"(,"shape":["batch",40]}]})";
}

constexpr const char* kConstants =
    R"({"name":"w","shape":[40,40]},{"name":"s","shape":[40]},{"name":"t","shape":[40]})";

// x · w, with s as the scale.
std::string OneProduct() {
  return GraphOf(kConstants, R"({"op":"linear","in":[0,1],"x_scale":2})", 4);
}

// Constants of a graph as a test wants them.
struct Constants {
  std::vector<float> w = std::vector<float>(kWidth * kWidth);
  std::vector<float> s = std::vector<float>(kWidth, 1.0f);
  std::vector<float> t = std::vector<float>(kWidth, 1.0f);

  Constants() {
    std::mt19937 random(1);
    for (float& value : w) value = std::normal_distribution<float>()(random);
  }

  Result<std::shared_ptr<Engine>> Load(const std::string& text, Precision precision) {
    Result<LoadedGraph> graph = ParseGraph(text, {});
    if (!graph.ok()) return graph.status();
    for (GraphConstant& constant : graph->graph.constants) {
      constant.data = constant.name == "w" ? w.data() : (constant.name == "s" ? s : t).data();
    }
    FusedOptions options;
    options.precision = precision;
    return CreateFusedEngine(std::move(graph).value(), options);
  }

  Status Refusal(const std::string& text) {
    for (const Precision precision : {Precision::kBf16, Precision::kInt8}) {
      const Status status = Load(text, precision).status();
      if (status.ok()) return status;
    }
    return Load(text, Precision::kF32).status();
  }

  std::vector<float> Score(const std::string& text, Precision precision) {
    Result<std::shared_ptr<Engine>> engine = Load(text, precision);
    EXPECT_TRUE(engine.ok()) << engine.status().message();
    std::vector<float> x(kRows * kWidth);
    std::mt19937 random(2);
    for (float& value : x) value = std::normal_distribution<float>()(random);
    EngineBinding binding;
    binding.name = "x";
    binding.dims = {EngineBinding::kRows, kWidth};
    binding.data = x.data();
    binding.bytes = x.size() * sizeof(float);
    const Result<std::vector<EngineOutput>> outputs = (*engine)->RunOnce({binding}, kRows);
    EXPECT_TRUE(outputs.ok()) << outputs.status().message();
    const auto* const y = reinterpret_cast<const float*>(outputs.value()[0].data.data());
    return {y, y + kRows * kWidth};
  }
};

TEST(FusedPrecision, ScalesAreRefusedOutsideOfTheirRange) {
  const float inf = std::numeric_limits<float>::infinity();
  for (const float bad : {0.0f, -0.0f, -1.0f, 1e-45f, std::nextafter(0x1p-64f, 0.0f),
                          std::nextafter(0x1p64f, inf), inf, -inf, std::nanf("")}) {
    for (const size_t place : {size_t{0}, size_t{39}}) {
      Constants constants;
      constants.s[place] = bad;
      const Status status = constants.Refusal(OneProduct());
      EXPECT_EQ(status.code(), ErrorCode::kBundleInvalid) << bad;
      EXPECT_NE(status.message().find("scale \"s\""), std::string::npos) << status.message();
    }
  }
  for (const float good : {0x1p-64f, 1.0f, 0x1p64f}) {
    Constants constants;
    constants.s[39] = good;
    EXPECT_TRUE(constants.Refusal(OneProduct()).ok()) << good;
  }
}

TEST(FusedPrecision, ScalesMustBeOneForEachElementOfX) {
  const auto refused = [](const std::string& constants, const std::string& node) {
    const Result<LoadedGraph> graph = ParseGraph(GraphOf(constants, node, 3), {});
    EXPECT_EQ(graph.status().code(), ErrorCode::kBundleInvalid) << constants << node;
    EXPECT_NE(graph.status().message().find("nodes[0].x_scale"), std::string::npos)
        << graph.status().message();
  };
  const std::string node = R"({"op":"linear","in":[0,1],"x_scale":2})";
  const std::string w = R"({"name":"w","shape":[40,40]})";
  for (const char* shape : {"[39]", "[41]", "[1]", "[]", "[40,1]", "[1,40]"}) {
    refused(w + R"(,{"name":"s","shape":)" + shape + "}", node);
  }
  const std::string s = w + R"(,{"name":"s","shape":[40]})";
  for (const char* value : {"0", "1", "3", "-1", "2.5", "\"s\"", "null", "[2]"}) {
    refused(s, R"({"op":"linear","in":[0,1],"x_scale":)" + std::string(value) + "}");
  }
  EXPECT_TRUE(ParseGraph(GraphOf(s, node, 3), {}).ok());
}

TEST(FusedPrecision, NodesThatShareWeightsShareTheScale) {
  const auto graph = [](const std::string& first, const std::string& second) {
    return GraphOf(
        kConstants,
        R"({"op":"linear","in":[0,1])" + first + R"(},{"op":"linear","in":[4,1])" + second + "}",
        5);
  };
  Constants constants;
  const std::string s = R"(,"x_scale":2)";
  const std::string t = R"(,"x_scale":3)";
  EXPECT_TRUE(constants.Refusal(graph(s, s)).ok());
  EXPECT_TRUE(constants.Refusal(graph("", "")).ok());
  EXPECT_EQ(constants.Refusal(graph(s, t)).code(), ErrorCode::kBundleInvalid);
  EXPECT_EQ(constants.Refusal(graph(s, "")).code(), ErrorCode::kBundleInvalid);
  EXPECT_EQ(constants.Refusal(graph("", s)).code(), ErrorCode::kBundleInvalid);
}

TEST(FusedPrecision, ScalesOfOneChangeNothingAndOthersOnlyWhatIsRoundedToBytes) {
  Constants constants;
  const std::string plain = GraphOf(kConstants, R"({"op":"linear","in":[0,1]})", 4);
  for (const Precision precision : {Precision::kF32, Precision::kBf16, Precision::kInt8}) {
    EXPECT_EQ(constants.Score(plain, precision), constants.Score(OneProduct(), precision));
  }
  const std::vector<float> exact = constants.Score(plain, Precision::kF32);
  for (size_t i = 0; i < constants.s.size(); ++i) {
    constants.s[i] = 0.5f + 0.05f * static_cast<float>(i);
  }
  EXPECT_EQ(constants.Score(OneProduct(), Precision::kF32), exact);
  EXPECT_EQ(constants.Score(plain, Precision::kBf16),
            constants.Score(OneProduct(), Precision::kBf16));
  const std::vector<float> bytes = constants.Score(OneProduct(), Precision::kInt8);
  for (size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(bytes[i], exact[i], 0.5f);
}

TEST(FusedPrecision, EnginesSayWhatTheyRunWith) {
  Constants constants;
  EXPECT_EQ(constants.Load(OneProduct(), Precision::kF32).value()->precision(), "f32");
  EXPECT_EQ(constants.Load(OneProduct(), Precision::kBf16).value()->precision(), "bf16");
  EXPECT_EQ(constants.Load(OneProduct(), Precision::kInt8).value()->precision(), "int8");
}

}  // namespace
}  // namespace gyrfalcon::fused

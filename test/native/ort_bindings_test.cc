#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ort_support.h"

namespace gyrfalcon::testing {
namespace {

using onnx::Graph;
using onnx::Node;
using onnx::Value;

constexpr int64_t kIn = 6;
constexpr int64_t kOut = 4;

// Outputs that a runtime might be tempted to alias: an input passed through, a constant, one tensor
// under two names, views of one another.
TEST(OrtBindingsTest, OutputsAreAlwaysWrittenInPlace) {
  Graph graph;
  graph.nodes = {Node("Identity", {"x"}, {"same"}), Node("Relu", {"x"}, {"hidden"}),
                 Node("Identity", {"hidden"}, {"left"}), Node("Identity", {"hidden"}, {"right"}),
                 Node("Reshape", {"left", "shape"}, {"flat"})};
  graph.initializers = {onnx::FloatTensor("constant", {2}, {7, 8}),
                        onnx::Tensor<int64_t>("shape", Dtype::kI64, {1}, {-1})};
  graph.inputs = {Value("x", Dtype::kF32, {"batch", 2})};
  graph.outputs = {
      Value("same", Dtype::kF32, {"batch", 2}),  Value("left", Dtype::kF32, {"batch", 2}),
      Value("right", Dtype::kF32, {"batch", 2}), Value("flat", Dtype::kF32, {"n"}),
      Value("constant", Dtype::kF32, {2}),       Value("x", Dtype::kF32, {"batch", 2})};
  const std::shared_ptr<Engine> engine = MustLoad(onnx::Model(graph));
  ASSERT_NE(engine, nullptr);
  std::vector<float> x = {-1, 2, 3, -4};
  std::vector<float> same(4, 9);
  std::vector<float> left(4, 9);
  std::vector<float> right(4, 9);
  std::vector<float> flat(4, 9);
  std::vector<float> constant(2, 9);
  std::vector<float> passed(4, 9);
  auto context =
      engine->CreateContext({Bind("x", {kRows, 2}, &x)},
                            {Bind("same", {kRows, 2}, &same), Bind("left", {kRows, 2}, &left),
                             Bind("right", {kRows, 2}, &right), Bind("flat", {4}, &flat),
                             Bind("constant", {2}, &constant), Bind("x", {kRows, 2}, &passed)});
  ASSERT_TRUE(context.ok()) << context.status().message();
  for (int run = 0; run < 3; ++run) {
    x[1] += 1;
    const Status status = (*context)->Run(2);
    ASSERT_TRUE(status.ok()) << status.message();
    const std::vector<float> positive = {0, x[1], 3, 0};
    EXPECT_EQ(same, x);
    EXPECT_EQ(left, positive);
    EXPECT_EQ(right, positive);
    EXPECT_EQ(flat, positive);
    EXPECT_EQ(constant, (std::vector<float>{7, 8}));
    EXPECT_EQ(passed, x);
  }
}

TEST(OrtBindingsTest, AGraphThatOnlyPassesInputsThroughCopiesThem) {
  Graph graph;
  graph.inputs = {Value("a", Dtype::kF32, {"batch", 2}), Value("b", Dtype::kI64, {3})};
  graph.outputs = graph.inputs;
  const std::shared_ptr<Engine> engine = MustLoad(onnx::Model(graph));
  ASSERT_NE(engine, nullptr);
  std::vector<float> a = {1, 2, 3, 4};
  std::vector<int64_t> b = {5, 6, 7};
  std::vector<float> a_out(4, -1);
  std::vector<int64_t> b_out(3, -1);
  const std::vector<EngineBinding> inputs = {Bind("a", {kRows, 2}, &a), Bind("b", {3}, &b)};
  auto context =
      engine->CreateContext(inputs, {Bind("a", {kRows, 2}, &a_out), Bind("b", {3}, &b_out)});
  ASSERT_TRUE(context.ok()) << context.status().message();
  ASSERT_TRUE((*context)->Run(1).ok());
  EXPECT_EQ(a_out, (std::vector<float>{1, 2, -1, -1}));
  EXPECT_EQ(b_out, b);
  EXPECT_EQ(engine->CreateContext(inputs, {Bind("a", {2, 2}, &a_out), Bind("b", {3}, &b_out)})
                .status()
                .code(),
            ErrorCode::kShapeMismatch);
}

TEST(OrtBindingsTest, AnOutputOfAnotherSizeThanBoundIsAnErrorAndStaysInside) {
  Graph graph;
  graph.nodes = {Node("NonZero", {"x"}, {"where"})};
  graph.initializers = {onnx::FloatTensor("constant", {16}, std::vector<float>(16, 5))};
  graph.inputs = {Value("x", Dtype::kF32, {"n"})};
  graph.outputs = {Value("where", Dtype::kI64, {1, "found"}),
                   onnx::ValueWithoutShape("constant", Dtype::kF32)};
  const std::shared_ptr<Engine> engine = MustLoad(onnx::Model(graph));
  ASSERT_NE(engine, nullptr);
  std::vector<float> x = {1, 0, 1, 1};
  std::vector<int64_t> where(3, -1);
  std::vector<float> constant(16, -1);
  std::vector<float> little(2, -1);
  auto good = engine->CreateContext(
      {Bind("x", {4}, &x)}, {Bind("where", {1, 3}, &where), Bind("constant", {16}, &constant)});
  ASSERT_TRUE(good.ok()) << good.status().message();
  ASSERT_TRUE((*good)->Run(1).ok());
  EXPECT_EQ(where, (std::vector<int64_t>{0, 2, 3}));
  EXPECT_EQ(constant, std::vector<float>(16, 5));
  x = {1, 1, 1, 1};  // one more than there is space for
  EXPECT_FALSE((*good)->Run(1).ok());
  x = {0, 0, 0, 1};  // fewer
  EXPECT_FALSE((*good)->Run(1).ok());
  x = {1, 1, 1, 0};
  EXPECT_TRUE((*good)->Run(1).ok());
  EXPECT_EQ(where, (std::vector<int64_t>{0, 1, 2}));

  auto small = engine->CreateContext(
      {Bind("x", {4}, &x)}, {Bind("where", {1, 3}, &where), Bind("constant", {2}, &little)});
  if (small.ok()) {
    EXPECT_FALSE((*small)->Run(1).ok());
    EXPECT_EQ(little, std::vector<float>(2, -1));
  } else {
    EXPECT_EQ(small.status().code(), ErrorCode::kShapeMismatch);
  }
}

struct BadBinding {
  const char* name;
  EngineBinding input;
  EngineBinding output;
  ErrorCode code;
  const char* says;
};

TEST(OrtBindingsTest, BadBindingsNameTheTensor) {
  const std::shared_ptr<Engine> engine = MustLoad(onnx::DenseLayer(kIn, kOut));
  ASSERT_NE(engine, nullptr);
  alignas(64) std::array<std::byte, 4096> memory{};
  void* const data = memory.data();
  constexpr size_t kBytes = sizeof(memory);
  const EngineBinding x{"x", Dtype::kF32, {kRows, kIn}, data, kBytes};
  const EngineBinding y{"y", Dtype::kF32, {kRows, kOut}, data, kBytes};
  const BadBinding cases[] = {
      {"dtype of an input",
       {"x", Dtype::kF64, {kRows, kIn}, data, kBytes},
       y,
       ErrorCode::kDtypeMismatch,
       "expected f32 for input \"x\" but received f64"},
      {"dtype of an output",
       x,
       {"y", Dtype::kI32, {kRows, kOut}, data, kBytes},
       ErrorCode::kDtypeMismatch,
       "expected f32 for output \"y\" but received i32"},
      {"width",
       {"x", Dtype::kF32, {kRows, kIn + 1}, data, kBytes},
       y,
       ErrorCode::kShapeMismatch,
       "expected shape [batch, 6] for input \"x\" but received [rows, 7]"},
      {"rank too small",
       {"x", Dtype::kF32, {kRows}, data, kBytes},
       y,
       ErrorCode::kShapeMismatch,
       "received [rows]"},
      {"rank too large",
       x,
       {"y", Dtype::kF32, {kRows, kOut, 1}, data, kBytes},
       ErrorCode::kShapeMismatch,
       "for output \"y\" but received [rows, 4, 1]"},
      {"a scalar",
       {"x", Dtype::kF32, {}, data, kBytes},
       y,
       ErrorCode::kShapeMismatch,
       "received []"},
      {"rows in the wrong place",
       {"x", Dtype::kF32, {3, kRows}, data, kBytes},
       y,
       ErrorCode::kShapeMismatch,
       "\"x\""},
      {"a negative dimension",
       {"x", Dtype::kF32, {-2, kIn}, data, kBytes},
       y,
       ErrorCode::kInvalidArgument,
       "\"x\""},
      {"an unknown input",
       {"z", Dtype::kF32, {kRows, kIn}, data, kBytes},
       y,
       ErrorCode::kInvalidArgument,
       "expected an input of the graph but received \"z\""},
      {"an output among inputs", y, y, ErrorCode::kInvalidArgument, "\"y\""},
      {"no memory",
       {"x", Dtype::kF32, {kRows, kIn}, nullptr, kBytes},
       y,
       ErrorCode::kInvalidArgument,
       "received null"},
      {"too little memory",
       {"x", Dtype::kF32, {200, kIn}, data, kBytes},
       y,
       ErrorCode::kInvalidArgument,
       "expected at least 4800 bytes for input \"x\""},
      {"unaligned memory",
       {"x", Dtype::kF32, {kRows, kIn}, memory.data() + 1, kBytes - 1},
       y,
       ErrorCode::kInvalidArgument,
       "aligned"},
      {"more bytes than there are",
       {"x", Dtype::kF32, {int64_t{1} << 60, kIn}, data, kBytes},
       y,
       ErrorCode::kLimitExceeded,
       "\"x\""},
  };
  for (const BadBinding& bad : cases) {
    SCOPED_TRACE(bad.name);
    const Status status = engine->CreateContext({bad.input}, {bad.output}).status();
    EXPECT_EQ(status.code(), bad.code) << status.message();
    EXPECT_NE(status.message().find(bad.says), std::string::npos) << status.message();
    EXPECT_EQ(status.message().find("0x"), std::string::npos);
  }
  EXPECT_EQ(engine->CreateContext({}, {y}).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine->CreateContext({x}, {}).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine->CreateContext({x, x}, {y}).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(engine->CreateContext({x}, {y, y}).status().code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(engine->CreateContext({x}, {y}).ok());
}

TEST(OrtBindingsTest, RankIsBounded) {
  for (const size_t rank : {8u, 9u}) {
    Graph graph;
    graph.nodes = {Node("Neg", {"x"}, {"y"})};
    graph.inputs = {onnx::ValueWithoutShape("x", Dtype::kF32)};
    graph.outputs = {onnx::ValueWithoutShape("y", Dtype::kF32)};
    const std::shared_ptr<Engine> engine = MustLoad(onnx::Model(graph));
    ASSERT_NE(engine, nullptr);
    std::vector<float> x(2, 3);
    std::vector<float> y(2, -1);
    std::vector<int64_t> dims(rank, 1);
    dims[0] = kRows;
    auto context = engine->CreateContext({Bind("x", dims, &x)}, {Bind("y", dims, &y)});
    if (rank == 8) {
      ASSERT_TRUE(context.ok());
      ASSERT_TRUE((*context)->Run(2).ok());
      EXPECT_EQ(y, std::vector<float>(2, -3));
    } else {
      EXPECT_EQ(context.status().code(), ErrorCode::kLimitExceeded);
    }
  }
}

}  // namespace
}  // namespace gyrfalcon::testing

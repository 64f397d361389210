#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "ort_support.h"

namespace gyrfalcon::testing {
namespace {

using onnx::Graph;
using onnx::Node;
using onnx::Value;

constexpr int64_t kIn = 6;
constexpr int64_t kOut = 4;
constexpr int64_t kCapacity = 64;
constexpr float kUntouchedOutput = -77.5f;

// One batch of the dense layer.
struct Layer {
  explicit Layer(Engine* engine, float seed = 0)
      : x(kCapacity * kIn), y(kCapacity * kOut, kUntouchedOutput) {
    for (size_t i = 0; i < x.size(); ++i) x[i] = seed + 0.125f * static_cast<float>(i % 37) - 2;
    auto made =
        engine->CreateContext({Bind("x", {kRows, kIn}, &x)}, {Bind("y", {kRows, kOut}, &y)});
    EXPECT_TRUE(made.ok()) << made.status().message();
    if (made.ok()) context = std::move(*made);
  }

  // Runs and compares; nothing past the rows may be written.
  bool RunIsRight(int64_t rows) {
    std::fill(y.begin(), y.end(), kUntouchedOutput);
    if (const Status status = context->Run(rows); !status.ok()) return false;
    const std::vector<float> expected = DenseLayerReference(x, rows, kIn, kOut);
    for (size_t i = 0; i < y.size(); ++i) {
      const float want = i < expected.size() ? expected[i] : kUntouchedOutput;
      if (std::abs(y[i] - want) > 1e-4f) return false;
    }
    return true;
  }

  std::vector<float> x;
  std::vector<float> y;
  std::unique_ptr<EngineContext> context;
};

TEST(OrtContextTest, EveryNumberOfRowsIsRight) {
  const std::shared_ptr<Engine> engine = MustLoad(onnx::DenseLayer(kIn, kOut));
  ASSERT_NE(engine, nullptr);
  Layer layer(engine.get());
  for (int64_t rows = 0; rows <= kCapacity; ++rows) EXPECT_TRUE(layer.RunIsRight(rows)) << rows;
  for (int64_t rows = kCapacity; rows >= 0; --rows) EXPECT_TRUE(layer.RunIsRight(rows)) << rows;
}

TEST(OrtContextTest, SizesThatTakeTurnsAreRight) {
  const std::shared_ptr<Engine> engine = MustLoad(onnx::DenseLayer(kIn, kOut));
  ASSERT_NE(engine, nullptr);
  Layer layer(engine.get());
  // Fewer sizes than a context keeps, exactly as many, one more, and many more.
  for (const int64_t sizes : {2, 8, 9, 31}) {
    for (int64_t i = 0; i < 4 * sizes; ++i) EXPECT_TRUE(layer.RunIsRight(1 + i % sizes)) << sizes;
  }
}

TEST(OrtContextTest, ReadsMemoryAnewOnEveryRun) {
  const std::shared_ptr<Engine> engine = MustLoad(onnx::DenseLayer(kIn, kOut));
  ASSERT_NE(engine, nullptr);
  Layer layer(engine.get());
  for (int i = 0; i < 20; ++i) {
    for (float& value : layer.x) value += 0.5f;
    EXPECT_TRUE(layer.RunIsRight(7)) << i;
  }
}

TEST(OrtContextTest, ZeroRowsTouchNothing) {
  const std::shared_ptr<Engine> engine = MustLoad(onnx::DenseLayer(kIn, kOut));
  ASSERT_NE(engine, nullptr);
  std::vector<float> none;
  auto context = engine->CreateContext({{"x", Dtype::kF32, {kRows, kIn}, nullptr, 0}},
                                       {{"y", Dtype::kF32, {kRows, kOut}, nullptr, 0}});
  ASSERT_FALSE(context.ok());  // memory is wanted even for a capacity of nothing
  EXPECT_EQ(context.status().code(), ErrorCode::kInvalidArgument);
  Layer layer(engine.get());
  EXPECT_TRUE(layer.RunIsRight(0));
}

TEST(OrtContextTest, RowsStandAgainstMemory) {
  const std::shared_ptr<Engine> engine = MustLoad(onnx::DenseLayer(kIn, kOut));
  ASSERT_NE(engine, nullptr);
  Layer layer(engine.get());
  EXPECT_TRUE(layer.RunIsRight(kCapacity));
  const Status over = layer.context->Run(kCapacity + 1);
  EXPECT_EQ(over.code(), ErrorCode::kShapeMismatch);
  EXPECT_NE(over.message().find("64"), std::string::npos) << over.message();
  EXPECT_NE(over.message().find("65"), std::string::npos) << over.message();
  EXPECT_EQ(layer.context->Run(INT64_MAX).code(), ErrorCode::kShapeMismatch);
  EXPECT_EQ(layer.context->Run(-1).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(layer.context->Run(INT64_MIN).code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(layer.RunIsRight(kCapacity));  // an error leaves the context usable
}

TEST(OrtContextTest, TheSmallestMemoryBoundsTheRows) {
  const std::shared_ptr<Engine> engine = MustLoad(onnx::DenseLayer(kIn, kOut));
  ASSERT_NE(engine, nullptr);
  std::vector<float> x(10 * kIn);
  std::vector<float> y(3 * kOut + kOut - 1);  // three rows and a part of one
  auto context =
      engine->CreateContext({Bind("x", {kRows, kIn}, &x)}, {Bind("y", {kRows, kOut}, &y)});
  ASSERT_TRUE(context.ok());
  EXPECT_TRUE((*context)->Run(3).ok());
  EXPECT_EQ((*context)->Run(4).code(), ErrorCode::kShapeMismatch);
}

TEST(OrtContextTest, AGraphOfFixedRowsTakesOnlyThose) {
  const std::shared_ptr<Engine> engine = MustLoad(onnx::DenseLayer(kIn, kOut, 5));
  ASSERT_NE(engine, nullptr);
  Layer layer(engine.get());
  EXPECT_TRUE(layer.RunIsRight(5));
  for (const int64_t rows : {1, 4, 6, 64}) {
    const Status status = layer.context->Run(rows);
    EXPECT_EQ(status.code(), ErrorCode::kShapeMismatch);
    EXPECT_NE(status.message().find("expected 5 rows"), std::string::npos) << status.message();
  }
  EXPECT_TRUE(layer.RunIsRight(5));
}

TEST(OrtContextTest, BindingsWithoutRowsRunAsTheyAre) {
  const std::shared_ptr<Engine> engine = MustLoad(onnx::DenseLayer(kIn, kOut));
  ASSERT_NE(engine, nullptr);
  std::vector<float> x(3 * kIn, 1);
  std::vector<float> y(3 * kOut, -1);
  auto context = engine->CreateContext({Bind("x", {3, kIn}, &x)}, {Bind("y", {3, kOut}, &y)});
  ASSERT_TRUE(context.ok()) << context.status().message();
  for (const int64_t rows : {0, 1, 3, 1000}) {
    std::fill(y.begin(), y.end(), -1.f);
    ASSERT_TRUE((*context)->Run(rows).ok());
    EXPECT_EQ(y, DenseLayerReference(x, 3, kIn, kOut));
  }
  EXPECT_EQ((*context)->Run(-1).code(), ErrorCode::kInvalidArgument);
}

TEST(OrtContextTest, FixedTensorsStayBoundWhileRowsChange) {
  Graph graph;  // y = x * scale, [batch, 2] * [2]; and twice = scale + scale, [2]
  graph.nodes = {Node("Mul", {"x", "scale"}, {"y"}), Node("Add", {"scale", "scale"}, {"twice"})};
  graph.inputs = {Value("x", Dtype::kF32, {"batch", 2}), Value("scale", Dtype::kF32, {2})};
  graph.outputs = {Value("y", Dtype::kF32, {"batch", 2}), Value("twice", Dtype::kF32, {2})};
  const std::shared_ptr<Engine> engine = MustLoad(onnx::Model(graph));
  ASSERT_NE(engine, nullptr);
  std::vector<float> x = {1, 2, 3, 4, 5, 6};
  std::vector<float> scale = {10, 100};
  std::vector<float> y(6, -1);
  std::vector<float> twice(2, -1);
  auto context = engine->CreateContext(
      {Bind("scale", {2}, &scale), Bind("x", {kRows, 2}, &x)},  // not in the graph's order
      {Bind("twice", {2}, &twice), Bind("y", {kRows, 2}, &y)});
  ASSERT_TRUE(context.ok()) << context.status().message();
  ASSERT_TRUE((*context)->Run(1).ok());
  EXPECT_EQ(y, (std::vector<float>{10, 200, -1, -1, -1, -1}));
  scale = {1, 2};
  ASSERT_TRUE((*context)->Run(3).ok());
  EXPECT_EQ(y, (std::vector<float>{1, 4, 3, 8, 5, 12}));
  EXPECT_EQ(twice, (std::vector<float>{2, 4}));
}

TEST(OrtContextTest, ManyContextsRunInParallel) {
  constexpr int kThreads = 4;
  constexpr int kRuns = 300;
  for (const int intra_threads : {1, 2}) {
    const std::shared_ptr<Engine> engine = MustLoad(onnx::DenseLayer(kIn, kOut), intra_threads);
    ASSERT_NE(engine, nullptr);
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        Layer layer(engine.get(), static_cast<float>(t));
        for (int i = 0; i < kRuns; ++i) {
          if (!layer.RunIsRight((i * 7 + t) % (kCapacity + 1))) ++wrong;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
  }
}

TEST(OrtContextTest, AnErrorOfARunIsTypedAndLeavesTheContextUsable) {
  Graph graph;  // ids outside the table are the library's error
  graph.nodes = {Node("Gather", {"table", "id"}, {"y"})};
  graph.initializers = {onnx::FloatTensor("table", {3}, {5, 6, 7})};
  graph.inputs = {Value("id", Dtype::kI64, {"batch"})};
  graph.outputs = {Value("y", Dtype::kF32, {"batch"})};
  const std::shared_ptr<Engine> engine = MustLoad(onnx::Model(graph));
  ASSERT_NE(engine, nullptr);
  std::vector<int64_t> id = {0, 3};
  std::vector<float> y(2, -1);
  auto context = engine->CreateContext({Bind("id", {kRows}, &id)}, {Bind("y", {kRows}, &y)});
  ASSERT_TRUE(context.ok());
  const Status status = (*context)->Run(2);
  EXPECT_EQ(status.code(), ErrorCode::kEngineFailed);
  EXPECT_TRUE(status.message().starts_with("ONNX Runtime failed running the graph: "));
  id[1] = 2;
  ASSERT_TRUE((*context)->Run(2).ok());
  EXPECT_EQ(y, (std::vector<float>{5, 7}));
}

}  // namespace
}  // namespace gyrfalcon::testing

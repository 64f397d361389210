#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <string>
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

// Outputs that a runtime might be tempted to alias: an input passed through, a constant, one tensor
// under two names, views of one another.
TEST(OrtContextTest, OutputsAreAlwaysWrittenInPlace) {
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

TEST(OrtContextTest, AGraphThatOnlyPassesInputsThroughCopiesThem) {
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

TEST(OrtContextTest, AnOutputOfAnotherSizeThanBoundIsAnErrorAndStaysInside) {
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

TEST(OrtContextTest, BadBindingsNameTheTensor) {
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

TEST(OrtContextTest, RankIsBounded) {
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

// Counts to n in a Loop: a run that takes as long as one likes.
std::string Counter() {
  Graph body;
  body.nodes = {Node("Identity", {"go"}, {"go_on"}), Node("Add", {"sum", "one"}, {"next"})};
  body.inputs = {Value("i", Dtype::kI64, {}), Value("go", Dtype::kBool, {}),
                 Value("sum", Dtype::kI64, {})};
  body.outputs = {Value("go_on", Dtype::kBool, {}), Value("next", Dtype::kI64, {})};
  Graph graph;
  graph.nodes = {
      Node("Loop", {"n", "", "zero"}, {"count"}, {onnx::GraphAttribute("body", body.Encode())})};
  graph.initializers = {onnx::Tensor<int64_t>("zero", Dtype::kI64, {}, {0}),
                        onnx::Tensor<int64_t>("one", Dtype::kI64, {}, {1})};
  graph.inputs = {Value("n", Dtype::kI64, {})};
  graph.outputs = {Value("count", Dtype::kI64, {})};
  return onnx::Model(graph);
}

struct Counting {
  explicit Counting(Engine* engine) {
    auto made = engine->CreateContext({Bind("n", {}, &n)}, {Bind("count", {}, &count)});
    EXPECT_TRUE(made.ok()) << made.status().message();
    if (made.ok()) context = std::move(*made);
  }
  std::vector<int64_t> n = {0};
  std::vector<int64_t> count = {-1};
  std::unique_ptr<EngineContext> context;
};

TEST(OrtContextTest, CancelStopsARunAndOnlyThatOne) {
  const std::shared_ptr<Engine> engine = MustLoad(Counter());
  ASSERT_NE(engine, nullptr);
  Counting endless(engine.get());
  Counting other(engine.get());
  for (int i = 0; i < 5; ++i) {
    endless.n[0] = INT64_MAX;
    std::atomic<bool> done = false;
    Status status;
    std::thread runner([&] {
      status = endless.context->Run(1);
      done = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(i));
    other.n[0] = 100;
    EXPECT_TRUE(other.context->Run(1).ok());
    EXPECT_EQ(other.count[0], 100);
    EXPECT_FALSE(done);
    // The run may not have begun: cancelling is asked for until it ends.
    while (!done) endless.context->Cancel();
    runner.join();
    EXPECT_EQ(status.code(), ErrorCode::kAborted) << status.message();
    endless.n[0] = 10;
    EXPECT_TRUE(endless.context->Run(1).ok());
    EXPECT_EQ(endless.count[0], 10);
  }
}

TEST(OrtContextTest, CancelWithoutARunChangesNothing) {
  const std::shared_ptr<Engine> engine = MustLoad(Counter());
  ASSERT_NE(engine, nullptr);
  Counting counting(engine.get());
  counting.context->Cancel();
  counting.n[0] = 3;
  ASSERT_TRUE(counting.context->Run(1).ok());
  counting.context->Cancel();
  counting.context->Cancel();
  counting.n[0] = 4;
  ASSERT_TRUE(counting.context->Run(1).ok());
  EXPECT_EQ(counting.count[0], 4);
}

TEST(OrtContextTest, CancelRacingWithShortRunsIsOneOrTheOther) {
  const std::shared_ptr<Engine> engine = MustLoad(Counter());
  ASSERT_NE(engine, nullptr);
  Counting counting(engine.get());
  std::atomic<bool> stop = false;
  std::thread canceller([&] {
    while (!stop) counting.context->Cancel();
  });
  int finished = 0;
  int aborted = 0;
  for (int i = 0; i < 2000; ++i) {
    counting.n[0] = i % 50;
    counting.count[0] = -1;
    const Status status = counting.context->Run(1);
    if (status.ok()) {
      ++finished;
      EXPECT_EQ(counting.count[0], i % 50);
    } else {
      ++aborted;
      EXPECT_EQ(status.code(), ErrorCode::kAborted) << status.message();
    }
  }
  stop = true;
  canceller.join();
  EXPECT_EQ(finished + aborted, 2000);
  EXPECT_GT(aborted, 0);
  counting.n[0] = 12;
  EXPECT_TRUE(counting.context->Run(1).ok());
  EXPECT_EQ(counting.count[0], 12);
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

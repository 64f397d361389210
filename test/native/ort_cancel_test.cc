#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ort_support.h"

namespace gyrfalcon::testing {
namespace {

using onnx::Graph;
using onnx::Node;
using onnx::Value;

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

TEST(OrtCancelTest, StopsARunAndOnlyThatOne) {
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

TEST(OrtCancelTest, WithoutARunChangesNothing) {
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

TEST(OrtCancelTest, RacingWithShortRunsIsOneOrTheOther) {
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

}  // namespace
}  // namespace gyrfalcon::testing

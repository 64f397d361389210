// Every allocation fails, in turn, on the way from files to a context; and what helpers' threads
// need does.
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "allocation_sweep.h"
#include "bundle_support.h"
#include "core/row_helpers.h"
#include "engines/fused/fused_engine.h"
#include "engines/fused/graph_reader.h"

namespace gyrfalcon::fused {
namespace {

using gyrfalcon::testing::AllocationFailure;
using gyrfalcon::testing::HashOf;
using gyrfalcon::testing::Padded;
using gyrfalcon::testing::Safetensors;
using gyrfalcon::testing::Sweep;
using gyrfalcon::testing::TempDir;
using gyrfalcon::testing::WriteFile;

// All kinds of memory: views, a concatenation, shared values, pairs, an output that is copied.
constexpr const char* kGraph = R"({"format":"gyrfalcon-fused","version":1,"inputs":[
{"name":"x","dtype":"f32","shape":["batch",4]},{"name":"i","dtype":"i32","shape":["batch","L"]}],
"constants":[{"name":"w","shape":[4,3]},{"name":"b","shape":[3]}],"nodes":[
{"op":"linear","in":[0,2],"bias":3,"act":{"fn":"relu"}},{"op":"concat","in":[4,0,4],"axis":0},
{"op":"reshape","in":[0],"shape":[2,2]},{"op":"pairwise_dot","in":[6],"pairs":[0,1,1,1]},
{"op":"iota","in":[],"size":"L"},{"op":"binary","in":[1,8],"fn":"mul"},
{"op":"reduce","in":[9],"fn":"sum","axes":[0],"keep":true},{"op":"binary","in":[5,10],"fn":"add"}],
"outputs":[{"name":"y","value":11,"shape":["batch",10]},{"name":"p","value":7,"shape":["batch",2]},
{"name":"again","value":11,"shape":["batch",10]}]})";

class FusedAllocation : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string data(15 * sizeof(float), '\0');
    WriteFile(dir_ / "fused.json", kGraph);
    WriteFile(dir_ / "w.safetensors",
              Safetensors(Padded(R"({"w":{"dtype":"F32","shape":[4,3],"data_offsets":[0,48]},)"
                                 R"("b":{"dtype":"F32","shape":[3],"data_offsets":[48,60]}})"),
                          data));
    spec_ = {"fused.json", HashOf(kGraph), "w.safetensors", HashOf(data)};
  }

  Result<LoadedGraph> Load() const { return LoadGraph(dir_.path(), spec_, {{"L", 3}}); }

  TempDir dir_;
  FusedSpec spec_;
};

EngineBinding Bind(const std::string& name, Dtype dtype, int64_t elements, void* data) {
  EngineBinding binding;
  binding.name = name;
  binding.dtype = dtype;
  binding.dims = {EngineBinding::kRows, elements};
  binding.data = data;
  binding.bytes = static_cast<size_t>(elements) * 4 * 5;
  return binding;
}

TEST_F(FusedAllocation, OfTheGraph) {
  Sweep([&] { return Load().status(); });
}

TEST_F(FusedAllocation, OfTheEngine) {
  Sweep([&]() -> Status {
    Result<LoadedGraph> loaded = Load();
    if (!loaded.ok()) return loaded.status();
    return CreateFusedEngine(std::move(loaded).value(), {}).status();
  });
}

TEST_F(FusedAllocation, OfContextsAndRuns) {
  Result<LoadedGraph> loaded = Load();
  ASSERT_TRUE(loaded.ok()) << loaded.status().message();
  Result<std::shared_ptr<Engine>> engine = CreateFusedEngine(std::move(loaded).value(), {});
  ASSERT_TRUE(engine.ok()) << engine.status().message();
  std::vector<float> x(20, 1.0f);
  std::vector<int32_t> i(15, 2);
  std::vector<float> y(50);
  std::vector<float> p(10);
  std::vector<float> again(50);
  const std::vector<EngineBinding> inputs = {Bind("x", Dtype::kF32, 4, x.data()),
                                             Bind("i", Dtype::kI32, 3, i.data())};
  const std::vector<EngineBinding> outputs = {Bind("y", Dtype::kF32, 10, y.data()),
                                              Bind("p", Dtype::kF32, 2, p.data()),
                                              Bind("again", Dtype::kF32, 10, again.data())};
  Sweep([&]() -> Status {
    auto context = (*engine)->CreateContext(inputs, outputs);
    if (!context.ok()) return context.status();
    return (*context)->Run(5);
  });
  Sweep([&] { return (*engine)->RunOnce(inputs, 4).status(); });
  EXPECT_EQ(y[3], 1.0f + 2.0f * (0 + 1 + 2));
  EXPECT_EQ(y, again);
  EXPECT_EQ(p[0], 2.0f);
}

TEST(FusedHelpers, ThatCannotBeStartedAreDoneWithout) {
  if (!gyrfalcon::testing::AllocationCounter::Works()) return;
  StartHelpers(1);  // the set itself
  sigset_t before;
  sigset_t after;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  {
    const AllocationFailure failure(1, true);
    StartHelpers(6);
    EXPECT_TRUE(failure.happened());
  }
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  for (int signal = 1; signal < 32; ++signal) {
    EXPECT_EQ(sigismember(&before, signal), sigismember(&after, signal)) << signal;
  }
  StartHelpers(6);
  std::atomic<int> ran{0};
  RunWithHelpers({[](void* count, int) { ++*static_cast<std::atomic<int>*>(count); }, &ran}, 6,
                 1'000'000);
  EXPECT_GE(ran.load(), 1);
  EXPECT_LE(ran.load(), 7);
}

// How many threads took part in one piece of work that waits a moment for others.
int Joined(int64_t nanoseconds) {
  std::atomic<int> joined{0};
  const auto join = [](void* count, int) {
    auto& all = *static_cast<std::atomic<int>*>(count);
    ++all;
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(100);
    while (all < 2 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  };
  RunWithHelpers({join, &joined}, 1, nanoseconds);
  return joined;
}

TEST(FusedHelpers, SleepThroughLittleWorkUntilItComesOften) {
  StartHelpers(1);
  bool slept = false;
  for (int i = 0; i < 100 && !slept; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    slept = Joined(1) == 1;
  }
  EXPECT_TRUE(slept);
  bool woke = false;
  for (int i = 0; i < 100'000 && !woke; ++i) woke = Joined(1) == 2;
  EXPECT_TRUE(woke) << "work after work has to wake them";
  woke = false;
  for (int i = 0; i < 100 && !woke; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    woke = Joined(1'000'000'000) == 2;
  }
  EXPECT_TRUE(woke) << "and so has much work";
}

}  // namespace
}  // namespace gyrfalcon::fused

// Graphs as text through reader, shapes, plan and context: results by hand, attacks, threads.
#include "engines/fused/fused_engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "allocation_counter.h"
#include "engines/fused/graph_reader.h"

namespace gyrfalcon::fused {
namespace {

std::string Graph(const std::string& inputs, const std::string& constants, const std::string& nodes,
                  const std::string& outputs) {
  return R"({"format":"gyrfalcon-fused","version":1,"inputs":[)" + inputs + R"(],"constants":[)" +
         constants + R"(],"nodes":[)" + nodes + R"(],"outputs":[)" + outputs + "]}";
}

constexpr const char* kX = R"({"name":"x","dtype":"f32","shape":["batch",3]})";

// A graph whose constants count 0.1, 0.2, …
struct Loaded {
  std::vector<std::vector<float>> constants;
  std::shared_ptr<Engine> engine;
};

Result<LoadedGraph> Parsed(const std::string& text, Loaded* loaded,
                           const std::vector<SymbolSpec>& symbols = {{"L", 0}}) {
  Result<LoadedGraph> graph = ParseGraph(text, symbols);
  if (!graph.ok()) return graph;
  for (GraphConstant& constant : graph->graph.constants) {
    size_t n = 1;
    for (const int64_t extent : constant.shape) n *= static_cast<size_t>(extent);
    std::vector<float>& data = loaded->constants.emplace_back(n);
    for (size_t i = 0; i < n; ++i) data[i] = 0.1f * static_cast<float>(i % 50 + 1);
    constant.data = data.data();
  }
  return graph;
}

Status Load(const std::string& text, Loaded* loaded, int threads = 1) {
  Result<LoadedGraph> graph = Parsed(text, loaded);
  if (!graph.ok()) return graph.status();
  FusedOptions options;
  options.threads = threads;
  Result<std::shared_ptr<Engine>> engine = CreateFusedEngine(std::move(graph).value(), options);
  if (!engine.ok()) return engine.status();
  loaded->engine = *engine;
  return Status::Ok();
}

EngineBinding Bind(const std::string& name, std::vector<int64_t> dims, std::vector<float>* data) {
  EngineBinding binding;
  binding.name = name;
  binding.dims = std::move(dims);
  binding.data = data->data();
  binding.bytes = data->size() * sizeof(float);
  return binding;
}

constexpr int64_t kRows = EngineBinding::kRows;

TEST(FusedEngine, LinearWithConcatAndSigmoidByHand) {
  Loaded loaded;
  const std::string text =
      Graph(kX, R"({"name":"w","shape":[3,2]},{"name":"b","shape":[2]},{"name":"v","shape":[5,1]})",
            R"({"op":"linear","in":[0,1],"bias":2,"act":{"fn":"relu"}},)"
            R"({"op":"concat","in":[4,0],"axis":0},)"
            R"({"op":"linear","in":[5,3],"act":{"fn":"sigmoid"}})",
            R"({"name":"y","value":6,"shape":["batch",1]})");
  ASSERT_TRUE(Load(text, &loaded).ok());
  const int64_t capacity = 150;
  std::vector<float> x(capacity * 3);
  std::mt19937 random(1);
  for (float& v : x) v = std::uniform_real_distribution<float>(-1.0f, 1.0f)(random);
  std::vector<float> y(capacity + 1, -1.0f);
  auto context =
      loaded.engine->CreateContext({Bind("x", {kRows, 3}, &x)}, {Bind("y", {kRows, 1}, &y)});
  ASSERT_TRUE(context.ok()) << context.status().message();
  for (const int64_t rows : {0, 1, 2, 63, 64, 65, 150}) {
    std::fill(y.begin(), y.end(), -1.0f);
    ASSERT_TRUE((*context)->Run(rows).ok());
    for (int64_t r = 0; r < rows; ++r) {
      double hidden[5];
      for (int j = 0; j < 2; ++j) {
        double sum = static_cast<double>(loaded.constants[1][static_cast<size_t>(j)]);
        for (int i = 0; i < 3; ++i) {
          sum += static_cast<double>(x[static_cast<size_t>(r * 3 + i)]) *
                 static_cast<double>(loaded.constants[0][static_cast<size_t>(i * 2 + j)]);
        }
        hidden[j] = sum < 0.0 ? 0.0 : sum;
      }
      for (int i = 0; i < 3; ++i)
        hidden[2 + i] = static_cast<double>(x[static_cast<size_t>(r * 3 + i)]);
      double logit = 0.0;
      for (int i = 0; i < 5; ++i) {
        logit += hidden[i] * static_cast<double>(loaded.constants[2][static_cast<size_t>(i)]);
      }
      EXPECT_NEAR(static_cast<double>(y[static_cast<size_t>(r)]), 1.0 / (1.0 + std::exp(-logit)),
                  1e-6);
    }
    EXPECT_EQ(y[static_cast<size_t>(rows)], -1.0f);
  }
  EXPECT_EQ((*context)->Run(-1).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ((*context)->Run(151).code(), ErrorCode::kInvalidArgument);
}

// A step per row, wide enough for a second thread to be worth it.
std::string WideGraph() {
  return Graph(R"({"name":"x","dtype":"f32","shape":["batch",64]})",
               R"({"name":"w","shape":[64,256]},{"name":"v","shape":[256,64]})",
               R"({"op":"linear","in":[0,1],"act":{"fn":"tanh"}},{"op":"linear","in":[3,2]},)"
               R"({"op":"binary","in":[4,0],"fn":"add"},)"
               R"({"op":"softmax","in":[5],"axis":0})",
               R"({"name":"y","value":6,"shape":["batch",64]})");
}

// Weights that fit no second-level cache: threads share their products when there are few rows.
// Between the products are steps that have no parts.
std::string DeepGraph() {
  return Graph(R"({"name":"x","dtype":"f32","shape":["batch",64]})",
               R"({"name":"w","shape":[64,1500]},{"name":"v","shape":[1500,1501]},)"
               R"({"name":"u","shape":[1501,64]})",
               R"({"op":"linear","in":[0,1],"act":{"fn":"tanh"}},)"
               R"({"op":"linear","in":[4,2],"act":{"fn":"relu"}},)"
               R"({"op":"linear","in":[5,3]},)"
               R"({"op":"softmax","in":[6],"axis":0})",
               R"({"name":"y","value":7,"shape":["batch",64]})");
}

class FusedEngineThreads : public ::testing::TestWithParam<std::string (*)()> {};

TEST_P(FusedEngineThreads, GiveTheSameBitsAndRunsAllocateNothing) {
  Loaded alone;
  Loaded helped;
  ASSERT_TRUE(Load(GetParam()(), &alone).ok());
  ASSERT_TRUE(Load(GetParam()(), &helped, 3).ok());
  std::vector<float> x(500 * 64);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<float>(i));
  std::vector<float> one(x.size());
  std::vector<float> three(x.size());
  auto a =
      alone.engine->CreateContext({Bind("x", {kRows, 64}, &x)}, {Bind("y", {kRows, 64}, &one)});
  auto b =
      helped.engine->CreateContext({Bind("x", {kRows, 64}, &x)}, {Bind("y", {kRows, 64}, &three)});
  ASSERT_TRUE(a.ok() && b.ok());
  for (const int64_t rows : {1, 2, 3, 7, 8, 16, 17, 31, 32, 65, 130, 500}) {
    const gyrfalcon::testing::AllocationCounter allocations;
    const Status status = (*a)->Run(rows);
    const size_t allocated = allocations.count();
    ASSERT_TRUE(status.ok());
    if (gyrfalcon::testing::AllocationCounter::Works()) {
      EXPECT_EQ(allocated, 0u);
    }
    for (int again = 0; again < 20; ++again) {
      std::fill(three.begin(), three.end(), 0.0f);
      ASSERT_TRUE((*b)->Run(rows).ok());
      ASSERT_TRUE(std::equal(three.begin(), three.begin() + rows * 64, one.begin()));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Graphs, FusedEngineThreads, ::testing::Values(WideGraph, DeepGraph),
                         [](const auto& graph) { return graph.index == 0 ? "Wide" : "Deep"; });

// A batch of one row has threads too, and several runs share the helpers there are.
TEST(FusedEngine, SharedProductsOfSeveralContextsAtOnce) {
  Loaded alone;
  Loaded helped;
  ASSERT_TRUE(Load(DeepGraph(), &alone).ok());
  ASSERT_TRUE(Load(DeepGraph(), &helped, 3).ok());
  std::vector<float> x(64);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::cos(static_cast<float>(i));
  std::vector<float> expected(64);
  auto reference = alone.engine->CreateContext({Bind("x", {kRows, 64}, &x)},
                                               {Bind("y", {kRows, 64}, &expected)});
  ASSERT_TRUE(reference.ok() && (*reference)->Run(1).ok());
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      std::vector<float> y(64);
      auto context =
          helped.engine->CreateContext({Bind("x", {kRows, 64}, &x)}, {Bind("y", {kRows, 64}, &y)});
      if (!context.ok()) {
        ++wrong;
        return;
      }
      for (int i = 0; i < 50; ++i) {
        std::fill(y.begin(), y.end(), 0.0f);
        if (!(*context)->Run(1).ok() || y != expected) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(FusedEngine, ContextsOfOneEngineRunAtOnceAndCancelEndsAtMostOneRun) {
  Loaded loaded;
  ASSERT_TRUE(Load(WideGraph(), &loaded, 2).ok());
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&loaded, &wrong] {
      std::vector<float> x(300 * 64, 0.25f);
      std::vector<float> y(x.size());
      auto context =
          loaded.engine->CreateContext({Bind("x", {kRows, 64}, &x)}, {Bind("y", {kRows, 64}, &y)});
      if (!context.ok()) {
        ++wrong;
        return;
      }
      std::atomic<bool> done{false};
      std::thread canceller([&] {
        while (!done.load()) {
          (*context)->Cancel();
          std::this_thread::yield();
        }
      });
      for (int i = 0; i < 30; ++i) {
        const Status status = (*context)->Run(300);
        if (!status.ok() && status.code() != ErrorCode::kAborted) ++wrong;
      }
      done.store(true);
      canceller.join();
      (*context)->Cancel();  // none under way: does nothing
      if (!(*context)->Run(300).ok()) ++wrong;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(FusedEngine, SymbolsTakeTheSizeOfWhatIsBound) {
  Loaded loaded;
  const std::string text = Graph(R"({"name":"x","dtype":"f32","shape":["batch","L",2]})", "",
                                 R"({"op":"reduce","in":[0],"fn":"mean","axes":[0],"keep":false})",
                                 R"({"name":"y","value":1,"shape":["batch",2]})");
  ASSERT_TRUE(Load(text, &loaded).ok());
  std::vector<float> x = {1, 2, 3, 4, 5, 6};
  std::vector<float> y(2);
  for (const int64_t length : {1, 3}) {
    auto once = loaded.engine->RunOnce({Bind("x", {kRows, length, 2}, &x)}, 1);
    ASSERT_TRUE(once.ok()) << once.status().message();
    const auto* values = reinterpret_cast<const float*>((*once)[0].data.data());
    EXPECT_EQ(values[0], length == 1 ? 1.0f : 3.0f);
  }
  auto wrong =
      loaded.engine->CreateContext({Bind("x", {kRows, 3, 3}, &x)}, {Bind("y", {kRows, 2}, &y)});
  EXPECT_EQ(wrong.status().code(), ErrorCode::kShapeMismatch);
}

struct Attack {
  const char* name;
  std::string nodes;
  ErrorCode code;
  const char* place;
};

TEST(FusedEngine, GraphsThatBreakARuleNameThePlace) {
  const std::string constants = R"({"name":"w","shape":[3,2]},{"name":"b","shape":[2]})";
  const std::string out = R"({"name":"y","value":3,"shape":["batch",2]})";
  const std::vector<Attack> attacks = {
      {"own value", R"({"op":"unary","in":[3],"act":{"fn":"relu"}})", ErrorCode::kBundleInvalid,
       "nodes[0].in[0]"},
      {"negative", R"({"op":"unary","in":[-1],"act":{"fn":"relu"}})", ErrorCode::kBundleInvalid,
       "nodes[0].in[0]"},
      {"unknown op", R"({"op":"conv","in":[0]})", ErrorCode::kBundleInvalid, "nodes[0].op"},
      {"unknown key", R"({"op":"where","in":[0,0,0],"x":1})", ErrorCode::kBundleInvalid,
       "nodes[0].x"},
      {"weights not constant", R"({"op":"linear","in":[0,0]})", ErrorCode::kBundleInvalid,
       "nodes[0].in[1]"},
      {"bias of a wrong size", R"({"op":"linear","in":[0,1],"bias":1})", ErrorCode::kBundleInvalid,
       "nodes[0].bias"},
      {"k", R"({"op":"linear","in":[2,1]})", ErrorCode::kBundleInvalid, "nodes[0]"},
      {"unknown act", R"({"op":"unary","in":[0],"act":{"fn":"relu6"}})", ErrorCode::kBundleInvalid,
       "nodes[0].act.fn"},
      {"huge alpha", R"({"op":"unary","in":[0],"act":{"fn":"elu","alpha":1e99}})",
       ErrorCode::kBundleInvalid, "nodes[0].act.alpha"},
      {"step 0", R"({"op":"slice","in":[0],"axis":0,"start":0,"step":0,"size":1})",
       ErrorCode::kBundleInvalid, "nodes[0].step"},
      {"slice past the end", R"({"op":"slice","in":[0],"axis":0,"start":2,"step":1,"size":2})",
       ErrorCode::kBundleInvalid, "nodes[0]"},
      {"slice that overflows",
       R"({"op":"slice","in":[0],"axis":0,"start":0,"step":9007199254740992,"size":268435456})",
       ErrorCode::kBundleInvalid, "nodes[0]"},
      {"axis", R"({"op":"softmax","in":[0],"axis":1})", ErrorCode::kBundleInvalid, "nodes[0]"},
      {"gather", R"({"op":"gather","in":[0],"axis":0,"indices":[3]})", ErrorCode::kBundleInvalid,
       "nodes[0]"},
      {"pairs", R"({"op":"pairwise_dot","in":[1],"pairs":[0,3]})", ErrorCode::kBundleInvalid,
       "nodes[0]"},
      {"odd pairs", R"({"op":"pairwise_dot","in":[1],"pairs":[0]})", ErrorCode::kBundleInvalid,
       "nodes[0].pairs"},
      {"reshape", R"({"op":"reshape","in":[0],"shape":[2,-1]})", ErrorCode::kBundleInvalid,
       "nodes[0]"},
      {"two free extents", R"({"op":"reshape","in":[0],"shape":[-1,-1]})",
       ErrorCode::kBundleInvalid, "nodes[0].shape[1]"},
      {"too large", R"({"op":"expand","in":[0],"shape":[268435456,3]})", ErrorCode::kLimitExceeded,
       "nodes[0]"},
      {"extent over the limit", R"({"op":"iota","in":[],"size":268435457})",
       ErrorCode::kLimitExceeded, "nodes[0].size"},
      {"symbol nobody binds", R"({"op":"iota","in":[],"size":"L"})", ErrorCode::kBundleInvalid,
       "nodes"},
      {"shared output", R"({"op":"iota","in":[],"size":2})", ErrorCode::kBundleInvalid,
       "outputs[0]"},
      {"output of another size", R"({"op":"unary","in":[0],"act":{"fn":"relu"}})",
       ErrorCode::kBundleInvalid, "outputs[0]"},
  };
  for (const Attack& attack : attacks) {
    Loaded loaded;
    const Status status = Load(Graph(kX, constants, attack.nodes, out), &loaded);
    EXPECT_EQ(status.code(), attack.code) << attack.name << ": " << status.message();
    EXPECT_NE(status.message().find(attack.place), std::string::npos)
        << attack.name << ": " << status.message();
  }
}

TEST(FusedEngine, MutatedGraphsLoadAndRunOrFailCleanly) {
  const std::string text = WideGraph();
  std::mt19937 random(7);
  int loads = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string mutated = text;
    for (auto edits = random() % 3 + 1; edits > 0; --edits) {
      const size_t at = random() % mutated.size();
      switch (random() % 3) {
        case 0:
          mutated[at] = static_cast<char>(32 + random() % 95);
          break;
        case 1:
          mutated[at] = static_cast<char>('0' + random() % 10);
          break;
        default:
          mutated.erase(at, random() % 4);
      }
    }
    Loaded loaded;
    // Huge but valid constants would only cost time.
    Result<LoadedGraph> graph = ParseGraph(mutated, {{"L", 0}});
    size_t elements = 0;
    if (graph.ok()) {
      for (const GraphConstant& constant : graph->graph.constants) {
        size_t n = 1;
        for (const int64_t extent : constant.shape) n *= static_cast<size_t>(extent);
        elements += n;
      }
    }
    if (!graph.ok() || elements > 1000000 || !Load(mutated, &loaded).ok()) continue;
    ++loads;
    std::vector<EngineBinding> inputs;
    std::vector<float> x(1 << 16);
    bool fits = true;
    for (const EngineTensorSpec& spec : loaded.engine->inputs()) {
      std::vector<int64_t> dims = spec.dims;
      size_t row = 4;
      for (size_t d = 1; d < dims.size(); ++d)
        row *= static_cast<size_t>(std::max<int64_t>(dims[d], 1));
      fits = fits && row * 4 < x.size() && spec.dtype == Dtype::kF32 && !dims.empty();
      inputs.push_back(Bind(spec.name, dims, &x));
    }
    if (fits) (void)loaded.engine->RunOnce(inputs, 3);
  }
  EXPECT_GT(loads, 0);
}

TEST(FusedEngine, EveryTruncationOfAGraphIsRefused) {
  const std::string text = WideGraph();
  for (size_t n = 0; n < text.size(); ++n) {
    EXPECT_FALSE(ParseGraph(text.substr(0, n), {}).ok()) << n;
  }
}

}  // namespace
}  // namespace gyrfalcon::fused

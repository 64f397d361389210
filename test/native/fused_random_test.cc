// Random graphs with fixed seeds: each node against doubles, few outputs against all of them, and
// what is left of a graph after random edits. GYRFALCON_TEST_SCALE multiplies the seeds.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engines/fused/fused_engine.h"
#include "engines/fused/graph_reader.h"
#include "engines/fused/shapes.h"
#include "fused_random_graph.h"

namespace gyrfalcon::fused {
namespace {

using testing::Dims;
using testing::ElementsOf;
using testing::RandomGraph;
using testing::RowValue;

constexpr int64_t kCapacity = 70;

uint64_t Scaled(uint64_t seeds) {
  const char* const scale = std::getenv("GYRFALCON_TEST_SCALE");
  return scale == nullptr ? seeds : seeds * std::strtoull(scale, nullptr, 10);
}

// A graph with memory for all that it reads and writes, each allocation as large as it must be.
class Bench {
 public:
  // Inputs and constants follow from the seed and their names' order alone.
  Status Load(const std::string& text, uint64_t seed, int64_t symbol, bool corners = false,
              int threads = 1) {
    Result<LoadedGraph> graph = ParseGraph(text, {{"L", 0}});
    if (!graph.ok()) return graph.status();
    random_.seed(seed);
    for (GraphConstant& constant : graph->graph.constants) {
      std::vector<float>& data =
          constants_.emplace_back(static_cast<size_t>(ElementsOf(constant.shape)));
      for (float& x : data) x = Number(false);
      constant.data = data.data();
    }
    const Result<std::vector<ValueShape>> shapes = InferShapes(graph->graph, {symbol});
    if (!shapes.ok()) return shapes.status();
    shapes_ = shapes.value();
    graph_ = graph->graph;
    FusedOptions options;
    options.threads = threads;
    Result<std::shared_ptr<Engine>> engine = CreateFusedEngine(std::move(graph).value(), options);
    if (!engine.ok()) return engine.status();
    engine_ = *engine;
    std::vector<EngineBinding> inputs;
    std::vector<EngineBinding> outputs;
    for (size_t i = 0; i < graph_.inputs.size(); ++i) {
      const GraphInput& input = graph_.inputs[i];
      const int64_t rows = input.batched ? kCapacity : 1;
      Fill(input.dtype, shapes_[i].elements * rows, input.name == "zero", corners);
      inputs.push_back(Bind(input.name, input.dtype, input.batched, shapes_[i].dims, &inputs_[i]));
    }
    for (const GraphOutput& output : graph_.outputs) {
      Dims dims;
      for (const Extent& extent : output.shape) {
        dims.push_back(extent.kind == Extent::Kind::kSymbol ? symbol : extent.value);
      }
      outputs_.emplace_back(static_cast<size_t>(ElementsOf(dims) * kCapacity) * sizeof(float));
      outputs.push_back(Bind(output.name, Dtype::kF32, true, dims, &outputs_.back()));
    }
    Result<std::unique_ptr<EngineContext>> context = engine_->CreateContext(inputs, outputs);
    if (!context.ok()) return context.status();
    context_ = std::move(context).value();
    return Status::Ok();
  }

  Status Run(int64_t rows) {
    for (std::vector<std::byte>& output : outputs_) {
      std::memset(output.data(), 0x5a, output.size());
    }
    return context_->Run(rows);
  }

  const Graph& graph() const { return graph_; }
  const float* Output(size_t i) const { return reinterpret_cast<const float*>(outputs_[i].data()); }
  size_t OutputElements(size_t i) const {
    return outputs_[i].size() / sizeof(float) / static_cast<size_t>(kCapacity);
  }
  const ValueShape& ShapeOf(size_t value) const { return shapes_[value]; }

  // A row of an input or a constant.
  RowValue Read(size_t value, int64_t row) const {
    RowValue read;
    read.dims = shapes_[value].dims;
    const auto count = static_cast<size_t>(shapes_[value].elements);
    if (value >= inputs_.size()) {
      for (const float x : constants_[value - inputs_.size()]) {
        read.data.push_back(static_cast<double>(x));
      }
      return read;
    }
    const size_t first = shapes_[value].batched ? static_cast<size_t>(row) * count : 0;
    for (size_t i = first; i < first + count; ++i) {
      read.data.push_back(Converted(graph_.inputs[value].dtype, inputs_[value].data(), i));
    }
    return read;
  }

 private:
  template <typename T>
  static T At(const std::byte* data, size_t i) {
    T value;
    std::memcpy(&value, data + i * sizeof(T), sizeof(T));
    return value;
  }

  static double Converted(Dtype dtype, const std::byte* data, size_t i) {
    switch (dtype) {
      case Dtype::kI32:
        return At<int32_t>(data, i);
      case Dtype::kI64:
        return static_cast<double>(static_cast<float>(At<int64_t>(data, i)));
      case Dtype::kI8:
        return At<int8_t>(data, i);
      case Dtype::kU8:
        return At<uint8_t>(data, i);
      case Dtype::kBool:
        return At<uint8_t>(data, i) != 0 ? 1.0 : 0.0;
      default:
        return static_cast<double>(At<float>(data, i));
    }
  }

  float Number(bool corners) {
    constexpr float kInf = std::numeric_limits<float>::infinity();
    constexpr float kCorners[] = {0.0f, -0.0f, kInf, -kInf, 1e-41f, 1e30f, -1e30f, 100.0f};
    if (corners && random_() % 25 == 0) {
      const size_t corner = random_() % 9;
      return corner == 8 ? std::nanf("") : kCorners[corner];
    }
    return static_cast<float>(random_() % 4001) / 1000.0f - 2.0f;
  }

  void Fill(Dtype dtype, int64_t elements, bool zero, bool corners) {
    const auto count = static_cast<size_t>(elements);
    std::vector<std::byte>& data = inputs_.emplace_back(count * DtypeBytes(dtype));
    for (size_t i = 0; !zero && i < count; ++i) {
      if (dtype == Dtype::kF32) {
        const float x = Number(corners);
        std::memcpy(&data[i * sizeof(float)], &x, sizeof(float));
      } else {
        data[i * DtypeBytes(dtype)] = static_cast<std::byte>(random_() % 5);
      }
    }
  }

  static EngineBinding Bind(const std::string& name, Dtype dtype, bool batched, const Dims& dims,
                            std::vector<std::byte>* data) {
    EngineBinding binding;
    binding.name = name;
    binding.dtype = dtype;
    if (batched) binding.dims.push_back(EngineBinding::kRows);
    binding.dims.insert(binding.dims.end(), dims.begin(), dims.end());
    binding.data = data->data();
    binding.bytes = data->size();
    return binding;
  }

  std::mt19937_64 random_;
  std::vector<std::vector<float>> constants_;
  std::vector<std::vector<std::byte>> inputs_;
  std::vector<std::vector<std::byte>> outputs_;
  std::vector<ValueShape> shapes_;
  Graph graph_;
  std::shared_ptr<Engine> engine_;
  std::unique_ptr<EngineContext> context_;
};

void CheckElement(float got, double want, double tolerance, const std::string& where) {
  const auto rounded = static_cast<float>(want);
  if (tolerance < 0 || got == rounded || (std::isnan(got) && std::isnan(rounded))) return;
  // The largest f32 and infinity are neighbours.
  if (std::isinf(rounded) && std::isfinite(want) && std::fabs(got) > 3.4e38f) return;
  EXPECT_LE(std::fabs(static_cast<double>(got) - want), tolerance + 1e-6 * std::fabs(want))
      << where << " got " << got << " want " << want;
}

// Every node of one row, from what the engine says its operands are.
void CheckRow(const Bench& bench, size_t nodes, int64_t row, uint64_t seed) {
  const Graph& graph = bench.graph();
  const size_t first = graph.inputs.size() + graph.constants.size();
  std::vector<RowValue> values;
  values.reserve(first + nodes);  // pointers to elements stay
  for (size_t value = 0; value < first; ++value) values.push_back(bench.Read(value, row));
  for (size_t i = 0; i < nodes; ++i) {
    const Node& node = graph.nodes[i];
    std::vector<const RowValue*> operands;
    std::map<int, const RowValue*> others;
    for (const int in : node.in) operands.push_back(&values[static_cast<size_t>(in)]);
    for (const int other :
         {node.bias, node.mul, node.add, node.gamma, node.beta, node.act.slope, node.act.scale,
          node.act.shift, node.post.slope, node.post.scale, node.post.shift}) {
      if (other >= 0) others[other] = &values[static_cast<size_t>(other)];
    }
    const RowValue want = testing::Interpret(node, operands, others, RandomGraph::kL);
    ASSERT_EQ(want.dims, bench.ShapeOf(first + i).dims) << "seed " << seed << " node " << i;
    const size_t count = want.data.size();
    RowValue got;
    got.dims = want.dims;
    const float* const at = bench.Output(i) + static_cast<size_t>(row) * count;
    for (size_t e = 0; e < count; ++e) {
      CheckElement(at[e], want.data[e], want.tolerance[e],
                   "seed " + std::to_string(seed) + " node " + std::to_string(i) + " row " +
                       std::to_string(row) + " element " + std::to_string(e));
      got.data.push_back(static_cast<double>(at[e]));
    }
    values.push_back(std::move(got));
  }
}

class FusedRandom : public ::testing::TestWithParam<bool> {};

TEST_P(FusedRandom, EveryNodeIsWhatItsOperandsMakeIt) {
  const bool corners = GetParam();
  for (uint64_t seed = 1; seed <= Scaled(40); ++seed) {
    const RandomGraph random(seed, 20);
    const size_t nodes = 20;
    Bench bench;
    const Status loaded = bench.Load(random.TextWithAllOutputs(), seed, RandomGraph::kL, corners);
    ASSERT_TRUE(loaded.ok()) << seed << ": " << loaded.message() << random.TextWithAllOutputs();
    ASSERT_TRUE(bench.Run(66).ok());
    for (const int64_t row : {0, 1, 63, 64, 65}) CheckRow(bench, nodes, row, seed);
    if (::testing::Test::HasFailure()) {
      FAIL() << random.TextWithAllOutputs();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Numbers, FusedRandom, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Corners" : "Ordinary"; });

// With few outputs values share memory, lie in concatenations and take over their operands' place;
// with all of them none does.
TEST(FusedRandomTest, WhereValuesLieChangesNoBit) {
  for (uint64_t seed = 1; seed <= Scaled(120); ++seed) {
    const RandomGraph random(seed, 24);
    Bench all;
    Bench few;
    ASSERT_TRUE(all.Load(random.TextWithAllOutputs(), seed, RandomGraph::kL).ok()) << seed;
    ASSERT_TRUE(few.Load(random.Text(), seed, RandomGraph::kL, false, 2).ok()) << random.Text();
    for (const int64_t rows : {70, 1, 65, 3}) {
      ASSERT_TRUE(all.Run(rows).ok());
      ASSERT_TRUE(few.Run(rows).ok());
      for (size_t o = 0; o < few.graph().outputs.size(); ++o) {
        const std::string& name = few.graph().outputs[o].name;
        const size_t node = std::stoul(name.substr(1));
        const size_t used = few.OutputElements(o) * static_cast<size_t>(rows);
        ASSERT_EQ(all.OutputElements(node), few.OutputElements(o));
        for (size_t i = 0; i < used; ++i) {
          const float want = all.Output(node)[i];
          const float got = few.Output(o)[i];
          ASSERT_TRUE(got == want || (std::isnan(got) && std::isnan(want)))
              << "seed " << seed << " rows " << rows << " " << name << "[" << i << "] got " << got
              << " want " << want << "\n"
              << random.Text();
        }
        // Nothing is written behind the rows of a run.
        for (size_t i = used; i < few.OutputElements(o) * static_cast<size_t>(kCapacity); ++i) {
          uint32_t bits = 0;
          std::memcpy(&bits, few.Output(o) + i, sizeof(bits));
          ASSERT_EQ(bits, 0x5a5a5a5au);
        }
      }
    }
  }
}

// A text with a few of its numbers, names and braces exchanged.
std::string Mutated(std::string text, std::mt19937_64* random) {
  constexpr const char* kNumbers[] = {"0",  "1",  "2",         "3",         "-1",  "7",
                                      "64", "17", "268435456", "268435457", "1.5", "4294967296"};
  constexpr const char* kOps[] = {"softmax", "slice",  "gather", "concat", "reshape", "transpose",
                                  "linear",  "matmul", "unary",  "binary", "where",   "reduce",
                                  "expand",  "iota",   "sum",    "mean",   "add",     "relu",
                                  "L",       "batch",  "f32",    "i64",    "bool",    "prelu"};
  for (auto edits = (*random)() % 3 + 1; edits > 0; --edits) {
    const size_t at =
        text.find_first_of((*random)() % 4 == 0 ? "\"" : "0123456789-", (*random)() % text.size());
    if (at == std::string::npos) continue;
    if (text[at] == '"') {
      const size_t end = text.find('"', at + 1);
      if (end != std::string::npos) {
        text.replace(at + 1, end - at - 1, kOps[(*random)() % std::size(kOps)]);
      }
    } else {
      const size_t end = text.find_first_not_of("0123456789-", at);
      text.replace(at, end - at, kNumbers[(*random)() % std::size(kNumbers)]);
    }
  }
  return text;
}

TEST(FusedRandomTest, MutatedGraphsAreRefusedOrRunClean) {
  constexpr int64_t kMostElements = 200000;
  std::mt19937_64 random(99);
  int ran = 0;
  for (uint64_t seed = 1; seed <= Scaled(100); ++seed) {
    const std::string text = RandomGraph(seed, 14).Text();
    for (int mutation = 0; mutation < 40; ++mutation) {
      const std::string mutated = Mutated(text, &random);
      // Valid but large graphs would only cost time.
      Result<LoadedGraph> graph = ParseGraph(mutated, {{"L", 0}});
      if (!graph.ok()) continue;
      const int64_t symbol = static_cast<int64_t>(random() % 4) + 1;
      const Result<std::vector<ValueShape>> shapes = InferShapes(graph->graph, {symbol});
      if (!shapes.ok()) continue;
      int64_t elements = 0;
      for (const ValueShape& shape : shapes.value()) elements += shape.elements;
      if (elements > kMostElements) continue;
      Bench bench;
      if (!bench.Load(mutated, seed, symbol, true).ok()) continue;
      for (const int64_t rows : {65, 0, 1, 3}) ASSERT_TRUE(bench.Run(rows).ok()) << mutated;
      ++ran;
    }
  }
  EXPECT_GT(ran, 100);
}

}  // namespace
}  // namespace gyrfalcon::fused

// Matrix products with packed weights: kernels x precision x shape x rows.
//
// Arguments: m (rows of x), k, n. GFLOP/s counts 2·m·k·n; weights stay in the caches that can hold
// them, as they do between the blocks of a batch. Google Benchmark's --benchmark_filter picks
// cases.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/arena.h"
#include "engines/fused/gemm/gemm.h"

namespace gyrfalcon::fused {
namespace {

void RunCase(benchmark::State& state, const GemmKernels& kernels, Precision precision) {
  const int64_t m = state.range(0);
  const int64_t k = state.range(1);
  const int64_t n = state.range(2);
  std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> w(static_cast<size_t>(k * n));
  for (float& value : w) value = uniform(random);
  std::vector<float> bias(static_cast<size_t>(n), 0.5f);
  const auto floats = [](int64_t count) {
    return Arena::Create(static_cast<size_t>(count) * sizeof(float)).value();
  };
  const auto x = floats(m * k);
  const auto y = floats(m * n);
  for (int64_t i = 0; i < m * k; ++i) reinterpret_cast<float*>(x->data())[i] = uniform(random);
  const auto memory = Arena::Create(PackedBytes(kernels, k, n, precision)).value();
  const PackedWeights packed = PackWeights(kernels, w.data(), k, n, precision, memory->data());
  const auto scratch = Arena::Create(GemmScratchBytes(packed, m)).value();
  Epilogue epilogue;
  epilogue.bias = bias.data();
  epilogue.act.fn = ActFn::kRelu;
  const GemmArgs args{&packed,
                      reinterpret_cast<const float*>(x->data()),
                      k,
                      m,
                      reinterpret_cast<float*>(y->data()),
                      n,
                      &epilogue,
                      scratch->data()};
  for (auto _ : state) {
    RunGemm(args);
    benchmark::ClobberMemory();
  }
  state.counters["GFLOP/s"] = benchmark::Counter(static_cast<double>(2 * m * k * n),
                                                 benchmark::Counter::kIsIterationInvariantRate,
                                                 benchmark::Counter::kIs1000);
}

const int registered = [] {
  struct Shape {
    int64_t k, n;
  };
  for (const GemmKernels& kernels : AvailableGemmKernels()) {
    if (kernels.name == "reference") continue;
    for (const auto& [name, precision] : {std::pair{"f32", Precision::kF32},
                                          {"bf16", Precision::kBf16},
                                          {"int8", Precision::kInt8}}) {
      const std::string title = std::string(kernels.name) + "/" + name;
      auto* const bench = benchmark::RegisterBenchmark(
          title.c_str(), [&kernels, precision = precision](benchmark::State& state) {
            RunCase(state, kernels, precision);
          });
      for (const int64_t m : {1, 4, 16, 64, 128}) {
        // The last ones are larger than the second-level cache, and than most third-level ones.
        for (const Shape shape : {Shape{13, 512},
                                  {512, 256},
                                  {479, 512},
                                  {1024, 1024},
                                  {256, 1},
                                  {3456, 512},
                                  {3456, 1024},
                                  {4096, 4096}}) {
          bench->Args({m, shape.k, shape.n});
        }
      }
    }
  }
  return 0;
}();

}  // namespace
}  // namespace gyrfalcon::fused

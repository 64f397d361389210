// Embedding lookup, all backends of this machine: storage x dim x hotness, many single-id tables in
// one request, and a sweep of the prefetch distance.
//
// Ids are uniform over a table larger than the caches and each call takes ids that no recent call
// used. Knobs: GYRFALCON_BENCH_TABLE_MIB (default 512), GYRFALCON_BENCH_SEED (default 1),
// GYRFALCON_BENCH_ZIPF (an exponent over 1: ids by Zipf's law, ranks spread over the table); Google
// Benchmark's --benchmark_filter picks cases. Bytes/s counts table rows only; ns/row is per id.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "backends/lookup.h"
#include "backends/row_format.h"
#include "core/prefetch_text.h"

namespace gyrfalcon {
namespace {

constexpr int64_t kBatch = 512;
constexpr size_t kIds = size_t{1} << 22;

int64_t Knob(const char* name, int64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoll(text);
}

size_t TableBytes() {
  static const size_t bytes = static_cast<size_t>(Knob("GYRFALCON_BENCH_TABLE_MIB", 512)) << 20;
  return bytes;
}

// Memory for one table at a time: 2 MiB-aligned and marked for huge pages, as tables are loaded.
std::byte* Arena() {
  static std::byte* const arena = [] {
    constexpr size_t kHuge = size_t{2} << 20;
    void* const mapped = mmap(nullptr, TableBytes() + kHuge, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
      std::cerr << "cannot map " << TableBytes() << " bytes for the table\n";
      std::exit(1);
    }
    const auto address = (reinterpret_cast<uintptr_t>(mapped) + kHuge - 1) / kHuge * kHuge;
    auto* const start = reinterpret_cast<std::byte*>(address);
    madvise(start, TableBytes(), MADV_HUGEPAGE);
    return start;
  }();
  return arena;
}

// Fills the arena with copies of a few thousand random rows; every page is written.
TableView FillTable(Storage storage, int64_t dim) {
  static TableView current;
  if (current.data != nullptr && current.storage == storage && current.dim == dim) return current;
  const size_t row_bytes = RowBytes(storage, dim);
  const auto rows = static_cast<int64_t>(TableBytes() / row_bytes);
  const int64_t distinct = std::min<int64_t>(rows, 4096);
  std::mt19937 random(static_cast<uint32_t>(Knob("GYRFALCON_BENCH_SEED", 1)));
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(distinct * dim));
  for (float& value : values) value = normal(random);
  EncodeRows(values.data(), distinct, dim, storage, Arena());
  for (int64_t done = distinct; done < rows;) {
    const int64_t more = std::min(done, rows - done);
    std::memcpy(Arena() + static_cast<size_t>(done) * row_bytes, Arena(),
                static_cast<size_t>(more) * row_bytes);
    done += more;
  }
  current = {Arena(), rows, dim, storage};
  return current;
}

std::vector<int32_t> RandomIds(int64_t rows) {
  std::mt19937_64 random(static_cast<uint64_t>(Knob("GYRFALCON_BENCH_SEED", 1)));
  std::vector<int32_t> ids(kIds);
  const auto bound = static_cast<uint64_t>(std::min<int64_t>(rows, INT32_MAX));
  const char* const zipf = std::getenv("GYRFALCON_BENCH_ZIPF");
  if (zipf == nullptr) {
    for (int32_t& id : ids) id = static_cast<int32_t>(((random() >> 32) * bound) >> 32);
    return ids;
  }
  // The continuous law's inverse.
  const double power = 1.0 - std::atof(zipf);
  const double top = std::pow(static_cast<double>(bound) + 1.0, power) - 1.0;
  for (int32_t& id : ids) {
    const double unit = static_cast<double>(random() >> 11) * 0x1p-53;
    const auto rank = static_cast<uint64_t>(std::pow(1.0 + unit * top, 1.0 / power)) - 1;
    id = static_cast<int32_t>(std::min(rank, bound - 1) * 2654435761u % bound);
  }
  return ids;
}

struct Case {
  Storage storage;
  int64_t dim;
  int64_t hotness;
  int64_t groups;  // tables of the request; they share the arena
  int64_t batch;
};

class Workload {
 public:
  explicit Workload(const Case& one)
      : case_(one), table_(FillTable(one.storage, one.dim)), ids_(RandomIds(table_.rows)) {
    groups_.resize(static_cast<size_t>(one.groups));
    out_.resize(static_cast<size_t>(one.batch * one.groups * one.dim));
    for (size_t g = 0; g < groups_.size(); ++g) {
      BagGroup& group = groups_[g];
      group.table = table_;
      group.count = group.index_row_stride = one.hotness;
      group.out = out_.data() + g * static_cast<size_t>(one.dim);
      group.out_row_stride = one.groups * one.dim;
    }
  }

  int64_t ids_per_call() const { return case_.batch * case_.hotness * case_.groups; }

  void Call(const LookupBackend& backend) {
    for (BagGroup& group : groups_) {
      const auto need = static_cast<size_t>(case_.batch * case_.hotness);
      if (next_ + need > ids_.size()) next_ = 0;
      group.indices = ids_.data() + next_;
      next_ += need;
    }
    LookupReport report;
    backend.run({groups_.data(), groups_.size(), 0, case_.batch, OutOfRange::kError}, &report);
    benchmark::DoNotOptimize(out_.data());
    benchmark::ClobberMemory();
  }

  // Largest difference from the reference over one call.
  double Error(const LookupBackend& backend) {
    next_ = 0;
    Call(backend);
    const std::vector<float> mine = out_;
    next_ = 0;
    Call(LookupBackends().back());
    double worst = 0.0;
    for (size_t i = 0; i < mine.size(); ++i) {
      worst = std::max(worst, std::fabs(double{mine[i]} - double{out_[i]}));
    }
    return worst;
  }

 private:
  Case case_;
  TableView table_;
  std::vector<int32_t> ids_;
  std::vector<BagGroup> groups_;
  std::vector<float> out_;
  size_t next_ = 0;
};

void Measure(benchmark::State& state, const Case& one, const LookupBackend& backend,
             Prefetching prefetch) {
  SetPrefetching(prefetch);
  Workload work(one);
  const double error = work.Error(backend);
  if (!(error <= 1e-4 * static_cast<double>(one.hotness))) {
    state.SkipWithError("differs from the reference");
    return;
  }
  for (auto _ : state) work.Call(backend);
  const auto ids = static_cast<double>(state.iterations() * work.ids_per_call());
  state.SetBytesProcessed(static_cast<int64_t>(ids) *
                          static_cast<int64_t>(RowBytes(one.storage, one.dim)));
  state.counters["s_per_row"] =
      benchmark::Counter(ids, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["max_error"] = error;
  SetPrefetching(kUsualPrefetch);
}

void Register(const std::string& kind, const Case& one, const LookupBackend& backend,
              Prefetching prefetch = kUsualPrefetch) {
  std::string name = kind + '/' + std::string(backend.name) + '/' +
                     std::string(StorageName(one.storage)) + "/dim:" + std::to_string(one.dim) +
                     "/hotness:" + std::to_string(one.hotness);
  if (one.groups > 1) {
    name += "/tables:" + std::to_string(one.groups) + "/batch:" + std::to_string(one.batch);
  }
  if (prefetch.lines >= 0) {
    name += '/' + PrefetchText(prefetch);
  }
  benchmark::RegisterBenchmark(name.c_str(), [one, backend, prefetch](benchmark::State& state) {
    Measure(state, one, backend, prefetch);
  })->MinTime(0.1);
}

const bool kRegistered = [] {
  const Storage storages[] = {Storage::kF32, Storage::kF16, Storage::kBF16, Storage::kInt8,
                              Storage::kInt4};
  const auto& backends = LookupBackends();
  for (const Storage storage : storages) {
    for (const int64_t dim : {16, 32, 64, 128}) {
      for (const int64_t hotness : {1, 4, 40}) {
        for (const LookupBackend& backend : backends) {
          Register("lookup", {storage, dim, hotness, 1, kBatch}, backend);
        }
      }
    }
  }
  for (const int64_t batch : {1, 16, 128}) {
    for (const LookupBackend& backend : backends) {
      Register("tables", {Storage::kF32, 64, 1, 26, batch}, backend);
    }
  }
  for (const int64_t dim : {16, 64, 128}) {
    for (const int64_t hotness : {1, 40}) {
      for (const Storage storage : {Storage::kF32, Storage::kInt8, Storage::kInt4}) {
        for (const int64_t lines : {0, 32, 64, 128, 192, 384, 768}) {
          for (const PrefetchOrder order : {PrefetchOrder::kBursts, PrefetchOrder::kSteady,
                                            PrefetchOrder::kNear, PrefetchOrder::kMixed}) {
            Register("prefetch", {storage, dim, hotness, 1, kBatch}, backends.front(),
                     {lines, order});
          }
        }
      }
    }
  }
  return true;
}();

}  // namespace
}  // namespace gyrfalcon

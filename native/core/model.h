// A loaded model: tables in memory, an engine for the dense network, and the plan that joins them.
// Immutable; batches of it may be scored by any number of threads at once.
#ifndef GYRFALCON_CORE_MODEL_H_
#define GYRFALCON_CORE_MODEL_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/cache_keeper.h"
#include "backends/cuda/device_table.h"
#include "backends/lookup.h"
#include "bundle/bundle.h"
#include "core/model_spec.h"
#include "core/status.h"
#include "engines/engine.h"

namespace gyrfalcon {

// Counters since the model was loaded.
struct ModelStats {
  std::atomic<uint64_t> requests{0};
  std::atomic<uint64_t> rows{0};
  std::atomic<uint64_t> failed{0};
  std::atomic<uint64_t> zeroed{0};  // out-of-range positions under OutOfRange::kZero
};

// Where a model's tables lie when that is not this machine's memory. The keeper is the fence of
// cached tables, and goes after them.
struct ModelDevice {
  std::shared_ptr<cuda::Device> device;                    // null: the CPU
  std::shared_ptr<cuda::CacheKeeper> keeper;               // null: no table has a row cache
  std::vector<std::shared_ptr<cuda::DeviceTable>> tables;  // per ModelSpec::tables
  std::vector<std::shared_ptr<cuda::CachedTable>> cached;  // these of them; null: held whole
};

class Model {
 public:
  // Checks that the engine's graph takes and gives what the spec says (kBundleInvalid otherwise).
  // lookup_threads: that one batch's lookups may use, the caller's included. With a device,
  // `tables` have no rows: only shapes.
  static Result<std::shared_ptr<const Model>> Create(
      ModelSpec spec, std::vector<std::shared_ptr<const TableStorage>> tables,
      std::shared_ptr<Engine> engine, const LookupBackend* backend, OutOfRange policy,
      int lookup_threads = 1, ModelDevice device = {});

  const ModelSpec& spec() const { return spec_; }
  const std::vector<std::shared_ptr<const TableStorage>>& tables() const { return tables_; }
  Engine& engine() const { return *engine_; }
  const LookupBackend& backend() const { return *backend_; }
  OutOfRange policy() const { return policy_; }
  int lookup_threads() const { return lookup_threads_; }
  const ModelDevice& device() const { return device_; }
  ModelStats& stats() const { return stats_; }

 private:
  Model(ModelSpec spec, std::vector<std::shared_ptr<const TableStorage>> tables,
        std::shared_ptr<Engine> engine, const LookupBackend* backend, OutOfRange policy,
        int lookup_threads, ModelDevice device)
      : spec_(std::move(spec)),
        tables_(std::move(tables)),
        engine_(std::move(engine)),
        backend_(backend),
        policy_(policy),
        lookup_threads_(lookup_threads),
        device_(std::move(device)) {}

  ModelSpec spec_;
  std::vector<std::shared_ptr<const TableStorage>> tables_;
  std::shared_ptr<Engine> engine_;
  const LookupBackend* backend_;
  OutOfRange policy_;
  int lookup_threads_;
  ModelDevice device_;
  mutable ModelStats stats_;
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_MODEL_H_

// A batch: the memory of one request, with every input, slot and output at a fixed place, the
// resolved lookup walk and the engine's bindings. Created once, scored many times.
#ifndef GYRFALCON_CORE_BATCH_H_
#define GYRFALCON_CORE_BATCH_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/batch_lookup.h"
#include "backends/cuda/memory.h"
#include "backends/lookup.h"
#include "core/arena.h"
#include "core/id_map.h"
#include "core/model.h"
#include "core/status.h"

namespace gyrfalcon {

struct BatchOptions {
  int64_t capacity = 0;                  // rows
  std::vector<int64_t> symbols;          // per ModelSpec::symbols; 0: the default
  std::vector<int64_t> ragged_capacity;  // per ModelSpec::inputs; 0: kDefaultHotness a row
  static constexpr int64_t kDefaultHotness = 32;
};

// Where a part of the batch lies in its arena.
struct BatchField {
  size_t offset = 0;         // bytes
  size_t elements = 0;       // at full capacity
  int64_t row_elements = 0;  // elements a batch row; 0: the field does not grow with rows
  Dtype dtype = Dtype::kF32;
  std::vector<int64_t> dims;  // EngineBinding::kRows first when the field grows with rows
};

// Of one input: a tensor has `data`; a ragged input has indices in `data`, `offsets`
// [capacity + 1] i32, and `weights` when has_weights.
struct BatchInput {
  BatchField data;
  BatchField offsets;
  BatchField weights;
};

// Of the last score. Atomic, because JS may read them while a worker scores.
struct ScoreTimes {
  std::atomic<int64_t> lookup_ns{0};
  std::atomic<int64_t> engine_ns{0};
};

class Batch {
 public:
  static Result<std::shared_ptr<Batch>> Create(std::shared_ptr<const Model> model,
                                               const BatchOptions& options);

  // Looks up, runs the engine, and leaves the results in the arena. `rows` in [0, capacity].
  // One caller at a time: the owner guards with TryAcquire/Release. Allocates nothing when it
  // succeeds. Ids and offsets may change under it (JS may write during an asynchronous score): that
  // changes scores, never memory safety, because offsets are checked while they are copied to
  // private memory and ids are checked where they are loaded.
  Status Score(int64_t rows);

  // Asks a running Score to stop; it then returns kAborted. Any thread.
  void Cancel();

  // In-flight state: acquired from submission until the result was handed over.
  bool TryAcquire() { return !busy_.exchange(true, std::memory_order_acquire); }
  void Release() { busy_.store(false, std::memory_order_release); }
  bool busy() const { return busy_.load(std::memory_order_acquire); }

  // Drops the model, so that closing it frees tables at once. Precondition: not in flight. Score
  // then returns kModelClosed; the arena lives on for the views that JS still holds.
  void Close();

  const std::shared_ptr<Arena>& arena() const { return arena_; }
  const std::vector<BatchInput>& inputs() const { return inputs_; }    // per ModelSpec::inputs
  const std::vector<BatchField>& outputs() const { return outputs_; }  // per ModelSpec::outputs
  int64_t capacity() const { return capacity_; }
  const ScoreTimes& times() const { return times_; }

 private:
  Batch(std::shared_ptr<const Model> model, int64_t capacity)
      : model_(std::move(model)), capacity_(capacity) {}

  Status Build(const BatchOptions& options);
  Status ResolveSymbols(const BatchOptions& options);
  Status LayOutInputs(const BatchOptions& options, ArenaLayout* layout);
  Status LayOutSlots(ArenaLayout* layout);
  Status LayOutIds(ArenaLayout* layout);
  Status ResolveOutputShapes(size_t input_bytes);
  Result<std::shared_ptr<Arena>> MakeArena(size_t bytes);
  Status BuildGroups();
  Status BuildDeviceLookup();
  Status LookUp(int64_t rows, LookupReport* report);
  Status LookUpOnDevice(int64_t rows, LookupReport* report);
  Status BuildBag(size_t index);
  Status ReadMappedIds(size_t index, BagGroup* group);
  void MapAllIds(int64_t rows);
  Status BindEngine();
  Result<int64_t> Resolve(const Extent& extent) const;
  Status ShapeOf(const Shape& shape, BatchField* field) const;
  std::vector<EngineBinding> DenseInputs() const;
  Status CheckOffsets(int64_t rows);
  void CopyIds(int64_t rows);
  Status Fault(const LookupReport& report) const;

  std::shared_ptr<const Model> model_;
  int64_t capacity_;
  std::vector<int64_t> symbols_;
  std::shared_ptr<Arena> arena_;    // inputs and outputs: JS sees it
  std::shared_ptr<Arena> private_;  // slots, checked offsets, copies of ids: JS does not
  std::vector<BatchInput> inputs_;
  std::vector<BatchField> outputs_;
  std::vector<BatchField> slots_;            // in private_
  std::vector<BatchField> checked_offsets_;  // in private_, per input
  // Of inputs that the engine takes itself, those of integers: engines check an id and then read it
  // again, between which JS may have written it. Copied into private_ before each run.
  struct IdCopy {
    size_t input;
    BatchField copy;
  };
  std::vector<IdCopy> id_copies_;
  // Ids that are computed, each in private_; several bags may read one.
  struct MappedIds {
    int first_bag = 0;
    size_t offset = 0;
    IdMap map;
    const int32_t* offsets = nullptr;  // ragged: checked ones; the map then has one row
  };
  std::vector<MappedIds> mapped_;
  std::vector<int> mapped_of_bag_;  // per ModelSpec::bags; -1: ids are read from the input
  std::vector<BagGroup> groups_;
  std::vector<std::shared_ptr<cuda::PinnedMemory>> pinned_;  // with a device: of both arenas
  std::unique_ptr<cuda::BatchLookup> device_lookup_;
  std::unique_ptr<EngineContext> context_;
  ScoreTimes times_;
  std::atomic<bool> busy_{false};
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_BATCH_H_

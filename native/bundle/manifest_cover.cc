// That the bags of model.json fill the slots exactly: lookups write into memory that nobody clears.
#include <algorithm>
#include <string>
#include <vector>

#include "bundle/manifest.h"

namespace gyrfalcon {
namespace {

bool IsSymbolic(const BagSpec& bag) {
  return bag.pooling == Pooling::kNone && bag.count.kind == Extent::Kind::kSymbol;
}

// Floats that a bag with a fixed extent writes per batch row; at most 2^20 * 2^14.
int64_t Width(const BagSpec& bag, const ModelSpec& spec) {
  const int64_t dim = spec.tables[bag.table].dim;
  return bag.pooling == Pooling::kNone ? bag.count.value * dim : dim;
}

class CoverCheck {
 public:
  CoverCheck(const JsonCursor& slots, const JsonCursor& bags, const ModelSpec& spec)
      : slots_(slots), bags_(bags), spec_(spec), writers_(spec.slots.size()) {
    for (size_t i = 0; i < spec.bags.size(); ++i) writers_[spec.bags[i].slot].push_back(i);
  }

  Status Run() {
    for (size_t slot = 0; slot < writers_.size(); ++slot) {
      const bool symbolic =
          std::any_of(writers_[slot].begin(), writers_[slot].end(),
                      [this](size_t bag) { return IsSymbolic(spec_.bags[bag]); }) ||
          CountRowElements(spec_.slots[slot].shape).num_symbols != 0;
      GYR_RETURN_IF_ERROR(symbolic ? CheckSymbolic(slot) : CheckFixed(slot));
    }
    return Status::Ok();
  }

 private:
  Status CheckSymbolic(size_t slot) const {
    const RowElements row = CountRowElements(spec_.slots[slot].shape);
    if (writers_[slot].size() != 1) {
      return SlotError(slot, "exactly one bag, with a symbolic count and pooling none,",
                       std::to_string(writers_[slot].size()) + " bags");
    }
    const size_t index = writers_[slot].front();
    const BagSpec& bag = spec_.bags[index];
    if (!IsSymbolic(bag)) {
      return BagError(index, "a symbolic count and pooling none, the slot having a symbol,",
                      "something else");
    }
    if (bag.slot_offset != 0) {
      return BagError(index, "offset 0 with a symbolic count and pooling none",
                      std::to_string(bag.slot_offset));
    }
    const int64_t dim = spec_.tables[bag.table].dim;
    if (row.num_symbols != 1 || row.symbol != bag.count.symbol || row.fixed != dim) {
      return SlotError(slot, "a batch row of the bag's count x " + std::to_string(dim),
                       "another shape");
    }
    return Status::Ok();
  }

  Status CheckFixed(size_t slot) {
    const int64_t end = CountRowElements(spec_.slots[slot].shape).fixed;
    std::vector<size_t>& writers = writers_[slot];
    std::sort(writers.begin(), writers.end(), [this](size_t a, size_t b) {
      const int64_t offset_a = spec_.bags[a].slot_offset;
      const int64_t offset_b = spec_.bags[b].slot_offset;
      return offset_a != offset_b ? offset_a < offset_b : a < b;
    });
    int64_t covered = 0;
    for (const size_t index : writers) {
      const BagSpec& bag = spec_.bags[index];
      if (bag.slot_offset > covered) break;
      if (bag.slot_offset < covered) {
        return BagError(
            index,
            "an offset of at least " + std::to_string(covered) + " (where the bag before it ends)",
            std::to_string(bag.slot_offset));
      }
      const int64_t width = Width(bag, spec_);
      if (width > end - covered) {
        return BagError(
            index, "at most " + std::to_string(end - covered) + " floats up to the end of the slot",
            std::to_string(width));
      }
      covered += width;
    }
    if (covered != end) {
      return SlotError(slot, "bags that cover all " + std::to_string(end) + " floats of a row",
                       "bags that leave a gap at " + std::to_string(covered));
    }
    return Status::Ok();
  }

  static Status Error(const std::string& path, const std::string& expected,
                      const std::string& received) {
    return Status(ErrorCode::kBundleInvalid,
                  "expected " + expected + " for " + path + " but received " + received);
  }

  Status SlotError(size_t slot, const std::string& expected, const std::string& received) const {
    return Error(slots_.Path() + "[" + std::to_string(slot) + "]", expected, received);
  }

  Status BagError(size_t bag, const std::string& expected, const std::string& received) const {
    return Error(bags_.Path() + "[" + std::to_string(bag) + "]", expected, received);
  }

  const JsonCursor& slots_;
  const JsonCursor& bags_;
  const ModelSpec& spec_;
  std::vector<std::vector<size_t>> writers_;  // bags by slot
};

}  // namespace

Status CheckSlotCover(const JsonCursor& slots, const JsonCursor& bags, const ModelSpec& spec) {
  return CoverCheck(slots, bags, spec).Run();
}

}  // namespace gyrfalcon

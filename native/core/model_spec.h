// What a bundle's model.json says, after validation. Plain data; see docs/bundle-format.md for the
// meaning and the rules of every field. bundle/manifest.h reads it; core/ consumes it.
#ifndef GYRFALCON_CORE_MODEL_SPEC_H_
#define GYRFALCON_CORE_MODEL_SPEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.h"

namespace gyrfalcon {

// One extent of a tensor shape.
struct Extent {
  enum class Kind : uint8_t {
    kFixed,   // `value`
    kBatch,   // the number of rows of the batch
    kSymbol,  // ModelSpec::symbols[symbol]: set when a batch is created
    kUnknown  // known only after the dense network ran (outputs only)
  };
  Kind kind = Kind::kFixed;
  int64_t value = 0;
  int symbol = -1;
};

using Shape = std::vector<Extent>;

// A dimension other than the batch that is free in the model, such as the length of a history.
struct SymbolSpec {
  std::string name;
  int64_t default_size = 0;  // 0: a batch must say
};

struct InputSpec {
  enum class Kind : uint8_t {
    kTensor,  // shape[0] is the batch, or the whole shape is fixed
    kRagged   // indices plus offsets [rows + 1], optionally a weight per index
  };
  std::string name;
  Kind kind = Kind::kTensor;
  Dtype dtype = Dtype::kF32;  // ragged: of the indices, kI32 or kI64
  Shape shape;                // tensor only
  bool has_weights = false;   // ragged only
};

struct TableSpec {
  std::string name;
  int64_t rows = 0;
  int64_t dim = 0;
  Storage storage = Storage::kF32;
  std::string file;    // relative to the bundle, already checked to stay inside
  std::string tensor;  // key in the safetensors file
  uint64_t xxh64 = 0;  // of the tensor's bytes
};

// A dense-network input that lookups write: f32, shape[0] is the batch.
struct SlotSpec {
  std::string name;
  Shape shape;
};

// One step from the number that an input holds to an id, in wrapping 64-bit arithmetic.
struct IdStep {
  enum class Op : uint8_t {
    kAdd,       // x + a + place * i, i being the position in the bag
    kMul,       // x * a
    kMod,       // x modulo a, in [0, a)
    kRem,       // remainder of x / a, with the sign of x
    kDiv,       // x / a, rounded toward zero
    kFloorDiv,  // x / a, rounded down
    kAbs,       // |x|
    kClamp,     // a where x < a, b where x > b
    kReplace,   // b + place * i where `test` holds between x and a
    kSum        // the sum of the numbers up to position i, see `before`
  };
  enum class Test : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe };
  Op op = Op::kAdd;
  Test test = Test::kEq;
  int64_t a = 0;
  int64_t b = 0;
  int64_t place = 0;
  // kSum: the numbers of `a` elements before the bag's first, `b` elements apart, count too.
  bool keeps_zeros = false;  // a number that is 0 stays 0
};

// One embedding bag per batch row (pooling none: `count` single-row bags per batch row, written
// one after another).
struct BagSpec {
  int table = 0;
  int input = 0;  // ModelSpec::inputs; a ragged one, or a tensor with a batch extent
  Pooling pooling = Pooling::kSum;
  int64_t start = 0;               // tensor input: element of the row where the bag's ids begin
                                   //   (negative: counted from the row's end),
  int64_t step = 1;                //   distance between them,
  Extent count;                    //   and their number (fixed or symbol)
  std::vector<IdStep> map;         // from the input's numbers to ids
  std::vector<int64_t> add;        // empty, one value for all positions, or one per position
  bool has_padding = false;        // ids equal to `padding` contribute nothing and are not counted
  int64_t padding = 0;             //   (compared before `add`,
  bool padding_is_mapped = false;  // after `map` or before it)
  int length_input = -1;           // tensor input with a batch extent, or -1: its element
  int64_t length_element = 0;      //   `length_element` says how many of a row's positions count,
  int64_t length_from = 0;         //   of which the bag's first is this one
  int weights_input = -1;  // tensor input of f32 per-sample weights (ragged: == input), or -1
  int64_t weights_start = 0;
  int64_t weights_step = 1;
  int slot = 0;             // ModelSpec::slots
  int64_t slot_offset = 0;  // elements from the start of the batch row's part of the slot
};

struct DenseInputSpec {
  std::string name;  // in the dense graph
  int input = -1;    // ModelSpec::inputs (a tensor), or -1
  int slot = -1;     // ModelSpec::slots, or -1
};

// Of the products of the fused engine.
enum class Precision : uint8_t { kF32, kBf16, kInt8 };

// The dense network a second time, lowered for the fused engine (docs/fused-format.md).
struct FusedSpec {
  std::string file;  // relative to the bundle; empty: the bundle has none
  uint64_t xxh64 = 0;
  std::string weights;
  uint64_t weights_xxh64 = 0;
  Precision precision = Precision::kF32;  // unless the caller wants another
};

struct OutputSpec {
  std::string name;
  Dtype dtype = Dtype::kF32;
  Shape shape;
};

// Whether an input of this type can hold ids, or lengths.
inline bool CanHoldIds(Dtype dtype) { return dtype != Dtype::kF16 && dtype != Dtype::kBF16; }

// Whether a bag reads its ids through core/id_map.h instead of straight from the input.
inline bool MapsIds(const BagSpec& bag, const InputSpec& input) {
  const bool are_ids = input.dtype == Dtype::kI32 || input.dtype == Dtype::kI64;
  return !are_ids || !bag.map.empty() || bag.length_input >= 0;
}

struct ModelSpec {
  std::string name;
  int64_t fixed_batch = 0;  // 0: any number of rows; else the dense graph runs exactly this many
  std::vector<SymbolSpec> symbols;
  std::vector<InputSpec> inputs;
  std::vector<TableSpec> tables;
  std::vector<SlotSpec> slots;
  std::vector<BagSpec> bags;
  std::string dense_file;  // relative to the bundle
  uint64_t dense_xxh64 = 0;
  std::vector<DenseInputSpec> dense_inputs;
  FusedSpec fused;
  std::vector<OutputSpec> outputs;
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_MODEL_SPEC_H_

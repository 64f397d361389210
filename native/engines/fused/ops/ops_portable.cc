// Without ISA flags: four floats at a time in the compiler's portable vectors.
#include "engines/fused/ops/table.h"

namespace gyrfalcon::fused {
namespace {

struct Portable : Generic<4> {
  static constexpr int kDotRows = 2;
  static constexpr int kProductRows = 4;
};

}  // namespace

const OpKernels kPortableOps = MakeOps<Portable>("portable");

}  // namespace gyrfalcon::fused

// Dot products of pairs of rows, gathered into tiles that share their loads.
#ifndef GYRFALCON_ENGINES_FUSED_PAIR_TILES_H_
#define GYRFALCON_ENGINES_FUSED_PAIR_TILES_H_

#include <cstdint>
#include <vector>

#include "engines/fused/ops/ops.h"

namespace gyrfalcon::fused {

// The tiles that give the dot products of `pairs` (2 · P rows) at their places; 4 × 4 rows each.
std::vector<PairTile> MakePairTiles(const std::vector<int32_t>& pairs);

}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_PAIR_TILES_H_

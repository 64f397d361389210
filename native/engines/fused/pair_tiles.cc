#include "engines/fused/pair_tiles.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>

namespace gyrfalcon::fused {

std::vector<PairTile> MakePairTiles(const std::vector<int32_t>& pairs) {
  // Dot products are symmetric: the larger row is on the left.
  struct Entry {
    int32_t left_tile, right_tile, cell, place;
  };
  std::vector<Entry> entries;
  entries.reserve(pairs.size() / 2);
  for (size_t p = 0; p + 1 < pairs.size(); p += 2) {
    const int32_t left = std::max(pairs[p], pairs[p + 1]);
    const int32_t right = std::min(pairs[p], pairs[p + 1]);
    entries.push_back(
        {left / 4, right / 4, (left % 4) * 4 + right % 4, static_cast<int32_t>(p / 2)});
  }
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.left_tile != b.left_tile ? a.left_tile < b.left_tile : a.right_tile < b.right_tile;
  });
  std::vector<PairTile> tiles;
  std::array<int32_t, 2> at = {-1, -1};
  size_t first = 0;                   // of the tiles at this place
  std::array<size_t, 16> taken = {};  // how many of those have the cell: a pair that comes twice
                                      // needs a second tile
  for (const Entry& entry : entries) {
    if (entry.left_tile != at[0] || entry.right_tile != at[1]) {
      at = {entry.left_tile, entry.right_tile};
      first = tiles.size();
      taken.fill(0);
    }
    const auto cell = static_cast<size_t>(entry.cell);
    const size_t t = first + taken[cell]++;
    if (t == tiles.size()) {
      PairTile& tile = tiles.emplace_back();
      // Rows that no pair of the tile names are replaced by ones that it does.
      std::fill(std::begin(tile.left), std::end(tile.left), entry.left_tile * 4 + entry.cell / 4);
      std::fill(std::begin(tile.right), std::end(tile.right),
                entry.right_tile * 4 + entry.cell % 4);
      std::fill(std::begin(tile.place), std::end(tile.place), -1);
    }
    tiles[t].left[cell / 4] = entry.left_tile * 4 + entry.cell / 4;
    tiles[t].right[cell % 4] = entry.right_tile * 4 + entry.cell % 4;
    tiles[t].place[cell] = entry.place;
  }
  for (PairTile& tile : tiles) {
    for (int i = 0; i < 4; ++i) {
      const int32_t* const place = tile.place + 4 * i;
      tile.in_a_row[i] = place[0] >= 0 && place[1] == place[0] + 1 && place[2] == place[0] + 2 &&
                         place[3] == place[0] + 3;
    }
  }
  return tiles;
}

}  // namespace gyrfalcon::fused

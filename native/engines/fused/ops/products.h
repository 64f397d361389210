// Small matrix products and pairwise dot products over a vector policy; see vector.h for the rules
// of this file.
#ifndef GYRFALCON_ENGINES_FUSED_OPS_PRODUCTS_H_
#define GYRFALCON_ENGINES_FUSED_OPS_PRODUCTS_H_

#include "engines/fused/ops/ops.h"
#include "engines/fused/ops/reductions.h"

namespace gyrfalcon::fused {
namespace {

// kRows rows by kVecs vectors of c, b's rows being contiguous.
template <class V, int kRows, int kVecs, bool kTail>
[[gnu::always_inline]] inline void ProductTile(const MatmulArgs& args, int64_t row, int64_t column,
                                               int64_t tail) {
  using Vec = typename V::Vec;
  Vec sums[kRows][kVecs];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) sums[r][v] = V::Set1(0.0f);
  }
  const float* a = args.a + row * args.a_row;
  const float* b = args.b + column;
  for (int64_t k = 0; k < args.k; ++k, a += args.a_k, b += args.b_k) {
    Vec values[kVecs];
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      const float* const at = b + v * V::kWidth;
      values[v] = kTail && v == kVecs - 1 ? V::LoadFirst(at, tail) : V::Load(at);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Vec x = V::Set1(a[r * args.a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < kVecs; ++v) sums[r][v] = V::MulAdd(x, values[v], sums[r][v]);
    }
  }
  const Vec scale = V::Set1(args.scale);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    float* const c = args.c + (row + r) * args.n + column;
#pragma GCC unroll 4
    for (int v = 0; v < kVecs; ++v) {
      float* const at = c + v * V::kWidth;
      if (kTail && v == kVecs - 1) {
        V::StoreFirst(at, sums[r][v] * scale, tail);
      } else {
        V::Store(at, sums[r][v] * scale);
      }
    }
  }
}

template <class V, int kRows>
void ProductRows(const MatmulArgs& args, int64_t row) {
  constexpr int64_t kWidth = V::kWidth;
  int64_t column = 0;
  for (; column + 2 * kWidth <= args.n; column += 2 * kWidth) {
    ProductTile<V, kRows, 2, false>(args, row, column, 0);
  }
  const int64_t rest = args.n - column;
  if (rest > kWidth) {
    ProductTile<V, kRows, 2, true>(args, row, column, rest - kWidth);
  } else if (rest == kWidth) {
    ProductTile<V, kRows, 1, false>(args, row, column, 0);
  } else if (rest > 0) {
    ProductTile<V, kRows, 1, true>(args, row, column, rest);
  }
}

// Dot products of kLeft × kRight rows of d floats each, into out[kLeft][kRight].
template <class V, int kLeft, int kRight>
[[gnu::always_inline]] inline void DotTile(const float* const* left, const float* const* right,
                                           int64_t d, float* out) {
  using Vec = typename V::Vec;
  Vec sums[kLeft][kRight];
#pragma GCC unroll 4
  for (int i = 0; i < kLeft; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kRight; ++j) sums[i][j] = V::Set1(0.0f);
  }
  const auto step = [&](auto load) __attribute__((always_inline)) {
    Vec r[kRight];
#pragma GCC unroll 4
    for (int j = 0; j < kRight; ++j) r[j] = load(right[j]);
#pragma GCC unroll 4
    for (int i = 0; i < kLeft; ++i) {
      const Vec l = load(left[i]);
#pragma GCC unroll 4
      for (int j = 0; j < kRight; ++j) sums[i][j] = V::MulAdd(l, r[j], sums[i][j]);
    }
  };
  int64_t at = 0;
  for (; at + V::kWidth <= d; at += V::kWidth) {
    step([at](const float* row) __attribute__((always_inline)) { return V::Load(row + at); });
  }
  if (at < d) {
    step([ at, d ](const float* row)
             __attribute__((always_inline)) { return V::LoadFirst(row + at, d - at); });
  }
  if constexpr (kLeft == 4 && kRight == 4 && V::kSums16) {
    V::Sum16(sums, out);
    return;
  }
#pragma GCC unroll 4
  for (int i = 0; i < kLeft; ++i) {
    if constexpr (kRight == 4) {
      V::Sum4(sums[i], out + 4 * i);
    } else {
#pragma GCC unroll 4
      for (int j = 0; j < kRight; ++j) out[i * kRight + j] = V::Sum(sums[i][j]);
    }
  }
}

// b's columns are contiguous, and so are a's rows.
template <class V>
void ProductOfRows(const MatmulArgs& args) {
  const float* left[V::kDotRows];
  const float* right[4];
  float out[V::kDotRows * 4];
  for (int64_t row = 0; row < args.m; row += V::kDotRows) {
    for (int64_t i = 0; i < V::kDotRows; ++i) {
      left[i] = args.a + (row + i < args.m ? row + i : args.m - 1) * args.a_row;
    }
    const int64_t rows = args.m - row < V::kDotRows ? args.m - row : V::kDotRows;
    for (int64_t column = 0; column < args.n; column += 4) {
      const int64_t columns = args.n - column < 4 ? args.n - column : 4;
      for (int64_t j = 0; j < 4; ++j) {
        right[j] = args.b + (column + (j < columns ? j : columns - 1)) * args.b_column;
      }
      if (columns == 1) {
        DotTile<V, V::kDotRows, 1>(left, right, args.k, out);
      } else if (rows == 1) {
        DotTile<V, 1, 4>(left, right, args.k, out);
      } else {
        DotTile<V, V::kDotRows, 4>(left, right, args.k, out);
      }
      const int64_t stride = columns == 1 ? 1 : 4;
      for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
          args.c[(row + i) * args.n + column + j] = out[i * stride + j] * args.scale;
        }
      }
    }
  }
}

// Neither is contiguous along k: rare and small.
inline void ProductOfElements(const MatmulArgs& args) {
  for (int64_t i = 0; i < args.m; ++i) {
    for (int64_t j = 0; j < args.n; ++j) {
      float sum = 0.0f;
      for (int64_t k = 0; k < args.k; ++k) {
        sum += args.a[i * args.a_row + k * args.a_k] * args.b[k * args.b_k + j * args.b_column];
      }
      args.c[i * args.n + j] = sum * args.scale;
    }
  }
}

template <class V>
void Matmul(const MatmulArgs& args) {
  if (args.b_column == 1 && !(args.n == 1 && args.b_k == 1)) {
    int64_t row = 0;
    for (; row + V::kProductRows <= args.m; row += V::kProductRows) {
      ProductRows<V, V::kProductRows>(args, row);
    }
    for (; row + 2 <= args.m; row += 2) ProductRows<V, 2>(args, row);
    for (; row < args.m; ++row) ProductRows<V, 1>(args, row);
  } else if (args.a_k == 1) {
    ProductOfRows<V>(args);
  } else {
    ProductOfElements(args);
  }
}

template <class V>
void Pairwise(const PairwiseArgs& args) {
  constexpr int kLeft = V::kDotRows;
  const float* left[4];
  const float* right[4];
  float out[16];
  for (int64_t t = 0; t < args.num_tiles; ++t) {
    const PairTile& tile = args.tiles[t];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      left[i] = args.rows[tile.left[i]];
      right[i] = args.rows[tile.right[i]];
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i += kLeft) {
      DotTile<V, kLeft, 4>(left + i, right, args.d, out + 4 * i);
    }
    for (int i = 0; i < 4; ++i) {
      const int32_t* const place = tile.place + 4 * i;
      if (tile.in_a_row[i]) {
        __builtin_memcpy(args.y + place[0], out + 4 * i, 4 * sizeof(float));
        continue;
      }
      for (int j = 0; j < 4; ++j) {
        if (place[j] >= 0) args.y[place[j]] = out[4 * i + j];
      }
    }
  }
}

}  // namespace
}  // namespace gyrfalcon::fused

#endif  // GYRFALCON_ENGINES_FUSED_OPS_PRODUCTS_H_

// Conversion between f32 rows and table storages, in bulk. Used at import and by
// EmbeddingTable::From; the formulas are in docs/bundle-format.md (FBGEMM's row-wise formats).
#ifndef GYRFALCON_BACKENDS_ROW_FORMAT_H_
#define GYRFALCON_BACKENDS_ROW_FORMAT_H_

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace gyrfalcon {

// IEEE binary16 / bfloat16 conversion, round to nearest even, NaN kept NaN. Portable.
uint16_t FloatToHalf(float value);
float HalfToFloat(uint16_t half);
uint16_t FloatToBFloat16(float value);
float BFloat16ToFloat(uint16_t value);

// Encodes `rows` rows: src [rows, dim] f32 -> dst [rows, RowBytes(storage, dim)].
void EncodeRows(const float* src, int64_t rows, int64_t dim, Storage storage, std::byte* dst);

// Decodes: src [rows, RowBytes(storage, dim)] -> dst [rows, dim] f32.
void DecodeRows(const std::byte* src, int64_t rows, int64_t dim, Storage storage, float* dst);

// Largest |decode(encode(x)) - x| that the format allows for a row with values in [lo, hi]; the
// tolerance that verification uses.
float RowErrorBound(Storage storage, float lo, float hi);

}  // namespace gyrfalcon

#endif  // GYRFALCON_BACKENDS_ROW_FORMAT_H_

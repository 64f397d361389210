// Element types of tensors and storages of tables: the one table of both.
#ifndef GYRFALCON_CORE_DTYPE_H_
#define GYRFALCON_CORE_DTYPE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace gyrfalcon {

// Element type of an input, an output or a dense-network tensor.
enum class Dtype : uint8_t { kF32, kF64, kF16, kBF16, kI8, kU8, kI16, kU16, kI32, kI64, kBool };

struct DtypeInfo {
  std::string_view name;         // as in model.json
  std::string_view safetensors;  // as in a safetensors header
  uint8_t bytes;                 // of one element
  uint8_t onnx;                  // TensorProto.DataType, also ONNXTensorElementDataType
};

inline constexpr std::array<DtypeInfo, 11> kDtypes = {{
    {"f32", "F32", 4, 1},
    {"f64", "F64", 8, 11},
    {"f16", "F16", 2, 10},
    {"bf16", "BF16", 2, 16},
    {"i8", "I8", 1, 3},
    {"u8", "U8", 1, 2},
    {"i16", "I16", 2, 5},
    {"u16", "U16", 2, 4},
    {"i32", "I32", 4, 6},
    {"i64", "I64", 8, 7},
    {"bool", "BOOL", 1, 9},
}};

constexpr const DtypeInfo& Info(Dtype dtype) { return kDtypes[static_cast<size_t>(dtype)]; }
constexpr size_t DtypeBytes(Dtype dtype) { return Info(dtype).bytes; }

constexpr std::optional<Dtype> DtypeFromName(std::string_view name) {
  for (size_t i = 0; i < kDtypes.size(); ++i) {
    if (kDtypes[i].name == name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

constexpr std::optional<Dtype> DtypeFromOnnx(int onnx) {
  for (size_t i = 0; i < kDtypes.size(); ++i) {
    if (kDtypes[i].onnx == onnx) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

// How the rows of an embedding table lie in memory.
//
// kInt8: u8[dim] then f32 scale, f32 bias. kInt4: two elements a byte, element 0 in the low nibble,
// then f16 scale, f16 bias. Byte-compatible with FBGEMM's fused row-wise formats, so tables
// exchange with PyTorch's quantised embedding bags.
enum class Storage : uint8_t { kF32, kF16, kBF16, kInt8, kInt4 };

inline constexpr std::array<std::string_view, 5> kStorageNames = {"f32", "f16", "bf16", "int8",
                                                                  "int4"};

constexpr std::string_view StorageName(Storage storage) {
  return kStorageNames[static_cast<size_t>(storage)];
}

constexpr std::optional<Storage> StorageFromName(std::string_view name) {
  for (size_t i = 0; i < kStorageNames.size(); ++i) {
    if (kStorageNames[i] == name) return static_cast<Storage>(i);
  }
  return std::nullopt;
}

// Bytes of one row of `dim` elements. Precondition: 0 < dim <= kMaxDim.
constexpr size_t RowBytes(Storage storage, int64_t dim) {
  const auto d = static_cast<size_t>(dim);
  switch (storage) {
    case Storage::kF32:
      return 4 * d;
    case Storage::kF16:
    case Storage::kBF16:
      return 2 * d;
    case Storage::kInt8:
      return d + 8;
    case Storage::kInt4:
      return (d + 1) / 2 + 4;
  }
  return 0;
}

enum class Pooling : uint8_t { kSum, kMean, kNone };

inline constexpr std::array<std::string_view, 3> kPoolingNames = {"sum", "mean", "none"};

constexpr std::string_view PoolingName(Pooling pooling) {
  return kPoolingNames[static_cast<size_t>(pooling)];
}

constexpr std::optional<Pooling> PoolingFromName(std::string_view name) {
  for (size_t i = 0; i < kPoolingNames.size(); ++i) {
    if (kPoolingNames[i] == name) return static_cast<Pooling>(i);
  }
  return std::nullopt;
}

}  // namespace gyrfalcon

#endif  // GYRFALCON_CORE_DTYPE_H_

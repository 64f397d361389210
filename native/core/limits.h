// Every limit on a number that comes from a file or a request. docs/bundle-format.md lists them;
// tests stand on both sides of each.
#ifndef GYRFALCON_CORE_LIMITS_H_
#define GYRFALCON_CORE_LIMITS_H_

#include <cstddef>
#include <cstdint>

namespace gyrfalcon::limits {

inline constexpr size_t kMaxManifestBytes = size_t{16} << 20;
inline constexpr int kMaxJsonDepth = 32;
inline constexpr size_t kMaxSafetensorsHeaderBytes = size_t{100} << 20;  // the format's own limit
inline constexpr size_t kMaxNameBytes = 1024;
inline constexpr size_t kMaxInputs = 16384;
inline constexpr size_t kMaxOutputs = 1024;
inline constexpr size_t kMaxTables = 16384;
inline constexpr size_t kMaxBags = 65536;
inline constexpr size_t kMaxRank = 8;
inline constexpr int64_t kMaxDim = 16384;                        // elements of an embedding row
inline constexpr int64_t kMaxTableRows = int64_t{1} << 40;       // rows of a table
inline constexpr int64_t kMaxBatchRows = int64_t{1} << 24;       // rows of a batch
inline constexpr int64_t kMaxHotness = int64_t{1} << 20;         // ids of a fixed-hotness bag
inline constexpr size_t kMaxIdSteps = 16;                        // from an input's number to an id
inline constexpr int64_t kMaxRaggedIndices = int64_t{1} << 31;   // ids of a ragged input in a batch
inline constexpr int64_t kMaxElementsPerRow = int64_t{1} << 28;  // of one tensor, per batch row
inline constexpr size_t kMaxArenaBytes = size_t{1} << 40;        // of one batch
// Of the part of a batch that JS sees: an ArrayBuffer of Node 20 holds no more, and a failed
// napi_create_external_arraybuffer frees what it was given.
inline constexpr size_t kMaxSharedBytes = size_t{1} << 32;
inline constexpr size_t kMaxDenseGraphBytes = (size_t{1} << 31) - 1;  // protobuf's own limit

}  // namespace gyrfalcon::limits

#endif  // GYRFALCON_CORE_LIMITS_H_

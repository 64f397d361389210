#include "backends/cuda/cached_table.h"

#include <algorithm>
#include <string>
#include <utility>

#include "backends/cuda/device_rows.h"

namespace gyrfalcon::cuda {
namespace {

constexpr size_t kAlignment = 256;
constexpr int64_t kRowsOfProgress = 16384;

constexpr size_t RoundUp(size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Where what lies in the device's memory.
struct Places {
  size_t tags = RoundUp(sizeof(CacheArgs));
  size_t rows;
  size_t end;

  Places(const CacheGeometry& geometry, uint32_t stride)
      : rows(tags + RoundUp(size_t{geometry.sets} * kCacheWays * sizeof(uint16_t))),
        end(rows + static_cast<size_t>(geometry.slots()) * stride) {}
};

Result<CacheGeometry> GeometryOf(int64_t rows, uint32_t stride, const CacheSize& size) {
  int64_t slots = size.rows;
  if (slots == 0) {
    // What is not rows and tags is rounding, and the arguments.
    slots = CacheRowsIn(std::max<int64_t>(size.bytes - 3 * int64_t{kAlignment}, 0), stride);
    const int64_t least = CacheGeometry::LeastCacheRows(rows);
    if (slots < least) {
      return {ErrorCode::kLimitExceeded,
              "expected at least " +
                  std::to_string(least * CacheSlotBytes(stride) + 3 * int64_t{kAlignment}) +
                  " bytes of cache for a table of " + std::to_string(rows) + " rows but received " +
                  std::to_string(size.bytes)};
    }
    slots = std::min(slots, kMaxCacheRows);
  }
  return CacheGeometry::Make(rows, slots);
}

}  // namespace

Result<std::unique_ptr<StreamCopies>> StreamCopies::Make(const std::shared_ptr<Device>& device) {
  std::unique_ptr<StreamCopies> copies(new StreamCopies(device));
  Result<Stream> stream = MakeStream(device);
  if (!stream.ok()) return stream.status();
  copies->stream_ = std::move(*stream);
  return copies;
}

StreamCopies::~StreamCopies() {
  if (stream_.get() == nullptr) return;
  device_->Release([&](const DriverApi& api) { return api.stream_synchronize(stream_.get()); });
}

Status StreamCopies::Write(uint64_t to, const void* from, size_t bytes) {
  return device_->Check(device_->api().memcpy_htod_async(to, from, bytes, stream_.get()),
                        "copying to a row cache");
}

Status StreamCopies::Finish() {
  return device_->Check(device_->api().stream_synchronize(stream_.get()), "copying to a row cache");
}

Result<size_t> CachedTable::DeviceBytes(Storage storage, int64_t dim, int64_t rows,
                                        const CacheSize& size) {
  const uint32_t stride = LayoutOf(storage, dim).stride;
  Result<CacheGeometry> geometry = GeometryOf(rows, stride, size);
  if (!geometry.ok()) return geometry.status();
  return Places(*geometry, stride).end;
}

Result<std::shared_ptr<CachedTable>> CachedTable::Make(const std::shared_ptr<Device>& device,
                                                       const TableView& table,
                                                       const CacheSize& size, LookupFence* fence,
                                                       const CopyProgress& progress) {
  const uint32_t stride = LayoutOf(table.storage, table.dim).stride;
  const Result<CacheGeometry> geometry = GeometryOf(table.rows, stride, size);
  if (!geometry.ok()) return geometry.status();
  const CurrentDevice current(*device);
  GYR_RETURN_IF_ERROR(current.status());
  TableView shape = table;
  shape.data = nullptr;
  std::shared_ptr<CachedTable> made(new CachedTable(device, shape));
  const Places places(geometry.value(), stride);
  Result<DeviceMemory> memory = DeviceMemory::Allocate(device, places.end);
  if (!memory.ok()) return memory.status();
  made->memory_ = std::move(*memory);
  Result<PinnedMemory> rows =
      PinnedMemory::Allocate(device, static_cast<size_t>(table.rows) * stride);
  if (!rows.ok()) return rows.status();
  made->rows_ = std::move(*rows);
  Result<PinnedMemory> ring =
      PinnedMemory::Allocate(device, RowCache::kTouchRing * sizeof(uint32_t));
  if (!ring.ok()) return ring.status();
  made->ring_ = std::move(*ring);
  made->Fill(table.data, progress);
  Result<std::unique_ptr<StreamCopies>> copies = StreamCopies::Make(device);
  if (!copies.ok()) return copies.status();
  made->copies_ = std::move(*copies);
  const uint64_t at = made->memory_.address();
  CacheMemory parts;
  parts.table = made->rows_.data();
  parts.table_address = made->rows_.address();
  parts.ring = reinterpret_cast<uint32_t*>(made->ring_.data());
  parts.ring_address = made->ring_.address();
  parts.args_address = at;
  parts.tags_address = at + places.tags;
  parts.rows_address = at + places.rows;
  Result<std::unique_ptr<RowCache>> cache = RowCache::Make(
      {table.rows, table.dim, table.storage}, geometry.value(), parts, made->copies_.get(), fence);
  if (!cache.ok()) return cache.status();
  made->cache_ = std::move(*cache);
  return made;
}

void CachedTable::Fill(const std::byte* from, const CopyProgress& progress) {
  const size_t stride = LayoutOf(shape_.storage, shape_.dim).stride;
  const size_t bytes = RowBytes(shape_.storage, shape_.dim);
  for (int64_t row = 0; row < shape_.rows; row += kRowsOfProgress) {
    const int64_t count = std::min(kRowsOfProgress, shape_.rows - row);
    PackDeviceRows(from + static_cast<size_t>(row) * bytes, count, shape_.dim, shape_.storage,
                   rows_.data() + static_cast<size_t>(row) * stride);
    if (progress) progress(static_cast<size_t>(count) * bytes);
  }
}

void CachedTable::Describe(GroupArgs* group) const {
  group->table = rows_.address();
  group->cache = cache_->args_address();
}

Status CachedTable::Update(const std::vector<int64_t>& ids, const std::byte* rows) {
  const CurrentDevice current(*device_);
  GYR_RETURN_IF_ERROR(current.status());
  return cache_->Update(ids, rows);
}

Status CachedTable::Maintain() {
  const CurrentDevice current(*device_);
  GYR_RETURN_IF_ERROR(current.status());
  return cache_->Maintain();
}

Status CachedTable::Warm(const std::vector<int64_t>& ids) {
  const CurrentDevice current(*device_);
  GYR_RETURN_IF_ERROR(current.status());
  return cache_->Warm(ids);
}

}  // namespace gyrfalcon::cuda

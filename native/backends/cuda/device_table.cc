#include "backends/cuda/device_table.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "backends/cuda/device_rows.h"
#include "backends/cuda/handles.h"
#include "backends/cuda/memory.h"

namespace gyrfalcon::cuda {
namespace {

// Two of these are filled and copied in turn. Larger ones copy no faster over PCIe.
constexpr size_t kChunkOfTable = size_t{4} << 20;

// Pinned memory that is copied from while more is written behind it.
class Staging {
 public:
  static Result<std::unique_ptr<Staging>> Make(const std::shared_ptr<Device>& device,
                                               size_t bytes) {
    std::unique_ptr<Staging> staging(new Staging(device));
    for (Half& half : staging->halves_) {
      Result<PinnedMemory> pinned = PinnedMemory::Allocate(device, bytes);
      if (!pinned.ok()) return pinned.status();
      half.pinned = std::move(*pinned);
      Result<Event> event = MakeEvent(device);
      if (!event.ok()) return event.status();
      half.copied = std::move(*event);
    }
    Result<Stream> stream = MakeStream(device);
    if (!stream.ok()) return stream.status();
    staging->stream_ = std::move(*stream);
    return staging;
  }

  ~Staging() {
    if (stream_.get() == nullptr) return;
    device_->Release([&](const DriverApi& api) { return api.stream_synchronize(stream_.get()); });
  }

  // Where the next piece may be written.
  Result<std::byte*> Next() {
    Half& half = halves_[next_];
    if (half.busy) {
      GYR_RETURN_IF_ERROR(
          device_->Check(device_->api().event_synchronize(half.copied.get()), "copying a table"));
      half.busy = false;
    }
    return half.pinned.data();
  }

  Status Copy(uint64_t to, size_t from, size_t bytes) {
    const Half& half = halves_[next_];
    return device_->Check(
        device_->api().memcpy_htod_async(to, half.pinned.data() + from, bytes, stream_.get()),
        "copying a table");
  }

  // The piece is complete: copies of it are under way.
  Status Pass() {
    Half& half = halves_[next_];
    GYR_RETURN_IF_ERROR(device_->Check(
        device_->api().event_record(half.copied.get(), stream_.get()), "copying a table"));
    half.busy = true;
    next_ = 1 - next_;
    return Status::Ok();
  }

  Status Finish() {
    return device_->Check(device_->api().stream_synchronize(stream_.get()), "copying a table");
  }

 private:
  struct Half {
    PinnedMemory pinned;
    Event copied;
    bool busy = false;
  };

  explicit Staging(std::shared_ptr<Device> device) : device_(std::move(device)) {}

  std::shared_ptr<Device> device_;
  std::array<Half, 2> halves_;
  Stream stream_;
  size_t next_ = 0;
};

// All rows in the device's memory.
class ResidentTable final : public DeviceTable {
 public:
  ResidentTable(std::shared_ptr<Device> device, TableView shape, DeviceMemory memory)
      : device_(std::move(device)), shape_(shape), memory_(std::move(memory)) {}

  TableView shape() const override { return shape_; }
  size_t device_bytes() const override { return memory_.bytes(); }

  void Describe(GroupArgs* group) const override { group->table = memory_.address(); }

  Status Update(const std::vector<int64_t>& ids, const std::byte* rows) override {
    const CurrentDevice current(*device_);
    GYR_RETURN_IF_ERROR(current.status());
    const size_t stride = LayoutOf(shape_.storage, shape_.dim).stride;
    const size_t chunk =
        std::clamp<size_t>(kChunkOfTable / stride, 1, std::max<size_t>(ids.size(), 1));
    Result<std::unique_ptr<Staging>> staging = Staging::Make(device_, chunk * stride);
    if (!staging.ok()) return staging.status();
    for (size_t begin = 0; begin < ids.size(); begin += chunk) {
      const size_t end = std::min(ids.size(), begin + chunk);
      GYR_RETURN_IF_ERROR(UpdateChunk(ids, begin, end, rows, **staging));
    }
    return (*staging)->Finish();
  }

  // Rows as on the host, into all of the table.
  Status Fill(const std::byte* from, const CopyProgress& progress) {
    const size_t stride = LayoutOf(shape_.storage, shape_.dim).stride;
    const size_t bytes = RowBytes(shape_.storage, shape_.dim);
    const auto chunk =
        std::clamp<int64_t>(static_cast<int64_t>(kChunkOfTable / stride), 1, shape_.rows);
    Result<std::unique_ptr<Staging>> staging =
        Staging::Make(device_, static_cast<size_t>(chunk) * stride);
    if (!staging.ok()) return staging.status();
    for (int64_t row = 0; row < shape_.rows; row += chunk) {
      const int64_t count = std::min(chunk, shape_.rows - row);
      Result<std::byte*> to = (*staging)->Next();
      if (!to.ok()) return to.status();
      PackDeviceRows(from + static_cast<size_t>(row) * bytes, count, shape_.dim, shape_.storage,
                     *to);
      GYR_RETURN_IF_ERROR((*staging)->Copy(memory_.address() + static_cast<size_t>(row) * stride, 0,
                                           static_cast<size_t>(count) * stride));
      GYR_RETURN_IF_ERROR((*staging)->Pass());
      if (progress) progress(static_cast<size_t>(count) * bytes);
    }
    return (*staging)->Finish();
  }

 private:
  Status UpdateChunk(const std::vector<int64_t>& ids, size_t begin, size_t end,
                     const std::byte* rows, Staging& staging) {
    const size_t stride = LayoutOf(shape_.storage, shape_.dim).stride;
    const size_t bytes = RowBytes(shape_.storage, shape_.dim);
    Result<std::byte*> to = staging.Next();
    if (!to.ok()) return to.status();
    PackDeviceRows(rows + begin * bytes, static_cast<int64_t>(end - begin), shape_.dim,
                   shape_.storage, *to);
    // Neighbours go in one copy.
    for (size_t first = begin; first < end;) {
      size_t last = first + 1;
      while (last < end && ids[last] == ids[last - 1] + 1) ++last;
      GYR_RETURN_IF_ERROR(
          staging.Copy(memory_.address() + static_cast<uint64_t>(ids[first]) * stride,
                       (first - begin) * stride, (last - first) * stride));
      first = last;
    }
    return staging.Pass();
  }

  std::shared_ptr<Device> device_;
  TableView shape_;
  DeviceMemory memory_;
};

}  // namespace

size_t DeviceTableBytes(Storage storage, int64_t dim, int64_t rows) {
  return LayoutOf(storage, dim).stride * static_cast<size_t>(rows);
}

Result<std::shared_ptr<DeviceTable>> CopyTable(const std::shared_ptr<Device>& device,
                                               const TableView& table,
                                               const CopyProgress& progress) {
  constexpr int64_t kMaxRows = int64_t{std::numeric_limits<uint32_t>::max()} - 1;
  if (table.rows > kMaxRows) {
    return {ErrorCode::kLimitExceeded, "expected at most " + std::to_string(kMaxRows) +
                                           " rows of a table on a CUDA device but received " +
                                           std::to_string(table.rows)};
  }
  const CurrentDevice current(*device);
  GYR_RETURN_IF_ERROR(current.status());
  Result<DeviceMemory> memory =
      DeviceMemory::Allocate(device, DeviceTableBytes(table.storage, table.dim, table.rows));
  if (!memory.ok()) return memory.status();
  TableView shape = table;
  shape.data = nullptr;
  auto made = std::make_shared<ResidentTable>(device, shape, std::move(*memory));
  GYR_RETURN_IF_ERROR(made->Fill(table.data, progress));
  return std::shared_ptr<DeviceTable>(std::move(made));
}

Status CheckRoom(const Device& device, const std::vector<TableNeed>& tables) {
  Result<Device::Memory> memory = device.ReadMemory();
  if (!memory.ok()) return memory.status();
  size_t needed = 0;
  for (const TableNeed& table : tables) {
    if (__builtin_add_overflow(needed, table.bytes, &needed)) {
      needed = std::numeric_limits<size_t>::max();
    }
  }
  if (needed <= memory->free) return Status::Ok();
  std::vector<TableNeed> sorted = tables;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const TableNeed& a, const TableNeed& b) { return a.bytes < b.bytes; });
  constexpr size_t kMostNames = 16;
  std::string fit;
  size_t used = 0;
  size_t fitting = 0;
  for (const TableNeed& table : sorted) {
    if (table.bytes > memory->free - used) break;
    used += table.bytes;
    ++fitting;
    if (fitting > kMostNames) continue;
    if (!fit.empty()) fit += ", ";
    fit += table.name + " (" + ByteText(table.bytes) + ")";
  }
  if (fitting > kMostNames) fit += " and " + std::to_string(fitting - kMostNames) + " more";
  return {ErrorCode::kOutOfMemory,
          "expected room for tables of " + ByteText(needed) + " on " + device.name() + " but " +
              ByteText(memory->free) + " of " + ByteText(memory->total) + " are free; " +
              (fitting == 0 ? "none of the tables would fit"
                            : std::to_string(fitting) + " of " + std::to_string(sorted.size()) +
                                  " would fit: " + fit)};
}

}  // namespace gyrfalcon::cuda

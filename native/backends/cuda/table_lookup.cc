#include "backends/cuda/table_lookup.h"

#include <cstring>
#include <utility>

#include "backends/cuda/lookup_faults.h"
#include "backends/cuda/lookup_launch.h"
#include "backends/cuda/lookup_request.h"

namespace gyrfalcon::cuda {
namespace {

// Of positions and results together; a bag that alone takes more gets what it takes.
constexpr int64_t kPieceBytes = int64_t{16} << 20;

constexpr size_t RoundUp(size_t bytes) { return (bytes + 63) / 64 * 64; }

int64_t IdBytes(const BagGroup& group) { return group.indices_are_64 ? 8 : 4; }

// Where the ids of bag `bag` begin.
int64_t FirstId(const BagGroup& group, int64_t bag) {
  if (group.offsets == nullptr) return bag * group.count;
  return group.offsets_are_64 ? static_cast<const int64_t*>(group.offsets)[bag]
                              : static_cast<const int32_t*>(group.offsets)[bag];
}

}  // namespace

Result<std::unique_ptr<TableLookup>> TableLookup::Make(const std::shared_ptr<Device>& device,
                                                       std::shared_ptr<const DeviceTable> table) {
  std::unique_ptr<TableLookup> lookup(new TableLookup(device, std::move(table)));
  Result<std::unique_ptr<RequestPort>> port = RequestPort::Make(device);
  if (!port.ok()) return port.status();
  lookup->port_ = std::move(*port);
  return lookup;
}

TableLookup::Piece TableLookup::NextPiece(const BagGroup& group, int64_t begin,
                                          int64_t bags) const {
  const int64_t id_bytes = IdBytes(group) + (group.weights != nullptr ? 4 : 0);
  const int64_t out_bytes = 4 * table_->shape().dim + 8;
  Piece piece{begin, begin + 1, FirstId(group, begin), FirstId(group, begin + 1)};
  const auto fits = [&](int64_t end) {
    return (end - begin) * out_bytes + (FirstId(group, end) - piece.first) * id_bytes <=
           kPieceBytes;
  };
  // The last end that fits: both terms only grow.
  int64_t low = begin + 1;
  int64_t high = bags;
  while (low < high) {
    const int64_t middle = low + (high - low + 1) / 2;
    if (fits(middle)) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  piece.end = low;
  piece.last = FirstId(group, low);
  return piece;
}

Status TableLookup::Reserve(size_t bytes) {
  if (bytes <= pinned_.bytes()) return Status::Ok();
  pinned_ = PinnedMemory();
  Result<PinnedMemory> pinned = PinnedMemory::Allocate(device_, 2 * bytes);
  if (!pinned.ok()) return pinned.status();
  pinned_ = std::move(*pinned);
  return Status::Ok();
}

Status TableLookup::Run(const BagGroup& group, int64_t bags, OutOfRange policy,
                        LookupReport* report) {
  const CurrentDevice current(*device_);
  GYR_RETURN_IF_ERROR(current.status());
  for (int64_t bag = 0; bag < bags && !report->failed;) {
    const Piece piece = NextPiece(group, bag, bags);
    GYR_RETURN_IF_ERROR(RunPiece(group, piece, policy, report));
    bag = piece.end;
  }
  return Status::Ok();
}

Status TableLookup::RunPiece(const BagGroup& group, const Piece& piece, OutOfRange policy,
                             LookupReport* report) {
  const auto bags = static_cast<size_t>(piece.end - piece.begin);
  const auto ids = static_cast<size_t>(piece.last - piece.first);
  const auto id_bytes = static_cast<size_t>(IdBytes(group));
  const size_t out_bytes = bags * static_cast<size_t>(group.out_row_stride) * sizeof(float);
  const size_t offsets_at = RoundUp(ids * id_bytes);
  const size_t weights_at = offsets_at + RoundUp((bags + 1) * sizeof(int64_t));
  const size_t out_at = weights_at + RoundUp(ids * sizeof(float));
  GYR_RETURN_IF_ERROR(Reserve(out_at + out_bytes));
  BagGroup local = group;
  std::byte* const at = pinned_.data();
  std::memcpy(
      at,
      static_cast<const std::byte*>(group.indices) + static_cast<size_t>(piece.first) * id_bytes,
      ids * id_bytes);
  local.indices = at;
  if (group.offsets != nullptr) {
    auto* const offsets = reinterpret_cast<int64_t*>(at + offsets_at);
    for (size_t i = 0; i <= bags; ++i) {
      offsets[i] = FirstId(group, piece.begin + static_cast<int64_t>(i)) - piece.first;
    }
    local.offsets = offsets;
    local.offsets_are_64 = true;
  }
  if (group.weights != nullptr) {
    std::memcpy(at + weights_at, group.weights + piece.first, ids * sizeof(float));
    local.weights = reinterpret_cast<const float*>(at + weights_at);
  }
  local.out = reinterpret_cast<float*>(at + out_at);
  DeviceReport from{};
  if (const Status status = Launch(local, piece, policy, &from); !status.ok()) {
    static_cast<void>(port_->Drain());  // the memory is used again
    return status;
  }
  LookupReport piece_report;
  AddReport(from, 0, static_cast<int64_t>(bags), &piece_report);
  report->zeroed += piece_report.zeroed;
  if (piece_report.failed) {
    FindBadId(local, &piece_report);
    piece_report.zeroed = report->zeroed;
    piece_report.row += piece.begin;
    *report = piece_report;
    return Status::Ok();
  }
  std::memcpy(group.out + piece.begin * group.out_row_stride, local.out, out_bytes);
  return Status::Ok();
}

Status TableLookup::Launch(const BagGroup& local, const Piece& piece, OutOfRange policy,
                           DeviceReport* report) {
  GroupAddresses address;
  address.indices = pinned_.AddressOf(local.indices);
  if (local.offsets != nullptr) address.offsets = pinned_.AddressOf(local.offsets);
  if (local.weights != nullptr) address.weights = pinned_.AddressOf(local.weights);
  address.out = pinned_.AddressOf(local.out);
  Result<GroupArgs> args = MakeGroupArgs(local, address, policy, OutputType::kF32);
  if (!args.ok()) return args.status();
  table_->Describe(&*args);
  const int64_t bags = piece.end - piece.begin;
  Result<LookupLaunch> launch = LookupLaunch::Make(device_, *port_, {*args}, bags);
  if (!launch.ok()) return launch.status();
  port_->Begin(bags);
  GYR_RETURN_IF_ERROR(launch->Enqueue(*port_));
  GYR_RETURN_IF_ERROR(port_->EnqueueFinish());
  return port_->Wait(report);
}

}  // namespace gyrfalcon::cuda

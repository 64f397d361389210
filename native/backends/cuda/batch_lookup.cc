#include "backends/cuda/batch_lookup.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "backends/cuda/lookup_faults.h"
#include "backends/cuda/lookup_request.h"

namespace gyrfalcon::cuda {
namespace {

// First and past-the-last element that `rows` rows of a strided array reach.
struct Reach {
  int64_t begin = 0;
  int64_t end = 0;
};

Reach Strided(int64_t rows, int64_t row_stride, int64_t count, int64_t step) {
  if (rows == 0 || count == 0) return {};
  const int64_t last_row = (rows - 1) * row_stride;
  const int64_t last = (count - 1) * step;
  return {std::min<int64_t>(0, last), last_row + std::max<int64_t>(0, last) + 1};
}

const std::byte* At(const void* base, int64_t elements, size_t element_bytes) {
  return static_cast<const std::byte*>(base) + elements * static_cast<int64_t>(element_bytes);
}

size_t IdBytes(const BagGroup& group) { return group.indices_are_64 ? 8 : 4; }
size_t OffsetBytes(const BagGroup& group) { return group.offsets_are_64 ? 8 : 4; }

int64_t RaggedIds(const BagGroup& group, int64_t rows) {
  return group.offsets_are_64 ? static_cast<const int64_t*>(group.offsets)[rows]
                              : static_cast<const int32_t*>(group.offsets)[rows];
}

constexpr size_t RoundUp(size_t bytes) { return (bytes + 255) / 256 * 256; }

}  // namespace

Result<std::unique_ptr<BatchLookup>> BatchLookup::Make(
    const std::shared_ptr<Device>& device, std::vector<BagGroup> groups,
    const std::vector<const DeviceTable*>& tables, const std::vector<const PinnedMemory*>& memory,
    int64_t capacity, OutOfRange policy) {
  std::unique_ptr<BatchLookup> lookup(new BatchLookup(device, std::move(groups), capacity));
  const CurrentDevice current(*device);
  GYR_RETURN_IF_ERROR(current.status());
  Result<std::unique_ptr<RequestPort>> port = RequestPort::Make(device);
  if (!port.ok()) return port.status();
  lookup->port_ = std::move(*port);
  std::map<const DeviceTable*, std::vector<size_t>> by_table;
  for (size_t g = 0; g < tables.size(); ++g) by_table[tables[g]].push_back(g);
  for (auto& [table, of] : by_table) lookup->by_table_.push_back(std::move(of));
  GYR_RETURN_IF_ERROR(lookup->CopyAdds());
  lookup->FindSpans();
  for (int64_t rows = std::min(kLeastBucket, capacity);; rows = std::min(2 * rows, capacity)) {
    Bucket bucket;
    bucket.rows = rows;
    size_t bytes = 0;
    for (const Span& span : lookup->spans_) bytes += lookup->SpanBytes(span, rows, true);
    bucket.copies = bytes >= kMappedBytes;
    lookup->buckets_.push_back(std::move(bucket));
    if (rows == capacity) break;
  }
  if (lookup->buckets_.back().copies) {
    size_t bytes = 0;
    for (Span& span : lookup->spans_) {
      span.copy = bytes;
      bytes += RoundUp(static_cast<size_t>(span.end - span.begin));
    }
    Result<DeviceMemory> copies = DeviceMemory::Allocate(device, bytes);
    if (!copies.ok()) return copies.status();
    lookup->copies_ = std::move(*copies);
    for (Span& span : lookup->spans_) span.copy += lookup->copies_.address();
  }
  for (Bucket& bucket : lookup->buckets_) {
    Result<std::vector<GroupArgs>> args = lookup->Arguments(tables, memory, policy, bucket.copies);
    if (!args.ok()) return args.status();
    Result<LookupLaunch> launch = LookupLaunch::Make(device, *lookup->port_, *args, bucket.rows);
    if (!launch.ok()) return launch.status();
    bucket.launch = std::move(*launch);
    GYR_RETURN_IF_ERROR(lookup->Capture(&bucket));
  }
  return lookup;
}

void BatchLookup::FindSpans() {
  const auto add = [&](const std::byte* begin, const std::byte* end, size_t group,
                       std::vector<size_t> Span::*member) {
    Span span;
    span.begin = begin;
    span.end = end;
    (span.*member).push_back(group);
    spans_.push_back(std::move(span));
  };
  for (size_t g = 0; g < groups_.size(); ++g) {
    const BagGroup& group = groups_[g];
    if (group.offsets != nullptr) {
      add(At(group.indices, 0, 1), At(group.indices, group.ragged_room, IdBytes(group)), g,
          &Span::ids);
      add(At(group.offsets, 0, 1), At(group.offsets, capacity_ + 1, OffsetBytes(group)), g,
          &Span::offsets);
      if (group.weights != nullptr) {
        add(At(group.weights, 0, 1), At(group.weights, group.ragged_room, sizeof(float)), g,
            &Span::weights);
      }
      continue;
    }
    const Reach ids = Strided(capacity_, group.index_row_stride, group.count, group.index_step);
    add(At(group.indices, ids.begin, IdBytes(group)), At(group.indices, ids.end, IdBytes(group)), g,
        &Span::ids);
    if (group.weights != nullptr) {
      const Reach reach =
          Strided(capacity_, group.weight_row_stride, group.count, group.weight_step);
      add(At(group.weights, reach.begin, sizeof(float)),
          At(group.weights, reach.end, sizeof(float)), g, &Span::weights);
    }
  }
  std::sort(spans_.begin(), spans_.end(),
            [](const Span& a, const Span& b) { return a.begin < b.begin; });
  std::vector<Span> merged;
  for (Span& span : spans_) {
    if (merged.empty() || span.begin >= merged.back().end) {
      merged.push_back(std::move(span));
      continue;
    }
    Span& into = merged.back();
    into.end = std::max(into.end, span.end);
    into.ids.insert(into.ids.end(), span.ids.begin(), span.ids.end());
    into.weights.insert(into.weights.end(), span.weights.begin(), span.weights.end());
    into.offsets.insert(into.offsets.end(), span.offsets.begin(), span.offsets.end());
  }
  spans_ = std::move(merged);
}

// Bytes of a span that `rows` rows read, from its begin. `usual`: of ragged ids as many as there is
// room for, in proportion; else as many as there are.
size_t BatchLookup::SpanBytes(const Span& span, int64_t rows, bool usual) const {
  const std::byte* end = span.begin;
  const auto reach = [&](const void* base, int64_t elements, size_t element_bytes) {
    end = std::max(end, At(base, elements, element_bytes));
  };
  const auto ragged = [&](const BagGroup& group) {
    return usual ? group.ragged_room * rows / capacity_ : RaggedIds(group, rows);
  };
  for (const size_t g : span.ids) {
    const BagGroup& group = groups_[g];
    const int64_t elements =
        group.offsets != nullptr
            ? ragged(group)
            : Strided(rows, group.index_row_stride, group.count, group.index_step).end;
    reach(group.indices, elements, IdBytes(group));
  }
  for (const size_t g : span.weights) {
    const BagGroup& group = groups_[g];
    const int64_t elements =
        group.offsets != nullptr
            ? ragged(group)
            : Strided(rows, group.weight_row_stride, group.count, group.weight_step).end;
    reach(group.weights, elements, sizeof(float));
  }
  for (const size_t g : span.offsets) {
    reach(groups_[g].offsets, rows + 1, OffsetBytes(groups_[g]));
  }
  return static_cast<size_t>(end - span.begin);
}

int64_t BatchLookup::MostIds(int64_t rows) const {
  int64_t most = 0;
  for (const std::vector<size_t>& of : by_table_) {
    int64_t ids = 0;
    for (const size_t g : of) {
      const BagGroup& group = groups_[g];
      ids += group.offsets != nullptr ? RaggedIds(group, rows) : rows * group.count;
    }
    most = std::max(most, ids);
  }
  return most;
}

Status BatchLookup::CopyAdds() {
  size_t bytes = 0;
  for (const BagGroup& group : groups_) {
    if (group.add_count == 0 || !add_offset_.emplace(group.add, bytes).second) continue;
    bytes += RoundUp(static_cast<size_t>(group.add_count) * sizeof(int64_t));
  }
  if (bytes == 0) return Status::Ok();
  Result<PinnedMemory> staging = PinnedMemory::Allocate(device_, bytes);
  if (!staging.ok()) return staging.status();
  for (const BagGroup& group : groups_) {
    if (group.add_count == 0) continue;
    std::memcpy(staging->data() + add_offset_[group.add], group.add,
                static_cast<size_t>(group.add_count) * sizeof(int64_t));
  }
  Result<DeviceMemory> adds = DeviceMemory::Allocate(device_, bytes);
  if (!adds.ok()) return adds.status();
  adds_ = std::move(*adds);
  const Status copied = port_->EnqueueCopy(adds_.address(), staging->data(), bytes);
  const Status drained = port_->Drain();  // before the memory that is copied from is freed
  GYR_RETURN_IF_ERROR(copied);
  return drained;
}

uint64_t BatchLookup::Address(const std::vector<const PinnedMemory*>& memory, const void* host,
                              bool copies) const {
  if (host == nullptr) return 0;
  if (copies) {
    const auto* const at = static_cast<const std::byte*>(host);
    for (const Span& span : spans_) {
      if (at >= span.begin && at < span.end) {
        return span.copy + static_cast<uint64_t>(at - span.begin);
      }
    }
  }
  for (const PinnedMemory* each : memory) {
    if (each->Holds(host)) return each->AddressOf(host);
  }
  return 0;
}

Result<std::vector<GroupArgs>> BatchLookup::Arguments(
    const std::vector<const DeviceTable*>& tables, const std::vector<const PinnedMemory*>& memory,
    OutOfRange policy, bool copies) const {
  std::vector<GroupArgs> args;
  args.reserve(groups_.size());
  for (size_t g = 0; g < groups_.size(); ++g) {
    const BagGroup& group = groups_[g];
    GroupAddresses at;
    at.indices = Address(memory, group.indices, copies);
    at.offsets = Address(memory, group.offsets, copies);
    at.weights = Address(memory, group.weights, copies);
    at.out = Address(memory, group.out, false);
    if (group.add_count > 0) at.add = adds_.address() + add_offset_.at(group.add);
    if (at.indices == 0 || at.out == 0) {
      return {ErrorCode::kInternal, "expected positions and results of a batch in pinned memory"};
    }
    Result<GroupArgs> made = MakeGroupArgs(group, at, policy, OutputType::kF32);
    if (!made.ok()) return made.status();
    tables[g]->Describe(&*made);
    args.push_back(*made);
  }
  return args;
}

Status BatchLookup::Capture(Bucket* bucket) {
  const DriverApi& api = device_->api();
  GYR_RETURN_IF_ERROR(device_->Check(
      api.stream_begin_capture(port_->stream(), kCuCaptureThreadLocal), "beginning a graph"));
  Status enqueued = bucket->launch.Enqueue(*port_);
  if (enqueued.ok()) enqueued = port_->EnqueueFinish();
  // Also after a failure: the stream could not be used otherwise.
  CuGraph captured = nullptr;
  CuResult ended = api.stream_end_capture(port_->stream(), &captured);
  if (ended != kCuSuccess && captured == nullptr) {
    // Once more, as with all that gives back; a capture that has ended only says so.
    static_cast<void>(api.stream_end_capture(port_->stream(), &captured));
  }
  Graph graph;
  if (captured != nullptr) graph = Graph(device_, captured);
  GYR_RETURN_IF_ERROR(enqueued);
  GYR_RETURN_IF_ERROR(device_->Check(ended, "ending a graph"));
  CuGraphExec exec = nullptr;
  GYR_RETURN_IF_ERROR(
      device_->Check(api.graph_instantiate(&exec, graph.get(), 0), "making a graph"));
  bucket->exec = GraphExec(device_, exec);
  return Status::Ok();
}

Status BatchLookup::Launch(int64_t rows, DeviceReport* report) {
  const auto bucket = std::find_if(buckets_.begin(), buckets_.end(),
                                   [&](const Bucket& each) { return each.rows >= rows; });
  port_->Begin(rows);
  if (bucket->copies) {
    for (const Span& span : spans_) {
      GYR_RETURN_IF_ERROR(port_->EnqueueCopy(span.copy, span.begin, SpanBytes(span, rows, false)));
    }
  }
  GYR_RETURN_IF_ERROR(device_->Check(
      device_->api().graph_launch(bucket->exec.get(), port_->stream()), "launching a graph"));
  return port_->Wait(report);
}

Status BatchLookup::Run(int64_t rows, LookupReport* report) {
  if (rows == 0) return Status::Ok();
  const CurrentDevice current(*device_);
  GYR_RETURN_IF_ERROR(current.status());
  DeviceReport from{};
  const Status status = Launch(rows, &from);
  if (!status.ok()) {
    // Part of it may be under way: the batch's memory is its caller's again when this returns.
    static_cast<void>(port_->Drain());  // the first failure is the one to tell
    return status;
  }
  AddReport(from, 0, rows, report);
  if (report->failed) FindBadId(groups_[report->group], report);
  return Status::Ok();
}

size_t BatchLookup::device_bytes() const { return adds_.bytes() + copies_.bytes(); }

}  // namespace gyrfalcon::cuda

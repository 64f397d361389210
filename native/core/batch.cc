#include "core/batch.h"

#include <chrono>
#include <cstring>
#include <string>

namespace gyrfalcon {
namespace {

int64_t Nanoseconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

// What an input's number became; sums cannot overflow, `add` being 53 bits wide.
std::string Leads(int64_t given, int64_t id, int64_t add) {
  if (given == kUnusableId) return "one that is no 64-bit integer";
  const std::string text = std::to_string(given) + ", which leads to ";
  return text + (id == kUnusableId ? "no row" : std::to_string(id + add));
}

}  // namespace

Status Batch::CheckOffsets(int64_t rows) {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const InputSpec& spec = model_->spec().inputs[i];
    if (spec.kind != InputSpec::Kind::kRagged) continue;
    // Each offset is read once: JS may be writing them.
    const auto* given =
        reinterpret_cast<const volatile int32_t*>(arena_->data() + inputs_[i].offsets.offset);
    auto* checked = reinterpret_cast<int32_t*>(private_->data() + checked_offsets_[i].offset);
    const auto room = static_cast<int64_t>(inputs_[i].data.elements);
    int32_t before = 0;
    for (int64_t r = 0; r <= rows; ++r) {
      const int32_t offset = given[r];
      if ((r == 0 && offset != 0) || offset < before || offset > room) {
        return {ErrorCode::kInvalidOffsets,
                "expected offsets of input " + spec.name +
                    " to begin at 0, never to decrease and to stay within " + std::to_string(room) +
                    " indices but received " + std::to_string(offset) + " at position " +
                    std::to_string(r)};
      }
      checked[r] = offset;
      before = offset;
    }
  }
  return Status::Ok();
}

void Batch::CopyIds(int64_t rows) {
  for (const IdCopy& ids : id_copies_) {
    const BatchField& from = inputs_[ids.input].data;
    const size_t elements =
        from.row_elements == 0 ? from.elements : static_cast<size_t>(rows * from.row_elements);
    std::memcpy(private_->data() + ids.copy.offset, arena_->data() + from.offset,
                elements * DtypeBytes(from.dtype));
  }
}

void Batch::MapAllIds(int64_t rows) {
  for (MappedIds& mapped : mapped_) {
    if (mapped.offsets == nullptr) {
      MapIds(mapped.map, rows);
    } else {
      mapped.map.count = mapped.offsets[rows];
      MapIds(mapped.map, 1);
    }
  }
}

Status Batch::Fault(const LookupReport& report) const {
  const BagSpec& bag = model_->spec().bags[report.group];
  const TableSpec& table = model_->spec().tables[static_cast<size_t>(bag.table)];
  const InputSpec& input = model_->spec().inputs[static_cast<size_t>(bag.input)];
  int64_t add = 0;
  if (bag.add.size() == 1) add = bag.add[0];
  if (bag.add.size() > 1) add = bag.add[static_cast<size_t>(report.position)];
  const std::string place = input.name + ", row " + std::to_string(report.row) + ", position " +
                            std::to_string(report.position);
  if (const int index = mapped_of_bag_[report.group]; index >= 0) {
    const MappedIds& mapped = mapped_[static_cast<size_t>(index)];
    const bool ragged = mapped.offsets != nullptr;
    // Another thread may have written since: the text then shows what is there now.
    const int64_t given = ReadNumber(mapped.map.source, ragged ? 0 : report.row,
                                     report.position + (ragged ? mapped.offsets[report.row] : 0));
    return {ErrorCode::kIndexOutOfRange, "expected a number that leads to a row from 0 to " +
                                             std::to_string(table.rows - 1) + " of table " +
                                             table.name + " for input " + place + " but received " +
                                             Leads(given, report.value, add)};
  }
  return {ErrorCode::kIndexOutOfRange, "expected an id from " + std::to_string(-add) + " to " +
                                           std::to_string(table.rows - 1 - add) + " (table " +
                                           table.name + ") for input " + place + " but received " +
                                           std::to_string(report.value)};
}

Status Batch::Score(int64_t rows) {
  if (model_ == nullptr) return {ErrorCode::kModelClosed, "the model of this batch was closed"};
  ModelStats& stats = model_->stats();
  if (rows < 0 || rows > capacity_) {
    return {ErrorCode::kInvalidArgument, "expected 0 to " + std::to_string(capacity_) +
                                             " rows but received " + std::to_string(rows)};
  }
  stats.requests.fetch_add(1, std::memory_order_relaxed);
  const auto run = [&]() -> Status {
    const auto begin = std::chrono::steady_clock::now();
    GYR_RETURN_IF_ERROR(CheckOffsets(rows));
    if (!groups_.empty()) {
      MapAllIds(rows);
      LookupReport report;
      model_->backend().run({groups_.data(), groups_.size(), 0, rows, model_->policy()}, &report);
      if (report.failed) return Fault(report);
      if (report.zeroed != 0) {
        stats.zeroed.fetch_add(static_cast<uint64_t>(report.zeroed), std::memory_order_relaxed);
      }
    }
    const auto middle = std::chrono::steady_clock::now();
    const int64_t fixed = model_->spec().fixed_batch;
    const int64_t run_rows = fixed != 0 && rows > 0 ? fixed : rows;
    CopyIds(run_rows);
    GYR_RETURN_IF_ERROR(context_->Run(run_rows));
    const auto end = std::chrono::steady_clock::now();
    times_.lookup_ns.store(Nanoseconds(middle - begin), std::memory_order_relaxed);
    times_.engine_ns.store(Nanoseconds(end - middle), std::memory_order_relaxed);
    return Status::Ok();
  };
  Status status = run();
  if (status.ok()) {
    stats.rows.fetch_add(static_cast<uint64_t>(rows), std::memory_order_relaxed);
  } else {
    stats.failed.fetch_add(1, std::memory_order_relaxed);
  }
  return status;
}

void Batch::Cancel() {
  if (context_ != nullptr) context_->Cancel();
}

void Batch::Close() {
  context_.reset();
  groups_.clear();
  model_.reset();
}

}  // namespace gyrfalcon

// Ids on their way from a batch's inputs to the kernels or the engine: mapped, copied, and named
// when they are out of range.
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "core/batch.h"

namespace gyrfalcon {
namespace {

// Equal for bags that read the same ids in the same way.
std::vector<int64_t> IdMapKey(const BagSpec& bag, int64_t count) {
  std::vector<int64_t> key = {bag.input,
                              bag.start,
                              bag.step,
                              count,
                              bag.has_padding ? 1 : 0,
                              bag.padding_is_mapped ? 1 : 0,
                              bag.has_padding ? bag.padding : 0,
                              bag.length_input,
                              bag.length_element,
                              bag.length_from};
  for (const IdStep& step : bag.map) {
    key.insert(key.end(), {static_cast<int64_t>(step.op), static_cast<int64_t>(step.test), step.a,
                           step.b, step.place, step.keeps_zeros ? 1 : 0});
  }
  return key;
}

// What an input's number became; sums cannot overflow, `add` being 53 bits wide.
std::string Leads(int64_t given, int64_t id, int64_t add) {
  if (given == kUnusableId) return "one that is no 64-bit integer";
  const std::string text = std::to_string(given) + ", which leads to ";
  return text + (id == kUnusableId ? "no row" : std::to_string(id + add));
}

}  // namespace

Status Batch::LayOutIds(ArenaLayout* layout) {
  const ModelSpec& spec = model_->spec();
  std::map<std::vector<int64_t>, int> known;
  for (size_t i = 0; i < spec.bags.size(); ++i) {
    const BagSpec& bag = spec.bags[i];
    const auto input = static_cast<size_t>(bag.input);
    mapped_of_bag_.push_back(-1);
    if (!MapsIds(bag, spec.inputs[input])) continue;
    const bool ragged = spec.inputs[input].kind == InputSpec::Kind::kRagged;
    int64_t count = 0;
    if (!ragged) {
      Result<int64_t> resolved = Resolve(bag.count);
      if (!resolved.ok()) return resolved.status();
      count = *resolved;
    }
    const auto made = known.emplace(IdMapKey(bag, count), static_cast<int>(mapped_.size()));
    mapped_of_bag_.back() = made.first->second;
    if (!made.second) continue;
    const auto rows = static_cast<size_t>(capacity_);
    const size_t ids = ragged ? inputs_[input].data.elements : rows * static_cast<size_t>(count);
    Result<size_t> offset = layout->Add(ids, sizeof(int64_t));
    if (!offset.ok()) return offset.status();
    mapped_.push_back({static_cast<int>(i), *offset, {}, nullptr});
  }
  return Status::Ok();
}

// Lets a group read ids that MapAllIds will have resolved.
Status Batch::ReadMappedIds(size_t index, BagGroup* group) {
  const BagSpec& bag = model_->spec().bags[index];
  MappedIds& mapped = mapped_[static_cast<size_t>(mapped_of_bag_[index])];
  IdMap& map = mapped.map;
  map.out = reinterpret_cast<int64_t*>(private_->data() + mapped.offset);
  if (mapped.first_bag == static_cast<int>(index)) {
    const InputSpec& input = model_->spec().inputs[static_cast<size_t>(bag.input)];
    map.source = {static_cast<const std::byte*>(group->indices), input.dtype,
                  group->index_row_stride, group->index_step};
    map.count = group->count;
    map.steps = bag.map;
    map.has_padding = bag.has_padding;
    map.padding_is_mapped = bag.padding_is_mapped;
    map.padding = bag.padding;
    mapped.offsets = static_cast<const int32_t*>(group->offsets);
    if (bag.length_input >= 0) {
      const BatchField& field = inputs_[static_cast<size_t>(bag.length_input)].data;
      if (bag.length_element >= field.row_elements) {
        return {ErrorCode::kShapeMismatch,
                "expected a length in each row of input " +
                    model_->spec().inputs[static_cast<size_t>(bag.length_input)].name};
      }
      const size_t start =
          field.offset + static_cast<size_t>(bag.length_element) * DtypeBytes(field.dtype);
      map.has_length = true;
      map.length_from = bag.length_from;
      map.length = {arena_->data() + start, field.dtype, field.row_elements, 0};
    }
  }
  group->indices = map.out;
  group->indices_are_64 = true;
  group->index_row_stride = group->count;
  group->index_step = 1;
  group->has_padding = bag.has_padding || bag.length_input >= 0;
  group->padding = kMissingId;
  return Status::Ok();
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

void Batch::CopyIds(int64_t rows) {
  for (const IdCopy& ids : id_copies_) {
    const BatchField& from = inputs_[ids.input].data;
    const size_t elements =
        from.row_elements == 0 ? from.elements : static_cast<size_t>(rows * from.row_elements);
    std::memcpy(private_->data() + ids.copy.offset, arena_->data() + from.offset,
                elements * DtypeBytes(from.dtype));
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

}  // namespace gyrfalcon

// How a batch is laid out and bound, once; batch.cc scores it.
#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "core/batch.h"
#include "core/limits.h"

namespace gyrfalcon {
namespace {

// Before the memory is allocated.
Status CheckShared(size_t bytes) {
  if (bytes <= limits::kMaxSharedBytes) return Status::Ok();
  return {ErrorCode::kLimitExceeded,
          "expected inputs and outputs of at most " + std::to_string(limits::kMaxSharedBytes) +
              " bytes but this batch would have " + std::to_string(bytes) +
              "; create it with fewer rows or indices"};
}

bool IsFloat(Dtype dtype) {
  return dtype == Dtype::kF32 || dtype == Dtype::kF64 || dtype == Dtype::kF16 ||
         dtype == Dtype::kBF16;
}

}  // namespace

Result<std::shared_ptr<Batch>> Batch::Create(std::shared_ptr<const Model> model,
                                             const BatchOptions& options) {
  if (options.capacity < 1 || options.capacity > limits::kMaxBatchRows) {
    return {ErrorCode::kInvalidArgument,
            "expected a capacity of 1 to " + std::to_string(limits::kMaxBatchRows) +
                " rows but received " + std::to_string(options.capacity)};
  }
  const int64_t fixed = model->spec().fixed_batch;
  if (fixed != 0 && options.capacity > fixed) {
    return {ErrorCode::kInvalidArgument, "expected a capacity of at most " + std::to_string(fixed) +
                                             " rows, which the model was exported with, but "
                                             "received " +
                                             std::to_string(options.capacity)};
  }
  // A model with a fixed number of rows always runs all of them.
  const int64_t capacity = fixed != 0 ? fixed : options.capacity;
  std::shared_ptr<Batch> batch(new Batch(std::move(model), capacity));
  GYR_RETURN_IF_ERROR(batch->Build(options));
  return batch;
}

Status Batch::Build(const BatchOptions& options) {
  GYR_RETURN_IF_ERROR(ResolveSymbols(options));
  ArenaLayout layout;
  GYR_RETURN_IF_ERROR(LayOutInputs(options, &layout));
  GYR_RETURN_IF_ERROR(CheckShared(layout.size()));
  ArenaLayout hidden;
  GYR_RETURN_IF_ERROR(LayOutSlots(&hidden));
  GYR_RETURN_IF_ERROR(LayOutIds(&hidden));
  Result<std::shared_ptr<Arena>> secret = MakeArena(hidden.size());
  if (!secret.ok()) return secret.status();
  private_ = std::move(secret).value();
  GYR_RETURN_IF_ERROR(ResolveOutputShapes(layout.size()));
  for (BatchField& output : outputs_) {
    Result<size_t> offset = layout.Add(output.elements, DtypeBytes(output.dtype));
    if (!offset.ok()) return offset.status();
    output.offset = *offset;
  }
  GYR_RETURN_IF_ERROR(CheckShared(layout.size()));
  Result<std::shared_ptr<Arena>> arena = MakeArena(layout.size());
  if (!arena.ok()) return arena.status();
  arena_ = std::move(arena).value();
  GYR_RETURN_IF_ERROR(BuildGroups());
  GYR_RETURN_IF_ERROR(BuildDeviceLookup());
  return BindEngine();
}

// Pinned and mapped where the model's tables lie on a device: it reads ids and writes rows in
// place.
Result<std::shared_ptr<Arena>> Batch::MakeArena(size_t bytes) {
  const std::shared_ptr<cuda::Device>& device = model_->device().device;
  if (device == nullptr || bytes > limits::kMaxArenaBytes) return Arena::Create(bytes);
  Result<cuda::PinnedMemory> pinned = cuda::PinnedMemory::Allocate(device, ArenaBytes(bytes));
  if (!pinned.ok()) return pinned.status();
  pinned_.push_back(std::make_shared<cuda::PinnedMemory>(std::move(*pinned)));
  return Arena::Adopt(pinned_.back(), pinned_.back()->data(), pinned_.back()->bytes());
}

Status Batch::BuildDeviceLookup() {
  const ModelDevice& on = model_->device();
  if (on.device == nullptr || groups_.empty()) return Status::Ok();
  std::vector<const cuda::DeviceTable*> tables;
  for (const BagSpec& bag : model_->spec().bags) {
    tables.push_back(on.tables[static_cast<size_t>(bag.table)].get());
  }
  std::vector<const cuda::PinnedMemory*> memory;
  for (const auto& pinned : pinned_) memory.push_back(pinned.get());
  Result<std::unique_ptr<cuda::BatchLookup>> lookup =
      cuda::BatchLookup::Make(on.device, groups_, tables, memory, capacity_, model_->policy());
  if (!lookup.ok()) return lookup.status();
  device_lookup_ = std::move(*lookup);
  return Status::Ok();
}

Status Batch::ResolveSymbols(const BatchOptions& options) {
  const std::vector<SymbolSpec>& specs = model_->spec().symbols;
  for (size_t i = 0; i < specs.size(); ++i) {
    const int64_t asked = i < options.symbols.size() ? options.symbols[i] : 0;
    const int64_t size = asked != 0 ? asked : specs[i].default_size;
    if (size < 1 || size > limits::kMaxElementsPerRow) {
      return {ErrorCode::kInvalidArgument,
              "expected a size of at least 1 for the free dimension " + specs[i].name +
                  "; give it to createBatch as symbols: { " + specs[i].name + ": size }"};
    }
    symbols_.push_back(size);
  }
  return Status::Ok();
}

Result<int64_t> Batch::Resolve(const Extent& extent) const {
  switch (extent.kind) {
    case Extent::Kind::kFixed:
      return extent.value;
    case Extent::Kind::kSymbol:
      return symbols_[static_cast<size_t>(extent.symbol)];
    case Extent::Kind::kBatch:
      return EngineBinding::kRows;
    case Extent::Kind::kUnknown:
      break;
  }
  return {ErrorCode::kInternal, "an extent is not known"};
}

Status Batch::ShapeOf(const Shape& shape, BatchField* field) const {
  int64_t elements = 1;
  bool grows = false;
  for (const Extent& extent : shape) {
    Result<int64_t> resolved = Resolve(extent);
    if (!resolved.ok()) return resolved.status();
    field->dims.push_back(*resolved);
    if (*resolved == EngineBinding::kRows) {
      grows = true;
    } else if (__builtin_mul_overflow(elements, *resolved, &elements) ||
               elements > limits::kMaxElementsPerRow) {
      return {ErrorCode::kLimitExceeded,
              "expected at most " + std::to_string(limits::kMaxElementsPerRow) +
                  " elements per batch row; use smaller sizes for the free dimensions"};
    }
  }
  field->row_elements = grows ? elements : 0;
  // Both factors are bounded (2^28 and 2^24), so the product fits.
  field->elements = static_cast<size_t>(elements) * static_cast<size_t>(grows ? capacity_ : 1);
  return Status::Ok();
}

Status Batch::LayOutInputs(const BatchOptions& options, ArenaLayout* layout) {
  const std::vector<InputSpec>& specs = model_->spec().inputs;
  for (size_t i = 0; i < specs.size(); ++i) {
    const InputSpec& spec = specs[i];
    BatchInput input;
    input.data.dtype = spec.dtype;
    if (spec.kind == InputSpec::Kind::kTensor) {
      GYR_RETURN_IF_ERROR(ShapeOf(spec.shape, &input.data));
    } else {
      const int64_t asked = i < options.ragged_capacity.size() ? options.ragged_capacity[i] : 0;
      const int64_t most = std::numeric_limits<int32_t>::max();
      const int64_t room = asked != 0 ? asked : capacity_ * BatchOptions::kDefaultHotness;
      if (room < 1 || room > most) {
        return {ErrorCode::kInvalidArgument, "expected room for 1 to " + std::to_string(most) +
                                                 " indices of input " + spec.name +
                                                 " but received " + std::to_string(room)};
      }
      input.data.elements = static_cast<size_t>(room);
      input.offsets.dtype = Dtype::kI32;
      input.offsets.elements = static_cast<size_t>(capacity_) + 1;
      Result<size_t> offset = layout->Add(input.offsets.elements, sizeof(int32_t));
      if (!offset.ok()) return offset.status();
      input.offsets.offset = *offset;
      if (spec.has_weights) {
        input.weights.elements = input.data.elements;
        Result<size_t> weights = layout->Add(input.weights.elements, sizeof(float));
        if (!weights.ok()) return weights.status();
        input.weights.offset = *weights;
      }
    }
    Result<size_t> offset = layout->Add(input.data.elements, DtypeBytes(spec.dtype));
    if (!offset.ok()) return offset.status();
    input.data.offset = *offset;
    inputs_.push_back(std::move(input));
  }
  return Status::Ok();
}

Status Batch::LayOutSlots(ArenaLayout* layout) {
  for (const SlotSpec& spec : model_->spec().slots) {
    BatchField slot;
    GYR_RETURN_IF_ERROR(ShapeOf(spec.shape, &slot));
    Result<size_t> offset = layout->Add(slot.elements, sizeof(float));
    if (!offset.ok()) return offset.status();
    slot.offset = *offset;
    slots_.push_back(std::move(slot));
  }
  for (const BatchInput& input : inputs_) {
    BatchField checked;
    checked.dtype = Dtype::kI32;
    checked.elements = input.offsets.elements;
    Result<size_t> offset = layout->Add(checked.elements, sizeof(int32_t));
    if (!offset.ok()) return offset.status();
    checked.offset = *offset;
    checked_offsets_.push_back(std::move(checked));
  }
  for (const DenseInputSpec& spec : model_->spec().dense_inputs) {
    if (spec.slot >= 0) continue;
    const BatchField& field = inputs_[static_cast<size_t>(spec.input)].data;
    if (IsFloat(field.dtype)) continue;
    Result<size_t> offset = layout->Add(field.elements, DtypeBytes(field.dtype));
    if (!offset.ok()) return offset.status();
    id_copies_.push_back({static_cast<size_t>(spec.input), field});
    id_copies_.back().copy.offset = *offset;
  }
  return Status::Ok();
}

Status Batch::ResolveOutputShapes(size_t input_bytes) {
  const std::vector<OutputSpec>& specs = model_->spec().outputs;
  const auto unknown = [](const Extent& e) { return e.kind == Extent::Kind::kUnknown; };
  bool probe = false;
  for (const OutputSpec& spec : specs) {
    BatchField output;
    output.dtype = spec.dtype;
    if (std::any_of(spec.shape.begin(), spec.shape.end(), unknown) || spec.shape.empty()) {
      probe = true;
    } else {
      GYR_RETURN_IF_ERROR(ShapeOf(spec.shape, &output));
    }
    outputs_.push_back(std::move(output));
  }
  if (!probe) return Status::Ok();
  // The runs read zeroed inputs at the places that the batch's own will have.
  Result<std::shared_ptr<Arena>> zeros = Arena::Create(input_bytes);
  if (!zeros.ok()) return zeros.status();
  arena_ = std::move(zeros).value();
  // Two runs of different length tell the extents that follow the rows from those that do not.
  const int64_t fixed = model_->spec().fixed_batch;
  const int64_t few = fixed != 0 ? fixed : 1;
  const int64_t more = fixed != 0 ? fixed : std::min<int64_t>(2, capacity_);
  const std::vector<EngineBinding> inputs = DenseInputs();
  Result<std::vector<EngineOutput>> first = model_->engine().RunOnce(inputs, few);
  if (!first.ok()) return first.status();
  Result<std::vector<EngineOutput>> second = model_->engine().RunOnce(inputs, more);
  if (!second.ok()) return second.status();
  for (size_t i = 0; i < specs.size(); ++i) {
    BatchField& output = outputs_[i];
    if (!output.dims.empty()) continue;
    const std::vector<int64_t>* a = nullptr;
    const std::vector<int64_t>* b = nullptr;
    for (const EngineOutput& o : *first) {
      if (o.name == specs[i].name) a = &o.dims;
    }
    for (const EngineOutput& o : *second) {
      if (o.name == specs[i].name) b = &o.dims;
    }
    if (a == nullptr || b == nullptr || a->size() != b->size()) {
      return {ErrorCode::kEngineFailed, "output " + specs[i].name + " has no steady shape"};
    }
    Shape shape;
    for (size_t d = 0; d < a->size(); ++d) {
      const bool declared_batch =
          d < specs[i].shape.size() && specs[i].shape[d].kind == Extent::Kind::kBatch;
      const bool follows_rows = d == 0 && (declared_batch || ((*a)[d] == few && (*b)[d] == more &&
                                                              (few != more || capacity_ == 1)));
      if (follows_rows) {
        shape.push_back({Extent::Kind::kBatch, 0, -1});
      } else if ((*a)[d] == (*b)[d] && (*a)[d] >= 1) {
        shape.push_back({Extent::Kind::kFixed, (*a)[d], -1});
      } else {
        return {ErrorCode::kEngineFailed,
                "expected an output whose size follows from the rows of the batch but " +
                    specs[i].name + " changes in dimension " + std::to_string(d)};
      }
    }
    GYR_RETURN_IF_ERROR(ShapeOf(shape, &output));
    if (output.dims.empty()) output.elements = 1;  // a scalar
  }
  return Status::Ok();
}

Status Batch::BuildGroups() {
  groups_.reserve(model_->spec().bags.size());
  for (size_t i = 0; i < model_->spec().bags.size(); ++i) GYR_RETURN_IF_ERROR(BuildBag(i));
  return Status::Ok();
}

Status Batch::BuildBag(size_t index) {
  const ModelSpec& spec = model_->spec();
  const BagSpec& bag = spec.bags[index];
  const InputSpec& input = spec.inputs[static_cast<size_t>(bag.input)];
  const BatchInput& place = inputs_[static_cast<size_t>(bag.input)];
  const BatchField& slot = slots_[static_cast<size_t>(bag.slot)];
  BagGroup group;
  group.table = model_->tables()[static_cast<size_t>(bag.table)]->view();
  group.pooling = bag.pooling;
  group.has_padding = bag.has_padding;
  group.padding = bag.padding;
  group.indices_are_64 = input.dtype == Dtype::kI64;
  group.add = bag.add.empty() ? nullptr : bag.add.data();
  group.add_count = static_cast<int64_t>(bag.add.size());
  const std::byte* ids = arena_->data() + place.data.offset;
  if (input.kind == InputSpec::Kind::kRagged) {
    group.indices = ids;
    group.ragged_room = static_cast<int64_t>(place.data.elements);
    group.offsets = private_->data() + checked_offsets_[static_cast<size_t>(bag.input)].offset;
    if (bag.weights_input >= 0) {
      group.weights = reinterpret_cast<const float*>(arena_->data() + place.weights.offset);
    }
  } else {
    Result<int64_t> count = Resolve(bag.count);
    if (!count.ok()) return count.status();
    group.count = *count;
    // Ids and weights must lie inside their rows; with symbols that is known only now.
    const auto inside = [&](int64_t start, int64_t step, int64_t width) {
      int64_t last = 0;
      if (__builtin_mul_overflow(step, group.count - 1, &last)) return false;
      if (__builtin_add_overflow(last, start, &last)) return false;
      return start >= 0 && start < width && last >= 0 && last < width;
    };
    const bool add_fits = group.add_count <= 1 || group.add_count == group.count;
    const int64_t width = place.data.row_elements;
    const int64_t start = bag.start < 0 ? bag.start + width : bag.start;
    if (!inside(start, bag.step, width) || !add_fits) {
      return {ErrorCode::kShapeMismatch, "expected room for " + std::to_string(group.count) +
                                             " ids in each row of input " + input.name};
    }
    group.indices = ids + static_cast<size_t>(start) * DtypeBytes(input.dtype);
    group.index_row_stride = width;
    group.index_step = bag.step;
    if (bag.weights_input >= 0) {
      const BatchField& weights = inputs_[static_cast<size_t>(bag.weights_input)].data;
      if (!inside(bag.weights_start, bag.weights_step, weights.row_elements)) {
        return {ErrorCode::kShapeMismatch,
                "expected room for " + std::to_string(group.count) + " weights in each row of " +
                    spec.inputs[static_cast<size_t>(bag.weights_input)].name};
      }
      group.weights =
          reinterpret_cast<const float*>(arena_->data() + weights.offset) + bag.weights_start;
      group.weight_row_stride = weights.row_elements;
      group.weight_step = bag.weights_step;
    }
  }
  if (mapped_of_bag_[index] >= 0) GYR_RETURN_IF_ERROR(ReadMappedIds(index, &group));
  const int64_t width =
      bag.pooling == Pooling::kNone ? group.count * group.table.dim : group.table.dim;
  if (bag.slot_offset < 0 || bag.slot_offset + width > slot.row_elements) {
    return {ErrorCode::kShapeMismatch, "expected room for " + std::to_string(width) +
                                           " values in slot " +
                                           spec.slots[static_cast<size_t>(bag.slot)].name};
  }
  group.out = reinterpret_cast<float*>(private_->data() + slot.offset) + bag.slot_offset;
  group.out_row_stride = slot.row_elements;
  groups_.push_back(group);
  return Status::Ok();
}

std::vector<EngineBinding> Batch::DenseInputs() const {
  std::vector<EngineBinding> bindings;
  for (const DenseInputSpec& spec : model_->spec().dense_inputs) {
    const auto copied = std::find_if(id_copies_.begin(), id_copies_.end(), [&](const IdCopy& ids) {
      return spec.slot < 0 && ids.input == static_cast<size_t>(spec.input);
    });
    const bool hidden = spec.slot >= 0 || copied != id_copies_.end();
    const BatchField& field = spec.slot >= 0 ? slots_[static_cast<size_t>(spec.slot)]
                              : hidden       ? copied->copy
                                             : inputs_[static_cast<size_t>(spec.input)].data;
    std::byte* base = (hidden ? private_ : arena_)->data();
    bindings.push_back({spec.name, field.dtype, field.dims, base + field.offset,
                        field.elements * DtypeBytes(field.dtype)});
  }
  return bindings;
}

Status Batch::BindEngine() {
  std::vector<EngineBinding> outputs;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const BatchField& field = outputs_[i];
    outputs.push_back({model_->spec().outputs[i].name, field.dtype, field.dims,
                       arena_->data() + field.offset, field.elements * DtypeBytes(field.dtype)});
  }
  Result<std::unique_ptr<EngineContext>> context =
      model_->engine().CreateContext(DenseInputs(), std::move(outputs));
  if (!context.ok()) return context.status();
  context_ = std::move(context).value();
  return Status::Ok();
}

}  // namespace gyrfalcon

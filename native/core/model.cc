#include "core/model.h"

#include <string>
#include <utility>

#include "core/lookup_threads.h"

namespace gyrfalcon {
namespace {

const EngineTensorSpec* Find(const std::vector<EngineTensorSpec>& specs, const std::string& name) {
  for (const EngineTensorSpec& spec : specs) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

Status Mismatch(const std::string& what) {
  return {ErrorCode::kBundleInvalid, "dense graph and manifest disagree: " + what};
}

Status CheckTensor(const std::vector<EngineTensorSpec>& specs, const std::string& name, Dtype dtype,
                   const Shape& shape, const char* kind) {
  const EngineTensorSpec* found = Find(specs, name);
  if (found == nullptr) {
    return Mismatch("expected " + std::string(kind) + " " + name + " in the graph");
  }
  if (found->dtype != dtype) {
    return Mismatch("expected " + std::string(Info(dtype).name) + " for " + kind + " " + name +
                    " but the graph has " + std::string(Info(found->dtype).name));
  }
  // The graph may know less than the manifest (free dims); what both know must agree.
  const bool ranks_agree = found->dims.size() == shape.size() || found->dims.empty();
  if (!ranks_agree) {
    return Mismatch("expected rank " + std::to_string(shape.size()) + " for " + kind + " " + name +
                    " but the graph has rank " + std::to_string(found->dims.size()));
  }
  for (size_t i = 0; i < found->dims.size(); ++i) {
    if (shape[i].kind == Extent::Kind::kFixed && found->dims[i] >= 0 &&
        found->dims[i] != shape[i].value) {
      return Mismatch("expected extent " + std::to_string(shape[i].value) + " at dimension " +
                      std::to_string(i) + " of " + kind + " " + name + " but the graph has " +
                      std::to_string(found->dims[i]));
    }
  }
  return Status::Ok();
}

}  // namespace

Result<std::shared_ptr<const Model>> Model::Create(
    ModelSpec spec, std::vector<std::shared_ptr<const TableStorage>> tables,
    std::shared_ptr<Engine> engine, const LookupBackend* backend, OutOfRange policy,
    int lookup_threads, ModelDevice device) {
  if (backend == nullptr) {
    return {ErrorCode::kDeviceUnavailable,
            "GYRFALCON_CPU_ISA names an instruction set that this CPU or build cannot run"};
  }
  if (engine->inputs().size() != spec.dense_inputs.size()) {
    return Mismatch("expected " + std::to_string(spec.dense_inputs.size()) +
                    " graph inputs but the graph has " + std::to_string(engine->inputs().size()));
  }
  for (const DenseInputSpec& input : spec.dense_inputs) {
    const Shape& shape = input.slot >= 0 ? spec.slots[static_cast<size_t>(input.slot)].shape
                                         : spec.inputs[static_cast<size_t>(input.input)].shape;
    const Dtype dtype =
        input.slot >= 0 ? Dtype::kF32 : spec.inputs[static_cast<size_t>(input.input)].dtype;
    GYR_RETURN_IF_ERROR(CheckTensor(engine->inputs(), input.name, dtype, shape, "input"));
  }
  if (engine->outputs().size() != spec.outputs.size()) {
    return Mismatch("expected " + std::to_string(spec.outputs.size()) +
                    " graph outputs but the graph has " + std::to_string(engine->outputs().size()));
  }
  for (const OutputSpec& output : spec.outputs) {
    GYR_RETURN_IF_ERROR(
        CheckTensor(engine->outputs(), output.name, output.dtype, output.shape, "output"));
  }
  PrepareLookupThreads(lookup_threads);
  return std::shared_ptr<const Model>(new Model(std::move(spec), std::move(tables),
                                                std::move(engine), backend, policy, lookup_threads,
                                                std::move(device)));
}

}  // namespace gyrfalcon

#include "engines/onnxruntime/ort_graph.h"

#include <string>
#include <utility>

#include "bundle/quote.h"
#include "engines/onnxruntime/ort_status.h"

namespace gyrfalcon {
namespace {

using ort::TakeStatus;

constexpr std::string_view kReading = "describing a tensor";

Result<EngineTensorSpec> ReadSpec(ort::Api api, std::string name, const ort::OrtTypeInfo* type) {
  EngineTensorSpec spec;
  spec.name = std::move(name);
  int kind = 0;
  GYR_RETURN_IF_ERROR(TakeStatus(api, api[ort::kGetOnnxTypeFromTypeInfo](type, &kind), kReading));
  if (kind != ort::kTypeTensor) {
    return Status(ErrorCode::kOnnxUnsupported, "expected a tensor for " + Quote(spec.name) +
                                                   " but received a sequence, map or optional");
  }
  const ort::OrtTensorTypeAndShapeInfo* info = nullptr;
  GYR_RETURN_IF_ERROR(TakeStatus(api, api[ort::kCastTypeInfoToTensorInfo](type, &info), kReading));
  int onnx_dtype = 0;
  GYR_RETURN_IF_ERROR(
      TakeStatus(api, api[ort::kGetTensorElementType](info, &onnx_dtype), kReading));
  const std::optional<Dtype> dtype = DtypeFromOnnx(onnx_dtype);
  if (!dtype) {
    return Status(ErrorCode::kOnnxUnsupported,
                  "expected a number or bool element type for " + Quote(spec.name) +
                      " but received ONNX element type " + std::to_string(onnx_dtype));
  }
  spec.dtype = *dtype;
  spec.has_shape = api[ort::kTensorTypeAndShapeHasShape](info);
  if (!spec.has_shape) return spec;
  size_t rank = 0;
  GYR_RETURN_IF_ERROR(TakeStatus(api, api[ort::kGetDimensionsCount](info, &rank), kReading));
  spec.dims.resize(rank);
  GYR_RETURN_IF_ERROR(
      TakeStatus(api, api[ort::kGetDimensions](info, spec.dims.data(), rank), kReading));
  std::vector<const char*> names(rank);
  GYR_RETURN_IF_ERROR(
      TakeStatus(api, api[ort::kGetSymbolicDimensions](info, names.data(), rank), kReading));
  for (size_t i = 0; i < rank; ++i) {
    if (spec.dims[i] < 0) spec.dims[i] = -1;
    const bool named = spec.dims[i] < 0 && names[i] != nullptr;
    spec.names.emplace_back(named ? names[i] : "");
  }
  return spec;
}

}  // namespace

Status OrtGraph::ReadSpecs(bool outputs, std::vector<EngineTensorSpec>* specs) const {
  const ort::Api api = library_->api();
  const auto count_slot = outputs ? ort::kSessionGetOutputCount : ort::kSessionGetInputCount;
  const auto name_slot = outputs ? ort::kSessionGetOutputName : ort::kSessionGetInputName;
  const auto type_slot = outputs ? ort::kSessionGetOutputTypeInfo : ort::kSessionGetInputTypeInfo;
  size_t count = 0;
  GYR_RETURN_IF_ERROR(TakeStatus(api, api[count_slot](session_.get(), &count), kReading));
  for (size_t i = 0; i < count; ++i) {
    char* raw_name = nullptr;
    GYR_RETURN_IF_ERROR(TakeStatus(
        api, api[name_slot](session_.get(), i, library_->allocator(), &raw_name), kReading));
    std::string name = raw_name;
    GYR_RETURN_IF_ERROR(
        TakeStatus(api, api[ort::kAllocatorFree](library_->allocator(), raw_name), kReading));
    ort::Handle<ort::OrtTypeInfo> type(api);
    GYR_RETURN_IF_ERROR(TakeStatus(api, api[type_slot](session_.get(), i, type.Out()), kReading));
    Result<EngineTensorSpec> spec = ReadSpec(api, std::move(name), type.get());
    if (!spec.ok()) return spec.status();
    specs->push_back(std::move(*spec));
  }
  return Status::Ok();
}

Result<std::shared_ptr<const OrtGraph>> OrtGraph::Create(std::shared_ptr<OrtLibrary> library,
                                                         ort::Handle<ort::OrtSession> session) {
  OrtGraph graph(std::move(library), std::move(session));
  GYR_RETURN_IF_ERROR(graph.ReadSpecs(false, &graph.inputs_));
  GYR_RETURN_IF_ERROR(graph.ReadSpecs(true, &graph.outputs_));
  return std::shared_ptr<const OrtGraph>(std::make_shared<OrtGraph>(std::move(graph)));
}

}  // namespace gyrfalcon

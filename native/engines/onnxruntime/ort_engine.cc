#include "engines/onnxruntime/ort_engine.h"

#include <cstring>
#include <utility>
#include <vector>

#include "core/limits.h"
#include "engines/onnxruntime/onnx_guard.h"
#include "engines/onnxruntime/ort_context.h"
#include "engines/onnxruntime/ort_graph.h"
#include "engines/onnxruntime/ort_library.h"
#include "engines/onnxruntime/ort_status.h"
#include "engines/onnxruntime/ort_tensors.h"

namespace gyrfalcon {
namespace {

using ort::TakeStatus;

constexpr int kMaxThreads = 1024;

class OrtEngine final : public Engine {
 public:
  explicit OrtEngine(std::shared_ptr<const OrtGraph> graph) : graph_(std::move(graph)) {}

  std::string_view name() const override { return "onnxruntime"; }
  std::string_view version() const override { return graph_->library().version(); }
  const std::vector<EngineTensorSpec>& inputs() const override { return graph_->inputs(); }
  const std::vector<EngineTensorSpec>& outputs() const override { return graph_->outputs(); }

  Result<std::unique_ptr<EngineContext>> CreateContext(
      std::vector<EngineBinding> inputs, std::vector<EngineBinding> outputs) override {
    return OrtContext::Create(graph_, std::move(inputs), std::move(outputs));
  }

  Result<std::vector<EngineOutput>> RunOnce(const std::vector<EngineBinding>& inputs,
                                            int64_t rows) override;

 private:
  std::shared_ptr<const OrtGraph> graph_;
};

Result<std::vector<int64_t>> DimsOf(ort::Api api, const ort::OrtValue* value) {
  constexpr std::string_view kDoing = "reading the shape of an output";
  ort::Handle<ort::OrtTensorTypeAndShapeInfo> info(api);
  GYR_RETURN_IF_ERROR(TakeStatus(api, api[ort::kGetTensorTypeAndShape](value, info.Out()), kDoing));
  size_t rank = 0;
  GYR_RETURN_IF_ERROR(TakeStatus(api, api[ort::kGetDimensionsCount](info.get(), &rank), kDoing));
  std::vector<int64_t> dims(rank);
  GYR_RETURN_IF_ERROR(
      TakeStatus(api, api[ort::kGetDimensions](info.get(), dims.data(), rank), kDoing));
  return dims;
}

Result<EngineOutput> CopyOut(ort::Api api, const EngineTensorSpec& spec, ort::OrtValue* value) {
  EngineOutput output;
  output.name = spec.name;
  output.dtype = spec.dtype;
  Result<std::vector<int64_t>> dims = DimsOf(api, value);
  if (!dims.ok()) return dims.status();
  output.dims = std::move(*dims);
  size_t bytes = DtypeBytes(spec.dtype);
  for (const int64_t dim : output.dims) bytes *= static_cast<size_t>(dim);
  output.data.resize(bytes);
  void* data = nullptr;
  GYR_RETURN_IF_ERROR(
      TakeStatus(api, api[ort::kGetTensorMutableData](value, &data), "reading an output"));
  if (bytes != 0) std::memcpy(output.data.data(), data, bytes);
  return output;
}

Result<std::vector<EngineOutput>> OrtEngine::RunOnce(const std::vector<EngineBinding>& inputs,
                                                     int64_t rows) {
  const ort::Api api = graph_->api();
  OrtRowLimits limits;
  limits.max_rows = limits::kMaxBatchRows;
  Result<std::vector<OrtTensor>> tensors =
      MatchBindings(graph_->inputs(), inputs, "input", &limits);
  if (!tensors.ok()) return tensors.status();
  GYR_RETURN_IF_ERROR(CheckRows(limits, rows));
  if (limits.has_per_row && rows == 0) {
    return Status(ErrorCode::kInvalidArgument, "expected rows of at least 1 but received 0");
  }

  std::vector<ort::Handle<ort::OrtValue>> owned;
  std::vector<const ort::OrtValue*> values;
  std::vector<const char*> input_names;
  for (const OrtTensor& tensor : *tensors) {
    owned.emplace_back(api);
    GYR_RETURN_IF_ERROR(MakeValue(graph_->library(), tensor, rows, &owned.back()));
    values.push_back(owned.back().get());
    input_names.push_back(tensor.binding.name.c_str());
  }
  std::vector<const char*> output_names;
  for (const EngineTensorSpec& spec : graph_->outputs()) output_names.push_back(spec.name.c_str());
  std::vector<ort::OrtValue*> results(output_names.size(), nullptr);

  ort::Handle<ort::OrtRunOptions> run_options(api);
  GYR_RETURN_IF_ERROR(
      TakeStatus(api, api[ort::kCreateRunOptions](run_options.Out()), "preparing a run"));
  GYR_RETURN_IF_ERROR(TakeStatus(
      api, api[ort::kRunOptionsSetRunLogSeverityLevel](run_options.get(), ort::kLogFatal),
      "preparing a run"));
  const Status run = TakeStatus(
      api,
      api[ort::kRun](graph_->session(), run_options.get(), input_names.data(), values.data(),
                     values.size(), output_names.data(), output_names.size(), results.data()),
      "running the graph");
  std::vector<ort::Handle<ort::OrtValue>> outputs;
  for (ort::OrtValue* result : results) outputs.emplace_back(api, result);
  GYR_RETURN_IF_ERROR(run);

  std::vector<EngineOutput> copies;
  for (size_t i = 0; i < outputs.size(); ++i) {
    Result<EngineOutput> copy = CopyOut(api, graph_->outputs()[i], outputs[i].get());
    if (!copy.ok()) return copy.status();
    copies.push_back(std::move(copy).value());
  }
  return copies;
}

Status Configure(ort::Api api, const EngineOptions& options, ort::OrtSessionOptions* session) {
  constexpr std::string_view kDoing = "configuring a session";
  if (options.threads < 1 || options.threads > kMaxThreads) {
    return Status(ErrorCode::kInvalidArgument, "expected 1 to " + std::to_string(kMaxThreads) +
                                                   " for threads but received " +
                                                   std::to_string(options.threads));
  }
  ort::OrtStatus* const steps[] = {
      api[ort::kSetIntraOpNumThreads](session, options.threads),
      // Parallelism across operators needs a second pool and does not suit chains of layers;
      // parallelism across batches is the scorer's.
      api[ort::kSetSessionExecutionMode](session, ort::kSequential),
      api[ort::kSetInterOpNumThreads](session, 1),
      api[ort::kSetSessionGraphOptimizationLevel](session, ort::kOptimizeAll),
      // Memory patterns are kept for every set of input shapes there ever was, so batches of all
      // sizes would grow without a bound, for 0.5 of 17 us (four layers, one row) at best. The
      // arena keeps memory for the next run either way.
      api[ort::kDisableMemPattern](session),
      api[ort::kEnableCpuMemArena](session),
      api[ort::kSetSessionLogSeverityLevel](session, ort::kLogFatal),
      // Waiting threads sleep: with spinning, two engines on the same cores starve each other.
      api[ort::kAddSessionConfigEntry](session, "session.intra_op.allow_spinning", "0"),
      api[ort::kAddSessionConfigEntry](session, "session.inter_op.allow_spinning", "0"),
      // Without this, bytes in the library's own format are recognised and pass the guard's rules.
      api[ort::kAddSessionConfigEntry](session, "session.load_model_format", "ONNX"),
      // Weights do not come out of the arena, which grows by doubling and never shrinks.
      api[ort::kAddSessionConfigEntry](session, "session.use_device_allocator_for_initializers",
                                       "1"),
      // Scores are the same as the original model's, denormals included. It is the default, and a
      // thread's floating-point mode is not the library's to change.
      api[ort::kAddSessionConfigEntry](session, "session.set_denormal_as_zero", "0"),
  };
  Status first;
  for (ort::OrtStatus* step : steps) {
    Status status = TakeStatus(api, step, kDoing);  // each has to be released
    if (first.ok()) first = std::move(status);
  }
  return first;
}

// `create` makes the session: from bytes or from a file.
template <typename Create>
Result<std::shared_ptr<Engine>> CreateEngine(std::shared_ptr<OrtLibrary> library,
                                             const EngineOptions& options, Create create) {
  const ort::Api api = library->api();
  ort::Handle<ort::OrtSessionOptions> session_options(api);
  GYR_RETURN_IF_ERROR(TakeStatus(api, api[ort::kCreateSessionOptions](session_options.Out()),
                                 "configuring a session"));
  GYR_RETURN_IF_ERROR(Configure(api, options, session_options.get()));
  ort::Handle<ort::OrtSession> session(api);
  GYR_RETURN_IF_ERROR(
      TakeStatus(api, create(session_options.get(), session.Out()), "loading the graph"));
  Result<std::shared_ptr<const OrtGraph>> graph =
      OrtGraph::Create(std::move(library), std::move(session));
  if (!graph.ok()) return graph.status();
  return std::shared_ptr<Engine>(std::make_shared<OrtEngine>(std::move(*graph)));
}

}  // namespace

Result<std::shared_ptr<Engine>> CreateOrtEngine(std::shared_ptr<OrtLibrary> library,
                                                std::span<const std::byte> model,
                                                const EngineOptions& options) {
  GYR_RETURN_IF_ERROR(CheckOnnxBytes(model));
  const OrtLibrary& opened = *library;
  return CreateEngine(
      std::move(library), options,
      [&](const ort::OrtSessionOptions* session_options, ort::OrtSession** session) {
        return opened.api()[ort::kCreateSessionFromArray](opened.env(), model.data(), model.size(),
                                                          session_options, session);
      });
}

Result<std::shared_ptr<Engine>> CreateOrtEngineFromFile(std::shared_ptr<OrtLibrary> library,
                                                        const std::string& path,
                                                        const EngineOptions& options) {
  const OrtLibrary& opened = *library;
  return CreateEngine(
      std::move(library), options,
      [&](const ort::OrtSessionOptions* session_options, ort::OrtSession** session) {
        return opened.api()[ort::kCreateSession](opened.env(), path.c_str(), session_options,
                                                 session);
      });
}

}  // namespace gyrfalcon

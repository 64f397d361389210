#include "engines/fused/fused_engine.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "bundle/allocation_guard.h"
#include "core/row_helpers.h"
#include "engines/fused/bindings.h"
#include "engines/fused/fused_context.h"
#include "engines/fused/shapes.h"
#include "engines/fused/x_scales.h"

namespace gyrfalcon::fused {
namespace {

constexpr int kMaxThreads = 1024;
constexpr size_t kAlign = 64;

size_t RoundUp(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

EngineTensorSpec SpecOf(const std::string& name, Dtype dtype, bool batched, const Shape& shape,
                        const std::vector<std::string>& symbols) {
  EngineTensorSpec spec;
  spec.name = name;
  spec.dtype = dtype;
  if (batched) {
    spec.dims.push_back(-1);
    spec.names.emplace_back("batch");
  }
  for (const Extent& extent : shape) {
    const bool symbol = extent.kind == Extent::Kind::kSymbol;
    spec.dims.push_back(symbol ? -1 : extent.value);
    if (spec.dims.back() < 0) spec.names.push_back(symbols[static_cast<size_t>(extent.symbol)]);
  }
  return spec;
}

class FusedEngine final : public Engine {
 public:
  explicit FusedEngine(std::shared_ptr<const FusedModel> model) : model_(std::move(model)) {
    for (const GraphInput& input : model_->graph.inputs) {
      inputs_.push_back(
          SpecOf(input.name, input.dtype, input.batched, input.shape, model_->symbols));
    }
    for (const GraphOutput& output : model_->graph.outputs) {
      outputs_.push_back(SpecOf(output.name, Dtype::kF32, true, output.shape, model_->symbols));
    }
  }

  std::string_view name() const override { return "fused"; }
  std::string_view version() const override { return GYRFALCON_VERSION; }
  std::string_view precision() const override {
    switch (model_->precision) {
      case Precision::kBf16:
        return "bf16";
      case Precision::kInt8:
        return "int8";
      case Precision::kF32:
        break;
    }
    return "f32";
  }
  const std::vector<EngineTensorSpec>& inputs() const override { return inputs_; }
  const std::vector<EngineTensorSpec>& outputs() const override { return outputs_; }

  Result<std::unique_ptr<EngineContext>> CreateContext(
      std::vector<EngineBinding> inputs, std::vector<EngineBinding> outputs) override {
    return GuardAllocation([&]() -> Result<std::unique_ptr<EngineContext>> {
      return FusedContext::Create(model_, inputs, outputs);
    });
  }

  Result<std::vector<EngineOutput>> RunOnce(const std::vector<EngineBinding>& inputs,
                                            int64_t rows) override {
    return GuardAllocation([&] { return Once(inputs, rows); });
  }

 private:
  Result<std::vector<EngineOutput>> Once(const std::vector<EngineBinding>& inputs, int64_t rows);

  std::shared_ptr<const FusedModel> model_;
  std::vector<EngineTensorSpec> inputs_;
  std::vector<EngineTensorSpec> outputs_;
};

Result<std::vector<EngineOutput>> FusedEngine::Once(const std::vector<EngineBinding>& inputs,
                                                    int64_t rows) {
  GYR_RETURN_IF_ERROR(CheckRowCount(rows));
  Result<std::vector<int64_t>> symbols = SymbolsOf(model_->graph, inputs, {});
  if (!symbols.ok()) return symbols.status();
  // Before memory of the outputs' sizes is asked for.
  GYR_RETURN_IF_ERROR(InferShapes(model_->graph, symbols.value()).status());
  std::vector<EngineOutput> results;
  std::vector<EngineBinding> outputs;
  for (const GraphOutput& output : model_->graph.outputs) {
    EngineOutput& result = results.emplace_back();
    result.name = output.name;
    EngineBinding binding;
    binding.name = output.name;
    binding.dims.push_back(EngineBinding::kRows);
    result.dims.push_back(rows);
    size_t bytes = sizeof(float) * static_cast<size_t>(rows);
    for (const Extent& extent : output.shape) {
      const int64_t dim = extent.kind == Extent::Kind::kSymbol
                              ? (*symbols)[static_cast<size_t>(extent.symbol)]
                              : extent.value;
      if (__builtin_mul_overflow(bytes, static_cast<size_t>(dim), &bytes)) {
        return {ErrorCode::kLimitExceeded, "expected outputs that fit memory"};
      }
      result.dims.push_back(dim);
      binding.dims.push_back(dim);
    }
    result.data.resize(bytes);
    binding.data = result.data.data();
    binding.bytes = bytes;
    outputs.push_back(std::move(binding));
  }
  Result<std::unique_ptr<EngineContext>> context = FusedContext::Create(model_, inputs, outputs);
  if (!context.ok()) return context.status();
  GYR_RETURN_IF_ERROR((*context)->Run(rows));
  return results;
}

// Which constants are read as they are, and which are packed.
struct Uses {
  std::vector<bool> plain;
  std::vector<bool> packed;
};

Uses FindUses(const Graph& graph) {
  Uses uses{std::vector<bool>(graph.constants.size()), std::vector<bool>(graph.constants.size())};
  const auto first = graph.inputs.size();
  const auto plain = [&](int value) {
    const auto number = static_cast<size_t>(value);
    if (value >= 0 && number >= first && number - first < graph.constants.size()) {
      uses.plain[number - first] = true;
    }
  };
  for (const Node& node : graph.nodes) {
    for (size_t i = 0; i < node.in.size(); ++i) {
      if (node.op == Op::kLinear && i == 1) {
        uses.packed[static_cast<size_t>(node.in[i]) - first] = true;
      } else {
        plain(node.in[i]);
      }
    }
    for (const int value :
         {node.bias, node.mul, node.add, node.gamma, node.beta, node.act.slope, node.act.scale,
          node.act.shift, node.post.slope, node.post.scale, node.post.shift}) {
      plain(value);
    }
  }
  return uses;
}

size_t Bytes(const GraphConstant& constant) {
  size_t bytes = sizeof(float);
  for (const int64_t extent : constant.shape) bytes *= static_cast<size_t>(extent);
  return bytes;
}

// Moves constants and packed weights into memory of their own; what was loaded is then freed.
Status Pack(const GemmKernels& kernels, Precision precision, FusedModel* model) {
  Graph& graph = model->graph;
  const Uses uses = FindUses(graph);
  const Result<std::vector<const float*>> x_scales = FindXScales(graph);
  if (!x_scales.ok()) return x_scales.status();
  size_t total = kAlign;
  for (size_t i = 0; i < graph.constants.size(); ++i) {
    const GraphConstant& constant = graph.constants[i];
    if (uses.plain[i]) total += RoundUp(Bytes(constant));
    if (uses.packed[i]) {
      total += RoundUp(PackedBytes(kernels, constant.shape[0], constant.shape[1], precision));
    }
  }
  Result<TableMemory> memory = TableMemory::Allocate(total);
  if (!memory.ok()) return memory.status();
  model->memory = std::move(memory).value();
  model->weights.resize(graph.constants.size());
  std::byte* next = model->memory.data();
  for (size_t i = 0; i < graph.constants.size(); ++i) {
    GraphConstant& constant = graph.constants[i];
    if (uses.packed[i]) {
      const int64_t k = constant.shape[0];
      const int64_t n = constant.shape[1];
      model->weights[i] =
          PackWeights(kernels, constant.data, k, n, precision, next, x_scales.value()[i]);
      next += RoundUp(PackedBytes(kernels, k, n, precision));
    }
    const float* const loaded = std::exchange(constant.data, nullptr);
    if (uses.plain[i]) {
      std::memcpy(next, loaded, Bytes(constant));
      constant.data = reinterpret_cast<const float*>(next);
      next += RoundUp(Bytes(constant));
    }
  }
  return Status::Ok();
}

// Shapes with the default sizes, unless a symbol has none.
Status CheckShapes(const LoadedGraph& loaded) {
  for (const GraphInput& input : loaded.graph.inputs) {
    for (const Extent& extent : input.shape) {
      if (extent.kind == Extent::Kind::kSymbol &&
          loaded.symbol_defaults[static_cast<size_t>(extent.symbol)] == 0) {
        return Status::Ok();
      }
    }
  }
  return InferShapes(loaded.graph, loaded.symbol_defaults).status();
}

Result<std::shared_ptr<Engine>> Create(LoadedGraph loaded, const FusedOptions& options) {
  if (options.threads < 1 || options.threads > kMaxThreads) {
    return {ErrorCode::kInvalidArgument, "expected 1 to " + std::to_string(kMaxThreads) +
                                             " for threads but received " +
                                             std::to_string(options.threads)};
  }
  const GemmKernels* const gemm = options.gemm != nullptr ? options.gemm : ActiveGemmKernels();
  const OpKernels* const ops = options.ops != nullptr ? options.ops : ActiveOpKernels();
  if (gemm == nullptr || ops == nullptr) {
    return {ErrorCode::kDeviceUnavailable,
            "GYRFALCON_CPU_ISA names an instruction set that this CPU or build cannot run"};
  }
  GYR_RETURN_IF_ERROR(CheckShapes(loaded));
  auto model = std::make_shared<FusedModel>();
  model->graph = std::move(loaded.graph);
  model->symbols = std::move(loaded.symbols);
  model->ops = ops;
  model->precision = options.precision;
  model->threads = std::min(options.threads, kMaxHelpers + 1);
  GYR_RETURN_IF_ERROR(Pack(*gemm, options.precision, model.get()));
  if (model->threads > 1) StartHelpers(model->threads - 1);
  return std::shared_ptr<Engine>(std::make_shared<FusedEngine>(std::move(model)));
}

}  // namespace

Result<std::shared_ptr<Engine>> CreateFusedEngine(LoadedGraph loaded, const FusedOptions& options) {
  return GuardAllocation([&] { return Create(std::move(loaded), options); });
}

}  // namespace gyrfalcon::fused

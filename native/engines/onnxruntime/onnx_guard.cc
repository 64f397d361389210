#include "engines/onnxruntime/onnx_guard.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "bundle/quote.h"
#include "core/limits.h"
#include "engines/onnxruntime/wire_reader.h"

namespace gyrfalcon {
namespace {

// Messages that are walked. What a message contains beside its rules is skipped.
enum class Kind : uint8_t {
  kModel,
  kGraph,
  kNode,
  kAttribute,
  kTensor,
  kValueInfo,
  kType,
  kSequenceType,  // also of optional types: the element type is field 1
  kMapType,
};

enum class Action : uint8_t {
  kDescend,      // into each of a repeated field's messages
  kDescendOnce,  // a second one would be merged into the first by a parser, unseen by the checks
  kRefuse,       // a feature: `text` names it
  kDomain,       // of an operator
  kDims,         // of a tensor
  kData,         // of a tensor
  kLocation,     // of a tensor's data: 0 is inside the file
};

struct Rule {
  Kind parent;
  uint32_t field;
  Action action;
  Kind child = Kind::kModel;
  const char* text = "";
};

constexpr const char* kExternal = "external data";
constexpr const char* kSparse = "a sparse tensor";

constexpr auto kRules = std::to_array<Rule>({
    {Kind::kModel, 7, Action::kDescendOnce, Kind::kGraph},
    {Kind::kModel, 20, Action::kRefuse, {}, "training information"},
    {Kind::kModel, 25, Action::kRefuse, {}, "a function of its own"},
    {Kind::kGraph, 1, Action::kDescend, Kind::kNode},
    {Kind::kGraph, 5, Action::kDescend, Kind::kTensor},
    {Kind::kGraph, 11, Action::kDescend, Kind::kValueInfo},
    {Kind::kGraph, 12, Action::kDescend, Kind::kValueInfo},
    {Kind::kGraph, 13, Action::kDescend, Kind::kValueInfo},
    {Kind::kGraph, 15, Action::kRefuse, {}, kSparse},
    {Kind::kNode, 5, Action::kDescend, Kind::kAttribute},
    {Kind::kNode, 7, Action::kDomain},
    {Kind::kAttribute, 5, Action::kDescendOnce, Kind::kTensor},
    {Kind::kAttribute, 6, Action::kDescendOnce, Kind::kGraph},
    {Kind::kAttribute, 10, Action::kDescend, Kind::kTensor},
    {Kind::kAttribute, 11, Action::kDescend, Kind::kGraph},
    {Kind::kAttribute, 14, Action::kDescendOnce, Kind::kType},
    {Kind::kAttribute, 15, Action::kDescend, Kind::kType},
    {Kind::kAttribute, 22, Action::kRefuse, {}, kSparse},
    {Kind::kAttribute, 23, Action::kRefuse, {}, kSparse},
    {Kind::kTensor, 1, Action::kDims},
    {Kind::kTensor, 3, Action::kRefuse, {}, "a tensor in segments"},
    {Kind::kTensor, 4, Action::kData},
    {Kind::kTensor, 5, Action::kData},
    {Kind::kTensor, 6, Action::kData},
    {Kind::kTensor, 7, Action::kData},
    {Kind::kTensor, 9, Action::kData},
    {Kind::kTensor, 10, Action::kData},
    {Kind::kTensor, 11, Action::kData},
    {Kind::kTensor, 13, Action::kRefuse, {}, kExternal},
    {Kind::kTensor, 14, Action::kLocation},
    {Kind::kValueInfo, 2, Action::kDescendOnce, Kind::kType},
    {Kind::kType, 4, Action::kDescendOnce, Kind::kSequenceType},
    {Kind::kType, 5, Action::kDescendOnce, Kind::kMapType},
    {Kind::kType, 7, Action::kRefuse, {}, "an opaque type"},
    {Kind::kType, 8, Action::kRefuse, {}, kSparse},
    {Kind::kType, 9, Action::kDescendOnce, Kind::kSequenceType},
    {Kind::kSequenceType, 1, Action::kDescendOnce, Kind::kType},
    {Kind::kMapType, 2, Action::kDescendOnce, Kind::kType},
});

const Rule* FindRule(Kind parent, uint32_t field) {
  for (const Rule& rule : kRules) {
    if (rule.parent == parent && rule.field == field) return &rule;
  }
  return nullptr;
}

// Graph, node and attribute for each level of subgraphs, a tensor or a type below them.
constexpr size_t kMaxFrames = 32;

// The smallest element types (two bits) hold four elements in a byte of data.
constexpr uint64_t kMaxElementsPerByte = 4;

struct Frame {
  Kind kind = Kind::kModel;
  size_t end = 0;
  int depth = 0;              // of subgraphs
  uint32_t seen = 0;          // bit set of fields that may come once
  uint64_t elements = 1;      // kTensor: product of the dims so far, saturating
  bool has_zero_dim = false;  // kTensor
  uint64_t data_bytes = 0;    // kTensor
};

class Walker {
 public:
  explicit Walker(std::span<const std::byte> bytes) : bytes_(bytes), reader_(bytes) {}

  Status Run() {
    frames_[0].end = bytes_.size();
    count_ = 1;
    while (count_ > 0) {
      Frame& frame = frames_[count_ - 1];
      if (position_ == frame.end) {
        GYR_RETURN_IF_ERROR(Close(frame));
        --count_;
        continue;
      }
      const std::optional<WireField> field = reader_.Field(&position_, frame.end);
      if (!field) return Malformed();
      if (const Rule* rule = FindRule(frame.kind, field->number)) {
        GYR_RETURN_IF_ERROR(Apply(*rule, *field, &frame));
      }
    }
    return Status::Ok();
  }

 private:
  Status Malformed() const { return Invalid(reader_.error()); }

  Status Invalid(std::string_view what) const {
    std::string text = "expected an ONNX model but received ";
    text += what;
    text += " at byte ";
    text += std::to_string(position_);
    return Status(ErrorCode::kOnnxInvalid, std::move(text));
  }

  static Status Unsupported(const std::string& what) {
    return Status(
        ErrorCode::kOnnxUnsupported,
        "expected a self-contained ONNX graph of standard operators but received " + what);
  }

  Status Apply(const Rule& rule, const WireField& field, Frame* frame) {
    switch (rule.action) {
      case Action::kDescendOnce:
        if ((frame->seen & (1U << rule.field)) != 0) return Invalid("a field twice");
        frame->seen |= 1U << rule.field;
        [[fallthrough]];
      case Action::kDescend:
        return Open(rule.child, field, *frame);
      case Action::kRefuse:
        return Unsupported(rule.text);
      case Action::kDomain:
        return CheckDomain(field);
      case Action::kDims:
        return AddDims(field, frame);
      case Action::kData:
        frame->data_bytes += field.size;
        // Each string takes part of an element at least, also an empty one.
        if (field.size == 0) frame->data_bytes += 1;
        return Status::Ok();
      case Action::kLocation:
        if (field.type != WireType::kVarint) return Invalid("a field of the wrong type");
        return field.value == 0 ? Status::Ok() : Unsupported(kExternal);
    }
    return Status(ErrorCode::kInternal, "a rule without an action");
  }

  Status Open(Kind kind, const WireField& field, const Frame& parent) {
    if (field.type != WireType::kBytes) return Invalid("a field of the wrong type");
    const bool subgraph = kind == Kind::kGraph && parent.kind != Kind::kModel;
    const int depth = parent.depth + (subgraph ? 1 : 0);
    if (depth > kMaxSubgraphDepth) {
      return Unsupported("subgraphs nested more than " + std::to_string(kMaxSubgraphDepth) +
                         " deep");
    }
    if (count_ == kMaxFrames) return Unsupported("types nested too deep");
    frames_[count_++] = Frame{.kind = kind, .end = field.begin + field.size, .depth = depth};
    position_ = field.begin;
    return Status::Ok();
  }

  Status Close(const Frame& frame) const {
    if (frame.kind == Kind::kModel && (frame.seen & (1U << 7)) == 0) return Invalid("no graph");
    if (frame.kind == Kind::kTensor && !frame.has_zero_dim &&
        frame.elements / kMaxElementsPerByte > frame.data_bytes) {
      return Invalid("a tensor with more elements than data");
    }
    return Status::Ok();
  }

  Status CheckDomain(const WireField& field) const {
    if (field.type != WireType::kBytes) return Invalid("a field of the wrong type");
    const std::string_view domain(reinterpret_cast<const char*>(bytes_.data()) + field.begin,
                                  field.size);
    if (domain.empty() || domain == "ai.onnx") return Status::Ok();
    return Unsupported("an operator of domain " + Quote(domain));
  }

  // One dim, or several packed into one field.
  Status AddDims(const WireField& field, Frame* frame) {
    if (field.type == WireType::kVarint) return AddDim(field.value, frame);
    if (field.type != WireType::kBytes) return Invalid("a field of the wrong type");
    const size_t end = field.begin + field.size;
    for (size_t position = field.begin; position < end;) {
      const std::optional<uint64_t> dim = reader_.Varint(&position, end);
      if (!dim) return Malformed();
      GYR_RETURN_IF_ERROR(AddDim(*dim, frame));
    }
    return Status::Ok();
  }

  Status AddDim(uint64_t dim, Frame* frame) const {
    if (static_cast<int64_t>(dim) < 0) return Invalid("a negative dimension");
    if (dim == 0) {
      frame->has_zero_dim = true;
    } else if (frame->elements > UINT64_MAX / dim) {
      frame->elements = UINT64_MAX;
    } else {
      frame->elements *= dim;
    }
    return Status::Ok();
  }

  std::span<const std::byte> bytes_;
  WireReader reader_;
  std::array<Frame, kMaxFrames> frames_;
  size_t count_ = 0;
  size_t position_ = 0;
};

}  // namespace

Status CheckOnnxBytes(std::span<const std::byte> model) {
  if (model.size() > limits::kMaxDenseGraphBytes) {
    return Status(ErrorCode::kLimitExceeded,
                  "expected at most " + std::to_string(limits::kMaxDenseGraphBytes) +
                      " bytes for an ONNX model but received " + std::to_string(model.size()));
  }
  return Walker(model).Run();
}

}  // namespace gyrfalcon

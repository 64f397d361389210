// The nodes of fused.json: keys, operands and constants of each operator.
#include <array>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "core/limits.h"
#include "engines/fused/graph_fields.h"

namespace gyrfalcon::fused {
namespace {

constexpr std::array<std::string_view, 16> kOpNames = {
    "linear",     "matmul", "pairwise_dot", "unary",  "binary",  "where",     "reduce", "softmax",
    "layer_norm", "concat", "slice",        "gather", "reshape", "transpose", "expand", "iota"};

// In the order of ActFn, from kRelu on.
constexpr std::array<std::string_view, 36> kActNames = {
    "relu",         "sigmoid", "tanh",       "exp",        "log",        "sqrt",
    "rsqrt",        "neg",     "abs",        "reciprocal", "square",     "erf",
    "sign",         "not",     "floor",      "ceil",       "round",      "softplus",
    "softsign",     "silu",    "gelu",       "gelu_tanh",  "hard_swish", "mish",
    "cos",          "sin",     "leaky_relu", "elu",        "celu",       "thresholded_relu",
    "hard_sigmoid", "selu",    "clip",       "affine",     "prelu",      "dice"};
static_assert(kActNames.size() == static_cast<size_t>(ActFn::kDice));

constexpr std::array<std::string_view, 16> kBinaryNames = {"add", "sub", "mul", "div", "max", "min",
                                                           "pow", "eq",  "ne",  "lt",  "le",  "gt",
                                                           "ge",  "and", "or",  "xor"};

constexpr std::array<std::string_view, 9> kReduceNames = {
    "sum", "mean", "max", "min", "sumsq", "l2", "l1", "prod", "logsumexp"};

// The position of a string in a table of names.
template <size_t kCount>
Status ReadChoice(const JsonCursor& at, const std::array<std::string_view, kCount>& names,
                  std::string_view expected, size_t* position) {
  if (at.kind() != JsonKind::kString) return at.Invalid(expected);
  for (size_t i = 0; i < kCount; ++i) {
    if (names[i] == at.string()) {
      *position = i;
      return Status::Ok();
    }
  }
  return at.Invalid(expected);
}

class NodeReader {
 public:
  NodeReader(size_t position, GraphReading* reading)
      : reading_(*reading), end_(reading->first_node() + static_cast<int>(position)) {}

  Status Read(const JsonCursor& at, Node* node);

 private:
  using Keys = std::initializer_list<std::string_view>;

  // The node's operands, between least and most of them, and its other keys.
  Status Open(const JsonCursor& at, size_t least, size_t most, Keys required, Keys optional,
              Node* node) {
    GYR_RETURN_IF_ERROR(CheckKeys(at, required, optional));
    const JsonCursor in = *at.Find("in");
    GYR_RETURN_IF_ERROR(ExpectArray(in, kMaxNodes));
    if (in.size() < least || in.size() > most) {
      const std::string count =
          least == most ? std::to_string(least) : "at least " + std::to_string(least);
      return in.Invalid(count + " value numbers");
    }
    return in.EachElement([&](const JsonCursor& element, size_t) {
      return ReadValue(element, end_, &node->in.emplace_back());
    });
  }

  static Status CheckKeys(const JsonCursor& at, Keys required, Keys optional) {
    const auto has = [](Keys keys, std::string_view key) {
      for (const std::string_view known : keys) {
        if (known == key) return true;
      }
      return false;
    };
    for (const std::string_view key : required) {
      if (!at.Find(key)) return at.Invalid("the key \"" + std::string(key) + "\"");
    }
    if (!at.Find("in")) return at.Invalid("the key \"in\"");
    return at.EachMember([&](const JsonCursor& member, std::string_view key) {
      if (key == "op" || key == "in" || has(required, key) || has(optional, key)) {
        return Status::Ok();
      }
      return member.Invalid("no such key");
    });
  }

  Status ReadConstant(const JsonCursor& at, size_t rank, int* value) {
    GYR_RETURN_IF_ERROR(ReadValue(at, end_, value));
    if (!reading_.IsConstant(*value) || reading_.constant(*value).shape.size() != rank) {
      return at.Invalid("the number of a constant with " + std::to_string(rank) + " dimensions");
    }
    return Status::Ok();
  }

  Status ReadAct(const JsonCursor& at, Act* act);
  Status ReadLinear(const JsonCursor& at, Node* node);
  Status ReadAxes(const JsonCursor& at, bool ascending, Node* node);
  Status ReadList(const JsonCursor& at, int64_t most, Node* node);
  Status ReadOperator(const JsonCursor& at, Node* node);
  Status ReadAxis(const JsonCursor& at, Node* node) {
    int64_t axis = 0;
    GYR_RETURN_IF_ERROR(ReadInteger(at, 0, kMaxInnerRank - 1, &axis));
    node->axis = static_cast<int>(axis);
    return Status::Ok();
  }
  Status OptionalAct(const JsonCursor& at, std::string_view key, Act* act) {
    const std::optional<JsonCursor> found = at.Find(key);
    return found ? ReadAct(*found, act) : Status::Ok();
  }
  static Status OptionalBool(const JsonCursor& at, std::string_view key, bool* value) {
    const std::optional<JsonCursor> found = at.Find(key);
    return found ? ReadBool(*found, value) : Status::Ok();
  }

  GraphReading& reading_;
  int end_;  // the node's own number
};

Status NodeReader::ReadAct(const JsonCursor& at, Act* act) {
  if (at.kind() != JsonKind::kObject) return at.Invalid("an object");
  const std::optional<JsonCursor> fn = at.Find("fn");
  if (!fn) return at.Invalid("the key \"fn\"");
  size_t choice = 0;
  GYR_RETURN_IF_ERROR(ReadChoice(*fn, kActNames, "the name of an act", &choice));
  act->fn = static_cast<ActFn>(choice + 1);
  switch (act->fn) {
    case ActFn::kLeakyRelu:
    case ActFn::kElu:
    case ActFn::kCelu:
    case ActFn::kThresholdedRelu: {
      const Result<JsonObject> object = JsonObject::Open(at, {"fn", "alpha"});
      if (!object.ok()) return object.status();
      return ReadNumber(object.value()["alpha"], &act->alpha);
    }
    case ActFn::kHardSigmoid:
    case ActFn::kSelu:
    case ActFn::kAffine: {
      const Result<JsonObject> object = JsonObject::Open(at, {"fn", "alpha", "beta"});
      if (!object.ok()) return object.status();
      GYR_RETURN_IF_ERROR(ReadNumber(object.value()["alpha"], &act->alpha));
      return ReadNumber(object.value()["beta"], &act->beta);
    }
    case ActFn::kClip: {
      const Result<JsonObject> object = JsonObject::Open(at, {"fn"}, {"min", "max"});
      if (!object.ok()) return object.status();
      act->alpha = -std::numeric_limits<float>::infinity();
      act->beta = std::numeric_limits<float>::infinity();
      if (const auto min = object.value().Find("min")) {
        GYR_RETURN_IF_ERROR(ReadNumber(*min, &act->alpha));
      }
      if (const auto max = object.value().Find("max")) {
        GYR_RETURN_IF_ERROR(ReadNumber(*max, &act->beta));
      }
      return Status::Ok();
    }
    case ActFn::kPrelu: {
      const Result<JsonObject> object = JsonObject::Open(at, {"fn", "slope"});
      if (!object.ok()) return object.status();
      return ReadConstant(object.value()["slope"], 1, &act->slope);
    }
    case ActFn::kDice: {
      const Result<JsonObject> object = JsonObject::Open(at, {"fn", "scale", "shift", "alpha"});
      if (!object.ok()) return object.status();
      GYR_RETURN_IF_ERROR(ReadConstant(object.value()["scale"], 1, &act->scale));
      GYR_RETURN_IF_ERROR(ReadConstant(object.value()["shift"], 1, &act->shift));
      return ReadConstant(object.value()["alpha"], 1, &act->slope);
    }
    default:
      return JsonObject::Open(at, {"fn"}).status();
  }
}

Status NodeReader::ReadLinear(const JsonCursor& at, Node* node) {
  GYR_RETURN_IF_ERROR(Open(at, 2, 2, {}, {"bias", "act", "mul", "add", "post", "x_scale"}, node));
  const JsonCursor in = *at.Find("in");
  GYR_RETURN_IF_ERROR(in.EachElement([&](const JsonCursor& element, size_t i) {
    int weights = 0;
    return i == 0 ? Status::Ok() : ReadConstant(element, 2, &weights);
  }));
  if (const auto bias = at.Find("bias")) GYR_RETURN_IF_ERROR(ReadConstant(*bias, 1, &node->bias));
  if (const auto scale = at.Find("x_scale")) {
    GYR_RETURN_IF_ERROR(ReadConstant(*scale, 1, &node->x_scale));
    const int64_t k = reading_.constant(node->in[1]).shape[0];
    if (reading_.constant(node->x_scale).shape[0] != k) {
      return scale->Invalid("the number of a constant with " + std::to_string(k) + " elements");
    }
  }
  if (const auto mul = at.Find("mul")) GYR_RETURN_IF_ERROR(ReadValue(*mul, end_, &node->mul));
  if (const auto add = at.Find("add")) GYR_RETURN_IF_ERROR(ReadValue(*add, end_, &node->add));
  GYR_RETURN_IF_ERROR(OptionalAct(at, "act", &node->act));
  return OptionalAct(at, "post", &node->post);
}

Status NodeReader::ReadAxes(const JsonCursor& at, bool ascending, Node* node) {
  GYR_RETURN_IF_ERROR(ExpectArray(at, kMaxInnerRank));
  std::array<bool, kMaxInnerRank> seen{};
  return at.EachElement([&](const JsonCursor& element, size_t i) {
    int64_t axis = 0;
    GYR_RETURN_IF_ERROR(ReadInteger(element, 0, kMaxInnerRank - 1, &axis));
    if (seen[static_cast<size_t>(axis)]) return element.Invalid("an axis that is named once");
    if (ascending && i > 0 && axis <= node->axes.back()) return element.Invalid("ascending axes");
    seen[static_cast<size_t>(axis)] = true;
    node->axes.push_back(static_cast<int>(axis));
    return Status::Ok();
  });
}

Status NodeReader::ReadList(const JsonCursor& at, int64_t most, Node* node) {
  GYR_RETURN_IF_ERROR(ExpectArray(at, kMaxListEntries));
  if (at.size() == 0) return at.Invalid("an array that is not empty");
  node->indices.reserve(at.size());
  return at.EachElement([&](const JsonCursor& element, size_t) {
    int64_t index = 0;
    GYR_RETURN_IF_ERROR(ReadInteger(element, 0, most, &index));
    node->indices.push_back(static_cast<int32_t>(index));
    return Status::Ok();
  });
}

Status NodeReader::ReadOperator(const JsonCursor& at, Node* node) {
  constexpr int64_t kMaxIndex = limits::kMaxElementsPerRow;
  size_t choice = 0;
  switch (node->op) {
    case Op::kLinear:
      return ReadLinear(at, node);
    case Op::kMatmul:
      GYR_RETURN_IF_ERROR(Open(at, 2, 2, {}, {"ta", "tb", "scale"}, node));
      GYR_RETURN_IF_ERROR(OptionalBool(at, "ta", &node->ta));
      GYR_RETURN_IF_ERROR(OptionalBool(at, "tb", &node->tb));
      if (const auto scale = at.Find("scale")) return ReadNumber(*scale, &node->scale);
      return Status::Ok();
    case Op::kPairwiseDot: {
      GYR_RETURN_IF_ERROR(Open(at, 1, kMaxNodes, {"pairs"}, {}, node));
      const JsonCursor pairs = *at.Find("pairs");
      GYR_RETURN_IF_ERROR(ReadList(pairs, kMaxIndex, node));
      if (node->indices.size() % 2 != 0) return pairs.Invalid("an even number of rows");
      return Status::Ok();
    }
    case Op::kUnary:
      GYR_RETURN_IF_ERROR(Open(at, 1, 1, {"act"}, {}, node));
      return ReadAct(*at.Find("act"), &node->act);
    case Op::kBinary:
      GYR_RETURN_IF_ERROR(Open(at, 2, 2, {"fn"}, {"act"}, node));
      GYR_RETURN_IF_ERROR(
          ReadChoice(*at.Find("fn"), kBinaryNames, "the name of a binary function", &choice));
      node->binary = static_cast<BinaryFn>(choice);
      return OptionalAct(at, "act", &node->act);
    case Op::kWhere:
      return Open(at, 3, 3, {}, {}, node);
    case Op::kReduce:
      GYR_RETURN_IF_ERROR(Open(at, 1, 1, {"fn", "axes", "keep"}, {}, node));
      GYR_RETURN_IF_ERROR(
          ReadChoice(*at.Find("fn"), kReduceNames, "the name of a reduction", &choice));
      node->reduce = static_cast<ReduceFn>(choice);
      GYR_RETURN_IF_ERROR(ReadBool(*at.Find("keep"), &node->keep));
      return ReadAxes(*at.Find("axes"), true, node);
    case Op::kSoftmax:
      GYR_RETURN_IF_ERROR(Open(at, 1, 1, {"axis"}, {"log"}, node));
      GYR_RETURN_IF_ERROR(OptionalBool(at, "log", &node->log));
      return ReadAxis(*at.Find("axis"), node);
    case Op::kLayerNorm: {
      GYR_RETURN_IF_ERROR(Open(at, 1, 1, {"axes", "eps"}, {"gamma", "beta", "rms"}, node));
      int64_t axes = 0;
      GYR_RETURN_IF_ERROR(ReadInteger(*at.Find("axes"), 1, kMaxInnerRank, &axes));
      node->axes = {static_cast<int>(axes)};
      GYR_RETURN_IF_ERROR(ReadNumber(*at.Find("eps"), &node->eps));
      const auto rank = static_cast<size_t>(axes);
      if (const auto gamma = at.Find("gamma")) {
        GYR_RETURN_IF_ERROR(ReadConstant(*gamma, rank, &node->gamma));
      }
      if (const auto beta = at.Find("beta")) {
        GYR_RETURN_IF_ERROR(ReadConstant(*beta, rank, &node->beta));
      }
      return OptionalBool(at, "rms", &node->rms);
    }
    case Op::kConcat:
      GYR_RETURN_IF_ERROR(Open(at, 2, kMaxNodes, {"axis"}, {}, node));
      return ReadAxis(*at.Find("axis"), node);
    case Op::kSlice: {
      GYR_RETURN_IF_ERROR(Open(at, 1, 1, {"axis", "start", "step", "size"}, {}, node));
      GYR_RETURN_IF_ERROR(ReadAxis(*at.Find("axis"), node));
      GYR_RETURN_IF_ERROR(ReadAnyInteger(*at.Find("start"), &node->start));
      const JsonCursor step = *at.Find("step");
      GYR_RETURN_IF_ERROR(ReadAnyInteger(step, &node->step));
      if (node->step == 0) return step.Invalid("a step that is not 0");
      return ReadExt(*at.Find("size"), reading_.symbols, &node->size);
    }
    case Op::kGather:
      GYR_RETURN_IF_ERROR(Open(at, 1, 1, {"axis", "indices"}, {}, node));
      GYR_RETURN_IF_ERROR(ReadAxis(*at.Find("axis"), node));
      return ReadList(*at.Find("indices"), kMaxIndex, node);
    case Op::kReshape:
      GYR_RETURN_IF_ERROR(Open(at, 1, 1, {"shape"}, {}, node));
      return ReadInnerShape(*at.Find("shape"), reading_.symbols, FreeExtent::kAllow, &node->shape);
    case Op::kTranspose:
      GYR_RETURN_IF_ERROR(Open(at, 1, 1, {"perm"}, {}, node));
      return ReadAxes(*at.Find("perm"), false, node);
    case Op::kExpand:
      GYR_RETURN_IF_ERROR(Open(at, 1, 1, {"shape"}, {}, node));
      return ReadInnerShape(*at.Find("shape"), reading_.symbols, FreeExtent::kRefuse, &node->shape);
    case Op::kIota:
      GYR_RETURN_IF_ERROR(Open(at, 0, 0, {"size"}, {}, node));
      return ReadExt(*at.Find("size"), reading_.symbols, &node->size);
  }
  return {ErrorCode::kInternal, "an operator without a reader"};
}

Status NodeReader::Read(const JsonCursor& at, Node* node) {
  if (at.kind() != JsonKind::kObject) return at.Invalid("an object");
  const std::optional<JsonCursor> op = at.Find("op");
  if (!op) return at.Invalid("the key \"op\"");
  size_t choice = 0;
  GYR_RETURN_IF_ERROR(ReadChoice(*op, kOpNames, "the name of an operator", &choice));
  node->op = static_cast<Op>(choice);
  return ReadOperator(at, node);
}

}  // namespace

Status ReadNode(const JsonCursor& at, size_t position, GraphReading* reading) {
  Node node;
  GYR_RETURN_IF_ERROR(NodeReader(position, reading).Read(at, &node));
  reading->graph.nodes.push_back(std::move(node));
  return Status::Ok();
}

}  // namespace gyrfalcon::fused

#include "fused_random_graph.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

namespace gyrfalcon::fused::testing {
namespace {

constexpr int64_t kMostElements = 600;

}  // namespace

int64_t ElementsOf(const Dims& dims) {
  return std::accumulate(dims.begin(), dims.end(), int64_t{1}, std::multiplies<>());
}

std::string GraphText(const std::string& inputs, const std::string& constants,
                      const std::string& nodes, const std::string& outputs) {
  return R"({"format":"gyrfalcon-fused","version":1,"inputs":[)" + inputs + R"(],"constants":[)" +
         constants + R"(],"nodes":[)" + nodes + R"(],"outputs":[)" + outputs + "]}";
}

RandomGraph::RandomGraph(uint64_t seed, int nodes) : random_(seed) {
  AddInput("f32", {}, true, false);
  AddInput("f32", {Extent(), Extent()}, true, false);
  AddInput("f32", {Extent()}, true, false);
  AddInput("f32", {kL, Extent()}, true, true);
  if (Chance(40)) AddInput("f32", {Extent()}, false, false);
  if (Chance(40)) {
    const char* const dtypes[] = {"i32", "i64", "u8", "i8", "bool"};
    AddInput(dtypes[Below(5)], {Extent(), Extent()}, Chance(80), false);
  }
  for (int i = 0; i < nodes; ++i) AddNode();
}

int64_t RandomGraph::Extent() {
  constexpr int64_t kExtents[] = {1, 1, 2, 3, 3, 4, 5, 6, 8, 16, 17};
  return kExtents[Below(11)];
}

int RandomGraph::Pick() {
  const int count = static_cast<int>(values_.size());
  return Chance(60) ? count - 1 - Below(std::min(count, 5)) : 1 + Below(count - 1);
}

int RandomGraph::Constant(const Dims& dims) {
  values_.push_back({Kind::kConstant, static_cast<int>(constants_.size()), dims, false});
  constants_.push_back(dims);
  return static_cast<int>(values_.size()) - 1;
}

// Another value of that shape, rather than a constant where there is one.
int RandomGraph::Like(const Dims& dims) {
  for (int tries = 0; tries < 12; ++tries) {
    const int value = Pick();
    if (values_[static_cast<size_t>(value)].dims == dims) return value;
  }
  return -1;
}

int RandomGraph::BroadcastingWith(const Dims& dims, Dims* out) {
  for (int tries = 0; tries < 12; ++tries) {
    const int value = Pick();
    const Dims& other = values_[static_cast<size_t>(value)].dims;
    const size_t rank = std::max(dims.size(), other.size());
    out->assign(rank, 1);
    bool fits = true;
    for (size_t i = 0; i < rank; ++i) {
      const int64_t a = i < dims.size() ? dims[dims.size() - 1 - i] : 1;
      const int64_t b = i < other.size() ? other[other.size() - 1 - i] : 1;
      fits = fits && (a == b || a == 1 || b == 1);
      (*out)[rank - 1 - i] = std::max(a, b);
    }
    if (fits && ElementsOf(*out) <= kMostElements) return value;
  }
  *out = dims;
  return Constant({1});
}

std::string RandomGraph::Act(const Dims& dims, bool smooth) {
  const char* const plain[] = {"relu",     "sigmoid",    "tanh",       "neg",  "abs",  "square",
                               "erf",      "silu",       "softplus",   "gelu", "mish", "gelu_tanh",
                               "softsign", "hard_swish", "cos",        "sin",  "exp",  "log",
                               "sqrt",     "rsqrt",      "reciprocal", "sign", "not",  "floor",
                               "ceil",     "round"};
  const int64_t columns = dims.empty() ? 1 : dims.back();
  switch (Below(8)) {
    case 0:
      return R"({"fn":"leaky_relu","alpha":0.1})";
    case 1:
      return R"({"fn":"clip","min":-1.5)" + std::string(Chance(50) ? R"(,"max":2})" : "}");
    case 2:
      return R"({"fn":"affine","alpha":0.5,"beta":-0.25})";
    case 3:
      return R"({"fn":"prelu","slope":)" + Ref(Constant({Chance(50) ? 1 : columns})) + "}";
    case 4: {
      const std::string scale = Ref(Constant({columns}));
      const std::string shift = Ref(Constant({columns}));
      return R"({"fn":"dice","scale":)" + scale + R"(,"shift":)" + shift + R"(,"alpha":)" +
             Ref(Constant({columns})) + "}";
    }
    default:
      return R"({"fn":")" + std::string(plain[Below(smooth ? 16 : 26)]) + R"("})";
  }
}

std::string RandomGraph::Ref(int value) const {
  const Value& v = values_[static_cast<size_t>(value)];
  const char* const kinds = "ICN";
  return std::string("@") + kinds[static_cast<size_t>(v.kind)] + std::to_string(v.index) + ";";
}

// Puts numbers in the place of references: constants come before nodes.
std::string RandomGraph::Render(std::string text) const {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '@') {
      out += text[i];
      continue;
    }
    const char kind = text[i + 1];
    const size_t end = text.find(';', i);
    size_t number = std::stoul(text.substr(i + 2, end - i - 2));
    if (kind != 'I') number += inputs_.size();
    if (kind == 'N') number += constants_.size();
    out += std::to_string(number);
    i = end;
  }
  return out;
}

void RandomGraph::Node(const std::string& op, const std::vector<int>& in, const std::string& rest,
                       const Dims& dims, bool also_batched) {
  std::string text = R"({"op":")" + op + R"(","in":[)";
  bool batched = also_batched;
  for (size_t i = 0; i < in.size(); ++i) {
    text += (i == 0 ? "" : ",") + Ref(in[i]);
    batched = batched || values_[static_cast<size_t>(in[i])].batched;
  }
  text += "]" + rest + "}";
  values_.push_back({Kind::kNode, static_cast<int>(nodes_.size()), dims, batched});
  node_values_.push_back(static_cast<int>(values_.size()) - 1);
  nodes_.push_back(text);
}

void RandomGraph::AddInput(const std::string& dtype, const Dims& dims, bool batched, bool symbol) {
  values_.push_back({Kind::kInput, static_cast<int>(inputs_.size()), dims, batched});
  inputs_.push_back({dtype, ShapeText(dims, batched, symbol)});
}

bool RandomGraph::AddProduct(int x) {
  const Dims dims = values_[static_cast<size_t>(x)].dims;
  if (dims.empty()) return false;
  Dims result = dims;
  if (Chance(60)) {
    constexpr int64_t kColumns[] = {1, 2, 3, 5, 8, 16, 17, 33};
    result.back() = kColumns[Below(8)];
    if (ElementsOf(result) > kMostElements) return false;
    const int weights = Constant({dims.back(), result.back()});
    std::string rest;
    if (Chance(70)) rest += R"(,"bias":)" + Ref(Constant({result.back()}));
    if (Chance(60)) rest += R"(,"act":)" + Act(result, true);
    bool batched = false;
    Dims column = result;
    column.back() = 1;
    for (const char* const key : {"mul", "add"}) {
      const int other = Chance(40) ? Like(Chance(70) ? result : column) : -1;
      if (other < 0) continue;
      rest += ",\"" + std::string(key) + "\":" + Ref(other);
      batched = batched || values_[static_cast<size_t>(other)].batched;
    }
    if (Chance(30)) rest += R"(,"post":)" + Act(result, true);
    Node("linear", {x, weights}, rest, result, batched);
    return true;
  }
  if (dims.size() < 2) return false;
  const size_t rank = dims.size();
  if (rank == 2 && Chance(40)) {
    const int y = Like(dims);
    std::vector<int> in = {x};
    if (y >= 0) in.push_back(y);
    const int rows = static_cast<int>(dims[0]) * static_cast<int>(in.size());
    std::vector<int64_t> pairs;
    for (int i = 2 * (1 + Below(20)); i > 0; --i) pairs.push_back(Below(rows));
    Node("pairwise_dot", in, R"(,"pairs":)" + List(pairs),
         {static_cast<int64_t>(pairs.size() / 2)});
    return true;
  }
  // a·aᵀ and aᵀ·a fit whatever a is; so does a constant with the right rows.
  const int other = Chance(60) ? Like(dims) : -1;
  const std::string scale = Chance(30) ? R"(,"scale":0.125)" : "";
  if (Chance(40)) {
    const int64_t columns = Extent();
    result.back() = columns;
    if (ElementsOf(result) > kMostElements) return false;
    Node("matmul", {x, Constant({dims.back(), columns})}, scale, result);
    return true;
  }
  const bool left = Chance(50);
  result[rank - 1] = result[rank - 2] = left ? dims[rank - 1] : dims[rank - 2];
  if (ElementsOf(result) > kMostElements) return false;
  Node("matmul", {x, other < 0 ? x : other}, (left ? R"(,"ta":true)" : R"(,"tb":true)") + scale,
       result);
  return true;
}

bool RandomGraph::AddMove(int x) {
  const Dims dims = values_[static_cast<size_t>(x)].dims;
  const auto axis =
      dims.empty() ? size_t{0} : static_cast<size_t>(Below(static_cast<int>(dims.size())));
  const std::string at = R"(,"axis":)" + std::to_string(axis);
  Dims result = dims;
  switch (Below(5)) {
    case 0: {
      if (dims.empty()) return false;
      const int extent = static_cast<int>(dims[axis]);
      const int size = 1 + Below(extent);
      const int start = Below(extent - size + 1);
      const bool backwards = Chance(20);
      const int first = backwards ? start + size - 1 : start;
      result[axis] = size;
      Node("slice", {x},
           at + R"(,"start":)" + std::to_string(Chance(30) ? first - extent : first) +
               R"(,"step":)" + (backwards ? "-1" : "1") + R"(,"size":)" +
               (size == kL && Chance(50) ? "\"L\"" : std::to_string(size)),
           result);
      return true;
    }
    case 1: {
      if (dims.empty()) return false;
      std::vector<int64_t> indices;
      const int extent = static_cast<int>(dims[axis]);
      const int first = Below(extent);
      const bool run = Chance(40);
      const int count = run ? 1 + Below(extent - first) : 1 + Below(6);
      for (int i = 0; i < count; ++i) indices.push_back(run ? first + i : Below(extent));
      result[axis] = static_cast<int64_t>(indices.size());
      if (ElementsOf(result) > kMostElements) return false;
      Node("gather", {x}, at + R"(,"indices":)" + List(indices), result);
      return true;
    }
    case 2: {
      const int64_t elements = ElementsOf(dims);
      const int64_t first = Chance(50) ? 1 : (dims.empty() ? 1 : dims.back());
      result = {first, elements / first};
      if (Chance(40)) result = {elements};
      std::string shape = List(result);
      if (Chance(50)) {
        Dims free = result;
        free[static_cast<size_t>(Below(static_cast<int>(free.size())))] = -1;
        shape = List(free);
      }
      Node("reshape", {x}, R"(,"shape":)" + shape, result);
      return true;
    }
    case 3: {
      if (dims.empty()) return false;
      std::vector<int64_t> perm(dims.size());
      std::iota(perm.begin(), perm.end(), 0);
      std::shuffle(perm.begin(), perm.end(), random_);
      for (size_t i = 0; i < perm.size(); ++i) result[i] = dims[static_cast<size_t>(perm[i])];
      Node("transpose", {x}, R"(,"perm":)" + List(perm), result);
      return true;
    }
    default: {
      for (int64_t& extent : result) {
        if (extent == 1) extent = Extent();
      }
      if (Chance(30)) result.insert(result.begin(), Extent());
      if (ElementsOf(result) > kMostElements || result.size() > 5) return false;
      Node("expand", {x}, R"(,"shape":)" + List(result), result);
      return true;
    }
  }
}

bool RandomGraph::AddConcat(int x) {
  const Dims dims = values_[static_cast<size_t>(x)].dims;
  if (dims.empty()) return false;
  const auto axis =
      Chance(70) ? size_t{0} : static_cast<size_t>(Below(static_cast<int>(dims.size())));
  std::vector<int> in = {x};
  Dims result = dims;
  for (int tries = 0; tries < 16 && in.size() < 4; ++tries) {
    const int y = Pick();
    Dims other = values_[static_cast<size_t>(y)].dims;
    if (other.size() != dims.size()) continue;
    const int64_t extent = std::exchange(other[axis], dims[axis]);
    if (other != dims) continue;
    result[axis] += extent;
    in.push_back(y);
  }
  if (in.size() < 2 || ElementsOf(result) > kMostElements) return false;
  std::shuffle(in.begin(), in.end(), random_);
  Node("concat", in, R"(,"axis":)" + std::to_string(axis), result);
  return true;
}

void RandomGraph::AddNode() {
  for (;;) {
    const int x = Pick();
    const Dims dims = values_[static_cast<size_t>(x)].dims;
    Dims result;
    switch (Below(12)) {
      case 0:
      case 1:
        if (AddProduct(x)) return;
        break;
      case 2:
        return Node("unary", {x}, R"(,"act":)" + Act(dims, false), dims);
      case 3:
      case 4: {
        const char* const fns[] = {"add", "sub", "mul", "div", "max", "min", "pow", "eq",
                                   "ne",  "lt",  "le",  "gt",  "ge",  "and", "or",  "xor"};
        const int y = BroadcastingWith(dims, &result);
        const bool arithmetic = Chance(75);
        const std::string fn = fns[arithmetic ? Below(6) : Below(16)];
        const std::string act =
            arithmetic && fn != "div" && Chance(30) ? R"(,"act":)" + Act(result, true) : "";
        const bool swapped = Chance(50);
        return Node("binary", {swapped ? y : x, swapped ? x : y}, R"(,"fn":")" + fn + "\"" + act,
                    result);
      }
      case 5: {
        const int y = BroadcastingWith(dims, &result);
        Dims wider;
        const int z = BroadcastingWith(result, &wider);
        return Node("where", {y, x, z}, "", wider);
      }
      case 6: {
        const char* const fns[] = {"sum", "mean", "max",  "min",      "sumsq",
                                   "l2",  "l1",   "prod", "logsumexp"};
        const bool keep = Chance(50);
        std::vector<int64_t> axes;
        for (size_t axis = 0; axis < dims.size(); ++axis) {
          const bool reduced = Chance(50);
          if (reduced) axes.push_back(static_cast<int64_t>(axis));
          if (!reduced || keep) result.push_back(reduced ? 1 : dims[axis]);
        }
        return Node("reduce", {x},
                    R"(,"fn":")" + std::string(fns[Below(9)]) + R"(","axes":)" + List(axes) +
                        R"(,"keep":)" + (keep ? "true" : "false"),
                    result);
      }
      case 7: {
        if (dims.empty()) break;
        const int axis = Below(static_cast<int>(dims.size()));
        return Node("softmax", {x},
                    R"(,"axis":)" + std::to_string(axis) + (Chance(30) ? R"(,"log":true)" : ""),
                    dims);
      }
      case 8: {
        if (dims.empty()) break;
        const int axes = 1 + Below(static_cast<int>(dims.size()));
        const Dims trailing(dims.end() - axes, dims.end());
        std::string rest = R"(,"axes":)" + std::to_string(axes) + R"(,"eps":0.001)";
        if (Chance(50)) rest += R"(,"gamma":)" + Ref(Constant(trailing));
        if (Chance(50)) rest += R"(,"beta":)" + Ref(Constant(trailing));
        if (Chance(30)) rest += R"(,"rms":true)";
        return Node("layer_norm", {x}, rest, dims);
      }
      case 9:
        if (AddConcat(x)) return;
        break;
      case 10:
        if (AddMove(x)) return;
        break;
      default:
        if (!Chance(10)) {
          if (AddMove(x)) return;
          break;
        }
        return Node("iota", {}, Chance(50) ? R"(,"size":"L")" : R"(,"size":3)", {3});
    }
  }
}

}  // namespace gyrfalcon::fused::testing

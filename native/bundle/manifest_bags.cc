// The section "bags" of model.json.
#include <algorithm>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "bundle/manifest.h"
#include "core/limits.h"

namespace gyrfalcon {
namespace {

// Starts and steps beyond a row's largest size can never be right, and kept below it
// start + step * count stays far from overflow.
constexpr int64_t kMaxStep = limits::kMaxElementsPerRow;

// A number of elements, forward or back.
Status ReadStep(const JsonCursor& at, int64_t* step) {
  GYR_RETURN_IF_ERROR(ReadInteger(at, -kMaxJsonInteger, kMaxStep, step));
  return *step < -kMaxStep ? at.OverLimit("at least -2^28") : Status::Ok();
}

Status ReadPooling(const JsonCursor& at, Pooling* pooling) {
  const std::optional<Pooling> found =
      at.kind() == JsonKind::kString ? PoolingFromName(at.string()) : std::nullopt;
  if (!found) return at.Invalid("a pooling (sum mean none)");
  *pooling = *found;
  return Status::Ok();
}

Status ReadCount(const JsonCursor& at, const NameIndex& symbols, Extent* count) {
  if (at.kind() == JsonKind::kString) {
    count->kind = Extent::Kind::kSymbol;
    return ReadReference(at, symbols, "a symbol", &count->symbol);
  }
  count->kind = Extent::Kind::kFixed;
  return ReadInteger(at, 1, limits::kMaxHotness, &count->value);
}

// The elements start + i * step, 0 <= i < count, lie inside the batch row. A row or a count with a
// symbol in it has its size only when a batch is created; then this is checked again.
Status CheckPositions(const JsonCursor& at, const InputSpec& input, int64_t start, int64_t step,
                      const Extent& count) {
  const RowElements row = CountRowElements(input.shape);
  if (row.num_symbols != 0 || count.kind != Extent::Kind::kFixed) return Status::Ok();
  const int64_t first = start < 0 ? start + row.fixed : start;
  const int64_t last = first + (count.value - 1) * step;
  if (first >= 0 && first < row.fixed && last >= 0 && last < row.fixed) return Status::Ok();
  return Status(ErrorCode::kBundleInvalid,
                "expected positions inside the " + std::to_string(row.fixed) +
                    " elements of a batch row for " + at.Path() + " but received " +
                    std::to_string(start) + " ... " + std::to_string(last));
}

Status ReadTensorPositions(const JsonCursor& at, const ManifestReading& reading, BagSpec* bag) {
  for (const std::string_view key : {"start", "step", "count"}) {
    if (!at.Find(key)) {
      return at.Invalid("the keys \"start\", \"step\" and \"count\" of a bag on a tensor input");
    }
  }
  GYR_RETURN_IF_ERROR(ReadStep(*at.Find("start"), &bag->start));
  GYR_RETURN_IF_ERROR(ReadStep(*at.Find("step"), &bag->step));
  GYR_RETURN_IF_ERROR(ReadCount(*at.Find("count"), reading.symbols, &bag->count));
  return CheckPositions(at, reading.spec.inputs[bag->input], bag->start, bag->step, bag->count);
}

Status ReadBagInput(const JsonCursor& at, const JsonCursor& name, const ManifestReading& reading,
                    BagSpec* bag) {
  GYR_RETURN_IF_ERROR(ReadReference(name, reading.inputs, "an input", &bag->input));
  const InputSpec& input = reading.spec.inputs[bag->input];
  if (input.kind == InputSpec::Kind::kTensor) {
    if (!CanHoldIds(input.dtype) || !HasBatch(input.shape)) {
      return name.Invalid(
          "a ragged input, or a tensor with a \"batch\" extent and a dtype other than f16 and "
          "bf16,");
    }
    return ReadTensorPositions(at, reading, bag);
  }
  for (const std::string_view key : {"start", "step", "count"}) {
    if (const auto field = at.Find(key)) return field->Invalid("nothing, the input being ragged,");
  }
  if (bag->pooling == Pooling::kNone) {
    return at.Find("pooling")->Invalid("sum or mean, the input being ragged,");
  }
  return Status::Ok();
}

// How much more a step gives at each position of a bag than at the one before.
Status ReadPlace(const JsonObject& fields, IdStep* step) {
  const auto place = fields.Find("place");
  return place ? ReadAnyInteger(*place, &step->place) : Status::Ok();
}

Status ReadReplace(const JsonCursor& at, IdStep* step) {
  static constexpr std::string_view kTests[] = {"eq", "ne", "lt", "le", "gt", "ge"};
  const Result<JsonObject> fields = JsonObject::Open(at, {"op", "if", "value", "with"}, {"place"});
  if (!fields.ok()) return fields.status();
  const JsonCursor test = fields.value()["if"];
  const auto* const found = test.kind() == JsonKind::kString
                                ? std::find(std::begin(kTests), std::end(kTests), test.string())
                                : std::end(kTests);
  if (found == std::end(kTests)) return test.Invalid("a test (eq ne lt le gt ge)");
  step->op = IdStep::Op::kReplace;
  step->test = static_cast<IdStep::Test>(found - std::begin(kTests));
  GYR_RETURN_IF_ERROR(ReadAnyInteger(fields.value()["value"], &step->a));
  GYR_RETURN_IF_ERROR(ReadAnyInteger(fields.value()["with"], &step->b));
  return ReadPlace(fields.value(), step);
}

Status ReadSum(const JsonCursor& at, IdStep* step) {
  const Result<JsonObject> fields = JsonObject::Open(at, {"op", "before", "step", "zeros"});
  if (!fields.ok()) return fields.status();
  const JsonCursor zeros = fields.value()["zeros"];
  if (zeros.kind() != JsonKind::kBool) return zeros.Invalid("true or false");
  step->op = IdStep::Op::kSum;
  step->keeps_zeros = zeros.boolean();
  GYR_RETURN_IF_ERROR(ReadInteger(fields.value()["before"], 0, limits::kMaxHotness, &step->a));
  return ReadInteger(fields.value()["step"], 1, kMaxStep, &step->b);
}

Status ReadClamp(const JsonCursor& at, IdStep* step) {
  const Result<JsonObject> fields = JsonObject::Open(at, {"op"}, {"min", "max"});
  if (!fields.ok()) return fields.status();
  step->op = IdStep::Op::kClamp;
  step->a = std::numeric_limits<int64_t>::min();
  step->b = std::numeric_limits<int64_t>::max();
  const auto min = fields.value().Find("min");
  const auto max = fields.value().Find("max");
  if (min) GYR_RETURN_IF_ERROR(ReadAnyInteger(*min, &step->a));
  if (max) GYR_RETURN_IF_ERROR(ReadAnyInteger(*max, &step->b));
  if ((!min && !max) || step->a > step->b) return at.Invalid("a clamp with min <= max");
  return Status::Ok();
}

Status ReadIdStep(const JsonCursor& at, IdStep* step) {
  if (at.kind() != JsonKind::kObject) return at.Invalid("an object");
  const auto op = at.Find("op");
  const std::string_view name =
      op && op->kind() == JsonKind::kString ? op->string() : std::string_view();
  if (name == "replace") return ReadReplace(at, step);
  if (name == "clamp") return ReadClamp(at, step);
  if (name == "sum") return ReadSum(at, step);
  if (name == "abs") {
    step->op = IdStep::Op::kAbs;
    return JsonObject::Open(at, {"op"}).status();
  }
  const bool divides = name == "mod" || name == "rem" || name == "div" || name == "floordiv";
  if (!divides && name != "add" && name != "mul") {
    return at.Invalid(
        "a step with the op add, mul, mod, rem, div, floordiv, abs, clamp, replace or sum");
  }
  const std::string_view key = divides ? "by" : "value";
  if (name == "add") {
    const Result<JsonObject> fields = JsonObject::Open(at, {"op", "value"}, {"place"});
    if (!fields.ok()) return fields.status();
    GYR_RETURN_IF_ERROR(ReadAnyInteger(fields.value()["value"], &step->a));
    return ReadPlace(fields.value(), step);
  }
  const Result<JsonObject> fields = JsonObject::Open(at, {"op", key});
  if (!fields.ok()) return fields.status();
  if (name == "mul") step->op = IdStep::Op::kMul;
  if (name == "mod") step->op = IdStep::Op::kMod;
  if (name == "rem") step->op = IdStep::Op::kRem;
  if (name == "div") step->op = IdStep::Op::kDiv;
  if (name == "floordiv") step->op = IdStep::Op::kFloorDiv;
  if (divides) return ReadInteger(fields.value()[key], 1, kMaxJsonInteger, &step->a);
  return ReadAnyInteger(fields.value()[key], &step->a);
}

Status ReadMap(const JsonCursor& at, BagSpec* bag) {
  GYR_RETURN_IF_ERROR(ExpectArray(at, limits::kMaxIdSteps));
  bag->map.resize(at.size());
  return at.EachElement(
      [bag](const JsonCursor& element, size_t i) { return ReadIdStep(element, &bag->map[i]); });
}

// Steps that depend on the position, which is that in a batch row.
Status CheckPlacedSteps(const JsonCursor& at, bool ragged, const BagSpec& bag) {
  bool has_sum = false;
  return at.EachElement([&](const JsonCursor& element, size_t i) {
    const IdStep& step = bag.map[i];
    const bool is_sum = step.op == IdStep::Op::kSum;
    if (ragged && (is_sum || step.place != 0)) {
      return element.Invalid("no sum and no place, the input being ragged,");
    }
    if (!is_sum) return Status::Ok();
    // The product stays below 2^48.
    if (has_sum || bag.start - step.a * step.b < 0) {
      return element.Invalid("one sum, of numbers inside the batch row,");
    }
    has_sum = true;
    return Status::Ok();
  });
}

// "padding": which ids contribute nothing; "paddingOf": whether it is compared before or after map.
Status ReadPadding(const JsonObject& fields, BagSpec* bag) {
  const auto padding = fields.Find("padding");
  if (padding) {
    bag->has_padding = true;
    GYR_RETURN_IF_ERROR(ReadAnyInteger(*padding, &bag->padding));
  }
  const auto of = fields.Find("paddingOf");
  if (!of) return Status::Ok();
  if (!padding) return of->Invalid("nothing, there being no padding,");
  if (of->kind() != JsonKind::kString || (of->string() != "input" && of->string() != "id")) {
    return of->Invalid("\"input\" or \"id\"");
  }
  bag->padding_is_mapped = of->string() == "id";
  return Status::Ok();
}

Status ReadLength(const JsonCursor& at, const ManifestReading& reading, BagSpec* bag) {
  if (reading.spec.inputs[bag->input].kind == InputSpec::Kind::kRagged) {
    return at.Invalid("nothing, the input being ragged,");
  }
  const Result<JsonObject> object = JsonObject::Open(at, {"input", "element"}, {"from"});
  if (!object.ok()) return object.status();
  const JsonCursor name = object.value()["input"];
  GYR_RETURN_IF_ERROR(ReadReference(name, reading.inputs, "an input", &bag->length_input));
  const InputSpec& input = reading.spec.inputs[bag->length_input];
  if (input.kind != InputSpec::Kind::kTensor || !CanHoldIds(input.dtype) ||
      !HasBatch(input.shape)) {
    return name.Invalid(
        "a tensor input with a \"batch\" extent and a dtype other than f16 and bf16,");
  }
  const JsonCursor element = object.value()["element"];
  GYR_RETURN_IF_ERROR(ReadInteger(element, 0, kMaxStep, &bag->length_element));
  if (const auto from = object.value().Find("from")) {
    GYR_RETURN_IF_ERROR(ReadInteger(*from, 0, kMaxStep, &bag->length_from));
  }
  return CheckPositions(element, input, bag->length_element, 0, {Extent::Kind::kFixed, 1, -1});
}

Status ReadAdd(const JsonCursor& at, bool ragged, BagSpec* bag) {
  if (at.kind() != JsonKind::kArray) {
    bag->add.resize(1);
    return ReadAnyInteger(at, &bag->add.front());
  }
  if (ragged || bag->count.kind != Extent::Kind::kFixed) {
    return at.Invalid("one integer, the number of ids not being fixed,");
  }
  if (at.size() != static_cast<size_t>(bag->count.value)) {
    return at.Invalid("an integer or an array of " + std::to_string(bag->count.value));
  }
  bag->add.resize(at.size());
  return at.EachElement(
      [bag](const JsonCursor& element, size_t i) { return ReadAnyInteger(element, &bag->add[i]); });
}

Status ReadWeights(const JsonCursor& at, const ManifestReading& reading, BagSpec* bag) {
  const InputSpec& input = reading.spec.inputs[bag->input];
  if (input.kind == InputSpec::Kind::kRagged) {
    if (at.kind() != JsonKind::kBool || !at.boolean()) return at.Invalid("true");
    if (!input.has_weights) return at.Invalid("nothing, the ragged input being without weights,");
    bag->weights_input = bag->input;
    return Status::Ok();
  }
  const Result<JsonObject> object = JsonObject::Open(at, {"input", "start", "step"});
  if (!object.ok()) return object.status();
  const JsonCursor name = object.value()["input"];
  GYR_RETURN_IF_ERROR(ReadReference(name, reading.inputs, "an input", &bag->weights_input));
  const InputSpec& weights = reading.spec.inputs[bag->weights_input];
  if (weights.kind != InputSpec::Kind::kTensor || weights.dtype != Dtype::kF32 ||
      !HasBatch(weights.shape)) {
    return name.Invalid("an f32 tensor input with a \"batch\" extent");
  }
  GYR_RETURN_IF_ERROR(ReadInteger(object.value()["start"], 0, kMaxStep, &bag->weights_start));
  GYR_RETURN_IF_ERROR(ReadStep(object.value()["step"], &bag->weights_step));
  return CheckPositions(at, weights, bag->weights_start, bag->weights_step, bag->count);
}

Status ReadBag(const JsonCursor& at, ManifestReading* reading) {
  const Result<JsonObject> object = JsonObject::Open(
      at, {"table", "input", "pooling", "slot", "offset"},
      {"start", "step", "count", "map", "add", "padding", "paddingOf", "length", "weights"});
  if (!object.ok()) return object.status();
  const JsonObject& fields = object.value();
  BagSpec bag;
  GYR_RETURN_IF_ERROR(ReadReference(fields["table"], reading->tables, "a table", &bag.table));
  GYR_RETURN_IF_ERROR(ReadPooling(fields["pooling"], &bag.pooling));
  GYR_RETURN_IF_ERROR(ReadBagInput(at, fields["input"], *reading, &bag));
  const bool ragged = reading->spec.inputs[bag.input].kind == InputSpec::Kind::kRagged;
  if (const auto add = fields.Find("add")) GYR_RETURN_IF_ERROR(ReadAdd(*add, ragged, &bag));
  if (const auto map = fields.Find("map")) {
    GYR_RETURN_IF_ERROR(ReadMap(*map, &bag));
    GYR_RETURN_IF_ERROR(CheckPlacedSteps(*map, ragged, bag));
  }
  GYR_RETURN_IF_ERROR(ReadPadding(fields, &bag));
  if (const auto length = fields.Find("length")) {
    GYR_RETURN_IF_ERROR(ReadLength(*length, *reading, &bag));
  }
  if (const auto weights = fields.Find("weights")) {
    GYR_RETURN_IF_ERROR(ReadWeights(*weights, *reading, &bag));
  }
  GYR_RETURN_IF_ERROR(ReadReference(fields["slot"], reading->slots, "a slot", &bag.slot));
  GYR_RETURN_IF_ERROR(
      ReadInteger(fields["offset"], 0, limits::kMaxElementsPerRow, &bag.slot_offset));
  reading->spec.bags.push_back(std::move(bag));
  return Status::Ok();
}

}  // namespace

Status ReadBags(const JsonCursor& at, ManifestReading* reading) {
  GYR_RETURN_IF_ERROR(ExpectArray(at, limits::kMaxBags));
  reading->spec.bags.reserve(at.size());
  return at.EachElement(
      [&](const JsonCursor& element, size_t) { return ReadBag(element, reading); });
}

}  // namespace gyrfalcon

// Instructions: their words, operands and addresses.
#include "cusim/parser.h"

#include <cstring>
#include <initializer_list>

namespace cusim {
namespace {

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

void Parser::ParseInstruction(Kernel* kernel) {
  Instruction instruction;
  instruction.line = Line();
  if (Accept("@")) {
    instruction.predicate_negated = Accept("!");
    instruction.predicate = Register(Take());
  }
  const std::string_view word = Take();
  ParseModifiers(word, &instruction);
  if (instruction.op == Op::kBra) {
    branches_.emplace_back(kernel->code.size(), Take());
  } else {
    while (error_.message.empty() && Peek() != ";" && !Peek().empty()) {
      instruction.operands.push_back(ParseOperand());
      // shfl.sync d|p: the predicate is the last operand.
      if (Accept("|")) {
        second_ = ParseOperand();
        has_second_ = true;
      }
      if (!Accept(",")) break;
    }
    if (std::exchange(has_second_, false)) instruction.operands.push_back(second_);
  }
  Expect(";");
  kernel->code.push_back(std::move(instruction));
}

void Parser::ParseModifiers(std::string_view word, Instruction* instruction) {
  size_t end = word.find('.');
  const std::string_view name = word.substr(0, end);
  const auto op = Ops().find(name);
  if (op == Ops().end()) return Fail("unknown instruction " + std::string(word));
  instruction->op = op->second;
  if (word.starts_with("bar.warp.sync")) {
    instruction->op = Op::kBarWarp;
    return;
  }
  while (end != std::string_view::npos && error_.message.empty()) {
    const size_t next = word.find('.', end + 1);
    ReadModifier(word.substr(end + 1, next == std::string_view::npos ? next : next - end - 1),
                 instruction);
    end = next;
  }
}

void Parser::ReadModifier(std::string_view modifier, Instruction* instruction) {
  Instruction& i = *instruction;
  const bool memory = i.op == Op::kLd || i.op == Op::kSt || i.op == Op::kAtom || i.op == Op::kRed ||
                      i.op == Op::kPrefetch;
  if (const auto type = Types().find(modifier); type != Types().end()) {
    // cvt and setp: the result first. Others repeat the operands' type.
    if (i.type == Type::kNone) {
      i.type = type->second;
    } else {
      i.from = type->second;
    }
  } else if (memory && SpaceOf(modifier)) {
    i.space = *SpaceOf(modifier);
  } else if (i.op == Op::kCvta && SpaceOf(modifier)) {
    i.space = *SpaceOf(modifier);
  } else if (i.op == Op::kCvta && modifier == "to") {
    i.to_space = true;
  } else if (memory && (modifier == "v2" || modifier == "v4")) {
    i.vector = modifier[1] - '0';
  } else if (memory && modifier == "volatile") {
    i.is_volatile = true;
  } else if (memory && modifier == "L1::no_allocate") {
    i.passes_l1 = true;
  } else if (memory && IsOneOf(modifier, {"nc", "ca", "cg", "cs", "lu", "cv", "wb", "wt", "relaxed",
                                          "acquire", "release", "acq_rel", "sys", "gpu", "cta",
                                          "weak", "L1", "L2", "L1::evict_first",
                                          "L1::evict_last", "L2::64B", "L2::128B", "L2::256B"})) {
    // What caches do is not simulated; loads see what was stored.
  } else if ((i.op == Op::kAtom || i.op == Op::kRed) &&
             IsOneOf(modifier, {"add", "min", "max", "exch", "cas", "and", "or", "xor", "inc",
                                "dec"})) {
    i.mode = modifier;
  } else if (i.op == Op::kSetp && IsOneOf(modifier, {"and", "or", "xor"})) {
    i.combine = modifier;
  } else if (i.op == Op::kSetp &&
             IsOneOf(modifier, {"eq", "ne", "lt", "le", "gt", "ge", "lo", "ls", "hi", "hs", "equ",
                                "neu", "ltu", "leu", "gtu", "geu", "num", "nan"})) {
    i.mode = modifier;
  } else if (i.op == Op::kShfl && IsOneOf(modifier, {"idx", "up", "down", "bfly"})) {
    i.mode = modifier;
  } else if (i.op == Op::kVote && IsOneOf(modifier, {"ballot", "any", "all", "uni"})) {
    i.mode = modifier;
  } else if (i.op == Op::kShf && IsOneOf(modifier, {"l", "r", "wrap", "clamp"})) {
    if (modifier == "l" || modifier == "r") i.mode = modifier;
    if (modifier == "clamp") i.high = true;
  } else if (i.op == Op::kCvt && IsOneOf(modifier, {"rn", "rz", "rm", "rp", "rni", "rzi", "rmi",
                                                    "rpi"})) {
    i.mode = modifier;
  } else if (modifier == "wide") {
    i.wide = true;
  } else if (modifier == "hi") {
    i.high = true;
  } else if (modifier == "sat") {
    i.saturate = true;
  } else if (modifier == "ftz") {
    i.flush = true;
  } else if (modifier == "uni" && i.op == Op::kBra) {
    i.uniform = true;
  } else if (IsOneOf(modifier, {"lo", "rn", "approx", "sync", "aligned", "b32", "full"})) {
    // The default, or as exact as the host is.
  } else if (i.op == Op::kMembar) {
    // One memory: every fence holds.
  } else {
    Fail("unknown modifier ." + std::string(modifier));
  }
}

Operand Parser::ParseAddress() {
  Operand operand = ParseOperand();
  if (operand.kind == Operand::Kind::kSymbol || operand.kind == Operand::Kind::kImmediate) {
    operand.offset = static_cast<int64_t>(operand.bits);
    operand.reg = -1;
  }
  operand.kind = Operand::Kind::kAddress;
  if (Accept("+")) operand.offset += static_cast<int64_t>(Integer());
  Expect("]");
  return operand;
}

Operand Parser::ParseOperand() {
  Operand operand;
  if (Accept("[")) return ParseAddress();
  if (Accept("{")) {
    operand.kind = Operand::Kind::kVector;
    do {
      operand.elements.push_back(ParseOperand());
    } while (Accept(","));
    Expect("}");
    return operand;
  }
  operand.negated = Accept("!");
  const bool minus = Accept("-");
  const std::string_view word = Take();
  if (const auto special = Specials().find(word); special != Specials().end()) {
    operand.kind = Operand::Kind::kSpecial;
    operand.special = special->second;
  } else if (registers_.contains(word)) {
    operand.kind = Operand::Kind::kRegister;
    operand.reg = Register(word);
  } else if (const auto symbol = symbols_.find(word); symbol != symbols_.end()) {
    operand.kind = Operand::Kind::kSymbol;
    operand.bits = symbol->second;
  } else if (word == "_") {
    operand.kind = Operand::Kind::kNone;
  } else if (word.starts_with("0f") || word.starts_with("0F")) {
    uint32_t bits = 0;
    std::from_chars(word.data() + 2, word.data() + word.size(), bits, 16);
    float value = 0;
    std::memcpy(&value, &bits, 4);
    const double wide = value;
    operand.kind = Operand::Kind::kImmediate;
    operand.is_real = true;
    // NaN payloads matter to nobody; signs and infinities survive.
    std::memcpy(&operand.bits, &wide, 8);
  } else if (word.starts_with("0d") || word.starts_with("0D")) {
    std::from_chars(word.data() + 2, word.data() + word.size(), operand.bits, 16);
    operand.kind = Operand::Kind::kImmediate;
    operand.is_real = true;
  } else if (const std::optional<uint64_t> value = ReadInteger(word)) {
    operand.kind = Operand::Kind::kImmediate;
    operand.bits = minus ? -*value : *value;
  } else {
    Fail("unknown operand " + std::string(word));
  }
  return operand;
}

}  // namespace cusim

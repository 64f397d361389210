#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "cusim/ptx.h"
#include "cusim/words.h"

namespace cusim {
namespace {

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

class Parser {
 public:
  explicit Parser(std::unique_ptr<Module> module) : module_(std::move(module)) {
    tokens_ = Tokenize(module_->text);
  }

  std::variant<Module*, ParseError> Run() {
    while (error_.message.empty() && !Peek().empty()) TopLevel();
    if (!error_.message.empty()) return error_;
    return module_.release();
  }

 private:
  std::string_view Peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)].text;
  }
  int Line() const { return tokens_[std::min(at_, tokens_.size() - 1)].line; }
  std::string_view Take() {
    const std::string_view text = Peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return text;
  }
  bool Accept(std::string_view text) {
    if (Peek() != text) return false;
    Take();
    return true;
  }
  void Fail(const std::string& message) {
    if (error_.message.empty()) error_ = {Line(), message};
  }
  void Expect(std::string_view text) {
    if (!Accept(text)) {
      Fail("expected " + std::string(text) + " but found \"" + std::string(Peek()) + "\"");
    }
  }
  uint64_t Integer() {
    const bool negative = Accept("-");
    const std::optional<uint64_t> value = ReadInteger(Peek());
    if (!value) Fail("expected an integer but found \"" + std::string(Peek()) + "\"");
    Take();
    return negative ? -value.value_or(0) : value.value_or(0);
  }
  static std::optional<uint64_t> ReadInteger(std::string_view text) {
    if (text.ends_with('U')) text.remove_suffix(1);
    int base = 10;
    if (text.starts_with("0x") || text.starts_with("0X")) {
      base = 16;
      text.remove_prefix(2);
    }
    uint64_t value = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (failure != std::errc() || end != text.data() + text.size() || text.empty()) {
      return std::nullopt;
    }
    return value;
  }

  void TopLevel();
  void ParseKernel();
  void ParseParameters(Kernel* kernel);
  void ParseVariable(Space space, Kernel* kernel);
  void ParseRegisters(Kernel* kernel);
  void ParseBody(Kernel* kernel);
  void ParseInstruction(Kernel* kernel);
  void ParseModifiers(std::string_view word, Instruction* instruction);
  void ReadModifier(std::string_view modifier, Instruction* instruction);
  Operand ParseOperand();
  Operand ParseAddress();
  int Register(std::string_view name) {
    const auto found = registers_.find(name);
    if (found != registers_.end()) return found->second;
    Fail("unknown register " + std::string(name));
    return 0;
  }

  std::unique_ptr<Module> module_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  ParseError error_;
  // Of the kernel at hand.
  std::set<std::string, std::less<>> names_;  // that keys of registers_ point to
  std::map<std::string_view, int> registers_;
  std::map<std::string_view, int> labels_;
  std::map<std::string, uint64_t, std::less<>> symbols_;
  std::vector<std::pair<size_t, std::string_view>> branches_;
  Operand second_;  // of d|p
  bool has_second_ = false;
};

void Parser::TopLevel() {
  const std::string_view word = Take();
  if (word == ".version") {
    const std::string_view version = Take();
    const size_t dot = version.find('.');
    module_->version = static_cast<int>(ReadInteger(version.substr(0, dot)).value_or(0) * 10 +
                                        ReadInteger(version.substr(dot + 1)).value_or(0));
  } else if (word == ".target") {
    const std::string_view target = Take();
    if (target.starts_with("sm_")) {
      module_->target = static_cast<int>(ReadInteger(target.substr(3)).value_or(0));
    }
    while (Accept(",")) Take();
  } else if (word == ".address_size") {
    if (Integer() != 64) Fail("expected addresses of 64 bits");
  } else if (word == ".visible" || word == ".weak") {
    // What follows is parsed for itself.
  } else if (word == ".entry") {
    ParseKernel();
  } else {
    Fail("unknown directive " + std::string(word));
  }
}

void Parser::ParseKernel() {
  Kernel kernel;
  kernel.name = Take();
  registers_.clear();
  labels_.clear();
  symbols_.clear();
  branches_.clear();
  if (Accept("(")) ParseParameters(&kernel);
  while (Peek() != "{" && !Peek().empty()) {
    const std::string_view directive = Take();
    if (directive == ".maxntid" || directive == ".reqntid") {
      kernel.max_threads = static_cast<uint32_t>(Integer());
      while (Accept(",")) kernel.max_threads *= static_cast<uint32_t>(Integer());
    } else if (IsOneOf(directive, {".minnctapersm", ".maxnreg"})) {
      Integer();
    } else {
      Fail("unknown directive " + std::string(directive));
      return;
    }
  }
  Expect("{");
  ParseBody(&kernel);
  for (const auto& [position, label] : branches_) {
    const auto found = labels_.find(label);
    if (found == labels_.end()) {
      Fail("unknown label " + std::string(label));
      return;
    }
    kernel.code[position].target = found->second;
  }
  const std::string name = kernel.name;
  module_->kernels.emplace(name, std::move(kernel));
}

void Parser::ParseParameters(Kernel* kernel) {
  while (!Accept(")")) {
    if (!error_.message.empty() || Peek().empty()) return Fail("expected )");
    Expect(".param");
    uint32_t align = 1;
    if (Accept(".align")) align = static_cast<uint32_t>(Integer());
    const std::string_view type = Take();
    const auto found = type.starts_with('.') ? Types().find(type.substr(1)) : Types().end();
    if (found == Types().end()) return Fail("unknown type " + std::string(type));
    Parameter parameter;
    parameter.bytes = static_cast<uint32_t>(SizeOf(found->second));
    align = std::max(align, parameter.bytes);
    parameter.name = Take();
    if (Accept("[")) {
      parameter.bytes *= static_cast<uint32_t>(Integer());
      Expect("]");
    }
    parameter.offset = (kernel->parameter_bytes + align - 1) / align * align;
    kernel->parameter_bytes = parameter.offset + parameter.bytes;
    symbols_[parameter.name] = kParamWindow + parameter.offset;
    kernel->parameters.push_back(std::move(parameter));
    Accept(",");
  }
}

// A variable in shared or local memory: .align 8 .b8 name[1152];
void Parser::ParseVariable(Space space, Kernel* kernel) {
  uint32_t align = 1;
  if (Accept(".align")) align = static_cast<uint32_t>(Integer());
  const std::string_view type = Take();
  const auto found = type.starts_with('.') ? Types().find(type.substr(1)) : Types().end();
  if (found == Types().end()) return Fail("unknown type " + std::string(type));
  uint32_t bytes = static_cast<uint32_t>(SizeOf(found->second));
  align = std::max(align, bytes);
  const std::string name(Take());
  while (Accept("[")) {
    bytes *= static_cast<uint32_t>(Integer());
    Expect("]");
  }
  Expect(";");
  uint32_t& used = space == Space::kShared ? kernel->shared_bytes : kernel->local_bytes;
  used = (used + align - 1) / align * align;
  symbols_[name] = (space == Space::kShared ? kSharedWindow : kLocalWindow) + used;
  used += bytes;
}

// .reg .b32 %r<10>; or .reg .pred p, q;
void Parser::ParseRegisters(Kernel* kernel) {
  Take();  // the type: registers are 64 bits wide here
  do {
    const std::string_view name = Take();
    if (Accept("<")) {
      const uint64_t count = Integer();
      Expect(">");
      if (count > 1 << 20) return Fail("too many registers");
      for (uint64_t i = 0; i < count; ++i) {
        // Kept alive by the module.
        const std::string full = std::string(name) + std::to_string(i);
        const auto [symbol, added] = names_.emplace(full);
        registers_[*symbol] = kernel->num_registers++;
        (void)added;
      }
    } else {
      registers_[name] = kernel->num_registers++;
    }
  } while (Accept(","));
  Expect(";");
}

void Parser::ParseBody(Kernel* kernel) {
  while (error_.message.empty()) {
    if (Accept("}")) break;
    const std::string_view word = Peek();
    if (word.empty()) return Fail("expected }");
    if (word == ".reg") {
      Take();
      ParseRegisters(kernel);
    } else if (word == ".shared" || word == ".local") {
      Take();
      ParseVariable(word == ".shared" ? Space::kShared : Space::kLocal, kernel);
    } else if (word == ".pragma" || word == ".loc") {
      while (!Peek().empty() && Peek() != ";" && Peek() != "\n") {
        if (Take() == ".loc") break;
      }
      Accept(";");
    } else if (word == "{") {
      // A scope of inline assembly: its registers may shadow others of the kernel.
      Take();
      const auto outer = registers_;
      ParseBody(kernel);
      registers_ = outer;
    } else if (Peek(1) == ":") {
      labels_[Take()] = static_cast<int>(kernel->code.size());
      Take();
    } else {
      ParseInstruction(kernel);
    }
  }
}

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

}  // namespace

std::variant<Module*, ParseError> ParsePtx(std::string_view text) {
  auto module = std::make_unique<Module>();
  module->text = text;
  return Parser(std::move(module)).Run();
}

}  // namespace cusim

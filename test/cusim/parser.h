// Reads the text of a module, token by token.
#ifndef GYRFALCON_CUSIM_PARSER_H_
#define GYRFALCON_CUSIM_PARSER_H_

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "cusim/ptx.h"
#include "cusim/words.h"

namespace cusim {

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

}  // namespace cusim

#endif  // GYRFALCON_CUSIM_PARSER_H_

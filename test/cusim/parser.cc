// Directives: modules, kernels, parameters, variables, registers, labels.
#include "cusim/parser.h"

#include <initializer_list>

namespace cusim {
namespace {

bool IsOneOf(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

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

std::variant<Module*, ParseError> ParsePtx(std::string_view text) {
  auto module = std::make_unique<Module>();
  module->text = text;
  return Parser(std::move(module)).Run();
}

}  // namespace cusim

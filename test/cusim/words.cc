#include "cusim/words.h"

#include <algorithm>

namespace cusim {
namespace {

bool IsWord(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '$' || c == '%' || c == '.';
}

}  // namespace

std::vector<Token> Tokenize(std::string_view text) {
  std::vector<Token> tokens;
  int line = 1;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '\n') ++line;
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      ++i;
    } else if (text.substr(i, 2) == "//") {
      while (i < text.size() && text[i] != '\n') ++i;
    } else if (text.substr(i, 2) == "/*") {
      for (; i < text.size() && text.substr(i, 2) != "*/"; ++i) line += text[i] == '\n';
      i += 2;
    } else if (c == '"') {
      const size_t end = std::min(text.find('"', i + 1), text.size() - 1);
      tokens.push_back({text.substr(i, end - i + 1), line});
      i = end + 1;
    } else if (IsWord(c)) {
      size_t end = i;
      while (end < text.size() && (IsWord(text[end]) || text.substr(end, 2) == "::")) {
        end += text[end] == ':' ? 2 : 1;
      }
      tokens.push_back({text.substr(i, end - i), line});
      i = end;
    } else {
      tokens.push_back({text.substr(i, 1), line});
      ++i;
    }
  }
  tokens.push_back({{}, line});
  return tokens;
}

const std::map<std::string_view, Type>& Types() {
  static const std::map<std::string_view, Type> types = {
      {"pred", Type::kPred}, {"b8", Type::kB8},   {"b16", Type::kB16}, {"b32", Type::kB32},
      {"b64", Type::kB64},   {"u8", Type::kU8},   {"u16", Type::kU16}, {"u32", Type::kU32},
      {"u64", Type::kU64},   {"s8", Type::kS8},   {"s16", Type::kS16}, {"s32", Type::kS32},
      {"s64", Type::kS64},   {"f16", Type::kF16}, {"bf16", Type::kBF16}, {"f16x2", Type::kF16x2},
      {"f32", Type::kF32},   {"f64", Type::kF64}};
  return types;
}

const std::map<std::string_view, Op>& Ops() {
  static const std::map<std::string_view, Op> ops = {
      {"add", Op::kAdd},   {"sub", Op::kSub},     {"mul", Op::kMul},       {"mad", Op::kMad},
      {"fma", Op::kFma},   {"div", Op::kDiv},     {"rem", Op::kRem},       {"min", Op::kMin},
      {"max", Op::kMax},   {"abs", Op::kAbs},     {"neg", Op::kNeg},       {"rcp", Op::kRcp},
      {"sqrt", Op::kSqrt}, {"ex2", Op::kEx2},     {"and", Op::kAnd},       {"or", Op::kOr},
      {"xor", Op::kXor},   {"not", Op::kNot},     {"shl", Op::kShl},       {"shr", Op::kShr},
      {"shf", Op::kShf},   {"bfe", Op::kBfe},     {"bfi", Op::kBfi},       {"popc", Op::kPopc},
      {"clz", Op::kClz},   {"brev", Op::kBrev},   {"prmt", Op::kPrmt},     {"lop3", Op::kLop3},
      {"selp", Op::kSelp}, {"setp", Op::kSetp},   {"mov", Op::kMov},       {"cvt", Op::kCvt},
      {"cvta", Op::kCvta}, {"ld", Op::kLd},       {"ldu", Op::kLd},        {"st", Op::kSt},
      {"atom", Op::kAtom}, {"red", Op::kRed},     {"bra", Op::kBra},       {"ret", Op::kRet},
      {"exit", Op::kRet},  {"shfl", Op::kShfl},   {"vote", Op::kVote},     {"bar", Op::kBar},
      {"barrier", Op::kBar}, {"membar", Op::kMembar}, {"fence", Op::kMembar},
      {"activemask", Op::kActivemask}, {"prefetch", Op::kPrefetch}, {"nanosleep", Op::kNanosleep}};
  return ops;
}

const std::map<std::string_view, Special>& Specials() {
  static const std::map<std::string_view, Special> specials = {
      {"%tid.x", Special::kTidX},       {"%tid.y", Special::kTidY},
      {"%tid.z", Special::kTidZ},       {"%ntid.x", Special::kNtidX},
      {"%ntid.y", Special::kNtidY},     {"%ntid.z", Special::kNtidZ},
      {"%ctaid.x", Special::kCtaidX},   {"%ctaid.y", Special::kCtaidY},
      {"%ctaid.z", Special::kCtaidZ},   {"%nctaid.x", Special::kNctaidX},
      {"%nctaid.y", Special::kNctaidY}, {"%nctaid.z", Special::kNctaidZ},
      {"%laneid", Special::kLaneid},    {"%warpid", Special::kWarpid},
      {"%clock64", Special::kClock},    {"%globaltimer", Special::kGlobaltimer},
      {"%lanemask_lt", Special::kLanemaskLt}, {"%lanemask_le", Special::kLanemaskLe},
      {"%lanemask_eq", Special::kLanemaskEq}, {"%lanemask_gt", Special::kLanemaskGt},
      {"%lanemask_ge", Special::kLanemaskGe}};
  return specials;
}

std::optional<Space> SpaceOf(std::string_view word) {
  if (word == "global") return Space::kGlobal;
  if (word == "shared" || word == "shared::cta") return Space::kShared;
  if (word == "param") return Space::kParam;
  if (word == "local") return Space::kLocal;
  if (word == "const") return Space::kConst;
  return std::nullopt;
}

int SizeOf(Type type) {
  switch (type) {
    case Type::kNone:
    case Type::kPred:
      return 0;
    case Type::kB8:
    case Type::kU8:
    case Type::kS8:
      return 1;
    case Type::kB16:
    case Type::kU16:
    case Type::kS16:
    case Type::kF16:
    case Type::kBF16:
      return 2;
    case Type::kB32:
    case Type::kU32:
    case Type::kS32:
    case Type::kF16x2:
    case Type::kF32:
      return 4;
    case Type::kB64:
    case Type::kU64:
    case Type::kS64:
    case Type::kF64:
      return 8;
  }
  return 0;
}

bool IsSigned(Type type) {
  return type == Type::kS8 || type == Type::kS16 || type == Type::kS32 || type == Type::kS64;
}

bool IsFloat(Type type) {
  return type == Type::kF16 || type == Type::kBF16 || type == Type::kF32 || type == Type::kF64;
}

}  // namespace cusim

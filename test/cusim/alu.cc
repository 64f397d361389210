#include "cusim/alu.h"

#include <algorithm>
#include <bit>
#include <cfenv>
#include <cmath>
#include <limits>

namespace cusim {
namespace {

__extension__ typedef __int128 Wide;  // any sum or product of 64-bit numbers

float F32(uint64_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits)); }
uint64_t Bits(float value) { return std::bit_cast<uint32_t>(value); }
double F64(uint64_t bits) { return std::bit_cast<double>(bits); }
uint64_t Bits(double value) { return std::bit_cast<uint64_t>(value); }

// One rounding of a double to a format of `mantissa` explicit bits: f16 and bf16.
uint16_t Narrow(double value, int mantissa, int exponent_bits) {
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  const auto sign = static_cast<uint16_t>(bits >> 63 << 15);
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const auto top = static_cast<uint16_t>(((1 << exponent_bits) - 1) << mantissa);
  if (std::isnan(value)) return 0x7fff;
  if (std::isinf(value)) return static_cast<uint16_t>(sign | top);
  const double magnitude = std::fabs(value);
  int exponent = 0;
  std::frexp(magnitude, &exponent);  // magnitude = f * 2^exponent, f in [0.5, 1)
  const int unit = std::max(exponent - 1, 1 - bias) - mantissa;
  const double steps = std::nearbyint(std::ldexp(magnitude, -unit));
  const double rounded = std::ldexp(steps, unit);
  if (rounded >= std::ldexp(1.0, bias + 1)) return static_cast<uint16_t>(sign | top);
  std::frexp(rounded, &exponent);
  if (rounded == 0 || exponent - 1 < 1 - bias) {
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::ldexp(rounded, bias - 1 + mantissa)));
  }
  const auto fraction =
      static_cast<uint16_t>(std::ldexp(rounded, mantissa - (exponent - 1)) - std::ldexp(1.0, mantissa));
  return static_cast<uint16_t>(sign | ((exponent - 1 + bias) << mantissa) | fraction);
}

double Widen(uint16_t bits, int mantissa, int exponent_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = (bits >> mantissa) & ((1 << exponent_bits) - 1);
  const int fraction = bits & ((1 << mantissa) - 1);
  const double sign = bits >> 15 != 0 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1) {
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - mantissa);
  return sign * std::ldexp(fraction + (1 << mantissa), exponent - bias - mantissa);
}

bool ComputeF32(const Instruction& i, const uint64_t* in, uint64_t* out) {
  const float a = F32(in[0]);
  const float b = F32(in[1]);
  switch (i.op) {
    case Op::kAdd: *out = Bits(a + b); break;
    case Op::kSub: *out = Bits(a - b); break;
    case Op::kMul: *out = Bits(a * b); break;
    case Op::kDiv: *out = Bits(a / b); break;
    case Op::kFma:
    case Op::kMad: *out = Bits(std::fma(a, b, F32(in[2]))); break;
    case Op::kMin: *out = Bits(std::fmin(a, b)); break;
    case Op::kMax: *out = Bits(std::fmax(a, b)); break;
    case Op::kAbs: *out = in[0] & 0x7fffffff; break;
    case Op::kNeg: *out = (in[0] ^ 0x80000000) & 0xffffffff; break;
    case Op::kRcp: *out = Bits(1.0f / a); break;
    case Op::kSqrt: *out = Bits(std::sqrt(a)); break;
    case Op::kEx2: *out = Bits(std::exp2(a)); break;
    default: return false;
  }
  if (i.saturate) *out = Bits(std::fmin(std::fmax(F32(*out), 0.0f), 1.0f));
  return true;
}

bool ComputeF64(const Instruction& i, const uint64_t* in, uint64_t* out) {
  const double a = F64(in[0]);
  const double b = F64(in[1]);
  switch (i.op) {
    case Op::kAdd: *out = Bits(a + b); return true;
    case Op::kSub: *out = Bits(a - b); return true;
    case Op::kMul: *out = Bits(a * b); return true;
    case Op::kDiv: *out = Bits(a / b); return true;
    case Op::kFma: *out = Bits(std::fma(a, b, F64(in[2]))); return true;
    default: return false;
  }
}

bool ComputeInteger(const Instruction& i, const uint64_t* in, uint64_t* out) {
  const Type type = i.type;
  const int bits = SizeOf(type) * 8;
  const bool is_signed = IsSigned(type);
  const auto value = [&](uint64_t x) {
    return is_signed ? static_cast<Wide>(ToSigned(x, type)) : static_cast<Wide>(Truncate(x, type));
  };
  const Wide a = value(in[0]);
  const Wide b = value(in[1]);
  Wide result = 0;
  switch (i.op) {
    case Op::kAdd: result = a + b; break;
    case Op::kSub: result = a - b; break;
    case Op::kMul:
    case Op::kMad: {
      Wide product = a * b;
      if (i.high) product >>= bits;
      if (i.wide) {
        const Type wide = bits == 16 ? (is_signed ? Type::kS32 : Type::kU32)
                                     : (is_signed ? Type::kS64 : Type::kU64);
        const Wide c = i.op == Op::kMad ? static_cast<Wide>(in[2]) : 0;
        *out = Truncate(static_cast<uint64_t>(product + c), wide);
        return true;
      }
      result = product + (i.op == Op::kMad ? value(in[2]) : 0);
      break;
    }
    case Op::kDiv:
      if (b == 0) { *out = Truncate(~uint64_t{0}, type); return true; }
      result = a / b;
      break;
    case Op::kRem:
      if (b == 0) { *out = Truncate(in[0], type); return true; }
      result = a % b;
      break;
    case Op::kMin: result = std::min(a, b); break;
    case Op::kMax: result = std::max(a, b); break;
    case Op::kAbs: result = a < 0 ? -a : a; break;
    case Op::kNeg: result = -a; break;
    case Op::kAnd: *out = Truncate(in[0] & in[1], type); return true;
    case Op::kOr: *out = Truncate(in[0] | in[1], type); return true;
    case Op::kXor: *out = Truncate(in[0] ^ in[1], type); return true;
    case Op::kNot: *out = Truncate(~in[0], type); return true;
    case Op::kShl: {
      const uint64_t by = in[1] & 0xffffffff;
      *out = by >= static_cast<uint64_t>(bits) ? 0 : Truncate(in[0] << by, type);
      return true;
    }
    case Op::kShr: {
      const int by = static_cast<int>(std::min<uint64_t>(in[1] & 0xffffffff, 64));
      *out = Truncate(static_cast<uint64_t>(a >> std::min(by, bits)), type);
      return true;
    }
    case Op::kPopc: *out = static_cast<uint64_t>(std::popcount(Truncate(in[0], type))); return true;
    case Op::kClz:
      *out = static_cast<uint64_t>(std::countl_zero(Truncate(in[0], type)) - (64 - bits));
      return true;
    case Op::kBrev: {
      uint64_t reversed = 0;
      for (int bit = 0; bit < bits; ++bit) reversed |= (in[0] >> bit & 1) << (bits - 1 - bit);
      *out = reversed;
      return true;
    }
    case Op::kBfe: {
      const auto from = static_cast<int>(in[1] & 0xff);
      const auto length = static_cast<int>(in[2] & 0xff);
      uint64_t field = 0;
      const int sign_at = std::min(from + length - 1, bits - 1);
      const bool sign = is_signed && length > 0 && (in[0] >> sign_at & 1) != 0;
      for (int bit = 0; bit < bits; ++bit) {
        const bool inside = bit < length && from + bit < bits;
        field |= static_cast<uint64_t>(inside ? (in[0] >> (from + bit) & 1) : sign) << bit;
      }
      *out = field;
      return true;
    }
    case Op::kBfi: {
      const auto from = static_cast<int>(in[2] & 0xff);
      const auto length = static_cast<int>(in[3] & 0xff);
      uint64_t merged = Truncate(in[1], type);
      for (int bit = 0; bit < length && from + bit < bits; ++bit) {
        merged &= ~(uint64_t{1} << (from + bit));
        merged |= (in[0] >> bit & 1) << (from + bit);
      }
      *out = merged;
      return true;
    }
    case Op::kShf: {
      const uint64_t both = (in[1] & 0xffffffff) << 32 | (in[0] & 0xffffffff);
      const uint64_t by = i.high ? std::min<uint64_t>(in[2] & 0xffffffff, 32) : in[2] & 31;
      *out = i.mode == "l" ? (both << by) >> 32 : (both >> by) & 0xffffffff;
      return true;
    }
    case Op::kPrmt: {
      const uint64_t both = (in[1] & 0xffffffff) << 32 | (in[0] & 0xffffffff);
      uint64_t picked = 0;
      for (int byte = 0; byte < 4; ++byte) {
        const uint64_t selector = in[2] >> (4 * byte) & 0xf;
        uint64_t from = both >> (8 * (selector & 7)) & 0xff;
        if ((selector & 8) != 0) from = (from & 0x80) != 0 ? 0xff : 0;
        picked |= from << (8 * byte);
      }
      *out = picked;
      return true;
    }
    case Op::kLop3: {
      uint64_t result_bits = 0;
      for (int bit = 0; bit < 32; ++bit) {
        const uint64_t index =
            (in[0] >> bit & 1) << 2 | (in[1] >> bit & 1) << 1 | (in[2] >> bit & 1);
        result_bits |= (in[3] >> index & 1) << bit;
      }
      *out = result_bits;
      return true;
    }
    default: return false;
  }
  *out = Truncate(static_cast<uint64_t>(result), type);
  return true;
}

double RoundMode(double value, std::string_view mode) {
  if (mode == "rz" || mode == "rzi") return std::trunc(value);
  if (mode == "rm" || mode == "rmi") return std::floor(value);
  if (mode == "rp" || mode == "rpi") return std::ceil(value);
  return std::nearbyint(value);
}

}  // namespace

uint64_t Truncate(uint64_t bits, Type type) {
  const int bytes = SizeOf(type);
  return bytes == 0 || bytes == 8 ? bits : bits & ((uint64_t{1} << (8 * bytes)) - 1);
}

int64_t ToSigned(uint64_t bits, Type type) {
  switch (SizeOf(type)) {
    case 1: return static_cast<int8_t>(bits);
    case 2: return static_cast<int16_t>(bits);
    case 4: return static_cast<int32_t>(bits);
    default: return static_cast<int64_t>(bits);
  }
}

double ToReal(uint64_t bits, Type type) {
  switch (type) {
    case Type::kF16: return Widen(static_cast<uint16_t>(bits), 10, 5);
    case Type::kBF16: return Widen(static_cast<uint16_t>(bits), 7, 8);
    case Type::kF32: return F32(bits);
    default: return F64(bits);
  }
}

uint64_t FromReal(double value, Type type) {
  switch (type) {
    case Type::kF16: return Narrow(value, 10, 5);
    case Type::kBF16: return Narrow(value, 7, 8);
    case Type::kF32: return Bits(static_cast<float>(value));
    default: return Bits(value);
  }
}

bool Compute(const Instruction& instruction, const uint64_t* in, uint64_t* out) {
  if (instruction.type == Type::kPred) {
    switch (instruction.op) {
      case Op::kAnd: *out = in[0] & in[1]; return true;
      case Op::kOr: *out = in[0] | in[1]; return true;
      case Op::kXor: *out = in[0] ^ in[1]; return true;
      case Op::kNot: *out = in[0] ^ 1; return true;
      default: return false;
    }
  }
  if (instruction.type == Type::kF32) return ComputeF32(instruction, in, out);
  if (instruction.type == Type::kF64) return ComputeF64(instruction, in, out);
  if (IsFloat(instruction.type) || instruction.type == Type::kF16x2) return false;
  return ComputeInteger(instruction, in, out);
}

bool Compare(const Instruction& instruction, uint64_t a, uint64_t b, bool* result) {
  const Type type = instruction.type;
  const std::string_view mode = instruction.mode;
  if (IsFloat(type)) {
    const double x = ToReal(a, type);
    const double y = ToReal(b, type);
    const bool unordered = std::isnan(x) || std::isnan(y);
    if (mode == "num") { *result = !unordered; return true; }
    if (mode == "nan") { *result = unordered; return true; }
    const bool or_unordered = mode.size() == 3;
    const std::string_view base = mode.substr(0, 2);
    bool ordered = false;
    if (base == "eq") ordered = x == y;
    else if (base == "ne") ordered = x != y && !unordered;
    else if (base == "lt") ordered = x < y;
    else if (base == "le") ordered = x <= y;
    else if (base == "gt") ordered = x > y;
    else if (base == "ge") ordered = x >= y;
    else return false;
    *result = ordered || (or_unordered && unordered);
    return true;
  }
  const Wide x = IsSigned(type) ? static_cast<Wide>(ToSigned(a, type)) : static_cast<Wide>(Truncate(a, type));
  const Wide y = IsSigned(type) ? static_cast<Wide>(ToSigned(b, type)) : static_cast<Wide>(Truncate(b, type));
  if (mode == "eq") *result = x == y;
  else if (mode == "ne") *result = x != y;
  else if (mode == "lt" || mode == "lo") *result = x < y;
  else if (mode == "le" || mode == "ls") *result = x <= y;
  else if (mode == "gt" || mode == "hi") *result = x > y;
  else if (mode == "ge" || mode == "hs") *result = x >= y;
  else return false;
  return true;
}

bool Convert(const Instruction& instruction, uint64_t in, uint64_t* out) {
  const Type to = instruction.type;
  const Type from = instruction.from;
  const std::string_view mode = instruction.mode;
  if (IsFloat(from)) {
    const double value = ToReal(in, from);
    if (IsFloat(to)) {
      if (mode == "rz" || mode == "rm" || mode == "rp") return false;
      const bool whole = mode.size() == 3;
      *out = FromReal(whole ? RoundMode(value, mode) : value, to);
      return true;
    }
    // Saturates; NaN is 0.
    const int bits = SizeOf(to) * 8;
    const double low = IsSigned(to) ? -std::ldexp(1.0, bits - 1) : 0.0;
    const double high = std::ldexp(1.0, IsSigned(to) ? bits - 1 : bits);
    const double whole = RoundMode(value, mode);
    if (std::isnan(value)) *out = 0;
    else if (whole < low) *out = Truncate(static_cast<uint64_t>(static_cast<int64_t>(low)), to);
    else if (whole >= high) *out = Truncate(IsSigned(to) ? (uint64_t{1} << (bits - 1)) - 1 : ~uint64_t{0}, to);
    else *out = Truncate(IsSigned(to) ? static_cast<uint64_t>(static_cast<int64_t>(whole)) : static_cast<uint64_t>(whole), to);
    return true;
  }
  const Wide value = IsSigned(from) ? static_cast<Wide>(ToSigned(in, from)) : static_cast<Wide>(Truncate(in, from));
  if (IsFloat(to)) {
    if (mode != "rn" || SizeOf(from) == 8 || SizeOf(to) == 2) return false;  // would round twice
    *out = FromReal(static_cast<double>(value), to);
    return true;
  }
  if (instruction.saturate) return false;
  *out = Truncate(static_cast<uint64_t>(value), to);
  return true;
}

bool Atomic(const Instruction& instruction, uint64_t old, const uint64_t* in, uint64_t* next) {
  const std::string_view mode = instruction.mode;
  Instruction plain = instruction;
  const uint64_t operands[4] = {old, in[0], 0, 0};
  if (mode == "exch") *next = in[0];
  else if (mode == "cas") *next = Truncate(old, instruction.type) == Truncate(in[0], instruction.type) ? in[1] : old;
  else if (mode == "inc") *next = old >= in[0] ? 0 : old + 1;
  else if (mode == "dec") *next = old == 0 || old > in[0] ? in[0] : old - 1;
  else {
    if (mode == "add") plain.op = Op::kAdd;
    else if (mode == "min") plain.op = Op::kMin;
    else if (mode == "max") plain.op = Op::kMax;
    else if (mode == "and") plain.op = Op::kAnd;
    else if (mode == "or") plain.op = Op::kOr;
    else if (mode == "xor") plain.op = Op::kXor;
    else return false;
    return Compute(plain, operands, next);
  }
  *next = Truncate(*next, instruction.type);
  return true;
}

}  // namespace cusim

// A PTX module as the simulator runs it: the subset that nvcc writes for kernels without calls.
// What is not understood is an error when the module is loaded, never a guess.
#ifndef GYRFALCON_CUSIM_PTX_H_
#define GYRFALCON_CUSIM_PTX_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace cusim {

enum class Type : uint8_t {
  kNone, kPred, kB8, kB16, kB32, kB64, kU8, kU16, kU32, kU64, kS8, kS16, kS32, kS64, kF16, kBF16,
  kF16x2, kF32, kF64
};

int SizeOf(Type type);  // bytes; 0 for kNone and kPred
bool IsSigned(Type type);
bool IsFloat(Type type);

enum class Space : uint8_t { kGeneric, kGlobal, kShared, kParam, kLocal, kConst };

enum class Op : uint8_t {
  kAdd, kSub, kMul, kMad, kFma, kDiv, kRem, kMin, kMax, kAbs, kNeg, kRcp, kSqrt, kEx2,
  kAnd, kOr, kXor, kNot, kShl, kShr, kShf, kBfe, kBfi, kPopc, kClz, kBrev, kPrmt, kLop3,
  kSelp, kSetp, kMov, kCvt, kCvta, kLd, kSt, kAtom, kRed,
  kBra, kRet, kShfl, kVote, kActivemask, kBarWarp, kBar, kMembar, kPrefetch, kNanosleep
};

enum class Special : uint8_t {
  kTidX, kTidY, kTidZ, kNtidX, kNtidY, kNtidZ, kCtaidX, kCtaidY, kCtaidZ, kNctaidX, kNctaidY,
  kNctaidZ, kLaneid, kWarpid, kClock, kGlobaltimer, kLanemaskLt, kLanemaskLe, kLanemaskEq,
  kLanemaskGt, kLanemaskGe
};

struct Operand {
  enum class Kind : uint8_t { kNone, kRegister, kImmediate, kSpecial, kVector, kAddress, kSymbol };
  Kind kind = Kind::kNone;
  int reg = -1;           // kRegister; kAddress: the base, or -1
  bool negated = false;   // a predicate operand !%p
  uint64_t bits = 0;      // kImmediate (integers sign-extended, floats as doubles); kSymbol: address
  bool is_real = false;   // kImmediate: bits are a double's
  int64_t offset = 0;     // kAddress
  Special special = Special::kTidX;
  std::vector<Operand> elements;  // kVector
};

struct Instruction {
  Op op = Op::kMov;
  Type type = Type::kNone;         // of the result, unless `from` says more
  Type from = Type::kNone;         // cvt, setp, popc: of the source
  Space space = Space::kGeneric;
  int vector = 1;
  bool is_volatile = false;
  bool passes_l1 = false;          // .L1::no_allocate
  bool wide = false;
  bool high = false;
  bool saturate = false;
  bool flush = false;              // .ftz
  bool to_space = false;           // cvta.to
  bool uniform = false;
  std::string_view mode;           // setp: comparison; cvt: rounding; shfl, vote, atom: which
  std::string_view combine;        // setp: and, or, xor
  int predicate = -1;
  bool predicate_negated = false;
  std::vector<Operand> operands;
  int target = -1;                 // bra
  int line = 0;                    // of the PTX text
};

struct Parameter {
  std::string name;
  uint32_t offset = 0;
  uint32_t bytes = 0;
};

struct Kernel {
  std::string name;
  std::vector<Parameter> parameters;
  uint32_t parameter_bytes = 0;
  uint32_t shared_bytes = 0;
  uint32_t local_bytes = 0;
  uint32_t max_threads = 1024;
  int num_registers = 0;
  std::vector<Instruction> code;
};

struct Module {
  int version = 0;  // 10 * major + minor
  int target = 0;   // 75 for sm_75
  std::map<std::string, Kernel, std::less<>> kernels;
  std::string text;  // what the string_views of instructions point into
};

// Addresses of spaces other than global, as kernels see them in generic registers.
inline constexpr uint64_t kParamWindow = 0x0001'0000'0000'0000;
inline constexpr uint64_t kSharedWindow = 0x0002'0000'0000'0000;
inline constexpr uint64_t kLocalWindow = 0x0003'0000'0000'0000;
inline constexpr uint64_t kWindowBytes = 0x0001'0000'0000'0000;

struct ParseError {
  int line = 0;
  std::string message;
};

// On failure the second is set. The module refers to its own text: do not copy it.
std::variant<Module*, ParseError> ParsePtx(std::string_view text);

}  // namespace cusim

#endif  // GYRFALCON_CUSIM_PTX_H_

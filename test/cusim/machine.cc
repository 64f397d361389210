#include "cusim/machine.h"

#include <algorithm>
#include <cstring>

#include "cusim/alu.h"
#include "cusim/block.h"

namespace cusim {

uint64_t Block::ReadSpecial(Special special, int i) const {
  const Thread& thread = threads_[static_cast<size_t>(i)];
  const auto lane = static_cast<uint32_t>(i % kLanes);
  switch (special) {
    case Special::kTidX: return thread.x;
    case Special::kTidY: return thread.y;
    case Special::kTidZ: return thread.z;
    case Special::kNtidX: return launch_.block.x;
    case Special::kNtidY: return launch_.block.y;
    case Special::kNtidZ: return launch_.block.z;
    case Special::kCtaidX: return index_.x;
    case Special::kCtaidY: return index_.y;
    case Special::kCtaidZ: return index_.z;
    case Special::kNctaidX: return launch_.grid.x;
    case Special::kNctaidY: return launch_.grid.y;
    case Special::kNctaidZ: return launch_.grid.z;
    case Special::kLaneid: return lane;
    case Special::kWarpid: return static_cast<uint64_t>(i / kLanes);
    case Special::kClock:
    case Special::kGlobaltimer: return counters_.warp_instructions;
    case Special::kLanemaskLt: return (uint64_t{1} << lane) - 1;
    case Special::kLanemaskLe: return (uint64_t{2} << lane) - 1;
    case Special::kLanemaskEq: return uint64_t{1} << lane;
    case Special::kLanemaskGt: return 0xffffffffu & ~((uint64_t{2} << lane) - 1);
    case Special::kLanemaskGe: return 0xffffffffu & ~((uint64_t{1} << lane) - 1);
  }
  return 0;
}

uint64_t Block::Read(const Operand& operand, Type type, int i) {
  switch (operand.kind) {
    case Operand::Kind::kRegister: {
      const uint64_t bits = At(i).registers[static_cast<size_t>(operand.reg)];
      if (operand.negated) return bits ^ 1;
      return Truncate(bits, type);
    }
    case Operand::Kind::kImmediate: {
      if (!operand.is_real) return Truncate(operand.bits, type);
      double value = 0;
      std::memcpy(&value, &operand.bits, 8);
      if (type == Type::kF64 || type == Type::kB64) return operand.bits;
      // A .b32 move of a float constant wants its f32 bits.
      return FromReal(value, IsFloat(type) ? type : Type::kF32);
    }
    case Operand::Kind::kSpecial: return ReadSpecial(operand.special, i);
    case Operand::Kind::kSymbol: return operand.bits;
    case Operand::Kind::kVector: {
      // mov.b64 %rd, {%r1, %r2}
      const int bytes = SizeOf(type) / static_cast<int>(operand.elements.size());
      const Type part = bytes == 4 ? Type::kB32 : bytes == 2 ? Type::kB16 : Type::kB8;
      uint64_t bits = 0;
      for (size_t e = 0; e < operand.elements.size(); ++e) {
        bits |= Read(operand.elements[e], part, i) << (8 * static_cast<size_t>(bytes) * e);
      }
      return bits;
    }
    default: throw Trap{Fault::kLaunchFailure, "an operand that cannot be read"};
  }
}

void Block::Write(const Operand& operand, uint64_t bits, Type type, int i) {
  if (operand.kind == Operand::Kind::kRegister) {
    At(i).registers[static_cast<size_t>(operand.reg)] = type == Type::kPred ? bits & 1 : bits;
  } else if (operand.kind == Operand::Kind::kVector) {
    const int bytes = SizeOf(type) / static_cast<int>(operand.elements.size());
    const Type part = bytes == 4 ? Type::kB32 : bytes == 2 ? Type::kB16 : Type::kB8;
    for (size_t e = 0; e < operand.elements.size(); ++e) {
      Write(operand.elements[e], Truncate(bits >> (8 * static_cast<size_t>(bytes) * e), part), part, i);
    }
  } else if (operand.kind != Operand::Kind::kNone) {
    throw Trap{Fault::kLaunchFailure, "an operand that cannot be written"};
  }
}

void Block::Scalar(const Instruction& instruction, int i) {
  const std::vector<Operand>& operands = instruction.operands;
  const Type type = instruction.type;
  uint64_t out = 0;
  bool known = true;
  switch (instruction.op) {
    case Op::kMov: {
      const Type wide = operands[0].kind == Operand::Kind::kRegister &&
                                operands[1].kind == Operand::Kind::kSymbol
                            ? Type::kB64
                            : type;
      out = Read(operands[1], wide, i);
      break;
    }
    case Op::kCvta:
      out = operands[1].kind == Operand::Kind::kSymbol ? operands[1].bits
                                                       : Read(operands[1], Type::kB64, i);
      // Addresses are generic already; 32-bit ones of shared memory need their window.
      if (!instruction.to_space && instruction.space == Space::kShared && out < kParamWindow) {
        out += kSharedWindow;
      }
      break;
    case Op::kSelp:
      out = Read(operands[3], Type::kPred, i) != 0 ? Read(operands[1], type, i)
                                                   : Read(operands[2], type, i);
      break;
    case Op::kSetp: {
      bool result = false;
      known = Compare(instruction, Read(operands[1], type, i), Read(operands[2], type, i), &result);
      if (!instruction.combine.empty()) {
        const bool other = Read(operands[3], Type::kPred, i) != 0;
        result = instruction.combine == "and"  ? result && other
                 : instruction.combine == "or" ? result || other
                                               : result != other;
      }
      Write(operands[0], result ? 1 : 0, Type::kPred, i);
      break;
    }
    case Op::kCvt:
      known = Convert(instruction, Read(operands[1], instruction.from, i), &out);
      if (IsSigned(type)) out = static_cast<uint64_t>(ToSigned(out, type));
      break;
    case Op::kActivemask: throw Trap{Fault::kLaunchFailure, "activemask by itself"};
    default: {
      uint64_t in[4] = {};
      for (size_t o = 1; o < operands.size() && o <= 4; ++o) {
        // mad.wide adds a number of twice the width; shifts and fields count in 32 bits.
        Type of = type;
        if (instruction.op == Op::kMad && instruction.wide && o == 3) of = Type::kB64;
        const bool count = (instruction.op == Op::kShl || instruction.op == Op::kShr) && o == 2;
        if (count || ((instruction.op == Op::kBfe || instruction.op == Op::kBfi) &&
                      o > (instruction.op == Op::kBfi ? 2u : 1u))) {
          of = Type::kB32;
        }
        in[o - 1] = Read(operands[o], of, i);
      }
      known = Compute(instruction, in, &out);
    }
  }
  if (!known) throw Trap{Fault::kLaunchFailure, "an instruction that is not simulated"};
  if (instruction.op != Op::kSetp) {
    const bool unpacks = operands[0].kind == Operand::Kind::kVector;
    Write(operands[0], out, unpacks || type == Type::kPred ? type : Type::kB64, i);
  }
}

bool Block::Execute(const Instruction& instruction, const Lanes& here, int warp) {
  const Lanes active = Active(instruction, here);
  const bool all = active.size() == here.size();
  switch (instruction.op) {
    case Op::kShfl:
    case Op::kVote:
    case Op::kBarWarp:
      if (!all) {
        // Lanes whose predicate is false pass by first.
        for (const int i : here) {
          if (std::find(active.begin(), active.end(), i) == active.end()) ++At(i).pc;
        }
        return true;
      }
      return Sync(instruction, active, warp);
    case Op::kBar:
      for (const int i : here) At(i).barrier = 0;
      return true;
    case Op::kBra:
      for (const int i : here) ++At(i).pc;
      for (const int i : active) At(i).pc = instruction.target;
      return true;
    case Op::kRet:
      for (const int i : here) ++At(i).pc;
      for (const int i : active) At(i).exited = true;
      return true;
    case Op::kLd:
    case Op::kSt:
      if (!active.empty()) LoadOrStore(instruction, active);
      break;
    case Op::kAtom:
    case Op::kRed: {
      Lanes order = active;
      std::shuffle(order.begin(), order.end(), random_);
      for (const int i : order) {
        at_ = i;
        AtomicLane(instruction, i);
      }
      break;
    }
    case Op::kActivemask:
      for (const int i : active) Write(instruction.operands[0], MaskOf(active), Type::kB32, i);
      break;
    case Op::kMembar:
    case Op::kPrefetch:
    case Op::kNanosleep: break;
    default:
      for (const int i : active) {
        at_ = i;
        Scalar(instruction, i);
      }
  }
  for (const int i : here) ++At(i).pc;
  return true;
}

RunningLaunch::RunningLaunch(Launch launch, Memory* memory)
    : launch_(std::move(launch)), memory_(memory), random_(launch_.seed) {
  const Dim3& grid = launch_.grid;
  blocks_.resize(uint64_t{grid.x} * grid.y * grid.z);
  std::iota(blocks_.begin(), blocks_.end(), 0);
  std::shuffle(blocks_.begin(), blocks_.end(), random_);
}

RunningLaunch::~RunningLaunch() = default;

bool RunningLaunch::Begin() {
  if (blocks_.empty()) return false;
  const uint64_t number = blocks_.back();
  blocks_.pop_back();
  const Dim3& grid = launch_.grid;
  const Dim3 index{static_cast<uint32_t>(number % grid.x),
                   static_cast<uint32_t>(number / grid.x % grid.y),
                   static_cast<uint32_t>(number / grid.x / grid.y)};
  block_ = std::make_unique<Block>(launch_, memory_, index, &random_, &result_.counters);
  return true;
}

bool RunningLaunch::Advance(uint64_t rounds) {
  if (result_.fault != Fault::kNone) return false;
  for (; rounds > 0; --rounds) {
    if (block_ == nullptr && !Begin()) return false;
    try {
      if (!block_->Round()) block_.reset();
    } catch (const Trap& trap) {
      result_.fault = trap.fault;
      result_.report = trap.what + " (" + block_->Where() + ")";
      return false;
    }
  }
  return block_ != nullptr || !blocks_.empty();
}

LaunchResult RunLaunch(const Launch& launch, Memory* memory) {
  RunningLaunch running(launch, memory);
  while (running.Advance(1024)) {
  }
  return running.result();
}

}  // namespace cusim

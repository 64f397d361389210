#include "cusim/machine.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>

#include "cusim/alu.h"

namespace cusim {
namespace {

constexpr int kLanes = 32;

// What ends a launch.
struct Trap {
  Fault fault;
  std::string what;
};

struct Thread {
  int pc = 0;
  bool exited = false;
  int barrier = -1;  // waits at bar.sync here
  uint32_t x = 0;
  uint32_t y = 0;
  uint32_t z = 0;
  std::vector<uint64_t> registers;
  std::vector<std::byte> local;
};

using Lanes = std::vector<int>;

class Block {
 public:
  Block(const Launch& launch, Memory* memory, Dim3 index, std::mt19937_64* random,
        Counters* counters)
      : launch_(launch),
        kernel_(*launch.kernel),
        memory_(*memory),
        index_(index),
        random_(*random),
        counters_(*counters),
        shared_(kernel_.shared_bytes + launch.dynamic_shared),
        shared_written_(shared_.size()) {
    const Dim3& size = launch.block;
    for (uint32_t z = 0; z < size.z; ++z) {
      for (uint32_t y = 0; y < size.y; ++y) {
        for (uint32_t x = 0; x < size.x; ++x) {
          Thread& thread = threads_.emplace_back();
          thread.x = x;
          thread.y = y;
          thread.z = z;
          thread.registers.resize(static_cast<size_t>(kernel_.num_registers));
          thread.local.resize(kernel_.local_bytes);
        }
      }
    }
  }

  void Run() {
    const int warps = (static_cast<int>(threads_.size()) + kLanes - 1) / kLanes;
    std::vector<int> alive(static_cast<size_t>(warps));
    std::iota(alive.begin(), alive.end(), 0);
    while (!alive.empty()) {
      bool moved = false;
      std::shuffle(alive.begin(), alive.end(), random_);
      for (const int warp : alive) {
        for (uint64_t steps = 1 + random_() % 64; steps > 0 && Step(warp); --steps) moved = true;
      }
      std::erase_if(alive, [this](int warp) { return Members(warp).empty(); });
      if (!moved && !alive.empty() && !ReleaseBarrier()) {
        at_ = Members(alive.front()).front();
        throw Trap{Fault::kLaunchFailure, Deadlock()};
      }
    }
  }

  // Of the thread at hand, for reports.
  std::string Where() const {
    const Thread& thread = threads_[static_cast<size_t>(at_)];
    const size_t pc = std::min(static_cast<size_t>(thread.pc), kernel_.code.size() - 1);
    return "kernel " + kernel_.name + ", PTX line " + std::to_string(kernel_.code[pc].line) +
           ", block " + std::to_string(index_.x) + ", thread " + std::to_string(thread.x) +
           " (lane " + std::to_string(at_ % kLanes) + ")";
  }

 private:
  // Threads of a warp that have not exited.
  Lanes Members(int warp) const {
    Lanes members;
    const int end = std::min((warp + 1) * kLanes, static_cast<int>(threads_.size()));
    for (int i = warp * kLanes; i < end; ++i) {
      if (!threads_[static_cast<size_t>(i)].exited) members.push_back(i);
    }
    return members;
  }

  const Instruction& Code(int pc) const {
    if (static_cast<size_t>(pc) >= kernel_.code.size()) {
      throw Trap{Fault::kLaunchFailure, "ran past the end of the kernel"};
    }
    return kernel_.code[static_cast<size_t>(pc)];
  }

  // Runs one instruction of some lanes of the warp. False when all of them wait.
  bool Step(int warp) {
    const Lanes members = Members(warp);
    std::set<int> sorted;
    for (const int i : members) {
      if (threads_[static_cast<size_t>(i)].barrier < 0) {
        sorted.insert(threads_[static_cast<size_t>(i)].pc);
      }
    }
    // The lowest first, which brings diverged lanes together again; others where that one waits.
    std::vector<int> places(sorted.begin(), sorted.end());
    if (launch_.adversarial) std::shuffle(places.begin(), places.end(), random_);
    for (const int pc : places) {
      Lanes here;
      for (const int i : members) {
        const Thread& thread = threads_[static_cast<size_t>(i)];
        if (thread.pc == pc && thread.barrier < 0) here.push_back(i);
      }
      at_ = here.front();
      if (Execute(Code(pc), here, warp)) {
        ++counters_.warp_instructions;
        counters_.thread_instructions += here.size();
        return true;
      }
    }
    return false;
  }

  bool ReleaseBarrier() {
    bool any = false;
    for (const Thread& thread : threads_) {
      if (thread.exited) {
        // A thread that is gone can never arrive.
        if (std::any_of(threads_.begin(), threads_.end(),
                        [](const Thread& other) { return other.barrier >= 0; })) {
          return false;
        }
      } else if (thread.barrier < 0) {
        return false;
      }
      any = any || thread.barrier >= 0;
    }
    if (!any) return false;
    for (Thread& thread : threads_) {
      thread.barrier = -1;
      ++thread.pc;
    }
    return true;
  }

  std::string Deadlock() const {
    for (const Thread& thread : threads_) {
      if (thread.barrier >= 0) return "a barrier that not all threads of the block reach";
    }
    return "lanes of a .sync mask that never meet";
  }

  Thread& At(int i) { return threads_[static_cast<size_t>(i)]; }

  // The lanes among `here` whose predicate holds.
  Lanes Active(const Instruction& instruction, const Lanes& here) {
    if (instruction.predicate < 0) return here;
    Lanes active;
    for (const int i : here) {
      const bool holds = At(i).registers[static_cast<size_t>(instruction.predicate)] != 0;
      if (holds != instruction.predicate_negated) active.push_back(i);
    }
    return active;
  }

  bool Execute(const Instruction& instruction, const Lanes& here, int warp);
  void LoadOrStore(const Instruction& instruction, const Lanes& active);
  void AtomicLane(const Instruction& instruction, int i);
  void Scalar(const Instruction& instruction, int i);
  bool Sync(const Instruction& instruction, const Lanes& active, int warp);
  void Shuffle(const Instruction& instruction, const Lanes& active, uint32_t mask);
  void Vote(const Instruction& instruction, const Lanes& active);
  uint64_t Read(const Operand& operand, Type type, int i);
  uint64_t ReadSpecial(Special special, int i) const;
  void Write(const Operand& operand, uint64_t bits, Type type, int i);
  std::byte* Resolve(Space space, uint64_t address, size_t bytes, size_t alignment,
                     Memory::Access access, int i, bool* global);
  uint64_t AddressOf(const Instruction& instruction, const Operand& operand, int i);

  const Launch& launch_;
  const Kernel& kernel_;
  Memory& memory_;
  Dim3 index_;
  std::mt19937_64& random_;
  Counters& counters_;
  std::vector<Thread> threads_;
  std::vector<std::byte> shared_;
  std::vector<bool> shared_written_;
  std::set<uint64_t> l1_;  // sectors
  int at_ = 0;
};

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

uint64_t Block::AddressOf(const Instruction& instruction, const Operand& operand, int i) {
  if (operand.kind != Operand::Kind::kAddress) {
    throw Trap{Fault::kLaunchFailure, "an operand that is no address"};
  }
  uint64_t address = static_cast<uint64_t>(operand.offset);
  if (operand.reg >= 0) {
    uint64_t base = At(i).registers[static_cast<size_t>(operand.reg)];
    // Addresses of shared memory may be 32 bits wide: offsets in its window.
    address += base;
  }
  if (instruction.space == Space::kShared && address < kParamWindow) {
    address = kSharedWindow + (address & 0xffffffff);
  }
  if (instruction.space == Space::kLocal && address < kParamWindow) address += kLocalWindow;
  if (instruction.space == Space::kParam && address < kParamWindow) address += kParamWindow;
  return address;
}

std::byte* Block::Resolve(Space space, uint64_t address, size_t bytes, size_t alignment,
                          Memory::Access access, int i, bool* global) {
  *global = false;
  const auto window = [&](uint64_t base, std::vector<std::byte>& memory, const char* name) {
    const uint64_t offset = address - base;
    if (offset > memory.size() || bytes > memory.size() - offset) {
      throw Trap{Fault::kIllegalAddress, "byte " + std::to_string(offset) + " of " +
                                             std::to_string(memory.size()) + " bytes of " + name +
                                             " memory"};
    }
    if (offset % alignment != 0) {
      throw Trap{Fault::kMisaligned, "misaligned byte " + std::to_string(offset) + " of " + name};
    }
    return memory.data() + offset;
  };
  const uint64_t base = address / kWindowBytes * kWindowBytes;
  if (base == kSharedWindow && (space == Space::kShared || space == Space::kGeneric)) {
    std::byte* const at = window(base, shared_, "shared");
    for (size_t b = 0; b < bytes; ++b) {
      const size_t offset = address - base + b;
      if (access == Memory::Access::kWrite) {
        shared_written_[offset] = true;
      } else if (!shared_written_[offset]) {
        throw Trap{Fault::kIllegalAddress,
                   "byte " + std::to_string(offset) + " of shared memory was never written"};
      }
    }
    return at;
  }
  if (base == kLocalWindow && (space == Space::kLocal || space == Space::kGeneric)) {
    return window(base, At(i).local, "local");
  }
  if (base == kParamWindow && space == Space::kParam) {
    if (access != Memory::Access::kRead) {
      throw Trap{Fault::kIllegalAddress, "a store to a parameter"};
    }
    // Only read: the constness of the launch is not at stake.
    return window(base, const_cast<Launch&>(launch_).parameters, "parameter");
  }
  if (space != Space::kGlobal && space != Space::kGeneric) {
    throw Trap{Fault::kIllegalAddress, "an address of another space"};
  }
  *global = true;
  std::string fault;
  std::byte* const at = memory_.At(address, bytes, alignment, access, &fault);
  if (at == nullptr) {
    throw Trap{address % alignment != 0 ? Fault::kMisaligned : Fault::kIllegalAddress, fault};
  }
  return at;
}

// Loads and stores of the active lanes, counted as one request.
void Block::LoadOrStore(const Instruction& instruction, const Lanes& active) {
  const bool load = instruction.op == Op::kLd;
  const Operand& value = instruction.operands[load ? 0 : 1];
  const Operand& place = instruction.operands[load ? 1 : 0];
  const auto element = static_cast<size_t>(SizeOf(instruction.type));
  const size_t bytes = element * static_cast<size_t>(instruction.vector);
  std::set<uint64_t> sectors;
  bool any_global = false;
  for (const int i : active) {
    at_ = i;
    const uint64_t address = AddressOf(instruction, place, i);
    bool global = false;
    std::byte* const at =
        Resolve(instruction.space, address, bytes, bytes,
                load ? Memory::Access::kRead : Memory::Access::kWrite, i, &global);
    if (global) {
      any_global = true;
      for (uint64_t s = address / 32; s <= (address + bytes - 1) / 32; ++s) sectors.insert(s);
      (load ? counters_.load_bytes : counters_.store_bytes) += bytes;
    }
    for (int e = 0; e < instruction.vector; ++e) {
      const Operand& part = instruction.vector == 1 ? value : value.elements[static_cast<size_t>(e)];
      std::byte* const from = at + element * static_cast<size_t>(e);
      uint64_t bits = 0;
      if (load) {
        std::memcpy(&bits, from, element);
        if (IsSigned(instruction.type)) {
          bits = static_cast<uint64_t>(ToSigned(bits, instruction.type));
        }
        Write(part, bits, instruction.type, i);
      } else {
        bits = Read(part, instruction.type, i);
        std::memcpy(from, &bits, element);
      }
    }
  }
  if (any_global) {
    (load ? counters_.load_requests : counters_.store_requests) += 1;
    (load ? counters_.load_sectors : counters_.store_sectors) += sectors.size();
    for (const uint64_t sector : sectors) {
      if (!load || l1_.contains(sector)) continue;
      ++counters_.fetched_sectors;
      if (!instruction.passes_l1) l1_.insert(sector);
    }
  }
}

void Block::AtomicLane(const Instruction& instruction, int i) {
  const bool returns = instruction.op == Op::kAtom;
  const size_t first = returns ? 1 : 0;
  const auto bytes = static_cast<size_t>(SizeOf(instruction.type));
  const uint64_t address = AddressOf(instruction, instruction.operands[first], i);
  bool global = false;
  std::byte* const at = Resolve(instruction.space, address, bytes, bytes,
                                Memory::Access::kReadWrite, i, &global);
  uint64_t old = 0;
  std::memcpy(&old, at, bytes);
  uint64_t in[2] = {};
  for (size_t o = 0; o < 2 && first + 1 + o < instruction.operands.size(); ++o) {
    in[o] = Read(instruction.operands[first + 1 + o], instruction.type, i);
  }
  uint64_t next = 0;
  if (!Atomic(instruction, old, in, &next)) {
    throw Trap{Fault::kLaunchFailure, "an atomic operation that is not simulated"};
  }
  std::memcpy(at, &next, bytes);
  if (returns) Write(instruction.operands[0], old, instruction.type, i);
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

uint32_t MaskOf(const Lanes& lanes) {
  uint32_t mask = 0;
  for (const int i : lanes) mask |= 1u << (i % kLanes);
  return mask;
}

void Block::Shuffle(const Instruction& instruction, const Lanes& active, uint32_t mask) {
  const auto& operands = instruction.operands;  // d, a, b, c, mask [, p]
  const bool has_predicate = operands.size() == 6;
  std::array<uint64_t, kLanes> given{};
  for (const int i : active) given[static_cast<size_t>(i % kLanes)] = Read(operands[1], Type::kB32, i);
  for (const int i : active) {
    at_ = i;
    const auto lane = static_cast<uint32_t>(i % kLanes);
    const auto b = static_cast<uint32_t>(Read(operands[2], Type::kB32, i)) & 31;
    const auto c = static_cast<uint32_t>(Read(operands[3], Type::kB32, i));
    const uint32_t segment = c >> 8 & 31;
    const uint32_t clamp = c & 31;
    const uint32_t high = (lane & segment) | (clamp & ~segment);
    const uint32_t low = lane & segment;
    uint32_t source = lane;
    bool inside = false;
    if (instruction.mode == "up") {
      source = lane - b;
      inside = static_cast<int>(source) >= static_cast<int>(high);
    } else if (instruction.mode == "down") {
      source = lane + b;
      inside = source <= high;
    } else if (instruction.mode == "bfly") {
      source = lane ^ b;
      inside = source <= high;
    } else {
      source = low | (b & ~segment);
      inside = source <= high;
    }
    if (!inside) source = lane;
    if ((mask >> (source & 31) & 1) == 0) {
      throw Trap{Fault::kLaunchFailure,
                 "a shuffle reads lane " + std::to_string(source) + ", which is not in its mask"};
    }
    Write(operands[0], given[source & 31], Type::kB32, i);
    if (has_predicate) Write(operands[5], inside ? 1 : 0, Type::kPred, i);
  }
}

void Block::Vote(const Instruction& instruction, const Lanes& active) {
  uint32_t ballot = 0;
  for (const int i : active) {
    if (Read(instruction.operands[1], Type::kPred, i) != 0) ballot |= 1u << (i % kLanes);
  }
  const uint32_t lanes = MaskOf(active);
  for (const int i : active) {
    uint64_t result = ballot;
    if (instruction.mode == "any") result = ballot != 0;
    if (instruction.mode == "all") result = ballot == lanes;
    if (instruction.mode == "uni") result = ballot == 0 || ballot == lanes;
    Write(instruction.operands[0], result,
          instruction.mode == "ballot" ? Type::kB32 : Type::kPred, i);
  }
}

// .sync instructions: each group of lanes with one mask runs when all of the mask are there.
bool Block::Sync(const Instruction& instruction, const Lanes& active, int warp) {
  const Operand& operand = instruction.op == Op::kShfl   ? instruction.operands[4]
                           : instruction.op == Op::kVote ? instruction.operands[2]
                                                         : instruction.operands[0];
  const uint32_t present = MaskOf(active);
  const uint32_t living = MaskOf(Members(warp));
  for (const int i : active) {
    at_ = i;
    const auto mask = static_cast<uint32_t>(Read(operand, Type::kB32, i));
    if ((mask >> (i % kLanes) & 1) == 0) {
      throw Trap{Fault::kLaunchFailure, "a lane that is not in the mask of its .sync instruction"};
    }
    // bar.warp.sync of all may come after some have gone.
    const bool may_be_gone = instruction.op == Op::kBarWarp;
    if (!may_be_gone && (mask & ~living) != 0) {
      throw Trap{Fault::kLaunchFailure, "a .sync mask names a lane that has exited"};
    }
    if ((mask & living & ~present) != 0) continue;
    Lanes together;
    for (const int other : active) {
      if ((mask >> (other % kLanes) & 1) == 0) continue;
      if (static_cast<uint32_t>(Read(operand, Type::kB32, other)) != mask) {
        throw Trap{Fault::kLaunchFailure, "lanes of one .sync instruction disagree on the mask"};
      }
      together.push_back(other);
    }
    if (instruction.op == Op::kShfl) Shuffle(instruction, together, mask);
    if (instruction.op == Op::kVote) Vote(instruction, together);
    for (const int other : together) ++At(other).pc;
    return true;
  }
  return false;
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

}  // namespace

LaunchResult RunLaunch(const Launch& launch, Memory* memory) {
  LaunchResult result;
  std::mt19937_64 random(launch.seed);
  const Dim3& grid = launch.grid;
  std::vector<uint64_t> order(uint64_t{grid.x} * grid.y * grid.z);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  for (const uint64_t number : order) {
    const Dim3 index{static_cast<uint32_t>(number % grid.x),
                     static_cast<uint32_t>(number / grid.x % grid.y),
                     static_cast<uint32_t>(number / grid.x / grid.y)};
    Block block(launch, memory, index, &random, &result.counters);
    try {
      block.Run();
    } catch (const Trap& trap) {
      result.fault = trap.fault;
      result.report = trap.what + " (" + block.Where() + ")";
      return result;
    }
  }
  return result;
}

}  // namespace cusim

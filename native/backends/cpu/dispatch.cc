#include "backends/cpu/dispatch.h"

#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "backends/cpu/lookup_kernels.h"
#include "backends/cpu/lookup_plan.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace gyrfalcon {
namespace {

#if defined(__x86_64__)
constexpr bool Bit(uint32_t word, int bit) { return ((word >> bit) & 1u) != 0; }

// XCR0, which register states the operating system saves. Precondition: CPUID reports OSXSAVE.
uint64_t EnabledStates() {
  uint32_t low = 0;
  uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

std::string_view Avx2Reason(const CpuFeatures& cpu) {
  if (!cpu.avx2) return "the CPU lacks AVX2";
  if (!cpu.fma) return "the CPU lacks FMA";
  if (!cpu.f16c) return "the CPU lacks F16C";
  if (!cpu.os_ymm) return "the operating system does not save the YMM registers";
  return {};
}

std::string_view Avx512Reason(const CpuFeatures& cpu) {
  if (!cpu.avx512f) return "the CPU lacks AVX-512F";
  if (!cpu.avx512bw) return "the CPU lacks AVX-512BW";
  if (!cpu.avx512vl) return "the CPU lacks AVX-512VL";
  if (!cpu.avx512dq) return "the CPU lacks AVX-512DQ";
  if (!cpu.os_zmm) return "the operating system does not save the ZMM registers";
  return Avx2Reason(cpu);
}
#endif

const LookupChoices& Choices() {
  // Never destroyed: a worker may still look rows up while the process runs its exit handlers.
  static const auto* const choices = new LookupChoices(ChooseLookupBackends(DetectCpu()));
  return *choices;
}

}  // namespace

CpuFeatures DetectCpu() {
  CpuFeatures cpu;
#if defined(__x86_64__)
  uint32_t a = 0;
  uint32_t b = 0;
  uint32_t c = 0;
  uint32_t d = 0;
  if (__get_cpuid_count(0, 0, &a, &b, &c, &d) == 0) return cpu;
  cpu.intel = b == signature_INTEL_ebx && c == signature_INTEL_ecx && d == signature_INTEL_edx;
  const bool amd = b == signature_AMD_ebx && c == signature_AMD_ecx && d == signature_AMD_edx;
  if (__get_cpuid_count(1, 0, &a, &b, &c, &d) == 0) return cpu;
  if (amd) cpu.amd_family = static_cast<int>((a >> 8 & 0xf) + (a >> 20 & 0xff));
  cpu.fma = Bit(c, 12);
  cpu.f16c = Bit(c, 29);
  const bool has_xgetbv = Bit(c, 27);
  const uint64_t states = has_xgetbv ? EnabledStates() : 0;
  cpu.os_ymm = (states & 0x06) == 0x06;          // SSE and AVX
  cpu.os_zmm = (states & 0xe6) == 0xe6;          // and opmask, the upper halves, ZMM16 to ZMM31
  cpu.os_tiles = (states & 0x60000) == 0x60000;  // TILECFG and TILEDATA
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return cpu;
  cpu.avx2 = Bit(b, 5);
  cpu.avx512f = Bit(b, 16);
  cpu.avx512dq = Bit(b, 17);
  cpu.avx512bw = Bit(b, 30);
  cpu.avx512vl = Bit(b, 31);
  cpu.avx512_vnni = Bit(c, 11);
  cpu.amx_bf16 = Bit(d, 22) && Bit(d, 24);  // and AMX-TILE
  cpu.amx_int8 = Bit(d, 25) && Bit(d, 24);
  const uint32_t last_subleaf = a;
  if (last_subleaf < 1 || __get_cpuid_count(7, 1, &a, &b, &c, &d) == 0) return cpu;
  cpu.avx512_bf16 = Bit(a, 5);
#endif
  return cpu;
}

bool AllowTiles() {
#if defined(__x86_64__) && defined(__linux__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM, Linux 5.16
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

std::string CpuIdentity() {
#if defined(__x86_64__)
  uint32_t words[4] = {};
  std::string identity;
  for (uint32_t leaf = 0x80000002; leaf <= 0x80000004; ++leaf) {
    if (__get_cpuid(leaf, &words[0], &words[1], &words[2], &words[3]) == 0) break;
    identity.append(reinterpret_cast<const char*>(words), sizeof(words));
  }
  // A hypervisor may have put anything there.
  std::erase_if(identity, [](char c) { return c < ' ' || c > '~'; });
  if (__get_cpuid(1, &words[0], &words[1], &words[2], &words[3]) == 0) {
    identity += " " + std::to_string(words[0]);
  }
  return identity;
#else
  std::ifstream file("/sys/devices/system/cpu/cpu0/regs/identification/midr_el1");
  std::string midr;
  std::getline(file, midr);
  return "arm64 " + midr.substr(0, 32);
#endif
}

LookupChoices ChooseLookupBackends([[maybe_unused]] const CpuFeatures& cpu) {
  LookupChoices choices;
  const auto consider = [&](LookupBackend backend, std::string_view reason) {
    if (reason.empty()) {
      choices.backends.push_back(backend);
    } else {
      choices.unavailable.push_back({backend.name, reason});
    }
  };
#if defined(__x86_64__)
  consider({"avx512", RunLookupAvx512, OwnPrefetching(cpu, kAvx512PrefetchLines)},
           Avx512Reason(cpu));
  consider({"avx2", RunLookupAvx2, OwnPrefetching(cpu, kAvx2PrefetchLines)}, Avx2Reason(cpu));
  consider({"neon", nullptr}, "this build is for x86-64");
#elif defined(__aarch64__)
  consider({"neon", RunLookupNeon, OwnPrefetching(cpu, kNeonPrefetchLines)},
           {});  // part of the base architecture
  consider({"avx512", nullptr}, "this build is for AArch64");
  consider({"avx2", nullptr}, "this build is for AArch64");
#else
  consider({"avx512", nullptr}, "this build is for another architecture");
  consider({"avx2", nullptr}, "this build is for another architecture");
  consider({"neon", nullptr}, "this build is for another architecture");
#endif
  consider({"scalar", RunLookupScalar, OwnPrefetching(cpu, kScalarPrefetchLines)}, {});
  consider({"reference", RunLookupReference}, {});
  return choices;
}

const LookupBackend* SelectLookupBackend(const std::vector<LookupBackend>& backends,
                                         const char* forced) {
  if (backends.empty()) return nullptr;
  if (forced == nullptr || *forced == '\0') return &backends.front();
  // The CPUs that have AMX have AVX-512; lookups multiply nothing that tiles are for.
  if (std::string_view(forced) == "amx") forced = "avx512";
  for (const LookupBackend& backend : backends) {
    if (backend.name == forced) return &backend;
  }
  return nullptr;
}

const std::vector<LookupBackend>& LookupBackends() { return Choices().backends; }

const std::vector<BackendReason>& UnavailableLookupBackends() { return Choices().unavailable; }

const LookupBackend* SelectLookupBackendFromEnvironment() {
  return SelectLookupBackend(LookupBackends(), std::getenv("GYRFALCON_CPU_ISA"));
}

const LookupBackend* ActiveLookupBackend() {
  static const LookupBackend* const active = SelectLookupBackendFromEnvironment();
  return active;
}

}  // namespace gyrfalcon

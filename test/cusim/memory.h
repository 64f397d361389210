// The memory that kernels see: allocations at addresses that the host cannot read, or (mapped) at
// the host's own. Every access is checked.
#ifndef GYRFALCON_CUSIM_MEMORY_H_
#define GYRFALCON_CUSIM_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace cusim {

struct Allocation {
  uint64_t address = 0;
  size_t bytes = 0;
  std::byte* backing = nullptr;
  bool host = false;          // mapped host memory
  std::vector<bool> written;  // by byte; empty: all of it counts as written (the host writes freely)
};

class Memory {
 public:
  Memory();
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // 0 when more than `limit` bytes of the device would be in use.
  uint64_t AllocateDevice(size_t bytes);
  // Whole pages, that the host may use until they are freed: it crashes when it does so later.
  void* AllocateHost(size_t bytes);
  // False when there is no such allocation.
  bool Free(uint64_t address, bool host);

  enum class Access { kRead, kWrite, kReadWrite };
  // The bytes behind an address of a kernel or copy, or null with the reason in `fault`. Writing
  // marks them as written.
  std::byte* At(uint64_t address, size_t bytes, size_t alignment, Access access,
                std::string* fault);

  // Copies bytes, and with them whether they were ever written. Into memory of the host only bytes
  // that were: nobody would notice there. False with the reason in `fault`.
  bool Copy(uint64_t to, uint64_t from, size_t bytes, std::string* fault);

  // The live allocation that an address lies in, or null.
  const Allocation* Find(uint64_t address) const;

  size_t used() const { return used_; }
  size_t limit() const { return limit_; }
  void set_limit(size_t bytes) { limit_ = bytes; }
  const std::map<uint64_t, Allocation>& allocations() const { return allocations_; }
  bool IsDevice(uint64_t address) const { return address >= base_ && address < base_ + kReserved; }

 private:
  Allocation* Inside(uint64_t address, size_t bytes, std::string* fault);

  static constexpr size_t kReserved = size_t{1} << 38;  // sanitizers leave room for no more
  static constexpr size_t kGap = 4096;  // between allocations: never valid

  std::map<uint64_t, Allocation> allocations_;
  std::map<uint64_t, size_t> freed_;
  uint64_t base_ = 0;
  uint64_t next_ = 0;
  uint64_t host_base_ = 0;
  uint64_t host_next_ = 0;
  size_t used_ = 0;
  size_t limit_ = size_t{8} << 30;
};

}  // namespace cusim

#endif  // GYRFALCON_CUSIM_MEMORY_H_

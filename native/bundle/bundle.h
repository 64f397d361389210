// Reading a bundle directory. Everything from the files is bounded before anything is allocated;
// the rules are in docs/bundle-format.md.
#ifndef GYRFALCON_BUNDLE_BUNDLE_H_
#define GYRFALCON_BUNDLE_BUNDLE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backends/lookup.h"
#include "core/model_spec.h"
#include "core/status.h"

namespace gyrfalcon {

// How a table's bytes come into memory.
enum class TableResidency : uint8_t {
  kCopy,  // into anonymous memory on huge pages where the system gives them (the default)
  kMap    // a read-only file mapping; replacing the file by rename is safe, truncating it is not
};

// Owns the memory of one table. Shared by models and threads.
class TableStorage {
 public:
  virtual ~TableStorage() = default;
  virtual TableView view() const = 0;
  virtual size_t bytes() const = 0;
  virtual size_t huge_page_bytes()
      const = 0;  // of them on huge pages now (reads smaps); 0 if mapped
  // The rows, for whoever sees to it that nobody reads them meanwhile; null if mapped.
  virtual std::byte* writable() const { return nullptr; }
};

struct LoadTableOptions {
  TableResidency residency = TableResidency::kCopy;
  bool verify_checksum = true;  // kCopy checks while it copies; kMap reads the whole file for it
};

// Reads and validates `dir`/model.json.
Result<ModelSpec> ReadManifest(const std::string& dir);

// Same, from text; for tests and fuzzing.
Result<ModelSpec> ParseManifest(std::string_view json);

// Loads one table of the bundle.
Result<std::shared_ptr<const TableStorage>> LoadTable(const std::string& dir, const TableSpec& spec,
                                                      const LoadTableOptions& options);

// Loads one tensor of any safetensors file as a table: dtype F32/F16/BF16 [rows, dim], or U8
// [rows, RowBytes] when `storage` is kInt8/kInt4 (dim then follows from the row size; int4 rows
// have an even dim unless `dim` says otherwise; 0 = derive).
Result<std::shared_ptr<const TableStorage>> LoadSafetensorsTable(const std::string& path,
                                                                 const std::string& tensor,
                                                                 Storage storage, int64_t dim,
                                                                 const LoadTableOptions& options);

// Uninitialised table memory (64-byte aligned, huge pages asked for) that `fill` writes once.
Result<std::shared_ptr<const TableStorage>> MakeTable(int64_t rows, int64_t dim, Storage storage,
                                                      const std::function<void(std::byte*)>& fill);

// Reads a whole file of the bundle and checks its checksum.
Result<std::vector<std::byte>> ReadBundleFile(const std::string& dir, const std::string& file,
                                              uint64_t xxh64, size_t max_bytes);

// Resolves `file` under `dir`: relative, no "..", no empty or "." part, no backslash or NUL, and no
// symbolic link that leaves `dir`. kPathEscape otherwise.
Result<std::string> ContainedPath(const std::string& dir, const std::string& file);

}  // namespace gyrfalcon

#endif  // GYRFALCON_BUNDLE_BUNDLE_H_

#include "core/load_model.h"

#include <utility>
#include <vector>

#include "backends/lookup.h"
#include "core/prefetch_setup.h"

namespace gyrfalcon {
namespace {

using Tables = std::vector<std::shared_ptr<const TableStorage>>;

Result<Tables> LoadTables(const std::string& dir, const std::vector<TableSpec>& specs,
                          const LoadTableOptions& options) {
  Tables tables;
  for (const TableSpec& spec : specs) {
    Result<std::shared_ptr<const TableStorage>> loaded = LoadTable(dir, spec, options);
    if (!loaded.ok()) return loaded.status();
    tables.push_back(std::move(loaded).value());
  }
  return tables;
}

// The prefetch distance is tried on the largest table, unless rows are still on disk.
void SetUpPrefetch(const Tables& tables, TableResidency residency) {
  if (ActiveLookupBackend() == nullptr) return;
  TableView largest;
  for (const auto& table : tables) {
    if (residency == TableResidency::kMap) break;
    if (table->view().rows > largest.rows) largest = table->view();
  }
  PrefetchSetup::Shared().Consider(largest, *ActiveLookupBackend());
}

}  // namespace

Result<std::shared_ptr<const Model>> LoadModel(const std::string& dir,
                                               const LoadModelOptions& options,
                                               LoadProgress* progress) {
  Result<ModelSpec> spec = ReadManifest(dir);
  if (!spec.ok()) return spec.status();
  Result<std::shared_ptr<Engine>> engine = LoadEngine(dir, *spec, options.engine);
  if (!engine.ok()) return engine.status();
  const int threads = options.engine.engine.threads;
  if (options.device >= 0) {
    Result<DeviceTables> loaded =
        LoadTablesOnto(options.device, dir, spec->tables, options.caches, options.tables, progress);
    if (!loaded.ok()) return loaded.status();
    return Model::Create(std::move(spec).value(), std::move(loaded->shapes),
                         std::move(engine).value(), ActiveLookupBackend(), options.policy, threads,
                         std::move(loaded->on));
  }
  Result<Tables> tables = LoadTables(dir, spec->tables, options.tables);
  if (!tables.ok()) return tables.status();
  SetUpPrefetch(*tables, options.tables.residency);
  return Model::Create(std::move(spec).value(), std::move(tables).value(),
                       std::move(engine).value(), ActiveLookupBackend(), options.policy, threads);
}

}  // namespace gyrfalcon

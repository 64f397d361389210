// The steps of ParseManifest (bundle.h), one section of model.json each. A section may refer to the
// ones before it.
#ifndef GYRFALCON_BUNDLE_MANIFEST_H_
#define GYRFALCON_BUNDLE_MANIFEST_H_

#include "bundle/json_cursor.h"
#include "bundle/manifest_fields.h"
#include "core/model_spec.h"
#include "core/status.h"

namespace gyrfalcon {

// What is being read: the spec so far and the names in it. Every list has at most kMaxInputs,
// kMaxTables or kMaxBags entries, so that positions fit an int.
struct ManifestReading {
  ModelSpec spec;
  NameIndex symbols;
  NameIndex inputs;
  NameIndex tables;
  NameIndex slots;
};

Status ReadSymbols(const JsonCursor& at, ManifestReading* reading);
Status ReadInputs(const JsonCursor& at, ManifestReading* reading);
Status ReadFused(const JsonCursor& at, ManifestReading* reading);
Status ReadOutputs(const JsonCursor& at, ManifestReading* reading);
Status ReadTables(const JsonCursor& at, ManifestReading* reading);
Status ReadSlots(const JsonCursor& at, ManifestReading* reading);
Status ReadBags(const JsonCursor& at, ManifestReading* reading);
Status ReadDense(const JsonCursor& at, ManifestReading* reading);

// The bags that write into a slot cover it completely and never overlap; a bag with a symbolic
// count and pooling none is alone in it. `slots` and `bags` are the manifest's, for messages.
Status CheckSlotCover(const JsonCursor& slots, const JsonCursor& bags, const ModelSpec& spec);

}  // namespace gyrfalcon

#endif  // GYRFALCON_BUNDLE_MANIFEST_H_

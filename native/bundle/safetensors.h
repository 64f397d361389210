// Reading safetensors headers (the format of huggingface/safetensors): eight bytes of header
// length, a JSON header, the tensors' bytes. Every rule of docs/bundle-format.md is checked before
// anything is said about any tensor.
#ifndef GYRFALCON_BUNDLE_SAFETENSORS_H_
#define GYRFALCON_BUNDLE_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bundle/file.h"
#include "core/status.h"

namespace gyrfalcon {

struct SafetensorsTensor {
  std::string name;
  std::string dtype;           // as in the header: "F32", "U8", ...
  std::vector<int64_t> shape;  // at most kMaxRank extents, each >= 0
  uint64_t begin = 0;          // bytes from the start of the data
  uint64_t end = 0;            // end - begin is the product of shape and dtype
};

struct SafetensorsHeader {
  uint64_t data_offset = 0;                // of the data in the file
  std::vector<SafetensorsTensor> tensors;  // in the order of their data

  // Null when there is none of that name.
  const SafetensorsTensor* Find(std::string_view name) const;
};

// Parses header text; `data_bytes` is what follows it in the file. data_offset stays 0.
Result<SafetensorsHeader> ParseSafetensorsHeader(std::string_view text, uint64_t data_bytes);

// Reads the header of an open file. `path` is for messages.
//
// kBundleInvalid: a rule is broken. kLimitExceeded: header length, rank or a name is over its
// limit. kIoError: the system refused. Memory stays within a small multiple of the header.
Result<SafetensorsHeader> ReadSafetensorsHeader(const File& file, const std::string& path);

}  // namespace gyrfalcon

#endif  // GYRFALCON_BUNDLE_SAFETENSORS_H_

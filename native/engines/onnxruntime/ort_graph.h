// A loaded graph: the session and what it says about its tensors. Immutable; shared by the engine
// and its contexts, so that it lives until the last of them is gone.
#ifndef GYRFALCON_ENGINES_ONNXRUNTIME_ORT_GRAPH_H_
#define GYRFALCON_ENGINES_ONNXRUNTIME_ORT_GRAPH_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "core/status.h"
#include "engines/engine.h"
#include "engines/onnxruntime/ort_api.h"
#include "engines/onnxruntime/ort_library.h"

namespace gyrfalcon {

class OrtGraph {
 public:
  // Reads the tensors' names, dtypes and dims. kOnnxUnsupported: an input or output is no tensor or
  // has an element type outside core/dtype.h.
  static Result<std::shared_ptr<const OrtGraph>> Create(std::shared_ptr<OrtLibrary> library,
                                                        ort::Handle<ort::OrtSession> session);

  const OrtLibrary& library() const { return *library_; }
  ort::Api api() const { return library_->api(); }
  ort::OrtSession* session() const { return session_.get(); }
  const std::vector<EngineTensorSpec>& inputs() const { return inputs_; }
  const std::vector<EngineTensorSpec>& outputs() const { return outputs_; }

 private:
  OrtGraph(std::shared_ptr<OrtLibrary> library, ort::Handle<ort::OrtSession> session)
      : library_(std::move(library)), session_(std::move(session)) {}
  Status ReadSpecs(bool outputs, std::vector<EngineTensorSpec>* specs) const;

  std::shared_ptr<OrtLibrary> library_;
  ort::Handle<ort::OrtSession> session_;
  std::vector<EngineTensorSpec> inputs_;
  std::vector<EngineTensorSpec> outputs_;
};

}  // namespace gyrfalcon

#endif  // GYRFALCON_ENGINES_ONNXRUNTIME_ORT_GRAPH_H_

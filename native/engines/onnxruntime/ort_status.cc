#include "engines/onnxruntime/ort_status.h"

#include <cstddef>

namespace gyrfalcon::ort {
namespace {

constexpr size_t kMaxMessage = 500;
constexpr size_t kMinAddressDigits = 6;  // shorter hexadecimal numbers are not addresses

bool IsHexDigit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

// Length of the address that `text` begins with, or 0.
size_t AddressLength(std::string_view text) {
  if (!text.starts_with("0x") && !text.starts_with("0X")) return 0;
  size_t length = 2;
  while (length < text.size() && IsHexDigit(text[length])) ++length;
  return length >= 2 + kMinAddressDigits ? length : 0;
}

// Where `text` may be cut without splitting a UTF-8 sequence.
size_t CutAt(std::string_view text, size_t limit) {
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xc0) == 0x80) --limit;
  return limit;
}

ErrorCode CodeOf(int number, std::string_view message) {
  if (message.find("bad_alloc") != std::string_view::npos ||
      message.find("Failed to allocate memory") != std::string_view::npos) {
    return ErrorCode::kOutOfMemory;
  }
  switch (number) {
    case kNoSuchFile:
      return ErrorCode::kIoError;
    case kInvalidProtobuf:
    case kInvalidGraph:
    case kNoModel:
      return ErrorCode::kOnnxInvalid;
    case kNotImplemented:
      return ErrorCode::kOnnxUnsupported;
    default:
      return ErrorCode::kEngineFailed;
  }
}

}  // namespace

std::string CleanMessage(std::string_view text) {
  std::string clean;
  for (size_t i = 0; i < text.size();) {
    if (const size_t length = AddressLength(text.substr(i)); length != 0) {
      clean += "(address)";
      i += length;
      continue;
    }
    const auto c = static_cast<unsigned char>(text[i++]);
    if (c >= 0x20 && c != 0x7f) {
      clean += static_cast<char>(c);
    } else if (!clean.empty() && clean.back() != ' ') {
      clean += ' ';
    }
  }
  while (!clean.empty() && clean.back() == ' ') clean.pop_back();
  if (clean.size() > kMaxMessage) {
    clean.resize(CutAt(clean, kMaxMessage));
    clean += "...";
  }
  return clean;
}

Status TakeStatus(Api api, OrtStatus* status, std::string_view doing) {
  if (status == nullptr) return Status::Ok();
  const Handle<OrtStatus> owned(api, status);
  const std::string_view message = api[kGetErrorMessage](status);
  std::string text = "ONNX Runtime failed ";
  text += doing;
  text += ": ";
  text += CleanMessage(message);
  return Status(CodeOf(api[kGetErrorCode](status), message), std::move(text));
}

}  // namespace gyrfalcon::ort

// Status and Result: how every room below napi/ reports failure. No exceptions cross a room.
#ifndef GYRFALCON_CORE_STATUS_H_
#define GYRFALCON_CORE_STATUS_H_

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "core/error_code.h"

namespace gyrfalcon {

// The OK state holds an empty std::string and allocates nothing, so a Status may be returned on the
// hot path.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status Ok() { return Status(); }

  bool ok() const { return code_ == ErrorCode::kOk; }
  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }

 private:
  ErrorCode code_ = ErrorCode::kOk;
  std::string message_;
};

// Either a value or a Status that is not OK.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}         // NOLINT: implicit
  Result(Status status) : state_(std::in_place_index<1>, std::move(status)) {}  // NOLINT: implicit
  Result(ErrorCode code, std::string message)
      : state_(std::in_place_index<1>, Status(code, std::move(message))) {}

  bool ok() const { return state_.index() == 0; }
  Status status() const { return ok() ? Status::Ok() : std::get<1>(state_); }

  // Precondition: ok().
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &std::get<0>(state_); }
  T& operator*() & { return std::get<0>(state_); }

 private:
  std::variant<T, Status> state_;
};

}  // namespace gyrfalcon

// Returns from the enclosing function when `expr` (a Status) is not OK.
#define GYR_RETURN_IF_ERROR(expr)              \
  do {                                         \
    ::gyrfalcon::Status gyr_status_ = (expr);  \
    if (!gyr_status_.ok()) return gyr_status_; \
  } while (false)

#endif  // GYRFALCON_CORE_STATUS_H_

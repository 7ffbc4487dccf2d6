// Owning handles for TensorFlow's objects, and the conversion of exceptions to TensorFlow errors.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <utility>
#include <vector>

#include "bind/tensorflow_c_api.hpp"
#include "driver/dispatch.hpp"

namespace cosgrad::tensorflow {

template <auto F>
struct Deleter {
  template <class T>
  void operator()(T* t) const {
    F(t);
  }
};
using Status = std::unique_ptr<TF_Status, Deleter<TF_DeleteStatus>>;
using Tensor = std::unique_ptr<TF_Tensor, Deleter<TF_DeleteTensor>>;
using Shape = std::unique_ptr<TF_ShapeHandle, Deleter<TF_DeleteShapeHandle>>;
using Dimension = std::unique_ptr<TF_DimensionHandle, Deleter<TF_DeleteDimensionHandle>>;
using Dims = std::vector<std::int64_t>;

inline constexpr TF_DataType kTypes[cosgrad::kDTypes] = {TF_HALF, TF_BFLOAT16, TF_FLOAT, TF_DOUBLE};

// An error that TensorFlow itself has reported, thrown so that it reaches the place that reports errors.
struct HostError {
  Status status;
};

inline void check(Status& status) {
  if (TF_GetCode(status.get()) != TF_OK) throw HostError{std::move(status)};
}

// Calls f and passes an exception that f throws to report(status).
template <class F, class Report>
void guarded(F f, Report report) noexcept {
  const auto fail = [&](TF_Code code, const char* message) {
    const Status status(TF_NewStatus());
    TF_SetStatus(status.get(), code, message);
    report(status.get());
  };
  try {
    f();
  } catch (const HostError& error) {
    report(error.status.get());
  } catch (const std::invalid_argument& error) {
    fail(TF_INVALID_ARGUMENT, error.what());
  } catch (const std::bad_alloc&) {
    fail(TF_RESOURCE_EXHAUSTED, "cosgrad is out of memory");
  } catch (const std::exception& error) {
    fail(TF_INTERNAL, error.what());
  } catch (...) {
    fail(TF_INTERNAL, "cosgrad failed");
  }
}

}  // namespace cosgrad::tensorflow

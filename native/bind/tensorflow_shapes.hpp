// Shape inference: the shapes of results as far as they are known before a run.
//
// The interface gives no access to an operation's attributes here. Of a result without the axis, only the rank is
// known, and those lengths that are the same wherever the axis is. The Python frontend knows the axis and sets the full
// shape.
#pragma once

#include <algorithm>

#include "bind/tensorflow_handles.hpp"

namespace cosgrad::tensorflow {

class Inference {
 public:
  Inference(TF_ShapeInferenceContext* context, TF_Status* status) : context_(context), status_(status) {}

  // Output i has the shape of input of[i].
  void copy(const int* of, int count) {
    for (int i = 0; i < count && ok(); ++i) {
      const Shape shape(TF_NewShapeHandle());
      TF_ShapeInferenceContextGetInput(context_, of[i], shape.get(), status_);
      if (ok()) TF_ShapeInferenceContextSetOutput(context_, i, shape.get(), status_);
    }
  }

  void batch(int outputs) {
    Dims x, y;
    if (!lengths(0, x) || !lengths(1, y)) {
      if (ok()) TF_ShapeInferenceContextSetUnknownShape(context_, status_);
      return;
    }
    const std::size_t rank = std::max(x.size(), y.size());
    x.insert(x.begin(), rank - x.size(), 1);
    y.insert(y.begin(), rank - y.size(), 1);
    // An unknown length takes the other operand's length, unless that is 1.
    for (std::size_t i = 0; i < rank; ++i) x[i] = x[i] == 1 || (x[i] < 0 && y[i] != 1) ? y[i] : x[i];
    Shape shape(TF_ShapeInferenceContextScalar(context_));
    for (std::size_t i = 0; i + 1 < rank && ok(); ++i) {
      const std::int64_t length = x[i] == x[i + 1] ? x[i] : -1;
      const Shape one(TF_ShapeInferenceContextVectorFromSize(context_, static_cast<std::size_t>(length)));
      Shape longer(TF_NewShapeHandle());
      TF_ShapeInferenceContextConcatenateShapes(context_, shape.get(), one.get(), longer.get(), status_);
      shape = std::move(longer);
    }
    for (int i = 0; i < outputs && ok(); ++i) TF_ShapeInferenceContextSetOutput(context_, i, shape.get(), status_);
  }

 private:
  bool ok() const { return TF_GetCode(status_) == TF_OK; }

  // Returns whether the rank is known; an unknown length is -1.
  bool lengths(int input, Dims& out) {
    const Shape shape(TF_NewShapeHandle());
    TF_ShapeInferenceContextGetInput(context_, input, shape.get(), status_);
    if (!ok() || !TF_ShapeInferenceContextRankKnown(context_, shape.get())) return false;
    const Dimension length(TF_NewDimensionHandle());
    for (std::int64_t i = 0; i < TF_ShapeInferenceContextRank(context_, shape.get()); ++i) {
      TF_ShapeInferenceContextDim(context_, shape.get(), i, length.get());
      out.push_back(TF_DimensionHandleValueKnown(length.get()) ? TF_DimensionHandleValue(length.get()) : -1);
    }
    return true;
  }

  TF_ShapeInferenceContext* context_;
  TF_Status* status_;
};

using Infer = void (*)(TF_ShapeInferenceContext*, TF_Status*);

template <int Outputs>
void infer_batch(TF_ShapeInferenceContext* context, TF_Status* status) noexcept {
  guarded([&] { Inference(context, status).batch(Outputs); },
          [&](TF_Status* error) { TF_SetStatus(status, TF_GetCode(error), TF_Message(error)); });
}

template <int... Of>
void infer_like(TF_ShapeInferenceContext* context, TF_Status* status) noexcept {
  constexpr int of[] = {Of...};
  guarded([&] { Inference(context, status).copy(of, sizeof...(Of)); },
          [&](TF_Status* error) { TF_SetStatus(status, TF_GetCode(error), TF_Message(error)); });
}

}  // namespace cosgrad::tensorflow

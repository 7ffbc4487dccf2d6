// Arrays of any rank, shape and strides as nested runs of rows.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <stdexcept>

namespace cosgrad {

inline constexpr int kMaxRank = 64;
inline constexpr int kMaxOperands = 6;

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// An array as a frontend describes it. Strides are in bytes; data == nullptr means absent or not wanted.
struct View {
  char* data = nullptr;
  int rank = 0;
  std::int64_t shape[kMaxRank] = {}, stride[kMaxRank] = {};
};

// An array within the broadcast shape: the stride of the row axis, and the strides of the batch axes.
struct Operand {
  char* data = nullptr;
  std::int64_t along = 0;
  std::int64_t stride[kMaxRank] = {};
};

// The batch axes, outermost first. Axes of length 1 are dropped, and neighbours are merged if every operand allows it.
struct Nest {
  int rank = 0, operands = 0;
  std::int64_t shape[kMaxRank];
  std::int64_t stride[kMaxRank][kMaxOperands];

  explicit Nest(int count) : operands(count) {}

  template <class StrideOf>
  void add_axis(std::int64_t length, StrideOf stride_of) {
    if (length == 1) return;
    bool merges = rank > 0;
    for (int k = 0; k < operands && merges; ++k) merges = stride[rank - 1][k] == stride_of(k) * length;
    if (merges)
      shape[rank - 1] *= length;
    else
      shape[rank++] = length;
    for (int k = 0; k < operands; ++k) stride[rank - 1][k] = stride_of(k);
  }

  std::int64_t count() const {
    std::int64_t c = 1;
    for (int i = 0; i < rank; ++i) c *= shape[i];
    return c;
  }

  // Calls run(offsets, steps, length) for consecutive positions [begin, end). Each run lies within the innermost axis
  // and is at most `limit` long. `offsets` and `steps` are in bytes, one per operand.
  template <class F>
  void runs(std::int64_t begin, std::int64_t end, std::int64_t limit, F run) const {
    if (begin >= end) return;  // an empty nest has an axis of length 0
    static constexpr std::int64_t kStill[kMaxOperands] = {};
    const std::int64_t inner = rank ? shape[rank - 1] : 1;
    const std::int64_t* steps = rank ? stride[rank - 1] : kStill;
    std::int64_t index[kMaxRank] = {};
    std::int64_t offset[kMaxOperands] = {};
    std::int64_t rest = begin;
    for (int i = rank - 1; i >= 0; --i) {
      index[i] = rest % shape[i];
      rest /= shape[i];
      for (int k = 0; k < operands; ++k) offset[k] += index[i] * stride[i][k];
    }
    std::int64_t within = rank ? index[rank - 1] : 0;
    while (begin < end) {
      const std::int64_t length = std::min({end - begin, inner - within, limit});
      run(offset, steps, length);
      begin += length;
      within += length;
      for (int k = 0; k < operands; ++k) offset[k] += length * steps[k];
      if (within < inner || begin >= end) continue;
      within = 0;
      for (int k = 0; k < operands; ++k) offset[k] -= inner * steps[k];
      for (int i = rank - 2; i >= 0; --i) {
        for (int k = 0; k < operands; ++k) offset[k] += stride[i][k];
        if (++index[i] < shape[i]) break;
        for (int k = 0; k < operands; ++k) offset[k] -= shape[i] * stride[i][k];
        index[i] = 0;
      }
    }
  }
};

// The shape that two arrays broadcast to, split into the row axis and the batch axes around it.
struct Frame {
  int rank = 0, axis = 0;
  std::int64_t shape[kMaxRank] = {};

  Frame(const View& x, const View& y, int row_axis) : rank(std::max(x.rank, y.rank)), axis(row_axis) {
    if (axis < 0 || axis >= rank) throw std::invalid_argument("the axis is outside the broadcast shape");
    for (int i = 0; i < rank; ++i) {
      const std::int64_t a = length(x, i), b = length(y, i);
      if (a != b && a != 1 && b != 1) throw std::invalid_argument("the shapes do not broadcast");
      shape[i] = a == 1 ? b : a;
    }
  }

  std::int64_t n() const { return shape[axis]; }

  // The length of a view along an axis of the frame.
  std::int64_t length(const View& v, int i) const {
    const int own = i - (rank - v.rank);
    return own < 0 ? 1 : v.shape[own];
  }

  Operand operand(const View& v) const {
    Operand o;
    o.data = v.data;
    int batch = 0;
    for (int i = 0; i < rank; ++i) {
      const int own = i - (rank - v.rank);
      const std::int64_t s = own < 0 || (v.shape[own] == 1 && shape[i] != 1) ? 0 : v.stride[own];
      (i == axis ? o.along : o.stride[batch++]) = s;
    }
    return o;
  }

  // An array of the batch shape, with one stride per batch axis.
  Operand batch_operand(const View& v) const {
    if (v.data && v.rank != rank - 1) throw std::invalid_argument("an array of the batch shape has another rank");
    Operand o;
    o.data = v.data;
    std::copy(v.stride, v.stride + v.rank, o.stride);
    return o;
  }

  // A contiguous array of the batch shape.
  Operand contiguous(char* data, std::int64_t item) const {
    Operand o;
    o.data = data;
    std::int64_t step = item;
    for (int i = rank - 1, batch = rank - 2; i >= 0; --i) {
      if (i == axis) continue;
      o.stride[batch--] = step;
      step *= shape[i];
    }
    return o;
  }

  // The batch axes for which `keep(i)` is true; i counts the axes of the frame.
  template <class Keep>
  Nest nest(std::initializer_list<const Operand*> operands, Keep keep) const {
    Nest all(static_cast<int>(operands.size()));
    for (int i = 0, batch = 0; i < rank; ++i) {
      if (i == axis) continue;
      if (keep(i)) all.add_axis(shape[i], [&](int k) { return operands.begin()[k]->stride[batch]; });
      ++batch;
    }
    return all;
  }
  Nest nest(std::initializer_list<const Operand*> operands) const {
    return nest(operands, [](int) { return true; });
  }
};

}  // namespace cosgrad

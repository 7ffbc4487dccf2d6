// Operands that are broadcast along different batch axes, such as x[:, None] and y[None]: every row of one meets every
// row of the other. They are computed in blocks of pairs. The result is the only array with one element per pair.
#pragma once

#include <vector>

#include "driver/dispatch.hpp"
#include "driver/driver.hpp"
#include "driver/pack.hpp"

namespace cosgrad {

// With fewer rows than this on a side, one pair at a time is as fast.
inline constexpr std::int64_t kLeastPairs = 4;
// The size of a block of pairs: its sums and one step of its rows stay in the second-level cache.
inline constexpr std::int64_t kBlockRows = 16 * kTall, kBlockColumns = 8 * kBroad;

inline constexpr std::int64_t kSumDoubles = sizeof(PairSums) / sizeof(double);

// An array of doubles that starts at a cache line.
class Doubles {
 public:
  explicit Doubles(std::int64_t count) : memory_(new (kLine) double[static_cast<std::size_t>(count)]) {}
  static Doubles zeros(std::int64_t count) {
    Doubles d(count);
    std::fill_n(d.get(), count, 0.0);
    return d;
  }
  double* get() const { return memory_.get(); }

 private:
  static constexpr std::align_val_t kLine{64};
  struct Delete {
    void operator()(double* p) const { operator delete[](p, kLine); }
  };
  std::unique_ptr<double[], Delete> memory_;
};

struct BlockMemory {
  Doubles tall, broad, sums;
  BlockMemory(std::int64_t rows, std::int64_t columns)
      : tall(ceil_div(rows, kTall) * kTall * kStep),
        broad(ceil_div(columns, kBroad) * kBroad * kStep),
        sums(ceil_div(rows, kTall) * ceil_div(columns, kBroad) * kSumDoubles) {}
  PairScratch scratch() const { return {tall.get(), broad.get(), reinterpret_cast<PairSums*>(sums.get())}; }
};

// One operand: its rows, and their places in the results and in the cotangent.
class PairSide {
 public:
  // `nest` counts the operand's rows. Its operands are the rows, the results, and one more array with the same rows.
  PairSide(const Operand& operand, const Nest& nest, std::int64_t item, std::int64_t n)
      : operand_(operand), nest_(nest), item_(item), n_(n) {}

  std::int64_t count() const { return nest_.count(); }
  bool packed() const { return n_ > 1 && operand_.along != item_; }

  // Describes rows [begin, end), offset by `base` bytes. Rows that are not contiguous are copied to `memory`.
  void rows(std::int64_t begin, std::int64_t end, std::int64_t base, PairRow* to, char* memory) const {
    const std::int64_t bytes = n_ * item_;
    nest_.runs(begin, end, INT64_MAX, [&](const std::int64_t* at, const std::int64_t* step, std::int64_t length) {
      const char* from = operand_.data + base + at[0];
      if (packed()) copy_rows(item_, from, step[0], operand_.along, memory, bytes, item_, length, n_);
      for (std::int64_t i = 0; i < length; ++i, ++to) {
        *to = {packed() ? memory + i * bytes : from + i * step[0],
               at[1] + i * step[1],
               at[2] + i * step[2],
               0,
               0,
               0,
               false};
      }
      if (packed()) memory += length * bytes;
    });
  }

 private:
  const Operand& operand_;
  const Nest nest_;
  std::int64_t item_, n_;
};

// The batch axes along which only x steps, and those along which only y steps.
struct PairAxes {
  bool of_x[kMaxRank] = {}, of_y[kMaxRank] = {};  // indexed by the axes of the frame

  // `lies(k, i)` tells whether operand k (0: x, 1: y) steps along axis i.
  template <class Lies>
  PairAxes(const Frame& frame, Lies lies) {
    for (int i = 0; i < frame.rank; ++i) {
      if (i == frame.axis || frame.shape[i] == 1) continue;
      of_x[i] = lies(0, i) && !lies(1, i);
      of_y[i] = lies(1, i) && !lies(0, i);
    }
  }
};

// Returns the number of blocks of one task, given the multiplications of one block. A task takes some tens of
// microseconds, or some hundreds if a thread has to be started.
inline std::int64_t pair_grain(const Call& call, std::int64_t work) {
  return std::max<std::int64_t>((call.threads.pool == split ? 4 << 20 : 1 << 20) / std::max<std::int64_t>(work, 1), 1);
}

// Returns whether the operands form pairs; if so, computes the results.
inline bool forward_pairs(const Call& call, const Frame& frame, const Operand& x, const Operand& y, const Operand& out,
                          char* similarity, char* distance) {
  const auto batch = [&](int i) { return i < frame.axis ? i : i - 1; };
  const PairAxes axes(frame, [&](int k, int i) { return (k ? y : x).stride[batch(i)] != 0; });
  const Nest left = frame.nest({&x, &out, &out}, [&](int i) { return axes.of_x[i]; });
  const Nest right = frame.nest({&y, &out, &out}, [&](int i) { return axes.of_y[i]; });
  const std::int64_t n = frame.n(), item = kItemSize[call.dtype];
  if (left.count() < kLeastPairs || right.count() < kLeastPairs || n == 0) return false;
  const Nest common = frame.nest({&x, &y, &out}, [&](int i) { return !axes.of_x[i] && !axes.of_y[i]; });
  const PairSide of_x(x, left, item, n), of_y(y, right, item, n);

  // Copies of strided rows take at most one megabyte.
  const auto length = [&](const PairSide& side, std::int64_t most) {
    const std::int64_t room = side.packed() ? std::clamp<std::int64_t>((1 << 20) / (n * item), kTall, most) : most;
    return ceil_div(side.count(), ceil_div(side.count(), room));
  };
  const std::int64_t rows = length(of_x, kBlockRows), columns = length(of_y, kBlockColumns);
  const std::int64_t down = ceil_div(of_x.count(), rows), across = ceil_div(of_y.count(), columns);
  call.threads.run(
      common.count() * down * across, pair_grain(call, rows * columns * n), [&](std::int64_t begin, std::int64_t end) {
        const BlockMemory memory(rows, columns);
        const auto copies = [&](const PairSide& side, std::int64_t most) {
          return std::vector<char>(static_cast<std::size_t>(side.packed() ? most * n * item : 0));
        };
        std::vector<char> copied_x = copies(of_x, rows), copied_y = copies(of_y, columns);
        PairRow xs[kBlockRows], ys[kBlockColumns];
        for (std::int64_t unit = begin; unit < end; ++unit) {
          const std::int64_t at = unit / (down * across), i = unit / across % down * rows, j = unit % across * columns;
          const std::int64_t height = std::min(rows, of_x.count() - i), width = std::min(columns, of_y.count() - j);
          common.runs(at, at + 1, 1, [&](const std::int64_t* base, const std::int64_t*, std::int64_t) {
            of_x.rows(i, i + height, base[0], xs, copied_x.data());
            of_y.rows(j, j + width, base[1], ys, copied_y.data());
            kernels().measure[call.dtype](xs, height, n, call.eps);
            kernels().measure[call.dtype](ys, width, n, call.eps);
            kernels().pair_values[call.dtype]({{xs, ys, height, width, n, memory.scratch()},
                                               call.eps,
                                               similarity ? similarity + base[2] : nullptr,
                                               distance ? distance + base[2] : nullptr});
          });
        }
      });
  return true;
}

}  // namespace cosgrad

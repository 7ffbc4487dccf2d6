// The gradients where every row of one operand meets every row of the other: products of matrices, in blocks.
#pragma once

#include <optional>

#include "driver/pairs_forward.hpp"

namespace cosgrad {

// The rows and columns of a block of coefficients are multiples of kStep. Terms are summed kStep at a time, so the
// order of the sum does not depend on the blocks, nor on which operand is called x.
inline constexpr std::int64_t kMostRows = 4 * kStep, kMostColumns = 16 * kStep;
static_assert(kBlockRows % kStep == 0 && kBlockColumns % kStep == 0);
// Longer rows are added one pair at a time, because the sums of kStep of them would fill the memory.
inline constexpr std::int64_t kLongest = 1 << 14;

// One operand: its measured rows, and the sums for the gradient of `at_hand` of them.
class PairGradient {
 public:
  std::vector<PairRow> rows;
  const bool wanted;

  PairGradient(const PairSide& side, const Operand& gradient, bool is_wanted, std::int64_t at_hand, std::int64_t block,
               std::int64_t steps, const Call& call, std::int64_t n, bool whole)
      : rows(static_cast<std::size_t>(side.count())),
        wanted(is_wanted),
        side_(side),
        gradient_(gradient),
        call_(call),
        n_(n),
        steps_(steps),
        whole_(whole),
        tiles_(ceil_div(at_hand, kTall)),
        copies_(static_cast<std::size_t>(side.packed() ? side.count() * row_bytes() : 0)) {
    if (!wanted) return;
    sums_.emplace(panels() * tiles_ * kSumDoubles);
    for (auto& part : along_) part.resize(static_cast<std::size_t>(at_hand));
    partial_.resize(static_cast<std::size_t>(block * steps));
  }

  std::int64_t panels() const { return ceil_div(n_, kBroad); }
  std::int64_t count() const { return side_.count(); }
  PairRow* row(std::int64_t i) { return rows.data() + i; }
  PairSums* tile(std::int64_t panel, std::int64_t row) const {
    return reinterpret_cast<PairSums*>(sums_->get()) + panel * tiles_ + row / kTall;
  }

  void measure(std::int64_t begin, std::int64_t end, std::int64_t base) {
    if (begin >= end) return;
    side_.rows(begin, end, base, row(begin), copies_.data() + (side_.packed() ? begin * row_bytes() : 0));
    kernels().measure[call_.dtype](row(begin), end - begin, n_, call_.eps);
  }

  void clear() {
    if (!wanted) return;
    std::memset(sums_->get(), 0, static_cast<std::size_t>(panels() * tiles_) * sizeof(PairSums));
    for (auto& part : along_) std::fill(part.begin(), part.end(), 0);
  }

  // The place of the block's sum of k <x, y>, for row i of the block and step s of the other operand's rows.
  double* partial(std::int64_t i, std::int64_t s) { return partial_.data() + i * steps_ + s; }
  std::int64_t steps() const { return steps_; }
  void clear_partial() { std::fill(partial_.begin(), partial_.end(), 0); }
  // Adds the block's sums. The block's first row is row `from` of the rows at hand.
  void add_partial(std::int64_t from, std::int64_t length, std::int64_t steps) {
    if (!wanted) return;
    kernels().pair_along({along_[0].data() + from, along_[1].data() + from, partial_.data(), length, steps, steps_});
  }

  // Writes the gradients of the `length` rows at hand. The first of them is row `from` of all rows.
  void finish(const Threads& threads, std::int64_t from, std::int64_t length, std::int64_t base) const {
    if (!wanted) return;
    threads.run(length, (1 << 16) / n_ + 1, [&](std::int64_t begin, std::int64_t end) {
      TileRows to(gradient_, kItemSize[call_.dtype], whole_ ? 1 : n_);
      tile_rows(kItemSize[call_.dtype], n_, to);
      const Doubles sum(n_);
      for (std::int64_t i = begin; i < end; ++i) {
        const PairRow& r = rows[static_cast<std::size_t>(from + i)];
        const auto at = static_cast<std::size_t>(i);
        kernels().pair_gradient[call_.dtype](r, n_, along_[0][at], along_[1][at], tile(0, i), tiles_,
                                             static_cast<int>(i % kTall), sum.get());
        const MutableRows row = to.write(base + r.out, 0);
        kernels().round_sum[call_.dtype](reinterpret_cast<const char*>(sum.get()), n_, whole_, row.data);
        to.finish(base + r.out, 0, 1);
      }
    });
  }

 private:
  std::int64_t row_bytes() const { return n_ * kItemSize[call_.dtype]; }

  const PairSide& side_;
  const Operand& gradient_;
  const Call& call_;
  std::int64_t n_, steps_;
  bool whole_;
  std::int64_t tiles_;
  std::vector<char> copies_;
  std::optional<Doubles> sums_;   // [panel of elements][tile of rows]
  std::vector<double> along_[2];  // the sum of k <x, y>, in two parts
  std::vector<double> partial_;
};

// x is the operand whose gradient is wanted, kMostRows rows at a time. y's gradient may be wanted too, for all rows at
// once.
struct PairBackward {
  const Call& call;
  std::int64_t n;
  bool negate, skip_zero;
  PairGradient x, y;
  std::int64_t rows = std::min(kMostRows, x.count()), columns = std::min(kMostColumns, y.count());
  // Zeros, because a tile that is not full is read as a whole.
  Doubles of_x = Doubles::zeros(ceil_div(rows, kTall) * x_step());
  Doubles of_y = Doubles::zeros(y.wanted ? ceil_div(columns, kTall) * y_step() : 0);

  std::int64_t x_step() const { return ceil_div(columns, kTall) * kTall * kTall; }
  std::int64_t y_step() const { return ceil_div(rows, kTall) * kTall * kTall; }

  void coefficients(const Threads& threads, const char* g, std::int64_t i0, std::int64_t height, std::int64_t j0,
                    std::int64_t width) {
    const std::int64_t tall = std::min(kBlockRows, height), broad = std::min(kBlockColumns, width);
    const std::int64_t down = ceil_div(height, tall), across = ceil_div(width, broad);
    threads.run(down * across, pair_grain(call, 2 * tall * broad * n), [&](std::int64_t begin, std::int64_t end) {
      const BlockMemory memory(tall, broad);
      for (std::int64_t unit = begin; unit < end; ++unit) {
        const std::int64_t i = unit / across * tall, j = unit % across * broad;
        PairCoefficients t{
            {x.row(i0 + i), y.row(j0 + j), std::min(tall, height - i), std::min(broad, width - j), n, memory.scratch()},
            negate,
            skip_zero,
            g,
            {},
            {}};
        t.of_x = {of_x.get() + i / kTall * x_step() + j * kTall, x_step(), x.partial(i, j / kStep), x.steps()};
        if (y.wanted)
          t.of_y = {of_y.get() + j / kTall * y_step() + i * kTall, y_step(), y.partial(j, i / kStep), y.steps()};
        kernels().pair_coefficients[call.dtype](t);
      }
    });
  }

  // A unit of work is a panel of elements, of all rows of x or of kMostRows rows of y.
  void products(const Threads& threads, std::int64_t i0, std::int64_t height, std::int64_t j0, std::int64_t width) {
    const std::int64_t groups = y.wanted ? ceil_div(width, kMostRows) : 0;
    const std::int64_t work = height * std::min(width, kMostRows) * kBroad;
    threads.run(x.panels() * (1 + groups), pair_grain(call, work), [&](std::int64_t begin, std::int64_t end) {
      const Doubles scratch(kStep * kBroad);
      for (std::int64_t unit = begin; unit < end; ++unit) {
        const std::int64_t panel = unit % x.panels(), group = unit / x.panels() - 1;
        PairProducts t{};
        t.from = panel * kBroad;
        t.length = std::min<std::int64_t>(kBroad, n - t.from);
        t.scratch = scratch.get();
        if (group < 0) {
          t.rows = y.row(j0);
          t.count = width;
          t.coefficients = of_x.get();
          t.step = x_step();
          t.tiles = ceil_div(height, kTall);
          t.sums = x.tile(panel, 0);
        } else {
          const std::int64_t j = group * kMostRows;
          t.rows = x.row(i0);
          t.count = height;
          t.coefficients = of_y.get() + j / kTall * y_step();
          t.step = y_step();
          t.tiles = ceil_div(std::min(kMostRows, width - j), kTall);
          t.sums = y.tile(panel, j0 + j);
        }
        kernels().pair_products[call.dtype](t);
      }
    });
  }

  void run(const Threads& threads, std::int64_t base_x, std::int64_t base_y, const char* g, std::int64_t base_gx,
           std::int64_t base_gy) {
    threads.run(x.count() + y.count(), (1 << 18) / n + 1, [&](std::int64_t begin, std::int64_t end) {
      x.measure(begin, std::min(end, x.count()), base_x);
      y.measure(std::max(begin - x.count(), std::int64_t{0}), end - x.count(), base_y);
    });
    y.clear();
    for (std::int64_t i = 0; i < x.count(); i += rows) {
      const std::int64_t height = std::min(rows, x.count() - i);
      x.clear();
      for (std::int64_t j = 0; j < y.count(); j += columns) {
        const std::int64_t width = std::min(columns, y.count() - j);
        x.clear_partial();
        y.clear_partial();
        coefficients(threads, g, i, height, j, width);
        threads.run(1, 1,
                    [&](std::int64_t, std::int64_t) {  // run(), so that the sums are made in the environment of a task
                      x.add_partial(0, height, ceil_div(width, kStep));
                      y.add_partial(j, width, ceil_div(height, kStep));
                    });
        products(threads, i, height, j, width);
      }
      x.finish(threads, i, height, base_gx);
    }
    y.finish(threads, 0, y.count(), base_gy);
  }
};

// Returns whether the gradients are sums over pairs; if so, computes them.
inline bool backward_pairs(const Call& call, const Frame& frame, const View& shape_x, const View& shape_y,
                           const Operand& x, const Operand& y, const Operand& g, const Operand& gx, const Operand& gy,
                           bool negate, bool skip_zero) {
  const PairAxes axes(frame, [&](int k, int i) { return frame.length(k ? shape_y : shape_x, i) == frame.shape[i]; });
  const Nest left = frame.nest({&x, &gx, &g}, [&](int i) { return axes.of_x[i]; });
  const Nest right = frame.nest({&y, &gy, &g}, [&](int i) { return axes.of_y[i]; });
  const std::int64_t n = frame.n(), item = kItemSize[call.dtype], size_x = left.count(), size_y = right.count();
  if (call.dtype >= kNarrow || n == 0 || n > kLongest || size_x < kLeastPairs || size_y < kLeastPairs) return false;
  const Nest common = frame.nest({&x, &y, &g, &gx, &gy}, [&](int i) { return !axes.of_x[i] && !axes.of_y[i]; });
  struct Role {
    PairSide side;
    const Operand& gradient;
    bool whole;
    int at;  // the operand's index in `common`
  };
  const Role roles[] = {{{x, left, item, n}, gx, frame.length(shape_x, frame.axis) != n, 0},
                        {{y, right, item, n}, gy, frame.length(shape_y, frame.axis) != n, 1}};

  const auto sum = [&](const Role& first, const Role& second, bool both) {
    const auto work = [&](const Threads& threads, std::int64_t begin, std::int64_t end) {
      const std::int64_t rows = std::min(kMostRows, first.side.count());
      const std::int64_t columns = std::min(kMostColumns, second.side.count());
      PairBackward pairs{
          call,
          n,
          negate,
          skip_zero,
          PairGradient(first.side, first.gradient, true, rows, rows, ceil_div(columns, kStep), call, n, first.whole),
          PairGradient(second.side, second.gradient, both, second.side.count(), columns, ceil_div(rows, kStep), call, n,
                       second.whole)};
      common.runs(begin, end, 1, [&](const std::int64_t* base, const std::int64_t*, std::int64_t) {
        pairs.run(threads, base[first.at], base[second.at], g.data + base[2], base[3 + first.at], base[3 + second.at]);
      });
    };
    const std::int64_t multiplications = size_x * size_y * n;
    if (common.count() == 1 || multiplications >= 1 << 26) return work(call.threads, 0, common.count());
    call.threads.run(common.count(), pair_grain(call, 4 * multiplications),
                     [&](std::int64_t begin, std::int64_t end) { work({nullptr}, begin, end); });
  };
  // To compute both gradients at once, the sums of all rows of one operand are kept. The operand with fewer rows is
  // chosen, if its sums are small beside the cotangent.
  const Role &fewer = roles[size_x < size_y ? 0 : 1], &more = roles[size_x < size_y ? 1 : 0];
  const std::int64_t room = std::max<std::int64_t>(64 << 20, size_x * size_y * item / 4);
  if (gx.data && gy.data && fewer.side.count() * n * 16 <= room) {
    sum(more, fewer, true);
  } else {
    if (gx.data) sum(roles[0], roles[1], false);
    if (gy.data) sum(roles[1], roles[0], false);
  }
  return true;
}

}  // namespace cosgrad

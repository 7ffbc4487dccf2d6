#include "driver/driver.hpp"

#include <memory>

#include "driver/dispatch.hpp"
#include "driver/memory.hpp"
#include "driver/pack.hpp"
#include "driver/pairs_backward.hpp"
#include "driver/pairs_forward.hpp"

namespace cosgrad {
namespace {

// The number of rows in a block. Starting a thread costs about ten microseconds, waking a pool's thread a few.
std::int64_t grain(const Call& call, std::int64_t n, int operands) {
  const std::int64_t bytes = std::max<std::int64_t>(n * kItemSize[call.dtype] * operands, 64);
  const std::int64_t block = call.threads.pool == split ? 2 << 20 : 512 << 10;
  return std::max<std::int64_t>(block / bytes, 1);
}

std::int64_t bytes_of(const View& v, std::int64_t item) {
  std::int64_t count = v.data ? 1 : 0;
  for (int i = 0; i < v.rank; ++i) count *= v.shape[i];
  return count * item;
}

MutableRows at(char* data, std::int64_t offset, std::int64_t step) {
  return data ? MutableRows{data + offset, step} : MutableRows{};
}

// Computes both gradients, or one of them, of rows that are not broadcast.
void backward_rows(const Call& call, const Frame& frame, const Operand& x, const Operand& y, const Operand& g,
                   const Operand& gx, const Operand& gy, bool negate, bool skip_zero) {
  const std::int64_t item = kItemSize[call.dtype], n = frame.n();
  const Nest nest = frame.nest({&x, &y, &g, &gx, &gy});
  const bool stream = item >= 4 && worth_streaming(gx.data ? gx.data : gy.data, nest.count() * n * item);
  call.threads.run(nest.count(), grain(call, n, 4), [&](std::int64_t begin, std::int64_t end) {
    TileRows tx(x, item, n), ty(y, item, n), ux(gx, item, n), uy(gy, item, n);
    const std::int64_t limit = tile_rows(item, n, tx, ty, ux, uy);
    nest.runs(begin, end, limit, [&](const std::int64_t* at, const std::int64_t* step, std::int64_t rows) {
      BackwardTile tile{rows, n, call.eps, negate, skip_zero, {}, {}, {}, {}, {}};
      tile.stream = stream && !ux.packed() && !uy.packed();
      tile.x = tx.read(at[0], step[0], rows);
      tile.y = ty.read(at[1], step[1], rows);
      tile.g = {g.data + at[2], step[2]};
      tile.gx = ux.write(at[3], step[3]);
      tile.gy = uy.write(at[4], step[4]);
      kernels().backward[call.dtype](tile);
      ux.finish(at[3], step[3], rows);
      uy.finish(at[4], step[4], rows);
    });
  });
}

// Computes the gradient of a broadcast operand: for each of its rows (an owner), the sum over the rows that it meets.
// If there are few owners with many rows each, the rows are summed in segments. The number of segments depends on the
// shape only.
constexpr std::int64_t kUnits = 64;
constexpr std::int64_t kSumBytes = 64 << 20;

void backward_broadcast(const Call& call, const Frame& frame, const View& shape_x, const Operand& x, const Operand& y,
                        const Operand& g, const Operand& gx, bool negate, bool skip_zero) {
  const std::int64_t item = kItemSize[call.dtype], n = frame.n();
  const auto owned = [&](int i) { return frame.length(shape_x, i) == frame.shape[i]; };
  const Nest owners = frame.nest({&x, &y, &g, &gx}, owned);
  const Nest met = frame.nest({&x, &y, &g}, [&](int i) { return !owned(i); });
  const bool whole = frame.length(shape_x, frame.axis) != n;  // one element stands for all of a row
  const std::int64_t count = owners.count(), terms = met.count();
  if (count == 0) return;

  const std::int64_t sum_bytes = n * kSumSize[call.dtype];
  const std::int64_t room = std::max<std::int64_t>(kSumBytes / std::max<std::int64_t>(count * sum_bytes, 1), 1);
  const std::int64_t segments =
      std::clamp<std::int64_t>(kUnits / count, 1, std::max<std::int64_t>(std::min(terms, room), 1));
  const auto sums = segments > 1
                        ? std::make_unique_for_overwrite<char[]>(static_cast<std::size_t>(count * segments * sum_bytes))
                        : nullptr;

  const auto sum_segment = [&](std::int64_t owner, std::int64_t segment, char* sum, const TileRows& tx,
                               const TileRows& ty, std::int64_t limit) {
    std::memset(sum, 0, static_cast<std::size_t>(sum_bytes));
    owners.runs(owner, owner + 1, 1, [&](const std::int64_t* base, const std::int64_t*, std::int64_t) {
      const std::int64_t from = terms * segment / segments, to = terms * (segment + 1) / segments;
      met.runs(from, to, limit, [&](const std::int64_t* at, const std::int64_t* step, std::int64_t rows) {
        BackwardTile tile{rows, n, call.eps, negate, skip_zero, {}, {}, {}, {}, {}};
        tile.x = tx.read(base[0] + at[0], step[0], rows);
        tile.y = ty.read(base[1] + at[1], step[1], rows);
        tile.g = {g.data + base[2] + at[2], step[2]};
        tile.sum_x = sum;
        kernels().backward[call.dtype](tile);
      });
    });
  };
  const auto finish = [&](std::int64_t owner, const char* sum, const TileRows& ux) {
    owners.runs(owner, owner + 1, 1, [&](const std::int64_t* at, const std::int64_t* step, std::int64_t) {
      const MutableRows row = ux.write(at[3], step[3]);
      kernels().round_sum[call.dtype](sum, n, whole, row.data);
      ux.finish(at[3], step[3], 1);
    });
  };
  const std::int64_t written = whole ? 1 : n;

  call.threads.run(
      count * segments, std::max<std::int64_t>(grain(call, n, 2) / std::max<std::int64_t>(terms / segments, 1), 1),
      [&](std::int64_t begin, std::int64_t end) {
        TileRows tx(x, item, n), ty(y, item, n), ux(gx, item, written);
        const std::int64_t limit = tile_rows(item, n, tx, ty, ux);
        const auto own = sums ? nullptr : std::make_unique_for_overwrite<char[]>(static_cast<std::size_t>(sum_bytes));
        for (std::int64_t unit = begin; unit < end; ++unit) {
          char* sum = sums ? sums.get() + unit * sum_bytes : own.get();
          sum_segment(unit / segments, unit % segments, sum, tx, ty, limit);
          if (!sums) finish(unit, sum, ux);
        }
      });
  if (!sums) return;
  call.threads.run(count, grain(call, n, static_cast<int>(segments)), [&](std::int64_t begin, std::int64_t end) {
    TileRows ux(gx, item, written);
    tile_rows(item, n, ux);
    for (std::int64_t owner = begin; owner < end; ++owner) {
      char* sum = sums.get() + owner * segments * sum_bytes;
      for (std::int64_t s = 1; s < segments; ++s) kernels().add_sums[call.dtype](sum, sum + s * sum_bytes, n);
      finish(owner, sum, ux);
    }
  });
}

}  // namespace

void forward(const Call& call, const View& x, const View& y, char* similarity, char* distance) {
  const Frame frame(x, y, call.axis);
  const std::int64_t item = kItemSize[call.dtype], n = frame.n();
  const Operand a = frame.operand(x), b = frame.operand(y), out = frame.contiguous(nullptr, item);
  if (forward_pairs(call, frame, a, b, out, similarity, distance)) return;
  const Nest nest = frame.nest({&a, &b, &out});
  call.threads.run(nest.count(), grain(call, n, 2), [&](std::int64_t begin, std::int64_t end) {
    TileRows tx(a, item, n), ty(b, item, n);
    const std::int64_t limit = tile_rows(item, n, tx, ty);
    nest.runs(begin, end, limit, [&](const std::int64_t* offset, const std::int64_t* step, std::int64_t rows) {
      const Rows rx = tx.read(offset[0], step[0], rows), ry = ty.read(offset[1], step[1], rows);
      kernels().forward[call.dtype](
          {rows, n, call.eps, rx, ry, at(similarity, offset[2], step[2]), at(distance, offset[2], step[2])});
    });
  });
}

void backward(const Call& call, const View& x, const View& y, const View& g, const View& gx, const View& gy,
              bool negate, bool skip_zero) {
  const Frame frame(x, y, call.axis);
  const std::int64_t item = kItemSize[call.dtype];
  const Operand a = frame.operand(x), b = frame.operand(y), c = frame.batch_operand(g);
  const Operand ga = frame.operand(gx), gb = frame.operand(gy);
  advise_huge_pages(gx.data, bytes_of(gx, item));
  advise_huge_pages(gy.data, bytes_of(gy, item));
  const auto broadcast = [&](const View& v) {
    for (int i = 0; i < frame.rank; ++i)
      if (frame.length(v, i) != frame.shape[i]) return true;
    return false;
  };
  const bool sum_x = gx.data && broadcast(x), sum_y = gy.data && broadcast(y);
  if (backward_pairs(call, frame, x, y, a, b, c, ga, gb, negate, skip_zero)) return;
  const Operand none;
  if ((gx.data && !sum_x) || (gy.data && !sum_y))
    backward_rows(call, frame, a, b, c, sum_x ? none : ga, sum_y ? none : gb, negate, skip_zero);
  if (sum_x) backward_broadcast(call, frame, x, a, b, c, ga, negate, skip_zero);
  if (sum_y) backward_broadcast(call, frame, y, b, a, c, gb, negate, skip_zero);
}

void jvp(const Call& call, const View& x, const View& y, const View& dx, const View& dy, char* out, bool negate) {
  const Frame frame(x, y, call.axis);
  const std::int64_t item = kItemSize[call.dtype], n = frame.n();
  const Operand a = frame.operand(x), b = frame.operand(y), u = frame.operand(dx), v = frame.operand(dy);
  const Operand j = frame.contiguous(out, item);
  const Nest nest = frame.nest({&a, &b, &u, &v, &j});
  call.threads.run(nest.count(), grain(call, n, 4), [&](std::int64_t begin, std::int64_t end) {
    TileRows tx(a, item, n), ty(b, item, n), tu(u, item, n), tv(v, item, n);
    const std::int64_t limit = tile_rows(item, n, tx, ty, tu, tv);
    nest.runs(begin, end, limit, [&](const std::int64_t* at, const std::int64_t* step, std::int64_t rows) {
      JvpTile tile{rows, n, call.eps, negate, {}, {}, {}, {}, {j.data + at[4], step[4]}};
      tile.x = tx.read(at[0], step[0], rows);
      tile.y = ty.read(at[1], step[1], rows);
      tile.dx = tu.read(at[2], step[2], rows);
      tile.dy = tv.read(at[3], step[3], rows);
      kernels().jvp[call.dtype](tile);
    });
  });
}

void normalize(const Call& call, const View& x, const View& g, const View& out) {
  const Frame frame(x, x, call.axis);
  const std::int64_t item = kItemSize[call.dtype], n = frame.n();
  const Operand a = frame.operand(x), b = frame.operand(g), c = frame.operand(out);
  advise_huge_pages(out.data, bytes_of(out, item));
  const Nest nest = frame.nest({&a, &b, &c});
  const bool stream = item >= 4 && worth_streaming(c.data, nest.count() * n * item);
  call.threads.run(nest.count(), grain(call, n, 3), [&](std::int64_t begin, std::int64_t end) {
    TileRows tx(a, item, n), tg(b, item, n), to(c, item, n);
    const std::int64_t limit = tile_rows(item, n, tx, tg, to);
    nest.runs(begin, end, limit, [&](const std::int64_t* at, const std::int64_t* step, std::int64_t rows) {
      NormalizeTile tile{rows, n, call.eps, {}, {}, {}};
      tile.stream = stream && !to.packed();
      tile.x = tx.read(at[0], step[0], rows);
      tile.g = tg.read(at[1], step[1], rows);
      tile.out = to.write(at[2], step[2]);
      kernels().normalize[call.dtype](tile);
      to.finish(at[2], step[2], rows);
    });
  });
}

}  // namespace cosgrad

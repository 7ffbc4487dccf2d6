// Strided access to rows: a kernel sees contiguous rows only. Rows with a stride are copied through a tile that fits in
// the cache, and are transposed on the way. So every layout is computed by the same instructions in the same order.
#pragma once

#include <cstring>
#include <memory>
#include <utility>

#include "driver/nest.hpp"
#include "kernel/table.hpp"

namespace cosgrad {

inline constexpr std::int64_t kTileBytes = 256 << 10;
inline constexpr std::int64_t kTileRows = 64;

// Prefetches the lines of a strided array that the next tile will touch, just behind the lines of this tile. Hardware
// does not predict a stride of pages.
template <bool write>
void prefetch_behind(const char* lines, std::int64_t line, std::int64_t count, std::int64_t bytes) {
  for (std::int64_t i = 0; i < count; ++i)
    for (std::int64_t b = bytes; b < 2 * bytes; b += 64) __builtin_prefetch(lines + i * line + b, write);
}

// Turns `lines` lines of `length` items into `length` lines of `lines` items, in blocks of one register per line.
template <class Item, int... k>
void swap_axes(const char* from, std::int64_t from_line, char* to, std::int64_t to_line, std::int64_t lines,
               std::int64_t length, std::integer_sequence<int, k...>) {
  constexpr int W = 16 / sizeof(Item);
  typedef Item Register __attribute__((vector_size(16)));
  const auto block = [&](std::int64_t i, std::int64_t j) {
    Register r[W], t[W];
    for (int m = 0; m < W; ++m) std::memcpy(&r[m], from + (i + m) * from_line + j * std::int64_t{sizeof(Item)}, 16);
    for (int stage = 1; stage < W; stage *= 2) {
      for (int m = 0; m < W / 2; ++m) {
        t[2 * m] = __builtin_shufflevector(r[m], r[m + W / 2], (k / 2 + k % 2 * W)...);
        t[2 * m + 1] = __builtin_shufflevector(r[m], r[m + W / 2], (k / 2 + W / 2 + k % 2 * W)...);
      }
      for (int m = 0; m < W; ++m) r[m] = t[m];
    }
    for (int m = 0; m < W; ++m) std::memcpy(to + (j + m) * to_line + i * std::int64_t{sizeof(Item)}, &r[m], 16);
  };
  const auto one = [&](std::int64_t i, std::int64_t j) {
    std::memcpy(to + j * to_line + i * std::int64_t{sizeof(Item)},
                from + i * from_line + j * std::int64_t{sizeof(Item)}, sizeof(Item));
  };
  const std::int64_t whole_lines = lines / W * W, whole_length = length / W * W;
  // The longer axis is the outer loop. The shorter axis has a tile's rows, whose lines stay in the first-level cache.
  if (lines > length) {
    for (std::int64_t i = 0; i < whole_lines; i += W)
      for (std::int64_t j = 0; j < whole_length; j += W) block(i, j);
  } else {
    for (std::int64_t j = 0; j < whole_length; j += W)
      for (std::int64_t i = 0; i < whole_lines; i += W) block(i, j);
  }
  for (std::int64_t i = whole_lines; i < lines; ++i)
    for (std::int64_t j = 0; j < length; ++j) one(i, j);
  for (std::int64_t i = 0; i < whole_lines; ++i)
    for (std::int64_t j = whole_length; j < length; ++j) one(i, j);
}

template <class Item>
void copy_rows(const char* from, std::int64_t from_row, std::int64_t from_element, char* to, std::int64_t to_row,
               std::int64_t to_element, std::int64_t rows, std::int64_t n) {
  constexpr std::int64_t item = sizeof(Item);
  const std::make_integer_sequence<int, 16 / sizeof(Item)> lanes;
  if (from_row == item && to_element == item) {
    prefetch_behind<false>(from, from_element, n, rows * item);
    return swap_axes<Item>(from, from_element, to, to_row, n, rows, lanes);
  }
  if (from_element == item && to_row == item) {
    prefetch_behind<true>(to, to_element, n, rows * item);
    return swap_axes<Item>(from, from_row, to, to_element, rows, n, lanes);
  }
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t k = 0; k < n; ++k)
      std::memcpy(to + i * to_row + k * to_element, from + i * from_row + k * from_element, sizeof(Item));
}

inline void copy_rows(std::int64_t item, const char* from, std::int64_t from_row, std::int64_t from_element, char* to,
                      std::int64_t to_row, std::int64_t to_element, std::int64_t rows, std::int64_t n) {
  const auto typed = item == 2   ? copy_rows<std::uint16_t>
                     : item == 4 ? copy_rows<std::uint32_t>
                                 : copy_rows<std::uint64_t>;
  typed(from, from_row, from_element, to, to_row, to_element, rows, n);
}

// The rows of one operand within a tile: the rows themselves, or a copy if they are not contiguous.
class TileRows {
 public:
  TileRows(const Operand& operand, std::int64_t item, std::int64_t n)
      : operand_(operand), item_(item), n_(n), packed_(operand.data && n > 1 && operand.along != item) {
    // The step is an odd number of cache lines: rows a power of two apart would all fall into the same few sets.
    step_ = ((n * item + 63) / 64 | 1) * 64;
  }

  bool packed() const { return packed_; }
  void reserve(std::int64_t rows) {
    if (packed_) scratch_ = std::make_unique_for_overwrite<char[]>(static_cast<std::size_t>(rows * step_));
  }

  Rows read(std::int64_t offset, std::int64_t step, std::int64_t rows) const {
    if (!operand_.data) return {};
    const char* data = operand_.data + offset;
    if (!packed_) return {data, step};
    copy_rows(item_, data, step, operand_.along, scratch_.get(), step_, item_, step ? rows : 1, n_);
    return {scratch_.get(), step ? step_ : 0};
  }

  MutableRows write(std::int64_t offset, std::int64_t step) const {
    if (!operand_.data) return {};
    if (!packed_) return {operand_.data + offset, step};
    return {scratch_.get(), step_};
  }
  // Copies the tile to its place. To be called after the kernel has filled the rows that `write` returned.
  void finish(std::int64_t offset, std::int64_t step, std::int64_t rows) const {
    if (packed_) copy_rows(item_, scratch_.get(), step_, item_, operand_.data + offset, step, operand_.along, rows, n_);
  }

 private:
  const Operand& operand_;
  std::int64_t item_, n_, step_ = 0;
  bool packed_;
  std::unique_ptr<char[]> scratch_;
};

// Returns the number of rows of a tile and reserves memory for them: a whole run if nothing is packed.
template <class... T>
std::int64_t tile_rows(std::int64_t item, std::int64_t n, T&... rows) {
  std::int64_t limit = INT64_MAX;
  if ((rows.packed() || ...))
    limit = std::clamp<std::int64_t>(kTileBytes / std::max<std::int64_t>(n * item, 1), 4, kTileRows);
  (rows.reserve(limit), ...);
  return limit;
}

}  // namespace cosgrad

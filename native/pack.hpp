// A kernel sees contiguous rows only. Rows with a stride go through a cache-sized tile, transposed on the way, so that
// every layout is computed by the same instructions in the same order.
#pragma once

#include <cstring>
#include <memory>

#include "kernels.hpp"
#include "nest.hpp"

namespace cosgrad {

inline constexpr std::int64_t kTileBytes = 256 << 10;
inline constexpr std::int64_t kTileRows = 64;

template <class Item>
void transpose(const char* from, std::int64_t from_row, std::int64_t from_element, char* to, std::int64_t to_row,
               std::int64_t to_element, std::int64_t rows, std::int64_t n) {
  const auto move = [&](std::int64_t i, std::int64_t k) {
    std::memcpy(to + i * to_row + k * to_element, from + i * from_row + k * from_element, sizeof(Item));
  };
  // The inner loop follows whichever side lies row by row in memory.
  if (from_row == sizeof(Item) || to_row == sizeof(Item)) {
    for (std::int64_t k = 0; k < n; ++k)
      for (std::int64_t i = 0; i < rows; ++i) move(i, k);
  } else {
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t k = 0; k < n; ++k) move(i, k);
  }
}

inline void transpose(std::int64_t item, const char* from, std::int64_t from_row, std::int64_t from_element, char* to,
                      std::int64_t to_row, std::int64_t to_element, std::int64_t rows, std::int64_t n) {
  const auto typed = item == 2   ? transpose<std::uint16_t>
                     : item == 4 ? transpose<std::uint32_t>
                                 : transpose<std::uint64_t>;
  typed(from, from_row, from_element, to, to_row, to_element, rows, n);
}

// One operand's rows within a tile: where they lie, or a copy of them where they are not contiguous.
class TileRows {
 public:
  TileRows(const Operand& operand, std::int64_t item, std::int64_t n)
      : operand_(operand), item_(item), n_(n), packed_(operand.data && n > 1 && operand.along != item) {}

  bool packed() const { return packed_; }
  void reserve(std::int64_t rows) {
    if (packed_) scratch_ = std::make_unique_for_overwrite<char[]>(static_cast<std::size_t>(rows * n_ * item_));
  }

  Rows read(std::int64_t offset, std::int64_t step, std::int64_t rows) const {
    if (!operand_.data) return {};
    const char* data = operand_.data + offset;
    if (!packed_) return {data, step};
    transpose(item_, data, step, operand_.along, scratch_.get(), n_ * item_, item_, step ? rows : 1, n_);
    return {scratch_.get(), step ? n_ * item_ : 0};
  }

  MutableRows write(std::int64_t offset, std::int64_t step) const {
    if (!operand_.data) return {};
    if (!packed_) return {operand_.data + offset, step};
    return {scratch_.get(), n_ * item_};
  }
  // After the kernel has filled what `write` returned.
  void finish(std::int64_t offset, std::int64_t step, std::int64_t rows) const {
    if (packed_) transpose(item_, scratch_.get(), n_ * item_, item_, operand_.data + offset, step, operand_.along, rows, n_);
  }

 private:
  const Operand& operand_;
  std::int64_t item_, n_;
  bool packed_;
  std::unique_ptr<char[]> scratch_;
};

// How many rows a tile holds, and room for them: all of a run where nothing is packed.
template <class... T>
std::int64_t tile_rows(std::int64_t item, std::int64_t n, T&... rows) {
  std::int64_t limit = INT64_MAX;
  if ((rows.packed() || ...))
    limit = std::clamp<std::int64_t>(kTileBytes / std::max<std::int64_t>(n * item, 1), 4, kTileRows);
  (rows.reserve(limit), ...);
  return limit;
}

}  // namespace cosgrad

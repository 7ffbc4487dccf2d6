// The operations on whole arrays. A unit of work is a row, or a sum over the rows of a broadcast operand. Its result
// depends on its own data and the shape only, not on how the units are shared among threads.
#pragma once

#include "driver/nest.hpp"
#include "driver/parallel.hpp"

namespace cosgrad {

struct Call {
  int dtype, axis;
  double eps;
  Threads threads;
};

// similarity and distance are contiguous arrays of the broadcast batch shape; nullptr means not wanted.
void forward(const Call& call, const View& x, const View& y, char* similarity, char* distance);

// gx has the shape of x and gy that of y, each with its own strides; g has the batch shape.
void backward(const Call& call, const View& x, const View& y, const View& g, const View& gx, const View& gy,
              bool negate, bool skip_zero);

void jvp(const Call& call, const View& x, const View& y, const View& dx, const View& dy, char* out, bool negate);

// Without g: x / max(|x|, eps). With g: its vector-Jacobian product.
void normalize(const Call& call, const View& x, const View& g, const View& out);

}  // namespace cosgrad

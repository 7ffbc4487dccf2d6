"""The functions of the native core. The result of a row depends on this row only.

An array is given as an address, a shape and strides in multiples of `unit` bytes (1 for NumPy, the item size
for PyTorch), so that one binding serves every array library. Shapes follow the usual broadcasting rules.
`axis` counts in the broadcast shape and is not negative. `dtype` is an index into `dtypes`. The core does not
repeat the checks of the frontends. It raises a `ValueError` instead of reading or writing outside an array.

`pool` selects the threads: 0 for the core's own threads, 1 for a serial computation. Any other value is the
address of a function with the signature of libtorch's `torch_parallel_for`.
"""

from typing import Final

dtypes: Final[tuple[str, ...]]
"""("float16", "bfloat16", "float32", "float64")."""

isa: Final[str]
"""The instruction set in use. The environment variable `COSGRAD_ISA` can select another one of `isas`."""

isas: Final[tuple[str, ...]]
"""The instruction sets that this build and this processor support, with the best one last."""

xla_handlers: Final[dict[str, object]]
"""Capsules of the foreign functions for XLA, by the names under which they are registered."""

xla_interface: Final[tuple[int, int]]
"""The version of XLA's interface for which the handlers were compiled."""

Ints = tuple[int, ...]

def enter_environment() -> int:
    """Set this thread to round to nearest and keep subnormals, and return the previous settings."""

def leave_environment(saved: int, /) -> None:
    """Restore the settings that `enter_environment` returned."""

def forward(
    dtype: int,
    unit: int,
    axis: int,
    eps: float,
    x: int,
    x_shape: Ints,
    x_strides: Ints,
    y: int,
    y_shape: Ints,
    y_strides: Ints,
    similarity: int,
    distance: int,
    pool: int,
    /,
) -> None:
    """Write S and/or D as contiguous arrays of the broadcast batch shape. Address 0 omits a result."""

def backward(
    dtype: int,
    unit: int,
    axis: int,
    eps: float,
    x: int,
    x_shape: Ints,
    x_strides: Ints,
    y: int,
    y_shape: Ints,
    y_strides: Ints,
    grad: int,
    grad_strides: Ints,
    grad_x: int,
    grad_x_strides: Ints,
    grad_y: int,
    grad_y_strides: Ints,
    negate: bool,
    skip_zero: bool,
    pool: int,
    /,
) -> None:
    """Write g dS/dx and/or g dS/dy, or with `negate` their negatives, which are the gradients of D.

    `grad` has the broadcast batch shape, without the axis. `grad_x` has the shape of x, and `grad_y` that of
    y. Address 0 omits a result. The gradient of a broadcast operand is summed in the accumulator type and
    rounded once. With `skip_zero`, a row whose cotangent is 0 is not read: its gradient is 0 even if it has
    NaN.
    """

def jvp(
    dtype: int,
    unit: int,
    axis: int,
    eps: float,
    x: int,
    x_shape: Ints,
    x_strides: Ints,
    y: int,
    y_shape: Ints,
    y_strides: Ints,
    dx: int,
    dx_strides: Ints,
    dy: int,
    dy_strides: Ints,
    out: int,
    negate: bool,
    pool: int,
    /,
) -> None:
    """Write <dx, dS/dx> + <dy, dS/dy>, or its negative, as a contiguous array. Address 0 means zeros."""

def normalize(
    dtype: int,
    unit: int,
    axis: int,
    eps: float,
    x: int,
    shape: Ints,
    strides: Ints,
    out: int,
    out_strides: Ints,
    pool: int,
    /,
) -> None:
    """Write x / max(|x|, eps)."""

def normalize_backward(
    dtype: int,
    unit: int,
    axis: int,
    eps: float,
    x: int,
    shape: Ints,
    strides: Ints,
    grad: int,
    grad_strides: Ints,
    out: int,
    out_strides: Ints,
    pool: int,
    /,
) -> None:
    """Write the product of a cotangent with the Jacobian of `normalize`, which is symmetric."""

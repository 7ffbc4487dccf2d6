"""The native core: one row is one unit of work, and its result depends on nothing else.

Arrays come as an address, a shape and strides in multiples of `unit` bytes (1 for NumPy, the item size for
PyTorch), so that one binding serves every array library. Shapes broadcast as everywhere, `axis` counts in the
broadcast shape and is not negative. `dtype` is an index into `dtypes`. Nothing is checked that the frontends
check before; what would read or write outside an array is a `ValueError`.

`pool` says who lends the threads: 0 the core's own splitter, 1 nobody (serial), anything else is the address
of a function with the signature of libtorch's `torch_parallel_for`.
"""

from typing import Final

dtypes: Final[tuple[str, ...]]
"""("float16", "bfloat16", "float32", "float64")."""

isa: Final[str]
"""The instruction set in use; `COSGRAD_ISA` forces one of `isas`."""

isas: Final[tuple[str, ...]]
"""The instruction sets of this build that this processor has, the best last."""

xla_handlers: Final[dict[str, object]]
"""Capsules of XLA's foreign functions, by the names to register them under."""

xla_interface: Final[tuple[int, int]]
"""The version of XLA's interface for which they were compiled."""

Ints = tuple[int, ...]

def enter_environment() -> int:
    """Round to nearest and keep subnormals on this thread; return what the host had set."""

def leave_environment(saved: int, /) -> None:
    """Set again what the host had set."""

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
    """Write S and/or D, each contiguous over the broadcast batch shape (address 0: not wanted)."""

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
    """Write g dS/dx and/or g dS/dy, or their negatives (`negate`: the gradients of D).

    `grad` has the broadcast batch shape (axis dropped), `grad_x` the shape of x, `grad_y` that of y; address
    0: not wanted. Where an operand is broadcast its gradient is summed in the accumulator type and rounded
    once. With `skip_zero` a row whose cotangent is 0 has gradient 0 and is not read, whatever it holds.
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
    """Write <dx, dS/dx> + <dy, dS/dy>, or its negative, contiguous; a direction of address 0 is zero."""

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

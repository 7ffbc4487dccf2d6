"""Python numbers in arguments, under a compiler.

`torch.compile` makes a float symbolic if its value changes from call to call, so that one graph is valid for
all values. Such a float stays symbolic in arithmetic with a tensor. But a function that converts it to a
tensor, or an operator with a float argument, needs its value. Then each value needs a new graph.
"""

import torch
from torch import Tensor

from cosgrad.torch._rule import bound_for_onnx


def as_tensor(number: float, like: Tensor) -> Tensor:
    """Return the number as a tensor of rank 0, of the dtype and device of `like`.

    PyTorch's exporter to ONNX rounds numbers in operations to float32, but not constant tensors.
    """
    if bound_for_onnx():
        return like.new_tensor(number)
    if torch.compiler.is_compiling():
        return like.new_zeros(()) + number
    return like.new_full((), number)  # `new_tensor` fails on a meta tensor under `torch.func`


def in_graph(value: object) -> bool:
    """Return whether this is a NumPy number or array under a compiler: its value is unknown until the run."""
    return (
        torch.compiler.is_compiling()
        and not isinstance(value, (Tensor, int, float))
        and hasattr(value, "item")
    )


def symbolic(number: float) -> bool:
    """Return whether a compiler has made a number symbolic."""
    if not torch.compiler.is_compiling():
        return False
    from torch.fx.experimental.symbolic_shapes import has_static_value  # imports SymPy, as compilers do

    return not has_static_value(number)


def changing(number: float) -> bool:
    """Return whether a number is symbolic because it has changed between calls.

    With `dynamic=True` every float is symbolic, so the result is False.
    """
    if not symbolic(number):
        return False
    from torch._dynamo import config  # the compiler has already imported it

    static: bool = config.assume_static_by_default
    return static

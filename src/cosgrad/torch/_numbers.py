"""Python numbers in arguments.

`torch.compile` makes a float symbolic when its value changes from call to call, so that one graph serves
every value. Such a float stays symbolic in arithmetic with a tensor. A function that makes a tensor of it and
an operator that takes a float need its value, and so each value needs a new graph.
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
    """Tell whether a compiler sees a NumPy number or array, whose value is known when the graph runs."""
    return (
        torch.compiler.is_compiling()
        and not isinstance(value, (Tensor, int, float))
        and hasattr(value, "item")
    )


def symbolic(number: float) -> bool:
    """Tell whether a number is symbolic to a compiler."""
    if not torch.compiler.is_compiling():
        return False
    from torch.fx.experimental.symbolic_shapes import has_static_value  # imports sympy, as compilers do

    return not has_static_value(number)


def changing(number: float) -> bool:
    """Tell whether a compiler has seen the number change. With `dynamic=True` every float is symbolic."""
    if not symbolic(number):
        return False
    from torch._dynamo import config  # a compiler has imported it

    static: bool = config.assume_static_by_default
    return static

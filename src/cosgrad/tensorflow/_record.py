"""Custom gradients that work with tapes, graphs and forward mode.

`tf.custom_gradient` has two problems. First, under a `ForwardAccumulator` in a `tf.function`, it uses the
tangents of the inner operations, which are zeros if these operations are constants. Second, its rule keeps
tensors of the graph in which it was made, and a backward function that is differentiated again cannot access
them. So this module records the gradients itself, with the functions that `tf.custom_gradient` uses.
"""

import uuid
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import record

from cosgrad.tensorflow._arguments import plain
from cosgrad.tensorflow._state import current, using


def differentiable(
    inputs: tuple[Any, ...], compute: Callable[..., tuple[Any, ...]], vjp: Callable[..., Any]
) -> tuple[Any, ...]:
    """Return compute(*inputs), with gradients from vjp(inputs, grads): one, or None, for each input."""
    if tf.executing_eagerly():
        with record.stop_recording():
            outputs = compute(*inputs)
        record.record_operation("Cosgrad", outputs, inputs, lambda *grads: vjp(inputs, grads))
        return outputs
    # The rule may run while the gradient of this graph is differentiated again. So its tensors must belong to
    # this graph and not to a surrounding one.
    inputs = tuple(tf.identity(t) for t in inputs)
    forms = current()  # the gradient may be traced later, outside the context

    def backward(*grads: Any) -> Any:
        with using(forms):
            return vjp(inputs, grads)

    with record.stop_recording():
        outputs = compute(*inputs)
        count = len(outputs)
        # A counter could give the same name again in a process that loads a SavedModel; a UUID cannot.
        name = f"Cosgrad-{uuid.uuid4()}"
        tf.RegisterGradient(name)(
            plain(lambda _, *grads: [*(None for _ in range(count)), *backward(*grads[:count])])
        )
        with tf.compat.v1.get_default_graph().gradient_override_map({"IdentityN": name}):
            outputs = tuple(tf.identity_n([*outputs, *inputs])[:count])
    record.record_operation(name, outputs, inputs, backward)
    return outputs


def one_watched(x: Any, y: Any) -> bool:
    """Return whether the tapes record the gradient of exactly one of x and y."""
    watched = [record.should_record_backprop([t]) for t in (x, y)]
    return bool(watched[0] != watched[1])

"""Custom gradients that tapes, graphs and forward mode all follow.

`tf.custom_gradient` is not enough: under a `ForwardAccumulator` in a `tf.function` it takes the tangents of
the operations inside, zeros where these are constants; and its rule holds tensors of whatever graph it was
given, which a backward function that is differentiated again cannot see. So the recording is done here, once,
by what `tf.custom_gradient` itself uses.
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
    """Return compute(*inputs), differentiated by vjp(inputs, grads): a gradient, or None, for each input."""
    if tf.executing_eagerly():
        with record.stop_recording():
            outputs = compute(*inputs)
        record.record_operation("Cosgrad", outputs, inputs, lambda *grads: vjp(inputs, grads))
        return outputs
    # The rule may be asked for while this graph's gradient is differentiated again: it must hold tensors of
    # this graph, not of those around it.
    inputs = tuple(tf.identity(t) for t in inputs)
    forms = current()  # the gradient may be traced later, outside of the context

    def backward(*grads: Any) -> Any:
        with using(forms):
            return vjp(inputs, grads)

    with record.stop_recording():
        outputs = compute(*inputs)
        count = len(outputs)
        # Unlike a counter the name cannot be met again in a process that loads a SavedModel.
        name = f"Cosgrad-{uuid.uuid4()}"
        tf.RegisterGradient(name)(
            plain(lambda _, *grads: [*(None for _ in range(count)), *backward(*grads[:count])])
        )
        with tf.compat.v1.get_default_graph().gradient_override_map({"IdentityN": name}):
            outputs = tuple(tf.identity_n([*outputs, *inputs])[:count])
    record.record_operation(name, outputs, inputs, backward)
    return outputs


def one_watched(x: Any, y: Any) -> bool:
    """Tell whether there is a tape that wants a gradient of one of them only."""
    watched = [record.should_record_backprop([t]) for t in (x, y)]
    return bool(watched[0] != watched[1])

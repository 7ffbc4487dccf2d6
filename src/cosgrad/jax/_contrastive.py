"""The contrastive losses of all pairs of rows, on one or several devices, without the matrix in memory."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike

from cosgrad import spec
from cosgrad.jax._arguments import FRONTEND, as_array, as_floats, promoted, varying_alike
from cosgrad.jax._sigmoid import Sigmoid
from cosgrad.jax._similarity import cosine_similarity, normalize
from cosgrad.jax._softmax import Softmax
from cosgrad.jax._tiled import in_tiles, places, value
from cosgrad.jax._tiles import missing


def contrastive_loss(
    x: ArrayLike,
    y: ArrayLike,
    *,
    labels_x: ArrayLike | None = None,
    labels_y: ArrayLike | None = None,
    ignore: ArrayLike | None = None,
    temperature: ArrayLike = 0.07,
    symmetric: bool = True,
    axis_name: Any = None,
) -> Array:
    r"""Return the InfoNCE loss of all rows of x with all rows of y; if symmetric, this is CLIP's loss.

    S_ij is the cosine similarity of x_i and y_j, and p_ij is the softmax of S_ij / temperature over row i.
    The loss of a row is -log p_ij for its positive j, or the mean of these values if it has several
    positives. The result is the mean over the rows. If `symmetric`, it is the mean of the losses over the
    rows and over the columns.

    Each pass computes the matrix tile by tile, so memory grows with N + M. The loss keeps its digits also if
    a batch is well separated, at any temperature. The gradients are computed together with the value.

    Args:
        x: Array (N, D) of float16, bfloat16, float32 or float64. The loss normalizes the rows itself.
        y: Array (M, D). The positive of row i is column i, unless there are labels.
        labels_x: Integers or booleans (N,), given together with `labels_y`. The positives of row i are all
            columns with the same label. The mean excludes rows without a positive.
        labels_y: The labels of the columns, (M,).
        ignore: Booleans (N, M). A pair with True is neither positive nor negative. A row or column whose
            pairs are all ignored changes nothing, even if it has NaN.
        temperature: A number or an array of rank 0, finite and greater than 0. The value is checked if it is
            available, that is, not under a transform.
        symmetric: Return the mean of the losses over rows and over columns.
        axis_name: Under `shard_map`, the name (or a tuple of names) of the mesh axis over which the rows are
            distributed, in parts of equal length. The rows of y travel in a ring; no device holds all of
            them. x, y and labels are those of the device, and column i is the positive of row i of the same
            device. `ignore` has the columns of all devices, in the order of the axis.

    Returns:
        A scalar of the promoted dtype of x and y: on every device the loss of the whole batch, or 0 if no row
        has a positive. Half types are computed in float32. A zero vector has similarity 0 with every row, and
        gradient 0.

    Raises:
        ValueError: Shapes do not fit, or N or M is symbolic (`jax.export`); without labels, M is less than N,
            or differs from N in the symmetric loss; the temperature is not finite, not positive or not a
            scalar; only one of the two labels is given.
        TypeError: An argument is not an array, or has a complex or another unsupported dtype.

    The function supports `jit`, `grad`, `jvp`, `vmap` and the other transforms, and has derivatives in x, y
    and the temperature. Derivatives of order two and higher differentiate the tiled program. Forward over
    reverse mode (`jax.hessian`, Hessian-vector products) needs no more memory. Reverse over reverse mode
    stores all tiles, as much as the dense formula with `pairwise_cosine_similarity`.

    Gradients over devices: outside `shard_map`, or inside with `check_vma=True`, gradients are those of the
    whole-batch loss: for the rows of each device, and, summed over devices, for a shared temperature. Inside
    with `check_vma=False`, the transpose of `psum` multiplies them: each device gets its part times the
    number of devices. Then `pmean` of the gradients of shared parameters is correct.

    References:
        van den Oord, Li, Vinyals 2018, "Representation learning with contrastive predictive coding";
        Radford et al. 2021, "Learning transferable visual models from natural language supervision".

    Example:
        >>> import jax, jax.numpy as jnp
        >>> x, y = jnp.array([[3.0, 4.0], [1.0, 0.0]]), jnp.array([[4.0, 3.0], [1.0, -1.0]])
        >>> print(f"{contrastive_loss(x, y, temperature=0.5):.5f}")
        0.40232
        >>> slope = jax.grad(lambda t: contrastive_loss(x, y, temperature=t))(0.5)
        >>> print(f"{slope:.5f}")
        0.25754
        >>> loss = contrastive_loss(x, y, labels_x=jnp.array([0, 1]), labels_y=jnp.array([1, 0]))
        >>> print(f"{loss:.3f}")
        7.619
    """
    labelled = spec.check_labels(labels_x, labels_y)
    x, y = as_array("x", x), as_array("y", y)
    a, b = as_floats(x, y)
    _check_fixed(x=a, y=b)
    FRONTEND.check_contrastive(a.shape, b.shape, labelled, symmetric)
    devices = 1 if axis_name is None else jax.lax.psum(1, axis_name)
    loss: Array = _contrastive(
        a,
        b,
        _labels("labels_x", labels_x, len(a)),
        _labels("labels_y", labels_y, len(b)),
        _ignore(ignore, (len(a), len(b) * devices)),
        _temperature(temperature),
        symmetric=symmetric,
        axis=axis_name,
    )
    return loss.astype(promoted(x, y))


def nt_xent_loss(
    z: ArrayLike, labels: ArrayLike | None = None, *, temperature: ArrayLike = 0.07, axis_name: Any = None
) -> Array:
    r"""Return SimCLR's loss of two views of every image, or the SupCon loss if labels are given.

    It is the `contrastive_loss` of z with itself, over the rows, without the pairs of a row with itself.

    Args:
        z: Array (2 N, D): all rows of view 1 and then all rows of view 2. The positive of row i is row i + N,
            and the positive of row i + N is row i.
        labels: Integers or booleans, one for each row of z. The positives of a row are all other rows with
            the same label. Then z need not have two views, and the mean excludes rows without a positive.
        temperature: As in `contrastive_loss`.
        axis_name: As in `contrastive_loss`; z holds both views of the images of the device.

    Returns:
        A scalar, as in `contrastive_loss`.

    Raises:
        ValueError: z does not have two axes, or 2 N is symbolic, or odd without labels; the shape of the
            labels does not fit; or the temperature is wrong, as in `contrastive_loss`.
        TypeError: As `contrastive_loss`.

    References:
        Chen et al. 2020, "A simple framework for contrastive learning of visual representations";
        Khosla et al. 2020, "Supervised contrastive learning".

    Example:
        >>> import jax.numpy as jnp
        >>> z = jnp.array([[1.0, 0.0], [0.0, 1.0], [4.0, 3.0], [3.0, 4.0]])
        >>> print(f"{nt_xent_loss(z, temperature=0.5):.5f}")
        0.87071
        >>> print(f"{nt_xent_loss(z, jnp.array([0, 1, 0, 1]), temperature=0.5):.5f}")
        0.87071
    """
    (a,) = as_floats(as_array("z", z))
    _check_fixed(z=a)
    FRONTEND.check_views(a.shape, labels is not None)
    loss: Array = _nt_xent(a, _labels("labels", labels, len(a)), _temperature(temperature), axis=axis_name)
    return loss


def sigmoid_contrastive_loss(
    x: ArrayLike, y: ArrayLike, *, scale: ArrayLike = 10.0, bias: ArrayLike = -10.0, axis_name: Any = None
) -> Array:
    r"""Return SigLIP's loss: a binary classification of every pair, where row i and column i are positive.

    The logits are l = scale S + bias. The loss is the sum of log(1 + exp(-l)) over the positive pairs and of
    log(1 + exp(l)) over all other pairs, divided by N. It is computed tile by tile like `contrastive_loss`,
    in one pass.

    Args:
        x: Array (N, D) as in `contrastive_loss`.
        y: Array (M, D) with at least as many rows. The columns from N on are negatives of all rows.
        scale: A number or an array of rank 0.
        bias: A number or an array of rank 0.
        axis_name: As in `contrastive_loss`.

    Returns:
        A scalar, as in `contrastive_loss`.

    Raises:
        ValueError: Shapes do not fit, or N or M is symbolic, or scale or bias is not a scalar.
        TypeError: As `contrastive_loss`.

    References:
        Zhai et al. 2023, "Sigmoid loss for language image pre-training".

    Example:
        >>> import jax.numpy as jnp
        >>> x, y = jnp.array([[3.0, 4.0], [1.0, 0.0]]), jnp.array([[4.0, 3.0], [1.0, -1.0]])
        >>> print(f"{sigmoid_contrastive_loss(x, y, scale=2.0, bias=-1.0):.5f}")
        1.06247
    """
    x, y = as_array("x", x), as_array("y", y)
    a, b = as_floats(x, y)
    _check_fixed(x=a, y=b)
    FRONTEND.check_contrastive(a.shape, b.shape, labels=False, symmetric=False)
    loss: Array = _sigmoid(a, b, _scalar("scale", scale), _scalar("bias", bias), axis=axis_name)
    return loss.astype(promoted(x, y))


def _check_fixed(**arrays: Array) -> None:
    """Raise an error if the number of rows is symbolic, since tracing must know the number of tiles."""
    for name, a in arrays.items():
        if a.ndim and not isinstance(a.shape[0], int):
            raise FRONTEND.shape_error(
                f"{name} of shape {a.shape} must have a number of rows that is fixed when it is traced: "
                "export the loss for each that is wanted, or the dense formula on pairwise_cosine_similarity"
            )


def _scalar(name: str, number: Any) -> Array:
    FRONTEND.check_shape(name, jnp.shape(as_array(name, number)), ())
    return as_floats(number)[0]


def _temperature(temperature: Any) -> Array:
    scalar = _scalar("temperature", temperature)
    if not isinstance(temperature, Tracer) and getattr(temperature, "is_fully_addressable", True):
        spec.check_temperature(float(temperature))
    return scalar


def _labels(name: str, labels: Any, rows: int) -> Array | None:
    if labels is None:
        return None
    a = jnp.asarray(as_array(name, labels))
    if not (jnp.issubdtype(a.dtype, jnp.integer) or a.dtype == jnp.bool_):
        raise FRONTEND.refuse_dtype(name, a.dtype, "integers or booleans")
    FRONTEND.check_shape(name, a.shape, (rows,))
    return a


def _ignore(ignore: Any, shape: spec.Shape) -> Array | None:
    if ignore is None:
        return None
    a = jnp.asarray(as_array("ignore", ignore))
    if a.dtype != jnp.bool_:
        raise FRONTEND.refuse_dtype("ignore", a.dtype, "booleans")
    FRONTEND.check_shape("ignore", a.shape, shape)
    return a


@partial(jax.jit, static_argnames=("symmetric", "axis"), inline=True)
def _contrastive(
    x: Array,
    y: Array,
    labels_x: Array | None,
    labels_y: Array | None,
    ignore: Array | None,
    temperature: Array,
    *,
    symmetric: bool,
    axis: Any,
) -> Array:
    here, there = places(len(x), axis), places(len(y), axis)
    a, b, labels_x, labels_y, ignore, temperature, here, there = varying_alike(
        (_computed(x), _computed(y), labels_x, labels_y, ignore, temperature, here, there)
    )
    if ignore is not None:  # rows whose pairs are all ignored change nothing, even if they have NaN
        ignore = jax.lax.optimization_barrier(ignore)  # XLA takes seconds to fold reductions of a constant
        a = jnp.where(jnp.all(ignore, 1)[:, None], 0, a)
        counts = jnp.sum(~ignore, 0)
        counts = counts if axis is None else jax.lax.psum(counts, axis)
        b = jnp.where(counts[there][:, None] == 0, 0, b)
        if labels_x is None and not symmetric:  # a row without a positive changes nothing either
            a = jnp.where(ignore[jnp.arange(len(a)), there[: len(a)]][:, None], 0, a)
    u, v, s, matched, partners = normalize(a), normalize(b), None, None, None
    if labels_x is None:
        partners = there[: len(a)]
        s = _matched(a, b[: len(a)], u, v[: len(a)])
        matched = jnp.ones(s.shape, bool) if ignore is None else ~ignore[jnp.arange(len(a)), partners]
    if ignore is not None:  # the slice of the last tile may end after the last column
        ignore = jnp.pad(ignore, ((0, 0), (0, missing(len(b)))))
    rows = in_tiles(here, partners, labels_x, ignore)
    columns = in_tiles(there, labels=labels_y)
    compute = Softmax(symmetric=symmetric, own=False, axis=axis)
    return value(compute, axis, (u, v, s, temperature), (rows, columns, matched)).astype(x.dtype)


@partial(jax.jit, static_argnames="axis", inline=True)
def _nt_xent(z: Array, labels: Array | None, temperature: Array, *, axis: Any) -> Array:
    here = places(len(z), axis)
    a, labels, temperature, here = varying_alike((_computed(z), labels, temperature, here))
    u, s, matched, partners = normalize(a), None, None, None
    if labels is None:
        half = len(z) // 2
        S = _matched(a[:half], a[half:], u[:half], u[half:])
        s, matched, partners = jnp.concatenate([S, S]), jnp.ones(len(z), bool), jnp.roll(here, half)
    rows = in_tiles(here, partners, labels)
    compute = Softmax(symmetric=False, own=True, axis=axis)
    return value(compute, axis, (u, None, s, temperature), (rows, rows, matched)).astype(z.dtype)


@partial(jax.jit, static_argnames="axis", inline=True)
def _sigmoid(x: Array, y: Array, scale: Array, bias: Array, *, axis: Any) -> Array:
    here, there = places(len(x), axis), places(len(y), axis)
    a, b, scale, bias, here, there = varying_alike((_computed(x), _computed(y), scale, bias, here, there))
    s = cosine_similarity(a, b[: len(a)])
    pairs = (in_tiles(here, there[: len(a)]), in_tiles(there))
    operands = (normalize(a), normalize(b), s, scale, bias)
    return value(Sigmoid(axis), axis, operands, pairs).astype(x.dtype)


def _matched(x: Array, y: Array, u: Array, v: Array) -> Array:
    """Return the exact similarities of pairs of rows, with the derivative of the products of unit vectors.

    With this derivative, a positive and a negative pair of the same vectors cancel exactly in the gradient.
    """
    S = jnp.sum(u * v, 1)
    return S + jax.lax.stop_gradient(cosine_similarity(x, y) - S)


def _computed(x: Array) -> Array:
    """Return x in the dtype of the products."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))

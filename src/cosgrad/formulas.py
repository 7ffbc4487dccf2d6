"""The closed forms of S, D and their first and second derivatives, for all frameworks.

Notation: A = max(|x|, eps), B = max(|y|, eps), a = x / A, b = y / B and S = <a, b>. The factor kx is 1 if
A = |x| and 0 if A = eps; ky is the same for y.

    dS/dx = (b - kx S a) / A                                      gradient; the bracket is the residual of b
    J     = <u, dS/dx> + <v, dS/dy>                               total derivative along (u, v)
    H_x   = dJ/dx = ((v' - ky <b,v'> b) - kx S (u' - <a,u'> a) - kx <a,u'> rx - kx J a) / A

where u' = u / A, v' = v / B and rx is the residual. H_y is the same with x and y, u and v exchanged.

Arguments: all arrays have one dtype and rank. They have the same length along `axis` and broadcast along the
other axes. Cotangents and the results S, D and J have length 1 along `axis`.

Range: each vector is first multiplied by a power of two near the inverse of its largest component, so that
no square overflows or underflows. A norm may exceed the largest number, and so may its inverse. So the code
never computes a norm or its inverse: `Scaled.over` multiplies, divides by a number from 2 to 4, and
multiplies again. It never divides twice in a row, because XLA rewrites x / a / b as x / (a b), and this
product may leave the range.

Derivatives: every function here can be differentiated again. The functions have no in-place operations and no
control flow that depends on data. No branch of a `where` can turn a derivative into NaN.
"""

from typing import NamedTuple

from cosgrad.spec import Array, Ops, Shape


class Scaled(NamedTuple):
    """A vector x = max(|x|, eps) unit, with max(|x|, eps) = length / (first * last)."""

    unit: Array
    length: Array
    """From 2 to 4, up to rounding. If |x| and eps are 0, it is infinite, so that a quotient by it is 0."""
    first: Array
    last: Array
    """Powers of two near the inverse square root of max(|x|, eps)."""
    counts: Array
    """Whether max(|x|, eps) is |x|."""

    def over(self, t: Array, g: Array = 1) -> Array:
        """Return g t / max(|x|, eps), in steps that leave the range only if the result is near its end."""
        return t * (g * self.first) / self.length * self.last


def scaled(ops: Ops, x: Array, axis: int, eps: float) -> Scaled:
    """Split a vector into its direction and its length.

    If the hardware flushes eps to zero, as XLA does with subnormal numbers on the CPU, eps counts as zero.
    """
    eps = min(eps, ops.limits(x)[1])
    m = ops.largest(x, axis)
    first, last = ops.inverse_powers(ops.where(m < eps, eps, m))
    scale = first * last
    t = x * scale
    p = ops.sum(t * t, axis)
    floor = scale * eps
    counts = (p != 0) & ~(p < floor * floor)
    length = ops.where(counts, ops.sqrt(ops.where(counts, p, 1)), ops.where(floor > 0, floor, 1))
    up, down = ops.inverse_powers(ops.detach(length))
    length = ops.where(counts | (floor > 0), length * (up * down), float("inf"))
    result = Scaled(x, length, first * up, last * down, counts)
    return result._replace(unit=result.over(x))


def similarity(ops: Ops, x: Array, y: Array, axis: int, eps: float) -> Array:
    """Return S."""
    return similarity_and_distance(ops, x, y, axis, eps)[0]


def distance(ops: Ops, x: Array, y: Array, axis: int, eps: float) -> Array:
    """Return D = 1 - S, computed near S = 1 from a sum of squares, without cancellation."""
    return similarity_and_distance(ops, x, y, axis, eps)[1]


def similarity_and_distance(ops: Ops, x: Array, y: Array, axis: int, eps: float) -> tuple[Array, Array]:
    """Return S and D. For |S| >= 1/2, both are computed from E = 1 - |S|.

    With t = a - sign(S) b, E = (<t,t> - (|a| - |b|)^2) / 2. Here a and b are unit vectors up to rounding, and
    their norms differ by <t, a + sign(S) b> / 2. Exchanging x and y changes no bit. If E is below u^2 (u is
    the machine epsilon), t is only the rounding error of a and b. Then the vectors are parallel, and E is set
    to 0.
    """
    X, Y = scaled(ops, ops.widen(x), axis, eps), scaled(ops, ops.widen(y), axis, eps)
    a, b = X.unit, Y.unit
    S = ops.sum(a * b, axis)
    opposite = S < 0
    b = ops.where(opposite, -b, b)
    t = a - b
    difference = ops.sum(t * (a + b), axis) / 2
    E = (ops.sum(t * t, axis) - difference * difference) / 2
    u, _ = ops.limits(E)
    E = E - ops.detach(ops.where(u * u > E, E, 0))
    S = S - ops.detach(ops.where(S > 1, S - 1, ops.where(S < -1, S + 1, 0)))
    near = X.counts & Y.counts & ~((S < 0.5) & (S > -0.5))
    D = ops.where(near, ops.where(opposite, 2 - E, E), 1 - S)
    S = ops.where(near, ops.where(opposite, E - 1, 1 - E), S)
    return ops.cast(S, x), ops.cast(D, x)


def _residual(ops: Ops, a: Array, b: Array, S: Array, counts: Array, axis: int) -> Array:
    """Return b - S a without the component along a that rounding leaves, or b if the length of a is eps."""
    r = b - S * a
    return ops.where(counts, r - ops.sum(r * a, axis) * a, b)


class _Jet(NamedTuple):
    """A pair of vectors, their similarity and both residuals: the input of every derivative."""

    X: Scaled
    Y: Scaled
    S: Array
    rx: Array
    ry: Array


def _jet(ops: Ops, x: Array, y: Array, axis: int, eps: float) -> _Jet:
    X, Y = scaled(ops, ops.widen(x), axis, eps), scaled(ops, ops.widen(y), axis, eps)
    a, b = X.unit, Y.unit
    S = ops.sum(a * b, axis)
    return _Jet(X, Y, S, _residual(ops, a, b, S, X.counts, axis), _residual(ops, b, a, S, Y.counts, axis))


def gradient(ops: Ops, x: Array, y: Array, g: Array, axis: int, eps: float) -> tuple[Array, Array]:
    """Return g dS/dx and g dS/dy, summed over the axes along which x or y broadcasts."""
    X, Y, _, rx, ry = _jet(ops, x, y, axis, eps)
    g = ops.widen(g)
    return unbroadcast(ops, X.over(rx, g), x), unbroadcast(ops, Y.over(ry, g), y)


def total_derivative(ops: Ops, x: Array, y: Array, u: Array, v: Array, axis: int, eps: float) -> Array:
    """Return J, the derivative of S along (u, v)."""
    X, Y, _, rx, ry = _jet(ops, x, y, axis, eps)
    return ops.cast(ops.sum(X.over(ops.widen(u)) * rx, axis) + ops.sum(Y.over(ops.widen(v)) * ry, axis), x)


def hessian_product(
    ops: Ops, x: Array, y: Array, u: Array, v: Array, g: Array, axis: int, eps: float
) -> tuple[Array, Array]:
    """Return g H_x and g H_y, the gradient of g J, summed over the axes along which x or y broadcasts."""
    X, Y, S, rx, ry = _jet(ops, x, y, axis, eps)
    a, b, g = X.unit, Y.unit, ops.widen(g)
    u, v = X.over(ops.widen(u)), Y.over(ops.widen(v))
    J = ops.sum(u * rx, axis) + ops.sum(v * ry, axis)
    ua, vb = ops.sum(u * a, axis), ops.sum(v * b, axis)
    pu, pv = u - ops.where(X.counts, ua * a, 0), v - ops.where(Y.counts, vb * b, 0)
    hx = pv - ops.where(X.counts, S * pu + ua * rx + J * a, 0)
    hy = pu - ops.where(Y.counts, S * pv + vb * ry + J * b, 0)
    return unbroadcast(ops, X.over(hx, g), x), unbroadcast(ops, Y.over(hy, g), y)


def normalize(ops: Ops, x: Array, axis: int, eps: float) -> Array:
    """Return a = x / max(|x|, eps)."""
    return ops.cast(scaled(ops, ops.widen(x), axis, eps).unit, x)


def normalize_gradient(ops: Ops, x: Array, g: Array, axis: int, eps: float) -> Array:
    """Return (g - k <a,g> a) / A, which is both the VJP and the JVP of `normalize`."""
    X = scaled(ops, ops.widen(x), axis, eps)
    g = ops.widen(g)
    a = X.unit
    return ops.cast(X.over(ops.where(X.counts, g - ops.sum(g * a, axis) * a, g)), x)


def normalize_hessian(ops: Ops, x: Array, g: Array, h: Array, axis: int, eps: float) -> Array:
    """Return the gradient in x of <h, normalize_gradient(x, g)>.

    It is -k (<a,g> h' + <a,h> g' + <g',h'> a) / A^2, where g' and h' are the components of g and h that are
    orthogonal to a.
    """
    X = scaled(ops, ops.widen(x), axis, eps)
    a, g, h = X.unit, X.over(ops.widen(g)), ops.widen(h)
    ag, ah = ops.sum(a * g, axis), ops.sum(a * h, axis)
    g, h = g - ag * a, h - ah * a
    return ops.cast(-X.over(ops.where(X.counts, ag * h + ah * g + ops.sum(g * h, axis) * a, 0)), x)


def unit_distance(ops: Ops, x: Array, y: Array, axis: int) -> Array:
    """Return 1 - <x, y>, which equals D for unit vectors."""
    return ops.cast(1 - ops.sum(ops.widen(x) * ops.widen(y), axis), x)


def finite(ops: Ops, x: Array, axis: int) -> Array:
    """Return whether each vector is finite."""
    return ops.isfinite(ops.largest(x, axis))


def exclude(ops: Ops, x: Array, y: Array, g: Array, axis: int) -> tuple[Array, Array, Array]:
    """Return x and y with vectors that are not finite set to 0, and NaN or 0 for every row.

    NaN marks rows with such a vector, unless their cotangent is 0. The caller adds the mark to derivatives.
    With eps = 0, the derivatives of a zero vector are 0 at every order, so such a row has only the mark.
    Masking the derivative itself is not enough: its own derivative would be 0 times NaN.
    """
    fx, fy = finite(ops, x, axis), finite(ops, y, axis)
    return ops.where(fx, x, 0), ops.where(fy, y, 0), ops.where((g == 0) | (fx & fy), 0.0, float("nan"))


def unbroadcast(ops: Ops, t: Array, like: Array) -> Array:
    """Sum t over the axes along which `like` was broadcast, and round the sum to the dtype of `like`."""
    shape: Shape = tuple(like.shape)
    axes = tuple(i for i, (m, n) in enumerate(zip(t.shape, shape, strict=True)) if m != n)
    return ops.cast(ops.sum(t, axes) if axes else t, like)

"""The closed forms, written once for every framework and every order of derivative.

With A = max(|x|, eps) and B = max(|y|, eps), a = x / A and b = y / B, kx = 1 where |x| counts and 0 where eps
does (ky likewise), S = <a, b>:

    dS/dx = (b - kx S a) / A                                      gradient; the bracket is the residual of b
    J     = <u, dS/dx> + <v, dS/dy>                               total derivative along (u, v)
    H_x   = dJ/dx = ((v' - ky <b,v'> b) - kx S (u' - <a,u'> a) - kx <a,u'> rx - kx J a) / A

where u' = u / A, v' = v / B and rx is the residual. H_y is the same with x and y, u and v exchanged.

Arguments: arrays of one dtype and rank, equal along `axis`, broadcasting elsewhere; cotangents have length 1
along `axis`, as have the results S, D and J. Each vector is first multiplied by a power of two near the
inverse of its largest component, so that no square over- or underflows. There is no in-place operation, no
control flow on data, and no branch of a `where` that could turn a derivative into NaN, so everything here can
be differentiated again.

A norm may exceed the largest number, or be so small that its inverse does. So no number here is a norm or its
inverse: `Scaled.over` multiplies, divides by a number from 2 to 4, and multiplies again. No two
divisions follow each other, since XLA rewrites x / a / b as x / (a b), and that product may leave the range.
"""

from typing import NamedTuple

from cosgrad.spec import Array, Ops, Shape


class Scaled(NamedTuple):
    """A vector x = max(|x|, eps) unit, with max(|x|, eps) = length / (first * last)."""

    unit: Array
    length: Array
    """From 2 to 4 but for rounding; infinite where |x| and eps are 0, so that what it divides is 0."""
    first: Array
    last: Array
    """Powers of two near the inverse square root of max(|x|, eps)."""
    counts: Array
    """Where max(|x|, eps) is |x|."""

    def over(self, t: Array, g: Array = 1) -> Array:
        """Return g t / max(|x|, eps), in steps that leave the range only where the result is near its end."""
        return t * (g * self.first) / self.length * self.last


def scaled(ops: Ops, x: Array, axis: int, eps: float) -> Scaled:
    """Split a vector into its direction and its length.

    An eps that the hardware takes for zero, as XLA does with subnormal numbers on the CPU, counts as zero.
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
    """Return D = 1 - S, which near S = 1 is a sum of squares and not a difference."""
    return similarity_and_distance(ops, x, y, axis, eps)[1]


def similarity_and_distance(ops: Ops, x: Array, y: Array, axis: int, eps: float) -> tuple[Array, Array]:
    """Return S and D, above |S| = 1/2 both from E = 1 - |S|.

    With t = a - sign(S) b, E = (<t,t> - (|a| - |b|)^2) / 2 for a and b that are unit vectors up to rounding,
    whose norms differ by <t, a + sign(S) b> / 2. It is symmetric in x and y to the bit. Below u^2 (u the
    machine epsilon) t is nothing but the rounding of a and b: parallel vectors, at distance 0.
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
    """Return b - S a with what rounding left of it along a taken out, or b where a's length is eps."""
    r = b - S * a
    return ops.where(counts, r - ops.sum(r * a, axis) * a, b)


class _Jet(NamedTuple):
    """A pair of vectors, their similarity and both residuals: what every derivative starts from."""

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
    """Return g dS/dx and g dS/dy, summed over the rows that share a vector."""
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
    """Return g H_x and g H_y, the gradient of g J, summed over the rows that share a vector."""
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
    """Return (g - k <a,g> a) / A, which is both the vector-Jacobian and the Jacobian-vector product."""
    X = scaled(ops, ops.widen(x), axis, eps)
    g = ops.widen(g)
    a = X.unit
    return ops.cast(X.over(ops.where(X.counts, g - ops.sum(g * a, axis) * a, g)), x)


def normalize_hessian(ops: Ops, x: Array, g: Array, h: Array, axis: int, eps: float) -> Array:
    """Return the gradient in x of <h, normalize_gradient(x, g)>.

    With g' and h' the parts of g and h across a: -k (<a,g> h' + <a,h> g' + <g',h'> a) / A^2.
    """
    X = scaled(ops, ops.widen(x), axis, eps)
    a, g, h = X.unit, X.over(ops.widen(g)), ops.widen(h)
    ag, ah = ops.sum(a * g, axis), ops.sum(a * h, axis)
    g, h = g - ag * a, h - ah * a
    return ops.cast(-X.over(ops.where(X.counts, ag * h + ah * g + ops.sum(g * h, axis) * a, 0)), x)


def unit_distance(ops: Ops, x: Array, y: Array, axis: int) -> Array:
    """Return 1 - <x, y>, which is D for unit vectors."""
    return ops.cast(1 - ops.sum(ops.widen(x) * ops.widen(y), axis), x)


def finite(ops: Ops, x: Array, axis: int) -> Array:
    """Tell which vectors are finite."""
    return ops.isfinite(ops.largest(x, axis))


def exclude(ops: Ops, x: Array, y: Array, g: Array, axis: int) -> tuple[Array, Array, Array]:
    """Return x and y with zeros for what is not finite, and NaN for such rows unless the cotangent is 0.

    With eps = 0 zeros have no derivative of any order, so the NaN, added to a derivative, is all that is left
    of such a row. To mask the derivative itself would be too late: differentiated again, it is 0 times NaN.
    """
    fx, fy = finite(ops, x, axis), finite(ops, y, axis)
    return ops.where(fx, x, 0), ops.where(fy, y, 0), ops.where((g == 0) | (fx & fy), 0.0, float("nan"))


def unbroadcast(ops: Ops, t: Array, like: Array) -> Array:
    """Sum t over the axes along which `like` was broadcast, and round it to its dtype."""
    shape: Shape = tuple(like.shape)
    axes = tuple(i for i, (m, n) in enumerate(zip(t.shape, shape, strict=True)) if m != n)
    return ops.cast(ops.sum(t, axes) if axes else t, like)

"""Libraries that take NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from cosgrad.bench.rivals.base import Functions, Library, minus


def _cosgrad() -> Functions:
    import cosgrad.numpy

    return Functions(cosgrad.numpy.cosine_similarity, cosgrad.numpy.cosine_distance)


def _scipy() -> Functions:
    from scipy.spatial.distance import cosine

    def distance(x: Any, y: Any) -> Any:
        return np.array([cosine(a, b) for a, b in zip(x, y, strict=True)])

    return Functions(minus(distance), distance, native="distance")


def _scikit_learn() -> Functions:
    from sklearn.metrics.pairwise import paired_cosine_distances as distance

    return Functions(minus(distance), distance, native="distance")


def _numkong() -> Functions:
    import numkong

    def distance(x: Any, y: Any) -> Any:
        return np.asarray(numkong.angular(x, y))

    return Functions(minus(distance), distance, native="distance")


def _simsimd() -> Functions:
    import simsimd

    def distance(x: Any, y: Any) -> Any:
        return np.asarray(simsimd.cosine(x, y))

    return Functions(minus(distance), distance, native="distance")


LIBRARIES = (
    Library("cosgrad.numpy", "numpy", "cosine_similarity", _cosgrad, ("cosgrad",), ours=True),
    Library("scipy", "numpy", "scipy.spatial.distance.cosine, row by row in one thread", _scipy, ("scipy",)),
    Library("scikit-learn", "numpy", "paired_cosine_distances", _scikit_learn, ("scikit-learn",)),
    Library("numkong", "numpy", "numkong.angular, one thread", _numkong, ("numkong",)),
    Library("simsimd", "numpy", "simsimd.cosine, one thread", _simsimd, ("simsimd",)),
)

"""Fixtures: TensorFlow's dtypes, and two ways to call a function.

Without TensorFlow no test of this folder is collected.
"""

import importlib.util
import os

import pytest

if importlib.util.find_spec("tensorflow") is None:
    collect_ignore_glob = ["*"]
else:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

    import tensorflow as tf

    @pytest.fixture
    def tf_dtype(dtype_name: str) -> tf.DType:
        return tf.as_dtype(dtype_name)

    @pytest.fixture(params=["eager", "graph"])
    def call(request: pytest.FixtureRequest):
        """Return a function that calls a function directly, or as a `tf.function`."""
        if request.param == "eager":
            return lambda function, *args: function(*args)
        return lambda function, *args: tf.function(function, autograph=False)(*args)

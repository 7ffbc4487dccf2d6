"""The digits in TensorFlow: `python examples/digits_tensorflow.py`."""

import tensorflow as tf
from digits import RATE, Digits, train

from cosgrad.tensorflow import cosine_distance_loss

data = Digits()
parameters = W1, b1, W2, b2 = [tf.Variable(p) for p in data.start]


@tf.function(reduce_retracing=True)
def encode(x):
    return tf.tanh(x @ W1 + b1) @ W2 + b2


@tf.function(reduce_retracing=True)
def update(x, codes):
    with tf.GradientTape() as tape:
        loss = cosine_distance_loss(codes, encode(x))
    for p, g in zip(parameters, tape.gradient(loss, parameters), strict=True):
        p.assign_sub(RATE * g)
    return loss


def step(x, codes):
    return float(update(tf.constant(x), tf.constant(codes)))


train("TensorFlow", step, lambda x: encode(tf.constant(x)), data)

"""The digits in Keras, on whichever backend: `KERAS_BACKEND=jax python examples/digits_keras.py`."""

import keras
from digits import CODE, RATE, WIDTH, Digits, train

from cosgrad.keras import CosineDistance

keras.utils.set_random_seed(0)
data = Digits()
model = keras.Sequential(
    [keras.Input((64,)), keras.layers.Dense(WIDTH, activation="tanh"), keras.layers.Dense(CODE)]
)
model.set_weights(data.start)
model.compile(keras.optimizers.SGD(RATE), loss=CosineDistance())


def step(x, codes):
    return float(model.train_on_batch(x, codes))


train(f"Keras on {keras.backend.backend()}", step, lambda x: model.predict(x, verbose=0), data)

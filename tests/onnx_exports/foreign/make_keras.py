# mypy: ignore-errors
"""Writes the fixtures that come from Keras and TensorFlow; run in an environment of its own, nothing else needs these packages.

    python -m venv ENV && ENV/bin/pip install tensorflow-cpu tf2onnx && ENV/bin/python make_keras.py

Beside the files ``WAY_NAME.onnx`` it writes ``NAME.npz``: inputs ``x0 …``, outputs ``y0 …``, and for each trainable weight its
value ``w:NAME`` and its gradient ``g:NAME``, of the sum of outputs times ``c0 …``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = ""
import keras
import numpy as np
import tensorflow as tf
import tf2onnx
from keras import layers

HERE = Path(__file__).parent


def _gelu(x: Any) -> Any:
    """TensorFlow's exact form needs Erfc, which neither converter knows."""
    return keras.activations.gelu(x, approximate=True)


def dense() -> tuple[Any, list[Any]]:
    """An MLP with names of the user's own."""
    x = keras.Input((6,), name="features")
    y = layers.Dense(8, activation="relu", name="hidden")(x)
    y = layers.Dense(8, activation="elu", name="second")(y)
    return keras.Model(x, layers.Dense(3, activation="softmax", name="classes")(y)), [np.random.randn(5, 6)]


def single_unit() -> tuple[Any, list[Any]]:
    """The net of the classical demonstration: one ReLU unit, w = -10, which never fires on positive inputs."""
    model = keras.Sequential([keras.Input((1,)), layers.Dense(1, activation="relu", name="unit")])
    model.set_weights([np.array([[-10.0]]), np.array([0.0])])
    return model, [np.random.rand(16, 1)]


def convolutional() -> tuple[Any, list[Any]]:
    """Channels last, batch norm, depthwise, global pooling."""
    x = keras.Input((12, 12, 3), name="image")
    y = layers.Conv2D(6, 3, padding="same", use_bias=False, name="stem")(x)
    y = layers.ReLU(name="act")(layers.BatchNormalization(name="norm")(y))
    y = layers.DepthwiseConv2D(3, strides=2, padding="same", name="depthwise")(y)
    y = layers.LeakyReLU(negative_slope=0.1, name="leaky")(layers.Conv2D(8, 1, name="pointwise")(y))
    y = layers.MaxPooling2D(2, name="pool")(y)
    return keras.Model(x, layers.Dense(4, name="head")(layers.GlobalAveragePooling2D()(y))), [
        np.random.randn(2, 12, 12, 3)
    ]


def recurrent() -> tuple[Any, list[Any]]:
    """An embedding, an LSTM in both directions and a GRU."""
    x = keras.Input((7,), dtype="int32", name="tokens")
    y = layers.Embedding(20, 6, name="embedding")(x)
    y = layers.Bidirectional(layers.LSTM(5, return_sequences=True), name="both")(y)
    y = layers.GRU(4, name="gru")(y)
    return keras.Model(x, layers.Dense(2, name="head")(y)), [np.random.randint(0, 20, (3, 7))]


def attentive() -> tuple[Any, list[Any]]:
    """Multi-head attention, layer norm and a residual."""
    x = keras.Input((5, 8), name="sequence")
    y = layers.LayerNormalization(name="norm")(x + layers.MultiHeadAttention(2, 4, name="attention")(x, x))
    y = y + layers.Dense(8, activation=_gelu, name="mlp")(y)
    return keras.Model(x, layers.Dense(2, name="head")(layers.Flatten()(y))), [np.random.randn(2, 5, 8)]


def upsampling() -> tuple[Any, list[Any]]:
    """A decoder: transposed convolution, upsampling, skip."""
    x = keras.Input((4, 4, 3), name="code")
    y = layers.Conv2DTranspose(6, 3, strides=2, padding="same", activation="swish", name="up")(x)
    z = layers.Conv2D(6, 3, padding="same", activation="tanh", name="side")(
        layers.UpSampling2D(2, interpolation="bilinear")(x)
    )
    return keras.Model(x, layers.Conv2D(2, 1, name="outlet")(layers.Concatenate()([y, z]))), [
        np.random.randn(2, 4, 4, 3)
    ]


NETS = (dense, single_unit, convolutional, recurrent, attentive, upsampling)


def write(name: str, model: Any, inputs: list[Any], ways: tuple[str, ...]) -> None:
    """Both ways of writing it, and what is expected of each."""
    given = [tf.constant(x, dtype=spec.dtype) for x, spec in zip(inputs, model.inputs, strict=True)]
    with tf.GradientTape() as tape:
        outputs = model(given, training=False)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        cotangents = [np.random.randn(*y.shape).astype(np.float32) for y in outputs]
        loss = tf.add_n([tf.reduce_sum(y * c) for y, c in zip(outputs, cotangents, strict=True)])
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    kept = {f"x{i}": x.numpy() for i, x in enumerate(given)} | {f"y{i}": y.numpy() for i, y in enumerate(outputs)}
    kept |= {f"c{i}": c for i, c in enumerate(cotangents)}
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        kept[f"w:{weight.path}"] = weight.numpy()
        kept[f"g:{weight.path}"] = tf.convert_to_tensor(gradient).numpy()
    np.savez_compressed(HERE / f"{name}.npz", **kept)
    for way in ways:
        path = HERE / f"{way}_{name}.onnx"
        try:
            if way == "keras":
                model.export(path, format="onnx", verbose=False)
            else:
                spec = [tf.TensorSpec((None, *x.shape[1:]), x.dtype, name=f"input_{i}") for i, x in enumerate(given)]
                function = tf.function(lambda *xs: model(list(xs), training=False), input_signature=spec)
                tf2onnx.convert.from_function(
                    function, input_signature=spec, opset=int(way.removeprefix("tf2onnx")), output_path=path
                )
        except Exception as error:
            print(name, way, type(error).__name__, error)  # noqa: T201
            continue


if __name__ == "__main__":
    for net in NETS:
        keras.utils.set_random_seed(0)
        built, sample = net()
        for weight in built.weights:
            if net is not single_unit and "seed" not in weight.path:
                spread = 0.1 * np.random.randn(*weight.shape)
                weight.assign(np.abs(weight.numpy() + spread) if "variance" in weight.path else weight.numpy() + spread)
        write(net.__name__, built, sample, ("keras", "tf2onnx13", "tf2onnx18"))

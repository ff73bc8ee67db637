"""The recurrent networks of the remedies: which of two digits came first?

A network reads two digits one after the other, each as 14 rows of 14 grey values, and is to name the first: it has to
keep it while the second goes by. The gradient of the loss with respect to its hidden state at every time
step shows how far back a network can learn to look.
"""

from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

DIGITS = 2  # in a sequence
ROWS = COLUMNS = 14  # of a digit; each is the mean of 2 x 2 pixels
TIME_STEPS = DIGITS * ROWS
# A gate that is to keep what it holds for T steps has to start at 1 - 1/T, a bias of log(T - 1)
# (Tallec and Ollivier 2018, equation 7, at its upper end).
OPEN = float(np.log(TIME_STEPS - 1))


@dataclass(frozen=True)
class Memory:
    """A recurrent layer and how it is trained.

    Attributes:
        cell: `"simple_rnn"`, `"lstm"` or `"gru"`.
        is_open: Whether its gates start so that they keep what they hold; else with Keras' biases.
        learning_rate: Of Adam.
        clipping: Dictionary of the optimizer's clipping argument.
    """

    cell: str
    is_open: bool = False
    learning_rate: float = 0.002
    clipping: dict = field(default_factory=dict)


RECURRENT = {
    "simple_rnn": ("the base: SimpleRNN", Memory("simple_rnn")),
    "simple_rnn_clipnorm": ("SimpleRNN, gradients clipped to norm 1", Memory("simple_rnn", clipping={"clipnorm": 1.0})),
    "lstm": ("LSTM", Memory("lstm")),
    "lstm_open": ("LSTM, its forget gate open at the start", Memory("lstm", is_open=True)),
    "gru": ("GRU", Memory("gru")),
    "gru_open": ("GRU, its update gate open at the start", Memory("gru", is_open=True)),
}


def build_model(config, memory, name):
    """Returns the compiled network: a recurrent layer named `recurrent`, and `output`, which is linear."""
    layer = {"simple_rnn": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[memory.cell]
    arguments = _open_gates(memory.cell, config.units) if memory.is_open else {}
    recurrent = layer(config.units, name="recurrent", **arguments)
    inputs = keras.Input((TIME_STEPS, COLUMNS))
    model = keras.Model(inputs, keras.layers.Dense(10, name="output")(recurrent(inputs)), name=name)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(memory.learning_rate, **memory.clipping), loss, metrics=["accuracy"])
    return model


def _open_gates(cell, units):
    def bias(shape, dtype=None):
        values = np.zeros(shape, np.float32)
        if cell == "lstm":
            values[units : 2 * units] = OPEN  # Keras' order: input, forget, cell, output
        else:
            values[0, :units] = OPEN  # rows: input's bias and state's; order: update, reset, candidate
        return tf.constant(values, dtype)

    return {"bias_initializer": bias, **({"unit_forget_bias": False} if cell == "lstm" else {})}


def sequences(x, y):
    """Returns digits two by two.

    Args:
        x: Float32 tensor [2 n, 784].
        y: Integer tensor [2 n].

    Returns:
        A tuple: float32 tensor [n, 28, 14], the first digit's rows and then the second's, and the first's label [n].
    """
    pooled = tf.reduce_mean(tf.reshape(x, (-1, ROWS, 2, COLUMNS, 2)), (2, 4))
    return tf.reshape(pooled, (-1, TIME_STEPS, COLUMNS)), y[::DIGITS]


def state_gradients(model, x, y):
    """Returns how much the loss of a sequence depends on the state at every time step.

    The layer's own cell is stepped by hand, and the loss after the last step is differentiated with respect to each
    state on the way (as in Pascanu et al. 2013, equation 5).

    Args:
        model: A model of `build_model`.
        x: Float32 tensor [n, T, 14].
        y: Integer tensor [n].

    Returns:
        A dictionary of `"hidden"` and, for an LSTM, `"cell"`: a list of T numbers, the L2 norm of the gradient of an
        example's loss, mean of the examples.
    """
    cell, output = model.get_layer("recurrent").cell, model.get_layer("output")
    num_states = 2 if isinstance(cell, keras.layers.LSTMCell) else 1
    states, seen = [tf.zeros((x.shape[0], cell.units))] * num_states, []
    with tf.GradientTape() as tape:
        for time in range(x.shape[1]):
            _, states = cell(x[:, time], states)
            states = list(states)
            tape.watch(states)
            seen.append(states)
        losses = keras.losses.sparse_categorical_crossentropy(y, output(states[0]), from_logits=True)
        total = tf.reduce_sum(losses)  # so that each example's gradient is that of its own loss
    gradients = tape.gradient(total, seen, unconnected_gradients="zero")
    return {
        name: [float(tf.reduce_mean(tf.norm(at_time[index], axis=-1))) for at_time in gradients]
        for index, name in enumerate(("hidden", "cell")[:num_states])
    }

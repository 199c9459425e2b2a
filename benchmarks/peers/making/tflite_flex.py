"""Keras 3 to TFLite with TensorFlow's own operators (Flex) allowed, as the converter's error message tells."""

import keras
import tensorflow as tf
from trying import save_first_that_works

model = keras.saving.load_model("model.keras")
run = tf.function(lambda window: model(window, training=False))
concrete = run.get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:]), tf.float32))


def convert(converter):
    """The file, with what the error message of the plain conversion tells to set."""
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    converter._experimental_lower_tensor_list_ops = False
    return converter.convert()


ways = {
    "from_keras_model": lambda: convert(tf.lite.TFLiteConverter.from_keras_model(model)),
    "from_concrete_functions": lambda: convert(tf.lite.TFLiteConverter.from_concrete_functions([concrete], model)),
}

save_first_that_works(ways, "flex.tflite")

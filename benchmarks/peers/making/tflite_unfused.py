"""Keras 3 to TFLite as a newcomer would try it, one way after the other; the last line says which failed."""

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from trying import save_first_that_works

model = keras.saving.load_model("model.keras")
run = tf.function(lambda window: model(window, training=False))
concrete = run.get_concrete_function(tf.TensorSpec((1, *model.input_shape[1:]), tf.float32))

convert = tf.lite.TFLiteConverter
ways = {
    "from_keras_model": lambda: convert.from_keras_model(model).convert(),
    "from_concrete_functions": lambda: convert.from_concrete_functions([concrete], model).convert(),
    "frozen": lambda: convert.from_concrete_functions([convert_variables_to_constants_v2(concrete)]).convert(),
}

save_first_that_works(ways, "unfused.tflite")

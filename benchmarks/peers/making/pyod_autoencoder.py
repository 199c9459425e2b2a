"""PyOD's autoencoder with its defaults, fitted to windows and saved its own way."""

import numpy as np
from pyod.models.auto_encoder import AutoEncoder

readings = np.load("readings.npy").astype(np.float32)
windows = np.lib.stride_tricks.sliding_window_view(readings[:1000], 32, axis=0).transpose(0, 2, 1)
detector = AutoEncoder(verbose=0)
detector.fit(windows.reshape(len(windows), -1))
detector.save("pyod.pt")

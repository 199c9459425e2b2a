"""scikit-learn's isolation forest with its defaults (100 trees of 256 windows), fitted to windows."""

import joblib
import numpy as np
from sklearn.ensemble import IsolationForest

readings = np.load("readings.npy").astype(np.float32)
windows = np.lib.stride_tricks.sliding_window_view(readings[:1000], 32, axis=0).transpose(0, 2, 1)
joblib.dump(IsolationForest(random_state=1).fit(windows.reshape(len(windows), -1)), "forest.joblib")

"""river's half-space trees with their defaults (10 trees, height 8), which have learnt 1,000 readings."""

import pickle
from pathlib import Path

import numpy as np
from river import anomaly, preprocessing

model = preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=1)
for values in np.load("readings.npy")[:1000].tolist():
    model.learn_one(dict(enumerate(values)))
Path("trees.pickle").write_bytes(pickle.dumps(model))

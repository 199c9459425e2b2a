"""The weights handed over, as a PyTorch state. Keras and PyTorch order an LSTM's gates alike (i, f, g, o)."""

import numpy as np
import torch
from pytorch_autoencoder import Autoencoder

saved = np.load("weights.npz")
given = [saved[f"arr_{i}"] for i in range(len(saved.files))]
state = {}
for layer, (kernel, recurrent, bias) in {"encoder": given[0:3], "decoder": given[3:6]}.items():
    state |= {
        f"{layer}.weight_ih_l0": kernel.T,
        f"{layer}.weight_hh_l0": recurrent.T,
        f"{layer}.bias_ih_l0": bias,
        f"{layer}.bias_hh_l0": np.zeros_like(bias),
    }
kernel, bias = given[6:8]
state |= {"dense.weight": kernel.T, "dense.bias": bias}

model = Autoencoder()
model.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in state.items()})
torch.save(model.state_dict(), "model.pt")

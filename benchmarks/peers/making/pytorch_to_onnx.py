"""`torch.onnx.export` with its defaults (and without its messages), on one window."""

import torch
from pytorch_autoencoder import Autoencoder

model = Autoencoder().eval()
model.load_state_dict(torch.load("model.pt", weights_only=True))
torch.onnx.export(model, (torch.zeros(1, 32, 4),), "pytorch.onnx", verbose=False)

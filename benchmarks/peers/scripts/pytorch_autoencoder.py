"""The model's class, without which PyTorch cannot load its weights."""

# -- what a user writes --
import torch
from torch import nn


class Autoencoder(nn.Module):
    """LSTM(32), its last state repeated, LSTM(32), and a dense layer at every step."""

    def __init__(self, channels=4, units=32):
        super().__init__()
        self.encoder = nn.LSTM(channels, units, batch_first=True)
        self.decoder = nn.LSTM(units, units, batch_first=True)
        self.dense = nn.Linear(units, channels)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """The reconstruction of windows (B, T, C)."""
        _, (state, _) = self.encoder(windows)
        repeated = state[-1].unsqueeze(1).expand(-1, windows.shape[1], -1)
        return self.dense(self.decoder(repeated)[0])


# -- to here --

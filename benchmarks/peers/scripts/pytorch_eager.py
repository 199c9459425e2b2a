"""PyTorch, eager: the class, its weights, `inference_mode`."""

# -- what a user writes --
import torch
from pytorch_autoencoder import Autoencoder

torch.set_num_threads(1)
model = Autoencoder().eval()
model.load_state_dict(torch.load("model.pt", weights_only=True))


@torch.inference_mode()
def score(window):
    """The mean absolute error of a window (1, T, C)."""
    window = torch.from_numpy(window)
    return float((model(window) - window).abs().mean())


# -- to here --

if __name__ == "__main__":
    from measured import measure

    measure(score, reconstruct=lambda window: model(torch.from_numpy(window)).detach().numpy())

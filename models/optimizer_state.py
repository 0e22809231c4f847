"""An optimiser's moments as flat tensors for safetensors, and back: `PARAMETER_NUMBER.NAME`."""

from collections.abc import Mapping

from torch import Tensor
from torch.optim import Optimizer


def moments_of(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return every moment on the CPU, by the number of its parameter and its name."""
    return {
        f"{number}.{name}": tensor.detach().cpu().contiguous()
        for number, moments in optimizer.state_dict()["state"].items()
        for name, tensor in moments.items()
    }


def restore_moments(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put moments back; each goes to the device on which the optimiser wants it."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

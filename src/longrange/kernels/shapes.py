"""Whether tensors fit each other, asked before kernels that would read beyond their ends."""

from torch import Tensor


def check_fit(fits: bool, **tensors: Tensor | None) -> None:
    """Refuse tensors of sizes that do not belong together.

    Args:
        fits: whether they do.
        tensors: by name.
    Raises:
        ValueError: they do not; names the shapes.
    """
    if not fits:
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items() if tensor is not None)
        raise ValueError(f"these shapes do not fit each other: {shapes}")

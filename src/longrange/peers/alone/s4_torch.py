"""S4 as published, state-spaces/s4, in torch: its block from models/s4/s4.py in a stack as in its example.py.

Needs torch, pytorch-lightning, einops and scipy. Kernels that were compiled for the checkout are used where it finds
them, and `versions` says so.
"""

import sys
from pathlib import Path
from typing import Any

import torch
from protocol import Prepared, resident_peak, serve
from torch import Tensor, nn
from torch.nn import functional as F

RATE = 1e-3  # of learning; what a step costs does not depend on it
FINAL = {"glu": "glu", "linear": "id"}  # what the checkout calls our activations


def prepare(order: dict[str, Any]) -> Prepared:
    """The step of an order.

    Args:
        order: `checkout`, `device`, `tf32` (whether products may be in TensorFloat-32), `batch_size`, `spec` of the
            task, `model` as in configs/model.
    """
    sys.path[:0] = [str(Path(order["checkout"], "models", "s4")), order["checkout"]]
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high" if order["tf32"] else "highest")
    gpu = order["device"] == "gpu"
    device = torch.device("cuda" if gpu else "cpu")
    model = Stack(order["model"], order["spec"]).to(device)
    inputs, lengths, targets = random_batch(order["spec"], order["batch_size"], device)
    optimizer = torch.optim.AdamW(model.parameters(), RATE)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs, lengths), targets).backward()
        optimizer.step()
        if gpu:
            torch.cuda.synchronize()

    parameters = sum(parameter.numel() for parameter in model.parameters())
    peak_memory = torch.cuda.max_memory_allocated if gpu else resident_peak
    return Prepared(step, peak_memory, {"versions": versions(), "n_parameters": parameters})


class Stack(nn.Module):
    """Encoder, residual blocks around the checkout's S4Block, mean over time or last step, linear head."""

    def __init__(self, model: dict[str, Any], spec: dict[str, Any]):
        super().__init__()
        H, block = model["d_model"], model["block"]
        width = model["encoder"]["width"] or spec["input_size"]
        self.encoder = nn.Embedding(width, H) if spec["kind"] == "tokens" else nn.Linear(spec["input_size"], H)
        self.layers = nn.ModuleList(make_block(model, spec["max_length"]) for _ in range(model["n_layers"]))
        self.norms = nn.ModuleList(Norm(block, H) for _ in range(model["n_layers"]))
        self.drop = make_dropout(block)
        self.final_norm = Norm(block, H) if model["final_norm"] else nn.Identity()
        self.head = nn.Linear(H, spec["output_size"])
        self.prenorm, self.pooling = block["prenorm"], model["pooling"]

    def forward(self, inputs: Tensor, lengths: Tensor | None) -> Tensor:
        """Inputs (B, L) int64 or (B, L, C) float to scores (B, output_size)."""
        x = self.encoder(inputs).transpose(1, 2)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            branch, _ = layer(norm(x) if self.prenorm else x, lengths=lengths)
            x = x + self.drop(branch)
            x = x if self.prenorm else norm(x)
        return self.head(self._pooled(self.final_norm(x), lengths))

    def _pooled(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        if lengths is None:
            return x.mean(-1) if self.pooling == "mean" else x[..., -1]
        if self.pooling == "last":
            return x[torch.arange(len(x), device=x.device), :, lengths - 1]
        valid = torch.arange(x.shape[-1], device=x.device) < lengths[:, None]
        return (x * valid[:, None]).sum(-1) / lengths[:, None]


class Norm(nn.Module):
    """Batch norm, or layer norm over the features, of (B, H, L)."""

    def __init__(self, block: dict[str, Any], d_model: int):
        super().__init__()
        batch = block["norm"] == "batch"
        self.norm = nn.BatchNorm1d(d_model, momentum=block["norm_momentum"]) if batch else nn.LayerNorm(d_model)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, L) to (B, H, L)."""
        return self.norm(x) if isinstance(self.norm, nn.BatchNorm1d) else self.norm(x.mT).mT


def make_block(model: dict[str, Any], max_length: int) -> nn.Module:
    """The checkout's S4Block, (B, H, L) to (B, H, L) and a state."""
    from s4 import S4Block

    block, layer = model["block"], model["layer"]
    names = ("d_state", "rank", "n_ssm", "channels", "bidirectional", "dt_min", "dt_max", "dt_transform")
    return S4Block(
        model["d_model"],
        l_max=max_length,
        mode="dplr",
        init=layer["measure"],
        transposed=True,
        final_act=FINAL[block["activation"]],
        dropout=block["dropout"],
        tie_dropout=block["tie_dropout"],
        **{name: layer[name] for name in names},
    )


def make_dropout(block: dict[str, Any]) -> nn.Module:
    """Of the residual branch; the checkout's own where one mask serves a whole sequence."""
    from s4 import DropoutNd

    if not block["dropout"]:
        return nn.Identity()
    return DropoutNd(block["dropout"]) if block["tie_dropout"] else nn.Dropout(block["dropout"])


def random_batch(spec: dict[str, Any], batch_size: int, device: torch.device) -> tuple[Tensor, Tensor | None, Tensor]:
    """Full-length inputs, their lengths where the task has some, and targets."""
    shape, size = (batch_size, spec["max_length"]), spec["input_size"]
    inputs = torch.randint(size, shape) if spec["kind"] == "tokens" else torch.randn(*shape, size)
    lengths = torch.full(shape[:1], spec["max_length"]).to(device) if spec["variable_length"] else None
    return inputs.to(device), lengths, torch.randint(spec["output_size"], shape[:1]).to(device)


def versions() -> str:
    """Of torch, and which of the kernels that have to be compiled were found."""
    import s4

    compiled = {"CUDA extension": s4.has_cuda_extension, "pykeops": s4.has_pykeops}
    return ", ".join([f"torch {torch.__version__}", *(name for name, found in compiled.items() if found)])


if __name__ == "__main__":
    serve(prepare)

"""S5 as published, lindermanlab/S5, in JAX: its layers and its model, put together as its train.py does.

Needs jax, flax and optax.
"""

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax
from jax.scipy.linalg import block_diag
from protocol import Prepared, resident_peak, serve

RATE = 1e-3  # of learning; what a step costs does not depend on it


def prepare(order: dict[str, Any]) -> Prepared:
    """The step of an order.

    Args:
        order: `checkout`, `device`, `tf32` (whether products may be in TensorFloat-32), `batch_size`, `spec` of the
            task, `model` as in configs/model.
    """
    sys.path.insert(0, order["checkout"])
    jnp.DeviceArray = jax.Array  # as JAX called it when the checkout was written
    jax.config.update("jax_default_matmul_precision", "tensorfloat32" if order["tf32"] else "highest")
    spec, model = order["spec"], make_model(order["model"], order["spec"])
    inputs, targets = random_batch(spec, order["model"]["encoder"]["width"], order["batch_size"])
    steps = jnp.ones((order["batch_size"] * (1 + spec["paired"]), spec["max_length"]))
    variables = model.init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, inputs, steps)
    versions = ", ".join(f"{package.__name__} {package.__version__}" for package in (jax, flax, optax))
    parameters = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    peak_memory = device_peak if order["device"] == "gpu" else resident_peak
    training_step = make_step(model, variables, inputs, steps, targets)
    return Prepared(training_step, peak_memory, {"versions": versions, "n_parameters": parameters})


def make_model(model: dict[str, Any], spec: dict[str, Any]) -> Any:
    """The checkout's classifier, or its model for pairs, in training mode."""
    from s5.seq_model import BatchClassificationModel, RetrievalModel

    block = model["block"]
    sizes = {
        **{"d_output": spec["output_size"], "d_model": model["d_model"], "n_layers": model["n_layers"]},
        **{"activation": block["activation"], "dropout": block["dropout"], "prenorm": block["prenorm"]},
        **{"batchnorm": block["norm"] == "batch", "bn_momentum": 1 - block["norm_momentum"]},
    }
    ssm = make_ssm(model["layer"], model["d_model"])
    if spec["paired"]:
        return RetrievalModel(ssm=ssm, padded=True, training=True, **sizes)
    mode = "pool" if model["pooling"] == "mean" else "last"
    return BatchClassificationModel(ssm=ssm, padded=spec["variable_length"], mode=mode, training=True, **sizes)


def make_ssm(layer: dict[str, Any], d_model: int) -> Any:
    """The checkout's state-space model, its state matrix of equal HiPPO-N blocks."""
    from s5.ssm import init_S5SSM
    from s5.ssm_init import make_DPLR_HiPPO

    n_blocks, block_size = layer["n_blocks"], layer["d_state"] // layer["n_blocks"]
    Lambda, _, _, V, _ = make_DPLR_HiPPO(block_size)
    kept = block_size // 2 if layer["conj_sym"] else block_size
    Lambda, V = jnp.tile(Lambda[:kept], n_blocks), V[:, :kept]
    names = ("C_init", "discretization", "dt_min", "dt_max", "conj_sym", "clip_eigs", "bidirectional")
    return init_S5SSM(
        H=d_model,
        P=kept * n_blocks,
        Lambda_re_init=Lambda.real,
        Lambda_im_init=Lambda.imag,
        V=block_diag(*[V] * n_blocks),
        Vinv=block_diag(*[V.conj().T] * n_blocks),
        **{name: layer[name] for name in names},
    )


def random_batch(spec: dict[str, Any], width: int | None, batch_size: int) -> tuple[Any, jax.Array]:
    """Full-length inputs, with their lengths where the task has some, and targets; tokens as one-hot vectors."""
    shape = (batch_size * (1 + spec["paired"]), spec["max_length"])
    draw, label = jax.random.split(jax.random.key(0))
    if spec["kind"] == "tokens":
        ids = jax.random.randint(draw, shape, 0, spec["input_size"])
        inputs = jax.nn.one_hot(ids, width or spec["input_size"])
    else:
        inputs = jax.random.normal(draw, (*shape, spec["input_size"]))
    lengths = jnp.full(shape[0], float(spec["max_length"]))
    targets = jax.random.randint(label, (batch_size,), 0, spec["output_size"])
    return (inputs, lengths) if spec["variable_length"] else inputs, targets


def make_step(model: Any, variables: Any, inputs: Any, steps: jax.Array, targets: jax.Array) -> Callable[[], None]:
    """A function that trains the model one step further, compiled when it is first called."""
    optimizer = optax.adamw(RATE)

    def loss_of(params: Any, stats: Any, key: jax.Array) -> tuple[jax.Array, Any]:
        parts = {"params": params, "batch_stats": stats}
        scores, updated = model.apply(parts, inputs, steps, rngs={"dropout": key}, mutable=["batch_stats"])
        return -jnp.take_along_axis(scores, targets[:, None], axis=1).mean(), updated.get("batch_stats", stats)

    @partial(jax.jit, donate_argnums=0)
    def update(state: Any) -> Any:
        params, stats, moments, key = state
        key, dropout_key = jax.random.split(key)
        gradients, stats = jax.grad(loss_of, has_aux=True)(params, stats, dropout_key)
        changes, moments = optimizer.update(gradients, moments, params)
        return optax.apply_updates(params, changes), stats, moments, key

    params = jax.tree.map(
        jnp.copy, variables["params"]
    )  # the layers share initial values, which are not given away twice
    state = [params, variables.get("batch_stats", {}), optimizer.init(params), jax.random.key(2)]

    def step() -> None:
        state[:] = jax.block_until_ready(update(state))

    return step


def device_peak() -> int:
    """Peak memory of the GPU's allocator, bytes."""
    return jax.local_devices()[0].memory_stats()["peak_bytes_in_use"]


if __name__ == "__main__":
    serve(prepare)

"""Replayed training calls: the same numbers as without, whatever recording does to the model, and clear refusals."""

from types import SimpleNamespace

import pytest
import torch

from longrange.cli import compose
from longrange.errors import ConfigError
from longrange.models.spec import TaskSpec
from longrange.training.build import build
from longrange.training.graphs import Replayed, check_graphs

SPEC = TaskSpec("made_up", "continuous", input_size=1, output_size=3, max_length=16)
SMALL = ["model.n_layers=2", "model.d_model=16", "model.block.dropout=0.2"]
LAYERS = ["s4", "s4d", "s5", "lssl", "lssl_fixed"]
needs_gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


def recorder(calls):
    """What stands in for recording where there is no GPU: it calls the model as often, and replays by calling it."""

    def record(module, arguments):
        calls.append(arguments)
        for _ in range(3):
            torch.autograd.grad(module(*arguments).sum(), list(module.parameters()))
        return module

    return record


def model_of(layer="s5", device="cpu"):
    torch.manual_seed(0)
    chosen = ["model=lssl", "model.layer.trainable=false"] if layer == "lssl_fixed" else [f"model={layer}"]
    return build(compose("benchmark", ["data=smnist", *chosen, *SMALL]).model, spec=SPEC).to(device)


def steps_of(model, call, device="cpu"):
    """Parameters and buffers after three steps whose batches and random numbers are always the same."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(3):
        torch.manual_seed(step)
        inputs, targets = torch.randn(4, 16, 1).to(device), torch.randint(3, (4,)).to(device)
        torch.nn.functional.cross_entropy(call(inputs, None, 1.0), targets).backward()
        optimizer.step()
        optimizer.zero_grad()
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_what_a_layer_keeps_of_its_buffers_outlives_the_recording():
    """The graph reads it at the address where it was when it was recorded."""
    model, inputs = model_of("lssl_fixed"), torch.randn(4, 16, 1)

    def record(module, arguments):
        """A replay calls nothing of the model."""
        scores = module(*arguments).detach()
        return lambda inputs: scores

    Replayed(model, record)(inputs, None, 1.0)
    kept = [block.layer._fixed._systems[1.0, 0.5] for block in model.blocks]
    model.eval()(inputs)
    assert all(
        block.layer._fixed._systems[1.0, 0.5] is system for block, system in zip(model.blocks, kept, strict=True)
    )


@pytest.mark.parametrize("layer", LAYERS)
def test_recording_leaves_no_trace_in_a_training(layer):
    model, calls = model_of(layer), []
    plain = steps_of(model, model)
    model = model_of(layer)
    replayed = steps_of(model, Replayed(model, recorder(calls)))
    assert len(calls) == 1
    for name, value in plain.items():
        assert torch.equal(replayed[name], value), name


def test_other_calls_go_to_the_model():
    model, calls = model_of(), []
    replayed, inputs = Replayed(model, recorder(calls)), torch.randn(4, 16, 1)
    model.eval()
    assert torch.equal(replayed(inputs, None, 1.0), model(inputs, None, 1.0))
    assert not calls
    model.train()
    replayed(inputs, torch.full((4,), 16), 1.0)
    replayed(inputs, None, 0.5)
    assert not calls
    replayed(inputs, None, 1.0)
    assert replayed(inputs[:3], None, 1.0).shape == (3, 3)
    assert len(calls) == 1


def trainer_of(device="cuda", processes=1, accumulate=1):
    strategy = SimpleNamespace(root_device=torch.device(device))
    return SimpleNamespace(strategy=strategy, world_size=processes, accumulate_grad_batches=accumulate)


@pytest.mark.parametrize(
    ("trainer", "reason"),
    [
        (trainer_of("cpu"), "this is cpu; trainer=gpu"),
        (trainer_of(processes=2), "one process, not 2"),
        (trainer_of(accumulate=4), "not with accumulate above 1"),
    ],
)
def test_what_graphs_cannot_do_is_refused(trainer, reason):
    with pytest.raises(ConfigError, match=f"graphs=true: .*{reason}"):
        check_graphs(trainer, SPEC, recompute=False)


def test_sequences_of_several_lengths_are_refused():
    with pytest.raises(ConfigError, match="graphs=true: sequences of made_up differ in length"):
        check_graphs(trainer_of(), TaskSpec("made_up", "tokens", 3, 3, 16, variable_length=True), recompute=False)
    check_graphs(trainer_of(), SPEC, recompute=False)


def test_blocks_that_are_computed_again_are_refused():
    with pytest.raises(ConfigError, match=r"graphs=true: not with model\.recompute=true"):
        check_graphs(trainer_of(), SPEC, recompute=True)


@pytest.mark.parametrize("layer", [pytest.param(layer, marks=needs_gpu) for layer in LAYERS])
def test_graphs_train_as_plain_calls_do(layer):
    model = model_of(layer, "cuda")
    plain = steps_of(model, model, "cuda")
    model = model_of(layer, "cuda")
    replayed = steps_of(model, Replayed(model), "cuda")
    for name, value in plain.items():
        torch.testing.assert_close(replayed[name], value, rtol=1e-4, atol=1e-5)

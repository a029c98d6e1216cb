"""The model of the stage before a training: what it shares with the classifier, what it sees and what it does not."""

import pytest
import torch

from longrange.layers import LSSL, S4, S4D, S5
from longrange.models import ResidualBlock, SequenceClassifier, TaskSpec
from longrange.models.reconstructor import Reconstructor

B, L, C = 3, 16, 2
LAYERS = {
    "s4": lambda d_model, **options: S4(d_model, d_state=8, l_max=L, **options),
    "s4d": lambda d_model, **options: S4D(d_model, d_state=8, **options),
    "s5": lambda d_model, **options: S5(d_model, d_state=8, n_blocks=2, **options),
    "lssl": lambda d_model: LSSL(d_model, d_state=4),
}
each_layer = pytest.mark.parametrize("layer", list(LAYERS))


def classifier(layer="s5", kind="continuous", final_norm=True, **options):
    torch.manual_seed(0)
    spec = TaskSpec("toy", kind, C if kind == "continuous" else 5, 3, L, variable_length=True)
    return SequenceClassifier(
        spec,
        6,
        2,
        layer=lambda d_model: LAYERS[layer](d_model, **options),
        block=lambda d_model, built: ResidualBlock(d_model, built, activation="full_glu"),
        final_norm=final_norm,
    )


def every_step(length=L):
    return torch.ones(B, length, dtype=torch.bool)


def test_it_trains_the_classifiers_own_modules_under_their_names():
    model = classifier()
    shared = dict(Reconstructor(model, hides=True).named_parameters())
    own = {name: shared.pop(name) for name in ("head.weight", "head.bias", "hidden")}
    assert own["head.weight"].shape == (C, 6)
    theirs = {name: parameter for name, parameter in model.named_parameters() if not name.startswith("head.")}
    assert shared.keys() == theirs.keys()
    assert all(shared[name] is theirs[name] for name in theirs)


@pytest.mark.parametrize("kind", ["tokens", "continuous"])
def test_only_the_steps_that_were_asked_for_are_predicted(kind):
    model = Reconstructor(classifier(kind=kind), hides=False).eval()
    inputs = torch.randn(B, L, C) if kind == "continuous" else torch.randint(5, (B, L))
    at = torch.rand(B, L) < 0.4
    everything = model(inputs, None, every_step()).view(B, L, -1)
    torch.testing.assert_close(model(inputs, None, at), everything[at])


@each_layer
def test_hidden_steps_are_not_seen(layer):
    model = Reconstructor(classifier(layer), hides=True).eval()
    inputs, at = torch.randn(B, L, C, requires_grad=True), torch.rand(B, L) < 0.5
    (grad,) = torch.autograd.grad(model(inputs, None, at).square().sum(), inputs)
    assert (grad[at] == 0).all()
    assert (grad[~at] != 0).any()
    assert (torch.autograd.grad(model(inputs, None, at).sum(), model.hidden)[0] != 0).any()


@each_layer
def test_a_model_that_reads_forwards_does_not_see_the_future(layer):
    """The prediction at a step, of the next one, depends on this step and those before it, and on none after it."""
    model = Reconstructor(classifier(layer), hides=False).double().eval()
    inputs = torch.randn(B, L, C, dtype=torch.float64, requires_grad=True)
    for step in (0, 7, L - 1):
        at = torch.zeros(B, L, dtype=torch.bool)
        at[:, step] = True
        (grad,) = torch.autograd.grad(model(inputs, None, at).square().sum(), inputs)
        # A convolution by Fourier transforms leaves rounding errors of all steps in each.
        assert grad[:, step + 1 :].abs().sum() < 1e-12
        assert (grad[:, : step + 1].abs() > 1e-9).any(dim=(1, 2)).all()


@each_layer
@pytest.mark.parametrize("training", [True, False])
def test_padding_changes_no_prediction(layer, training):
    model = Reconstructor(classifier(layer), hides=True).train(training)
    lengths = torch.tensor([L, 9, 5])
    valid = torch.arange(L) < lengths.unsqueeze(1)
    inputs, at = torch.randn(B, L, C), (torch.rand(B, L) < 0.5) & valid
    other = torch.where(valid.unsqueeze(-1), inputs, torch.nan)
    torch.testing.assert_close(model(inputs, lengths, at), model(other, lengths, at), rtol=0, atol=0)


def test_a_batch_without_a_step_to_predict_has_gradients_of_zero():
    model = Reconstructor(classifier(), hides=True)
    model(torch.randn(B, L, C), None, ~every_step()).sum().backward()
    assert all((parameter.grad == 0).all() for parameter in model.head.parameters())

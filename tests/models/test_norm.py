"""Masked batch norm against torch's own on the valid steps alone."""

import pytest
import torch

from longrange.models.norm import MaskedBatchNorm, StepwiseLayerNorm, make_norm
from tests.backends import running


def twin(x, lengths, norm):
    """torch's batch norm over the rows that are valid, one by one."""
    plain = torch.nn.BatchNorm1d(x.shape[-1], momentum=norm.momentum).to(x.dtype)
    plain.load_state_dict(norm.state_dict())
    rows = torch.cat([x[i, :length] for i, length in enumerate(lengths)])
    return plain, plain(rows)


@pytest.mark.parametrize("lengths", [[9, 4, 1], [9, 9, 9]])
def test_equals_batch_norm_of_the_valid_steps(lengths):
    torch.manual_seed(0)
    norm = MaskedBatchNorm(5, momentum=0.3).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = torch.randn(3, 9, 5, dtype=torch.float64, requires_grad=True)
    plain, expected = twin(x, lengths, norm)
    y = norm(x, torch.tensor(lengths))
    ours = torch.cat([y[i, :length] for i, length in enumerate(lengths)])
    torch.testing.assert_close(ours, expected)
    cotangent = torch.randn_like(expected)
    for a, b in zip(
        torch.autograd.grad((ours * cotangent).sum(), [x, norm.weight, norm.bias]),
        torch.autograd.grad((expected * cotangent).sum(), [x, plain.weight, plain.bias]),
        strict=True,
    ):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(norm.running_mean, plain.running_mean)
    torch.testing.assert_close(norm.running_var, plain.running_var)
    assert norm.num_batches_tracked == 1


def test_gradcheck():
    torch.manual_seed(0)
    norm = MaskedBatchNorm(2, momentum=0.1).double()
    x = torch.randn(2, 5, 2, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([5, 2])
    valid = (torch.arange(5) < lengths[:, None])[..., None]
    assert torch.autograd.gradcheck(lambda x: norm(x, lengths) * valid, [x])


def test_evaluation_uses_the_running_statistics():
    norm = MaskedBatchNorm(2, momentum=0.1).eval()
    norm.running_mean.fill_(3.0)
    torch.testing.assert_close(norm(torch.full((1, 4, 2), 3.0), torch.tensor([2])), torch.zeros(1, 4, 2))


def test_bfloat16_inputs_keep_float32_statistics():
    torch.manual_seed(0)
    norm, x, lengths = MaskedBatchNorm(4, momentum=1.0), torch.randn(2, 200, 4) + 30, torch.tensor([200, 50])
    y = norm(x.bfloat16(), lengths)
    assert y.dtype == torch.bfloat16
    assert abs(norm.running_mean.mean().item() - 30) < 0.2


def test_choice_of_norm():
    assert isinstance(make_norm("batch", 4, 0.1), MaskedBatchNorm)
    assert isinstance(make_norm("layer", 4, 0.1), StepwiseLayerNorm)
    with pytest.raises(ValueError, match="batch or layer"):
        make_norm("group", 4, 0.1)


@pytest.mark.parametrize("kind", ["batch", "layer"])
@pytest.mark.parametrize("training", [True, False])
def test_a_fork_is_the_norm_and_what_went_in(kind, training):
    """Outputs and gradients of y + 2 x."""
    torch.manual_seed(0)
    norm, lengths = make_norm(kind, 5, 0.1).double().train(training), torch.tensor([9, 4])
    x, cotangent = torch.randn(2, 2, 9, 5, dtype=torch.float64)
    x.requires_grad_()
    y, skip = norm.fork(x, lengths)
    gradient = torch.autograd.grad(((y + 2 * skip) * cotangent).sum(), x)[0]
    assert torch.equal(skip, x)
    torch.testing.assert_close(y, norm(x, lengths))
    torch.testing.assert_close(gradient, torch.autograd.grad(((norm(x, lengths) + 2 * x) * cotangent).sum(), x)[0])


@pytest.mark.parametrize("kind", ["batch", "layer"])
@pytest.mark.parametrize("training", [True, False])
def test_a_norm_that_says_it_clears_the_padding_does_so(kind, training):
    norm, lengths = make_norm(kind, 3, 0.1).train(training), torch.tensor([6, 2])
    torch.nn.init.ones_(norm.bias)
    x = torch.randn(2, 6, 3)
    x[1, 2:] = float("nan")
    x.requires_grad_()
    y = norm(x, lengths)
    assert norm.clears_padding == (y[1, 2:] == 0).all() == (training and kind == "batch")
    if norm.clears_padding:
        y.backward(torch.full_like(y, float("inf")))
        assert (x.grad[1, 2:] == 0).all()


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_single_step_has_no_variance_and_is_its_bias(backend):
    with running(backend):
        assert torch.equal(MaskedBatchNorm(3, 0.1)(torch.randn(1, 1, 3)), torch.zeros(1, 1, 3))


def test_without_lengths_every_step_counts():
    torch.manual_seed(0)
    norm, x = MaskedBatchNorm(5, momentum=0.3), torch.randn(3, 9, 5)
    plain, expected = twin(x, [9, 9, 9], norm)
    torch.testing.assert_close(norm(x).flatten(0, 1), expected)
    torch.testing.assert_close(norm.running_mean, plain.running_mean)
    torch.testing.assert_close(norm.running_var, plain.running_var)

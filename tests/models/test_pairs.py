"""Paired tasks: what the model makes of one document does not depend on the other one until the head."""

from functools import partial

import pytest
import torch

from longrange.layers import S5
from longrange.models import ResidualBlock, SequenceClassifier, TaskSpec

SPEC = TaskSpec("pairs", "continuous", input_size=2, output_size=2, max_length=20, variable_length=True, paired=True)
LENGTHS = torch.tensor([20, 7, 13, 20, 15, 4])


def build(norm: str) -> SequenceClassifier:
    torch.manual_seed(0)
    layer = partial(S5, d_state=8, n_blocks=2, bidirectional=True)
    block = partial(ResidualBlock, norm=norm, dropout=0.0)
    model = SequenceClassifier(SPEC, 8, 2, layer=layer, block=block)
    for name, buffer in model.named_buffers():  # statistics as if trained, so that the batch norm does something
        if "mean" in name or "var" in name:
            buffer.uniform_(0.5, 1.5)
    return model


def features_of(model: SequenceClassifier, documents: torch.Tensor) -> torch.Tensor:
    """What reaches the head: (2B, H)."""
    seen = []
    with model.head.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0])):
        model(documents, LENGTHS)
    return seen[0]


@pytest.fixture
def documents() -> torch.Tensor:
    return torch.randn(6, 20, 2, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(("norm", "training"), [("batch", False), ("layer", False), ("layer", True)])
def test_no_feature_depends_on_the_other_document(documents, norm, training):
    """Row by row: the gradient of one document's features is zero in all others, and other documents change nothing."""
    model = build(norm).train(training)
    documents.requires_grad_()
    for row in range(6):
        (gradient,) = torch.autograd.grad(features_of(model, documents)[row].square().sum(), documents)
        others = [i for i in range(6) if i != row]
        assert gradient[row].abs().max() > 0
        assert not gradient[others].any()
    changed = documents.detach().clone()
    changed[3:] = 3 * changed[3:] + 1
    before, after = features_of(model, documents), features_of(model, changed)
    assert torch.equal(before[:3], after[:3])
    assert not torch.isclose(before[3:], after[3:]).all(dim=1).any()


def test_no_parameter_learns_from_the_other_document(documents):
    """What the towers' parameters learn from the features of first documents is the same beside other second ones."""
    model = build("batch").eval()
    changed = torch.cat([documents[:3], 3 * documents[3:] + 1])
    parameters = list(model.blocks.parameters())
    gradients = [
        torch.autograd.grad(features_of(model, batch)[:3].square().sum(), parameters) for batch in (documents, changed)
    ]
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-7)


def test_in_training_batch_statistics_are_shared(documents):
    """As published: the statistics are those of first and second documents together."""
    model = build("batch").train()
    documents.requires_grad_()
    (gradient,) = torch.autograd.grad(features_of(model, documents)[0].square().sum(), documents)
    assert gradient[3:].any()


def test_both_documents_matter_and_order_is_seen(documents):
    model = build("batch").eval()
    scores = model(documents, LENGTHS)
    swapped = torch.cat([documents[3:], documents[:3]])
    assert scores.shape == (3, 2)
    assert not torch.allclose(model(swapped, torch.cat([LENGTHS[3:], LENGTHS[:3]])), scores)

"""What is predicted before a training: which steps, how many, and what the answers are."""

import pytest
import torch

from longrange.data.batch import Batch
from longrange.errors import ConfigError
from longrange.layers import LSSL, S5
from longrange.models import SequenceClassifier, TaskSpec
from longrange.training.pretrain_objectives import Causal, Masked


def sequences(B=200, L=50, C=None):
    inputs = torch.randint(100, (B, L)) if C is None else torch.randn(B, L, C)
    return Batch(inputs, torch.randint(1, L + 1, (B,)), torch.zeros(B))


def valid(batch):
    return torch.arange(batch.inputs.shape[1]) < batch.lengths.unsqueeze(1)


def model(layer):
    return SequenceClassifier(TaskSpec("toy", "tokens", 5, 3, 16), 4, 2, layer=layer)


@pytest.mark.parametrize("C", [None, 3])
def test_masked_asks_for_what_is_hidden(C):
    torch.manual_seed(0)
    batch, objective = sequences(C=C), Masked(0.3, 1)
    at = objective.steps(batch.inputs, batch.lengths)
    assert at.shape == batch.inputs.shape[:2]
    assert not (at & ~valid(batch)).any()
    torch.testing.assert_close(objective.answers(batch.inputs, at), batch.inputs[at])


@pytest.mark.parametrize("ratio", [0.1, 0.5])
@pytest.mark.parametrize("span", [1, 4])
def test_masked_hides_the_right_share_of_the_valid_steps(ratio, span):
    """The first and the last steps of a sequence as often as any other."""
    torch.manual_seed(0)
    batch = sequences(B=4000)
    hidden = [Masked(ratio, span).steps(*batch[:2]) for _ in range(2)]
    assert not torch.equal(*hidden)
    steps = valid(batch)
    assert hidden[0][steps].float().mean() == pytest.approx(ratio, abs=0.01)
    assert hidden[0][:, 0].float().mean() == pytest.approx(ratio, abs=0.03)
    full = Masked(ratio, span).steps(batch.inputs, None)
    assert full[:, -1].float().mean() == pytest.approx(ratio, abs=0.03)


def test_masked_hides_spans():
    torch.manual_seed(0)
    hidden = Masked(0.2, 5).steps(torch.zeros(500, 60, dtype=torch.int64), None)
    inside = torch.nn.functional.pad(hidden, (1, 1)).long().diff(dim=1)
    begins, ends = (inside == 1).nonzero()[:, 1], (inside == -1).nonzero()[:, 1]
    cut = (begins == 0) | (ends == 60)
    assert (ends - begins)[~cut].min() == 5


def test_causal_asks_for_the_next_step_of_each_but_the_last():
    inputs, lengths = torch.arange(12).view(3, 4), torch.tensor([4, 2, 1])
    at = Causal().steps(inputs, lengths)
    assert at.int().tolist() == [[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert Causal().answers(inputs, at).tolist() == [1, 2, 3, 5]
    channels = torch.randn(3, 4, 2)
    at = Causal().steps(channels, None)
    torch.testing.assert_close(Causal().answers(channels, at), channels[:, 1:].flatten(0, 1))


def test_causal_refuses_a_model_that_reads_backwards():
    both, forwards = (model(lambda H, on=on: S5(H, 4, 1, bidirectional=on)) for on in (True, False))
    with pytest.raises(ConfigError, match=r"both directions.*add model\.layer\.bidirectional=false") as error:
        Causal().check(both)
    assert "\n" not in str(error.value)
    Causal().check(forwards)
    Causal().check(model(lambda H: LSSL(H, 4)))
    Masked(0.5, 1).check(both)


@pytest.mark.parametrize(("ratio", "span", "message"), [(0, 1, "ratio=0"), (1.0, 1, "ratio=1"), (0.5, 0, "span=0")])
def test_impossible_masks_are_refused(ratio, span, message):
    with pytest.raises(ConfigError, match=rf"pretrain\.objective\.{message}.*must be"):
        Masked(ratio, span)

"""A step as a program of tensors: what a stream gives, for any number of streams."""

from functools import partial

import pytest
import torch

from longrange.layers import LSSL, S4, S4D, S5
from longrange.models import SequenceClassifier, StepProgram, Stream, TaskSpec

TOKENS = TaskSpec("toy", "tokens", input_size=7, output_size=3, max_length=20)
SIGNAL = TaskSpec("toy", "continuous", input_size=2, output_size=3, max_length=20)
LAYERS = {"s4": S4, "s4-wide": partial(S4, d_state=64), "s4d": S4D, "s5": S5, "lssl": LSSL}
SMALL = {"s4": 4, "s4d": 4, "s5": 4, "lssl": 4}


def model_of(name, spec=TOKENS, **options):
    torch.manual_seed(0)
    sizes = {"d_state": SMALL[name]} if name in SMALL else {}
    return SequenceClassifier(spec, 16, 2, layer=partial(LAYERS[name], **sizes), **options).eval()


@pytest.mark.parametrize("spec", [TOKENS, SIGNAL], ids=["tokens", "signal"])
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.filterwarnings("ignore:No complete tensor")
def test_an_exported_step_gives_what_the_stream_gives(name, spec):
    """300 streams: a projection of so many rows may take another way outside of what is exported."""
    model, rate = model_of(name, spec), 2.0
    program, stream = StepProgram(model, rate), Stream(model, rate)
    run, state, expected = program.exported().module(), program.initial_state(300), stream.initial_state(300)
    with torch.no_grad():
        for _ in range(4):
            inputs = program.example(300)[0]
            scores, *state = run(inputs, *state)
            wanted, expected = stream.step(inputs, expected)
            torch.testing.assert_close(scores, wanted)
    assert state[0].item() == expected.steps == 4
    torch.testing.assert_close(tuple(state[2:]), expected.layers)


def test_pooling_of_the_last_step():
    model = model_of("s5", pooling="last")
    program, stream = StepProgram(model), Stream(model)
    inputs, *state = program.example(3)
    torch.testing.assert_close(program(inputs, *state)[0], stream.step(inputs, stream.initial_state(3))[0])


def test_names_are_those_of_the_arguments_in_order():
    program = StepProgram(model_of("s5"))
    inputs, outputs = program.names()
    assert inputs == ["inputs", "steps", "pooled", "state_0", "state_1"]
    assert outputs == ["scores", "steps_after", "pooled_after", "state_0_after", "state_1_after"]
    assert len(program.example()) == len(inputs)


def test_the_model_is_as_before_and_the_program_has_no_more_than_it_needs():
    model = model_of("s5")
    program = StepProgram(model)
    assert all(p.requires_grad for p in model.parameters())
    assert not any(".layer." in name for name, _ in program.named_parameters())


def test_what_cannot_run_step_by_step_is_refused():
    with pytest.raises(ValueError, match="bidirectional"):
        StepProgram(SequenceClassifier(TOKENS, 6, 1, layer=partial(S5, bidirectional=True)).eval())

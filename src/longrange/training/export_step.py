"""The recurrent step of a trained model as a file for other runtimes: torch.export's `.pt2`, or ONNX."""

import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from longrange.errors import CheckpointError, ConfigError
from longrange.models.classifier import SequenceClassifier
from longrange.models.step_program import StepProgram
from longrange.training.export import load_model
from longrange.training.noise import quiet
from longrange.whole_files import write_whole

_STEPS, _STREAMS = 100, 3  # that a file is tried with before it is written
_TOLERANCE = 1e-3  # of scores, relative to the largest

Run = Callable[..., Sequence[Tensor]]


class StepFile(NamedTuple):
    """What was written.

    Attributes:
        path: the file.
        inputs: name -> dtype and shape of what a step takes; "streams" stands for any number of them.
        outputs: names of what it gives: scores, and the state to give to the next step.
        difference: the largest by which a score differed from the model's over some random steps.
    """

    path: Path
    inputs: dict[str, str]
    outputs: list[str]
    difference: float


def export_step(weights: Path, file: Path, rate: float = 1.0, packages: Sequence[str] = ()) -> StepFile:
    """Write the step of a model, after running it beside the model.

    Args:
        weights: a run's model.safetensors.
        file: ends in .pt2 or .onnx; written whole or not at all.
        rate: factor on the time step, fixed in the file.
        packages: trusted ones besides longrange, see `load_model`.
    Raises:
        CheckpointError: the weights are missing, damaged or not trusted, or the model cannot run step by step.
        ConfigError: another ending, a package for it is missing, or its scores are not the model's.
        OSError: the file cannot be written.
    """
    if file.suffix not in _FORMATS:
        raise ConfigError(f"file={file}: must end in {' or '.join(_FORMATS)}")
    model = load_model(weights, packages)
    program = _program(model, rate, weights)
    with quiet():
        content, run = _FORMATS[file.suffix](program)
    difference = _difference(model, program, run, rate)
    if not difference < _TOLERANCE:
        raise ConfigError(f"file={file}: not written, its scores differ from the model's by {difference:.1e} of them")
    names, outputs = program.names()
    inputs = dict(zip(names, map(_described, program.example()), strict=True))
    return StepFile(write_whole(file, content), inputs, outputs, difference)


def _program(model: Any, rate: float, weights: Path) -> StepProgram:
    try:
        return StepProgram(model, rate)
    except ValueError as problem:
        raise CheckpointError(f"{weights}: {problem}") from problem


def _pt2(program: StepProgram) -> tuple[bytes, Run]:
    content = io.BytesIO()
    torch.export.save(program.exported(), content)
    return content.getvalue(), torch.export.load(io.BytesIO(content.getvalue())).module()


def _onnx(program: StepProgram) -> tuple[bytes, Run]:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401  what torch.onnx writes with
    except ImportError as problem:
        raise ConfigError("file: packages that write ONNX are missing; pip install 'longrange[onnx]'") from problem
    names, outputs = program.names()
    words = {"input_names": names, "output_names": outputs, "dynamic_shapes": program.sizes()}
    written = torch.onnx.export(program.exported(), verbose=False, **words)
    content = written.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return content, partial(_run_session, session, names)


def _run_session(session: Any, names: list[str], *arguments: Tensor) -> list[Tensor]:
    feed = {name: value.numpy() for name, value in zip(names, arguments, strict=True)}
    return [torch.from_numpy(value) for value in session.run(None, feed)]


_FORMATS: dict[str, Callable[[StepProgram], tuple[bytes, Run]]] = {".pt2": _pt2, ".onnx": _onnx}


@torch.no_grad()
def _difference(model: SequenceClassifier, program: StepProgram, run: Run, rate: float) -> float:
    """Of scores after some steps from those of the whole sequence, relative to the largest."""
    state, inputs = program.initial_state(_STREAMS), []
    for _ in range(_STEPS):
        inputs.append(program.example(_STREAMS)[0])
        scores, *state = run(inputs[-1], *state)
    expected = model(torch.stack(inputs, dim=1), rate=rate)
    return ((scores - expected).abs().max() / expected.abs().max()).item()


def _described(x: Tensor) -> str:
    shape = ["streams", *map(str, x.shape[1:])] if x.dim() else []
    return f"{str(x.dtype).removeprefix('torch.')} ({', '.join(shape)})"

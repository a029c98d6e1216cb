"""The step of a trained model as a file that other runtimes run: it scores as the model does, or is not written."""

import builtins

import onnxruntime
import pytest
import torch
from toy_task import toy_config

from longrange.errors import CheckpointError, ConfigError
from longrange.training import export_step as module
from longrange.training import load_model, train
from longrange.training.export import NAME, export
from longrange.training.export_step import export_step


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return written(tmp_path_factory.mktemp("run"), "model.layer.bidirectional=false")


def written(folder, *overrides):
    cfg = toy_config(folder, "epochs=1", *overrides)
    cfg.name.task = "toy"
    return export(train(cfg).best_checkpoint, cfg, "3f2a", folder / NAME)


def scores_of(path, sequences, n_layers):
    """As somebody would who has no longrange: the states are zeros of the shapes that the file tells."""
    if path.suffix == ".onnx":
        session = onnxruntime.InferenceSession(path.read_bytes())
        names = [each.name for each in session.get_inputs()]
        state = [torch.zeros(shape(each)).numpy() for each in session.get_inputs()[1:]]
        state[0] = state[0].astype("int64")
        for inputs in sequences.T:
            scores, *state = session.run(None, dict(zip(names, [inputs.numpy(), *state], strict=True)))
        return torch.from_numpy(scores)
    step = torch.export.load(path).module()
    state = (torch.tensor(0), torch.zeros(3, 8), *[torch.zeros(3, 2, 4)] * n_layers)
    for inputs in sequences.T:
        scores, *state = step(inputs, *state)
    return scores


def shape(each):
    return [3 if size == "streams" else size for size in each.shape]


@pytest.mark.parametrize("name", ["step.pt2", "step.onnx"])
def test_a_file_scores_whole_sequences(weights, tmp_path, name):
    file = export_step(weights, tmp_path / "new" / name, rate=2.0)
    assert file.difference < 1e-5
    model = load_model(weights)
    sequences = torch.randint(model.spec.input_size, (3, 12))
    scores = scores_of(file.path, sequences, len(model.blocks))
    with torch.no_grad():
        torch.testing.assert_close(scores, model(sequences, rate=2.0), rtol=1e-4, atol=1e-5)
    assert file.inputs["inputs"] == "int64 (streams)"
    assert file.inputs["steps"] == "int64 ()"
    assert file.outputs[0] == "scores"


def test_scores_that_are_not_the_models_are_not_written(weights, tmp_path, monkeypatch):
    def other(program):
        content, run = module._pt2(program)
        return content, lambda *arguments: (run(*arguments)[0] * 1.01, *run(*arguments)[1:])

    monkeypatch.setitem(module._FORMATS, ".pt2", other)
    with pytest.raises(ConfigError, match="not written, its scores differ"):
        export_step(weights, tmp_path / "step.pt2")
    assert list(tmp_path.iterdir()) == []


def test_mistakes_are_one_line(weights, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"file=step\.pt: must end in \.pt2 or \.onnx"):
        export_step(weights, module.Path("step.pt"))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: rate=-1.0: a factor"):
        export_step(weights, tmp_path / "step.pt2", rate=-1.0)
    with pytest.raises(CheckpointError, match="a bidirectional layer needs the whole sequence"):
        export_step(written(tmp_path), tmp_path / "step.pt2")
    imported = builtins.__import__

    def without(name, *arguments):
        if name == "onnxscript":
            raise ImportError(name)
        return imported(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'longrange\[onnx\]'"):
        export_step(weights, tmp_path / "step.onnx")

"""Evaluate a checkpoint; `python scripts/evaluate.py --help` says how."""

from omegaconf import DictConfig

from longrange.cli import main


@main("evaluate", open_keys=True)
def evaluate(cfg: DictConfig) -> None:
    """Compute the metrics of every split and print them as a table."""
    from pytorch_lightning.utilities import rank_zero_only

    from longrange import training
    from longrange.results.summary import print_metrics

    for heading, metrics in training.evaluate(cfg).items():
        rank_zero_only(print_metrics)(metrics, title=f"{cfg.checkpoint} at {heading}")


if __name__ == "__main__":
    evaluate()

"""Evaluate a checkpoint; `python scripts/evaluate.py --help` says how."""

from omegaconf import DictConfig

from longrange.cli import main


@main("evaluate")
def evaluate(cfg: DictConfig) -> None:
    """Compute the metrics of every split and print them as a table."""
    from longrange import training
    from longrange.results.summary import print_metrics

    print_metrics(training.evaluate(cfg), title=cfg.checkpoint)


if __name__ == "__main__":
    evaluate()

"""Tasks whose shape is known here but whose data is not: enough to build their models and to time them."""

from longrange.data.module import SequenceDataModule, Split
from longrange.errors import DataError
from longrange.models.spec import TaskSpec


class ShapeOnly(SequenceDataModule):
    """A task's spec without its data.

    Args:
        spec: the fields of `TaskSpec`.
        options: batch size and loader options, see `SequenceDataModule`.
    """

    def __init__(self, spec: dict, **options):
        super().__init__(**options)
        self._spec = TaskSpec(**spec)

    @property
    def spec(self) -> TaskSpec:
        """The task's shape."""
        return self._spec

    def prepare_data(self) -> None:
        """There is nothing to prepare.

        Raises:
            DataError: always.
        """
        raise DataError(
            f"{self.spec.name}: this version has the task's shape only, not its data; it can be timed "
            f"(scripts/benchmark.py), not trained"
        )

    def split(self, name: Split):
        """As `prepare_data`."""
        self.prepare_data()

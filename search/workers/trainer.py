"""What a worker holds for the whole study: the images, the teacher and its tables. No ray, no optuna.

Everything but a trial's own training is done once, when the worker starts.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from fitnets.config import Brought, Data, Distill, Ensemble, Precision, Recipe, Report, Result, Trained, Training
from fitnets.disk.store import Store
from fitnets.distill.losses import kd_loss
from fitnets.distill.run import discard, distill, result_of
from fitnets.images.images import Images, load
from fitnets.images.parts import check
from fitnets.images.sources import has_val
from fitnets.images.views import Plan
from fitnets.nets.cost import cost
from fitnets.nets.network import Network, initialise
from fitnets.nets.precision import computing, native, use_ieee_float32
from fitnets.teacher import opening, train
from fitnets.teacher.tables import CHUNK
from fitnets.teacher.teacher import Teacher
from fitnets.training.loop import fit
from fitnets.training.run import Run
from fitnets.values.net import Net
from fitnets.values.table_sizes import HintTable
from search.workers.facts import Facts, Speed, StoredTable, TeacherFacts

MEASUREMENTS = 5  # at most; their median is taken
MEASURED_STEPS = 20  # at most, in one measurement of a training
MEASURED_SECONDS = 2.0  # for all measurements together, about
THREADED_MACS = 10**9  # multiply-adds in a step's forward pass from which a second thread pays: see bench/LOG.md


class Trainer:
    """Opens the images, trains or loads the teacher, then runs recipe after recipe."""

    def __init__(self, data: Data, data_dir: str, store_dir: str, device: str, threads: int | None):
        if threads is not None:
            torch.set_num_threads(threads)
        use_ieee_float32()
        self.store = Store(Path(store_dir))
        notes = check(data, Path(data_dir), self.store)
        self.images: Images = load(data, Path(data_dir), self.store, torch.device(device))
        self.notes = (*self.images.notes, *notes)
        self.own_val = has_val(data, Path(data_dir))
        self.teacher: Teacher | None = None

    def facts(self) -> Facts:
        """What the driver needs to know about the images."""
        images = self.images
        return Facts(
            shape=images.shape,
            classes=images.classes,
            train=len(images.train),
            val=len(images.val),
            images=images.digest,
            device=str(images.device),
            native=native(images.device),
            notes=self.notes,
            own_val=self.own_val,
        )

    def has(self, teacher: Trained | Brought | Ensemble) -> bool:
        """Whether the teacher has been trained."""
        return all(train.is_trained(member, self.images, self.store) for member in teacher.members)

    def train_teacher(self, teacher: Trained | Brought | Ensemble, cores: int = 1) -> Iterator[Report]:
        """Train the teacher into the store, unless it is there or a brought one; an ensemble member by member.

        `cores` are free for it, where it is large enough to gain by them.
        """
        for member in teacher.members:
            with threads_for(member.net, member.training.batch, cores):
                yield from train.trained(member, self.images, self.store)

    def export_teacher(self, teacher: Trained) -> dict[str, bytes]:
        """The trained teacher's files, for workers that do not share this disk."""
        return train.files(teacher, self.images, self.store)

    def open_teacher(
        self, teacher: Trained | Brought | Ensemble, files: Sequence[dict[str, bytes]] | None
    ) -> TeacherFacts:
        """Load the teacher, from `files` (those of each of its members) where this worker's store lacks them."""
        if files is not None:
            for member, its_files in zip(teacher.members, files, strict=True):
                train.receive(member, self.images, self.store, its_files)
        self.teacher = opening.load(teacher, self.images, self.store)
        opened = self.teacher
        return TeacherFacts(
            teacher=opened.digest,
            hint_shapes=opened.hint_shapes,
            val_accuracy=opened.val_accuracy,
            classes=opened.classes,
            notes=opened.notes,
            contents=opened.contents,
        )

    def stored_tables(
        self, teacher: Trained | Brought | Ensemble, precision: Precision, epochs: Iterable[int]
    ) -> frozenset[StoredTable]:
        """The teacher's tables of these epochs that are complete in the store; none before it is trained."""
        if not self.has(teacher):
            return frozenset()
        opened = opening.load(teacher, self.images, self.store)
        epoch_of = {opened.table_key(self.images, epoch=epoch, precision=precision): epoch for epoch in epochs}
        chunks = Counter[StoredTable]()
        for kind in ("logits", "hints"):
            for name in self.store.names(kind):
                run, *layer_and_map, _ = name.split("-")
                if run in epoch_of:
                    chunks[epoch_of[run], _hint_table(*layer_and_map)] += 1
        whole = -(-len(self.images.train) // CHUNK)
        return frozenset(table for table, number in chunks.items() if number == whole)

    def brought_digests(self, teacher: Brought) -> tuple[str, tuple[str, str]]:
        """The digest of a brought teacher as it is now, and of its weights and code. Its accuracy is not measured."""
        return opening.brought_digests(teacher, self.images)

    def train(self, recipe: Recipe) -> Generator[Report, None, Result]:
        """Run a recipe, from its checkpoint if there is one: Reports as they come, then the Result.

        The checkpoint of a finished run stays until `forget`, because the driver may die before it has the Result.
        """
        assert self.teacher is not None, "open_teacher comes first"
        return (yield from distill(recipe, self.images, self.teacher, self.store, keep=True))

    def forget(self, recipe: Recipe) -> None:
        """Delete the checkpoint of a run whose result the driver has stored."""
        assert self.teacher is not None, "open_teacher comes first"
        discard(recipe, self.images, self.teacher, self.store)

    def trained(self, recipe: Recipe) -> Result:
        """Run a recipe to its end, without Reports."""
        assert self.teacher is not None, "open_teacher comes first"
        return result_of(distill(recipe, self.images, self.teacher, self.store))

    def measure(
        self, net: Net, training: Training, precision: Precision, distill: Distill | None = None, cores: int = 1
    ) -> Speed:
        """Time training steps and forward passes of `net` on the real images.

        The loss is that of stage 2 with a table of logits, or, without `distill`, that on the labels alone. `cores` as
        in `train_teacher`; a forward pass is always timed on one.
        """
        images, device = self.images, self.images.device
        network = Network(net)
        initialise(network, "scaled", 0.0, 0)
        network.to(device).to(memory_format=torch.channels_last)
        num_images, label_N = len(images.train), images.train.label_N
        order_N = torch.randperm(num_images, generator=torch.Generator().manual_seed(0)).to(device)
        teacher_NK = torch.zeros(num_images, len(images.classes), dtype=torch.float16, device=device)
        plan = Plan.draw(num_images, 1, images.data, device)

        def loss(step_B: Tensor) -> Tensor:
            index_B = order_N[step_B]
            with computing(precision, device):
                logits_BK = network(images.views(plan, index_B))
            if distill is None:
                return torch.nn.functional.cross_entropy(logits_BK.float(), label_N[index_B])
            return kd_loss(logits_BK, teacher_NK[index_B], label_N[index_B], distill.lambda_start, distill)

        run, batch = Run(network, training.changed(lr=1e-6)), min(training.batch, num_images)

        def seconds(steps: int) -> float:
            run.epoch = 0
            epochs = fit(run, lambda epoch: loss, num_images=steps * batch, seed=0, device=device)
            return next(epochs).seconds / steps

        with threads_for(net, batch, cores):
            seconds(1)  # the first step allocates what the others reuse
            once = seconds(1)
            measurements = max(1, min(int(MEASURED_SECONDS / once), MEASUREMENTS))
            steps = max(1, min(int(MEASURED_SECONDS / measurements / once), num_images // batch, MEASURED_STEPS))
            step = once if once > MEASURED_SECONDS else statistics.median(seconds(steps) for _ in range(measurements))
        return Speed(train_step=step / batch, forward=self._forward(network.eval(), batch))

    def measure_teacher(self, batch: int) -> Speed:
        """Time forward passes of the teacher that is open; its `train_step` is 0."""
        assert self.teacher is not None, "open_teacher comes first"
        return Speed(train_step=0.0, forward=self._forward(self.teacher.network, batch))

    def _forward(self, network: nn.Module, batch: int) -> float:
        x_BCHW, label_B = self._some(batch)

        def forward() -> None:
            with torch.no_grad():
                network(x_BCHW)

        return _seconds(forward) / len(label_B)

    def _some(self, batch: int) -> tuple[Tensor, Tensor]:
        index_B = torch.arange(min(batch, len(self.images.train)), device=self.images.device)
        plan = Plan.draw(len(self.images.train), 1, self.images.data, self.images.device)
        return self.images.views(plan, index_B), self.images.train.label_N[index_B]


def _hint_table(layer: str = "", rows_and_columns: str = "") -> HintTable | None:
    """A table by its name in the store, as "3" and "4x4"; None where it has none, as that of logits."""
    if not layer:
        return None
    rows, columns = rows_and_columns.split("x")
    return int(layer), (int(rows), int(columns))


@contextmanager
def threads_for(net: Net, batch: int, cores: int) -> Iterator[None]:
    """Use `cores` threads for training this net, where a step is large enough for them, and as many as before after."""
    before = torch.get_num_threads()
    if cores > 1 and cost(net).macs * batch >= THREADED_MACS:
        torch.set_num_threads(cores)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _seconds(call: Callable[[], None]) -> float:
    """The median of a few calls after a warm-up call; a slow call is timed once."""
    times: list[float] = []
    for attempt in range(1 + MEASUREMENTS):
        start = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        took = time.perf_counter() - start
        if attempt or took > MEASURED_SECONDS:
            times.append(took)
        if sum(times) > MEASURED_SECONDS:
            break
    return statistics.median(times)

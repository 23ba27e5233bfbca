"""A chosen student as a folder to ship: its files, their cost and their accuracy. Needs torch, not ray."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from fitnets import predict
from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.export import Deployed, check, measure, onnx_file, restored
from fitnets.images.identity import Identity
from fitnets.images.images import Images, Split, accuracy, load, load_test
from fitnets.images.printable import shown
from fitnets.images.sources import NoImages, check_folders, from_files, has_val
from fitnets.nets.cost import total_cost
from fitnets.nets.network import Network
from fitnets.quantised import CALIBRATION, calibration_pixels, quantised
from fitnets.values.base import sha256
from search.read.candidates import Candidate, Snapshot
from search.read.definition import Definition
from search.ship import out_folder, student_files, test_reads
from search.ship.input_rule import input_rule, metadata
from search.ship.latencies import Precision
from search.ship.shipped.card import FLOAT32_FILE, drop_note, environment, int8_part, measurements
from search.ship.shipped.exported import Accuracies, Exported, Runnable, Tested
from search.ship.shipped.readme import readme
from search.ship.teachers import open_for_testing, open_for_training
from search.units import format_duration
from search.workers.facts import other_images
from search.workers.trainer import Trainer


class Shipper:
    """Exports students of one study. Its images are opened once, a student's weights when it is exported."""

    def __init__(
        self,
        snapshot: Snapshot,
        runs: Path,
        progress: Callable[[str], None] = lambda text: None,
        data_dir: Path | None = None,
        *,
        int8: bool = False,
        threads: int = 1,
        batch: int = 1,
    ):
        """`data_dir`: where the study's images are now; None: where it read them. `int8`: export int8 files too.
        `threads` and `batch` are those of the passes that are timed.

        Raises InputError when they are not there, or are not those that it was trained on.
        """
        self.snapshot, self.runs, self.progress, self.int8 = snapshot, runs, progress, int8
        self.threads, self.batch = threads, batch
        self.notes: list[str] = []  # for people, a line each
        self.study = Definition.of(snapshot)
        self.store = Store(runs / "store")
        self.data_dir = data_dir or Path(snapshot.images.get("data_dir", "data"))
        self.images: Images = self._opened()
        # Whitened images are no longer pixels, but the exported model takes pixels: it is checked on those.
        data = self.study.data
        plain = data.changed(whiten=False, local_contrast=False)
        self.pixels: Images = self.images if data.standardised else load(plain, self.data_dir, self.store)
        self.input_rule = input_rule(self.images.shape, None if from_files(data, self.data_dir) else data.name)

    def _opened(self) -> Images:
        try:
            check_folders(self.study.data, self.data_dir)
            images = load(self.study.data, self.data_dir, self.store)
        except NoImages as error:
            raise InputError(
                f"the images that `{self.snapshot.study}` was trained on are not in `{shown(self.data_dir)}`: name the "
                "folder where they are now with --data."
            ) from error
        own_val = has_val(self.study.data, self.data_dir)
        now = Identity(images=images.digest, classes=images.classes, train=len(images.train), own_val=own_val)
        if problem := other_images(self.snapshot.images, now, self.data_dir):
            raise InputError(f"{problem}, or search these under another name with `search.run --name`.")
        return images

    def weights(self, candidate: Candidate) -> tuple[bytes, bool]:
        """The student's safetensors file, and whether it had to be trained again because the store no longer has it.

        It is trained on a GPU where there is one, unless it was trained on a CPU before: a CPU reproduces the weights
        bit for bit.
        """
        outcome = candidate.outcome
        assert outcome is not None
        stored = student_files.weights(self.runs, candidate)
        if stored is not None:
            return stored.content, False
        took = format_duration(outcome.seconds)
        self.progress(f"training trial {candidate.trial} again: its weights are no longer stored (it took {took}) ...")
        gpu = torch.cuda.is_available() and outcome.versions.get("device") != "cpu"
        device_threads = ("cuda", None) if gpu else ("cpu", 1)  # as in the search: device, threads
        trainer = Trainer(self.study.data, str(self.data_dir), str(self.store.root), *device_threads)
        teacher = self.study.teacher_of(candidate.recipe, self.images.shape)
        open_for_training(trainer, teacher, outcome.teacher)
        result = trainer.trained(candidate.recipe)
        self.store.try_put("student", sha256(result.weights), {"student.safetensors": result.weights})
        return result.weights, True

    @property
    def precision(self) -> Precision:
        """Of the files that it ships."""
        return "int8" if self.int8 else "float32"

    def exported(self, candidate: Candidate) -> Exported:
        """The student as an ONNX file, with its latency."""
        weights, retrained = self.weights(candidate)
        return self._exported(candidate, restored(candidate.recipe.student, weights), weights, retrained)

    def exported_for_timing(self, candidate: Candidate) -> Exported:
        """The same without training: where the weights are lost, random ones give the same size and latency."""
        stored = student_files.weights(self.runs, candidate)
        if stored is None:
            return self._exported(candidate, Network(candidate.recipe.student), b"", False)
        return self._exported(candidate, restored(candidate.recipe.student, stored.content), stored.content, False)

    def _exported(self, candidate: Candidate, student: Network, weights: bytes, retrained: bool) -> Exported:
        deployed = Deployed(student, self.images.preprocess).eval()
        file = onnx_file(deployed, self.images.shape, metadata(self.input_rule, self.images.classes))
        timed = (self.images.shape, self.threads, self.batch)
        plain, small = Runnable.of(file, *timed), None
        if self.int8:
            pixels_NCHW = calibration_pixels(self.pixels.train, self.study.data.seed)
            small = Runnable.of(quantised(file, pixels_NCHW), *timed)
        return Exported(candidate, weights, retrained, deployed, plain, small)

    def write(self, exported: Exported, out: Path, choice: dict[str, Any]) -> dict[str, Any]:
        """Check the file on the validation images, measure it on the test images, write the folder. Returns the card.

        `choice` goes into the card: who or what chose this student, and within which limits. An int8 file that loses
        more than `DROP` on the validation images, or falls below the least accuracy of the limits, takes the float32
        file along.
        """
        validation = self._accuracies(exported, self.pixels.val)
        note = None if validation.int8 is None else drop_note(validation, choice.get("budget", {}).get("min_accuracy"))
        test = self._tested(exported)
        files = {
            "student.onnx": exported.shipped.file,
            "student.safetensors": exported.weights,
            "recipe.json": (exported.candidate.recipe.model_dump_json(indent=1) + "\n").encode(),
            "predict.py": Path(predict.__file__).read_bytes(),
        }
        if note is not None:
            files[FLOAT32_FILE] = exported.float32.file
            self.notes.append(f"note: {note}")
        card = self._card(exported, validation, test, choice, note)
        files["README.md"] = readme(card).encode()
        out_folder.write(out, files, card, self.runs)
        return card

    def _card(
        self, exported: Exported, validation: Accuracies, tested: Tested, choice: dict[str, Any], note: str | None
    ) -> dict[str, Any]:
        candidate, outcome = exported.candidate, exported.candidate.outcome
        assert outcome is not None
        teacher = self.study.teacher_of(candidate.recipe, self.images.shape)
        nets = [member.net for member in teacher.members]
        card = {
            "study": self.snapshot.study,
            "trial": candidate.trial,
            "choice": choice | {"among": sum(c.state == "complete" for c in self.snapshot.candidates)},
            **measurements(exported, validation, tested),
            "teacher": {
                "validation_accuracy": self.snapshot.teacher.get("val_accuracy"),
                "test_accuracy": tested.teacher,
                "cost": total_cost(nets).model_dump(mode="json") if nets else None,
                "digest": outcome.teacher,
            },
            "input": self.input_rule,
            "classes": list(self.images.classes),
            "data": {**self.study.data.model_dump(mode="json"), "digest": outcome.data},
            "retrained": exported.retrained,
            **environment(),
        }
        if exported.int8 is not None:
            images = min(CALIBRATION, len(self.pixels.train))
            card["int8"] = int8_part(exported, validation, tested, images, note)
        return card

    def _tested(self, exported: Exported) -> Tested:
        """The exported file's and the teacher's accuracy on the test images. The test read is logged first."""
        entry = (self.runs, self.snapshot.study, sha256(exported.weights))
        trial = exported.candidate.trial
        tested = test_reads.begin(*entry, trial=trial)
        split = load_test(self.pixels.data, self.data_dir, self.pixels, self.store)
        found = self._accuracies(exported, split)
        teacher = self.study.teacher_of(exported.candidate.recipe, self.images.shape)
        teacher_accuracy, outcome = None, exported.candidate.outcome
        trainer = Trainer(self.study.data, str(self.data_dir), str(self.store.root), "cpu", None)
        assert outcome is not None
        why_not = open_for_testing(trainer, teacher, outcome.teacher)
        if why_not is not None:
            self.notes.append(f"note: {why_not}: its accuracy on the test images is left out.")
        elif trainer.teacher is not None:
            teacher_split = load_test(self.study.data, self.data_dir, self.images, self.store)
            teacher_accuracy = accuracy(trainer.teacher.network, self.images, teacher_split)
        about: dict[str, Any] = {"trial": trial} | ({} if found.int8 is None else {"int8_accuracy": found.int8})
        test_reads.finish(*entry, found.float32.onnx_accuracy, **about)
        return Tested(found, tested, teacher_accuracy)

    def _accuracies(self, exported: Exported, split: Split) -> Accuracies:
        """The float32 file is compared with torch on the images; the int8 file's accuracy is measured on them."""
        checked = check(exported.float32.model, exported.deployed, split)
        return Accuracies(checked, measure(exported.int8.model, split) if exported.int8 else None)

"""A chosen student as a folder to ship: its files, their cost and their accuracy. Needs torch, not ray."""

import platform
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from fitnets import predict
from fitnets.disk.store import Store
from fitnets.errors import InputError
from fitnets.export import Check, Deployed, Latency, OnnxModel, check, onnx_file, restored
from fitnets.images.identity import Identity
from fitnets.images.images import Images, accuracy, load, load_test
from fitnets.images.printable import shown
from fitnets.images.sources import NoImages, check_folders, from_files, has_val
from fitnets.nets.cost import total_cost
from fitnets.nets.network import Network
from fitnets.opset import smallest_runtime, versions
from fitnets.values.base import sha256
from search.read.candidates import Candidate, Snapshot
from search.read.definition import Definition
from search.ship import out_folder, student_files, test_reads
from search.ship.input_rule import input_rule, metadata
from search.ship.latencies import Measured, device
from search.ship.readme import readme
from search.ship.teachers import open_for_testing, open_for_training
from search.units import format_duration
from search.workers.facts import other_images
from search.workers.trainer import Trainer

LIBRARIES = ("torch", "onnx", "onnxruntime", "optuna", "safetensors", "fitnet-search")


class Shipper:
    """Exports students of one study. Its images are opened once, a student's weights when it is exported."""

    def __init__(
        self,
        snapshot: Snapshot,
        runs: Path,
        progress: Callable[[str], None] = lambda text: None,
        data_dir: Path | None = None,
    ):
        """`data_dir`: where the study's images are now; None: where it read them.

        Raises InputError when they are not there, or are not those that it was trained on.
        """
        self.snapshot, self.runs, self.progress = snapshot, runs, progress
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
        teacher = self.study.resolved_teacher(self.images.shape, len(self.images.classes))
        open_for_training(trainer, teacher, outcome.teacher)
        result = trainer.trained(candidate.recipe)
        self.store.try_put("student", sha256(result.weights), {"student.safetensors": result.weights})
        return result.weights, True

    def exported(self, candidate: Candidate) -> "Exported":
        """The student as an ONNX file, with its latency."""
        weights, retrained = self.weights(candidate)
        return self._exported(candidate, restored(candidate.recipe.student, weights), weights, retrained)

    def exported_for_timing(self, candidate: Candidate) -> "Exported":
        """The same without training: where the weights are lost, random ones give the same size and latency."""
        stored = student_files.weights(self.runs, candidate)
        if stored is None:
            return self._exported(candidate, Network(candidate.recipe.student), b"", False)
        return self._exported(candidate, restored(candidate.recipe.student, stored.content), stored.content, False)

    def _exported(self, candidate: Candidate, student: Network, weights: bytes, retrained: bool) -> "Exported":
        deployed = Deployed(student, self.images.preprocess).eval()
        file = onnx_file(deployed, self.images.shape, metadata(self.input_rule, self.images.classes))
        model = OnnxModel(file)
        return Exported(candidate, weights, retrained, deployed, file, model, model.latency(self.images.shape))

    def write(self, exported: "Exported", out: Path, choice: dict[str, Any]) -> dict[str, Any]:
        """Check the file on the validation images, measure it on the test images, write the folder. Returns the card.

        `choice` goes into the card: who or what chose this student, and within which limits.
        """
        checked = check(exported.model, exported.deployed, self.pixels.val)
        test = self._tested(exported)
        files = {
            "student.onnx": exported.file,
            "student.safetensors": exported.weights,
            "recipe.json": (exported.candidate.recipe.model_dump_json(indent=1) + "\n").encode(),
            "predict.py": Path(predict.__file__).read_bytes(),
        }
        card = self._card(exported, checked, test, choice)
        files["README.md"] = readme(card).encode()
        out_folder.write(out, files, card, self.runs)
        return card

    def _tested(self, exported: "Exported") -> dict[str, Any]:
        """The exported file's and the teacher's accuracy on the test images. The test read is logged first."""
        entry = (self.runs, self.snapshot.study, sha256(exported.weights))
        trial = exported.candidate.trial
        tested = test_reads.begin(*entry, trial=trial)
        split = load_test(self.pixels.data, self.data_dir, self.pixels, self.store)
        checked = check(exported.model, exported.deployed, split)
        teacher = self.study.resolved_teacher(self.images.shape, len(self.images.classes))
        teacher_accuracy, outcome = None, exported.candidate.outcome
        trainer = Trainer(self.study.data, str(self.data_dir), str(self.store.root), "cpu", None)
        assert outcome is not None
        why_not = open_for_testing(trainer, teacher, outcome.teacher)
        if why_not is not None:
            self.notes.append(f"note: {why_not}: its accuracy on the test images is left out.")
        elif trainer.teacher is not None:
            teacher_split = load_test(self.study.data, self.data_dir, self.images, self.store)
            teacher_accuracy = accuracy(trainer.teacher.network, self.images, teacher_split)
        test_reads.finish(*entry, checked.onnx_accuracy, trial=trial)
        return {
            "accuracy": checked.onnx_accuracy,
            "images": checked.images,
            "how": "the exported ONNX file, on test images that training and search never saw",
            "students_tested_in_this_study": tested,
            "teacher_accuracy": teacher_accuracy,
        }

    def _card(
        self,
        exported: "Exported",
        checked: Check,
        test: dict[str, Any],
        choice: dict[str, Any],
    ) -> dict[str, Any]:
        candidate, outcome = exported.candidate, exported.candidate.outcome
        assert outcome is not None
        teacher = self.study.resolved_teacher(self.images.shape, len(self.images.classes))
        nets = [member.net for member in teacher.members]
        opset, ir_version = versions(exported.file)
        teacher_cost = total_cost(nets).model_dump(mode="json") if nets else None
        return {
            "study": self.snapshot.study,
            "trial": candidate.trial,
            "choice": choice | {"among": sum(c.state == "complete" for c in self.snapshot.candidates)},
            "accuracy": {
                "validation": {
                    "accuracy": checked.onnx_accuracy,
                    "torch_accuracy": checked.torch_accuracy,
                    "images": checked.images,
                    "how": "the exported ONNX file after the last epoch; the search chose by this number, "
                    "so it is optimistic",
                },
                "test": {name: value for name, value in test.items() if name != "teacher_accuracy"},
            },
            "teacher": {
                "validation_accuracy": self.snapshot.teacher.get("val_accuracy"),
                "test_accuracy": test["teacher_accuracy"],
                "cost": teacher_cost,
                "digest": outcome.teacher,
            },
            "cost": candidate.cost.model_dump(mode="json"),
            "latency": {"device": device(), "batch": 1, **exported.latency.model_dump(mode="json")},
            "onnx_against_torch": {"largest_logit_difference": checked.largest_difference},
            "onnx": {"opset": opset, "ir_version": ir_version, "onnxruntime": smallest_runtime(opset)},
            "input": self.input_rule,
            "classes": list(self.images.classes),
            "data": {**self.study.data.model_dump(mode="json"), "digest": outcome.data},
            "retrained": exported.retrained,
            "versions": {"python": platform.python_version(), **{name: version(name) for name in LIBRARIES}},
            "made": now(),
        }


class Exported:
    """An exported student: its ONNX file, and what was measured of it."""

    def __init__(
        self,
        candidate: Candidate,
        weights: bytes,
        retrained: bool,
        deployed: Deployed,
        file: bytes,
        model: OnnxModel,
        latency: Latency,
    ):
        self.candidate, self.weights, self.retrained = candidate, weights, retrained
        self.deployed, self.file, self.model, self.latency = deployed, file, model, latency

    def measured(self, load: float) -> Measured:
        """The file's latency and size as they are stored; `load` is the machine's load average before the timing."""
        return Measured(
            p50_ms=self.latency.p50_ms,
            p90_ms=self.latency.p90_ms,
            threads=self.latency.threads,
            device=device(),
            date=now(),
            load=load,
            file_bytes=len(self.file),
        )

    @property
    def size_kb(self) -> float:
        """The ONNX file's size in kB of 1,000 bytes."""
        return len(self.file) / 1000


def now() -> str:
    """The time in UTC, as it is stored."""
    return datetime.now(UTC).isoformat(timespec="seconds")

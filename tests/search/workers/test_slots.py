"""What slots note of the nodes that they are on. No Ray."""

import pytest

from search.workers import cluster
from search.workers.cluster import Node
from search.workers.facts import Facts
from search.workers.slots import Slot, Slots

FACTS = Facts(shape=(1, 8, 8), classes=("a", "b"), train=8, val=2, images="d", device="cpu", native="bf16")


def test_a_node_without_the_studys_precision_is_noted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "nodes", lambda gpu: {"1": Node("new", 2), "2": Node("old", 2)})
    slots = Slots(4, 0.0, joins=True)
    slots.facts = FACTS
    for node, native in (("1", "bf16"), ("2", "float32"), ("2", "float32")):
        slot = Slot(None, node, None, 0.0)
        slot.native = "bf16" if native == "bf16" else "float32"
        slots.note_precision(slot, "float32")
        slots.note_precision(slot, "bf16")
    assert slots.notes == ["note: old lacks bf16 in hardware, which the study trains in: its trials are slower"]
    slots.facts, slots.notes = FACTS.changed(native="float32"), []  # the driver has printed a note on the first worker
    slots.note_precision(Slot(None, "1", None, 0.0), "bf16")
    assert slots.notes == []

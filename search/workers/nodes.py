"""The nodes of a cluster as the search uses them: which ones have slots, and what an autoscaler is asked for.

Once a node with GPUs was seen, slots are on such nodes only: a student that a core trains for hours would hold up the
end of a search in which the others take minutes.
"""

from search.workers import cluster
from search.workers.cluster import Node


class Nodes:
    """The live nodes; a slot takes a core, and the share `share` of a GPU where there are GPUs.

    Nodes may join only if `joins`. Notes for the user are appended to `notes`.
    """

    def __init__(self, share: float, notes: list[str], *, joins: bool):
        self.live: dict[str, Node] = {}
        """By Ray's id; those without GPUs have no slots where there are GPUs."""
        self.joins, self.has_gpus, self.is_managed = joins, False, False
        self._share, self._notes, self._models = share, notes, set[str]()
        self._needed, self._requested = 0, (0, 0.0)
        self.look()

    @property
    def gpu(self) -> float:
        """The share of a GPU that a new slot takes; 0 while no node with GPUs has been seen."""
        return self._share if self.has_gpus else 0.0

    def slots(self) -> int:
        """How many slots all nodes hold."""
        return sum(node.slots for node in self.live.values())

    def look(self) -> None:
        """Update the nodes, and ask the autoscaler for what is needed now."""
        nodes = cluster.nodes(self._share)
        self.has_gpus = self.has_gpus or any(node.gpu and node.slots for node in nodes.values())
        self.is_managed = self.is_managed or any(node.is_managed for node in nodes.values())
        if self.has_gpus:
            nodes = {name: node if node.gpu else node._replace(slots=0) for name, node in nodes.items()}
        self.live = nodes
        self._note_models()
        self._request()

    def need(self, slots: int) -> None:
        """The search can use so many slots: the autoscaler is asked for them, at once or when the nodes are looked at.

        0 withdraws the request at once.
        """
        at_once = not (self._needed and slots)
        self._needed = slots
        if at_once:
            self._request()

    def _request(self) -> None:
        wanted = (self._needed, self.gpu if self._needed else 0.0)
        if self.joins and wanted != self._requested:
            self._requested = wanted
            cluster.request(*wanted)

    def _note_models(self) -> None:
        """Note a node whose GPUs are of another model than those before."""
        for node in self.live.values():
            if not (node.model and node.slots) or node.model in self._models:
                continue
            if self._models:
                self._notes.append(
                    f"note: {node.host} has another GPU ({node.model}; so far {', '.join(sorted(self._models))}): its "
                    "trials take another time, and their numbers differ by rounding"
                )
            self._models.add(node.model)

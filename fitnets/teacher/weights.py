"""A brought teacher's weights: a safetensors file, perhaps with wrappers' prefixes in its names. Never a pickle."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor, nn

from fitnets.config import Brought
from fitnets.errors import InputError
from fitnets.images.printable import one_line

PREFIXES = ("module.", "_orig_mod.")  # that DataParallel and torch.compile add to every name
WRAPPED = "network."  # that the wrapper suggested by `fitnets.teacher.probe` adds
TAR = (257, b"ustar")


def load_weights(teacher: Brought, path: str, network: nn.Module) -> tuple[str, ...]:
    """Load the file `path` into the network, and return how its names were changed, a line of text each.

    Raises InputError for a file that is not safetensors or does not fit the network.
    """
    about = f"`weights` is `{path}`"
    try:
        content = Path(path).read_bytes()
        try:
            loaded = load_tensors(content)
        except SafetensorError:
            if not _is_pickle(content):
                raise
            raise InputError(
                f"{about}, a pickle, which could run anything: save it as safetensors.\n{_saving(path)}"
            ) from None
        tensors, notes = _renamed(loaded, set(network.state_dict()))
        network.load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(f"{about}, which does not load into `{teacher.build}`: {one_line(error)}") from error
    return notes


def unprefixed(name: str) -> str:
    """A submodule's or tensor's name without the prefixes of wrappers."""
    while name.startswith(PREFIXES):
        name = name.split(".", 1)[1]
    return name


def _renamed(tensors: dict[str, Tensor], wanted: set[str]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The tensors under the network's own names, if these differ in wrappers' prefixes only."""
    if set(tensors) == wanted:
        return tensors, ()
    plain = {unprefixed(name): tensor for name, tensor in tensors.items()}
    if len(plain) < len(tensors):  # some names differ in their prefix only
        return tensors, ()
    notes: tuple[str, ...] = ()
    if set(plain) != set(tensors):
        found = sorted({name[: len(name) - len(unprefixed(name))] for name in tensors} - {""})
        notes = (
            f"{' and '.join(f'`{prefix}`' for prefix in found)} was left out of the names in the teacher's weights.",
        )
    inside = {f"{WRAPPED}{name}": tensor for name, tensor in plain.items()}
    return (inside if set(inside) == wanted else plain), notes


def _is_pickle(content: bytes) -> bool:
    """Whether `torch.save` or `pickle` wrote it: an archive (zip, or tar long ago), or a bare pickle."""
    start, name = TAR
    return content.startswith((b"PK\x03\x04", *(bytes([0x80, protocol]) for protocol in range(2, 6)))) or (
        content[start : start + len(name)] == name
    )


def _saving(path: str) -> str:
    """The lines that convert a checkpoint to safetensors, to be run by a user who trusts it."""
    out = path
    while Path(out).suffix in (".tar", ".pth", ".pt", ".pkl", ".bin", ".ckpt"):
        out = str(Path(out).with_suffix(""))
    return (
        "    import torch, safetensors.torch\n"
        f"    with open({path!r}, 'rb') as file: state = torch.load(file, map_location='cpu', weights_only=True)\n"
        f"    safetensors.torch.save_file(state.get('state_dict', state), {out + '.safetensors'!r})"
    )

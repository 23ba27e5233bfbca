"""What can go wrong in a trial, in the user's words: a kind, and a message that ends in what to do. No torch, no ray.

| kind | what happened |
| --- | --- |
| `Diverged` | a loss stopped being a finite number |
| `OutOfMemory` | the GPU's or the machine's memory did not suffice |
| `OverTime` | the trial took longer than `trial_seconds` |
| `InputError` | recipe, images, teacher or disk do not admit it; the message says which |
| `WorkerDied` | its workers died, again and again, none of them an epoch further than the one before |
| any other | an exception by its own name: a brought teacher's code, say |
"""

import re

_NUMBER = re.compile(r"0x[0-9a-f]+|[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|\b(nan|-?inf)\b", re.IGNORECASE)
_NO_MEMORY = ("DefaultCPUAllocator", "can't allocate memory", "Cannot allocate memory")
_SPOILED = ("CUDA error", "cuDNN error", "CUBLAS_STATUS", "device-side assert")
MACHINE_REMEDY = "start fewer slots with --workers, or lower `batch`, `base_width` or `multiplier` in the study."
NODE_DIED = "its node died"
DRIVER_DIED = "the search's own process died with it"
DETERMINISTIC = ("Diverged", "InputError")  # the same recipe fails in the same way again
GPU_REMEDY = "raise `gpu_fraction`, so that fewer trials share a GPU, or lower `batch`, `base_width` or `multiplier`."


def foreseen(error: BaseException) -> tuple[str, str] | None:
    """The kind and message of an exception that is foreseen. By name, so that torch need not be imported."""
    names = {cls.__name__ for cls in type(error).__mro__}
    text = text_of(error)
    first = text.splitlines()[0]
    if "OutOfMemoryError" in names:
        return "OutOfMemory", f"the GPU's memory does not suffice ({first}): {GPU_REMEDY}"
    if "MemoryError" in names or any(sign in text for sign in _NO_MEMORY):
        return "OutOfMemory", f"the machine's memory does not suffice ({first}): {MACHINE_REMEDY}"
    return (type(error).__name__, text) if {"InputError", "Diverged"} & names else None


def describe(error: BaseException) -> tuple[str, str]:
    """The kind and message of whatever ended a trial."""
    own = f"{text_of(error)} (the trial's log has the traceback: correct what it names)"
    return foreseen(error) or (type(error).__name__, own)


def in_words(error: BaseException) -> str:
    """One line for an exception that ended no trial."""
    kind, message = foreseen(error) or (type(error).__name__, text_of(error))
    return f"{kind}: {message.splitlines()[0]}"


def text_of(error: BaseException) -> str:
    """What an exception says; a brought teacher's own exception may fail even at that."""
    try:
        return str(error).strip() or "no message"
    except Exception:
        return "its message cannot be read"


def why_gone(text: str) -> str:
    """Why a worker is gone, from what Ray says of it."""
    if "memory" in text and "killed" in text and "monitor" in text.lower():
        return f"Ray ended it for want of memory: {MACHINE_REMEDY}"
    if "node has died" in text or "node was terminated" in text:
        return NODE_DIED
    if "worker process has died" in text:
        return "its process died"
    return text.splitlines()[0] if text else "unknown"


def over_time(seconds: int) -> tuple[str, str]:
    """The kind and message of a trial that took longer than it may."""
    return "OverTime", (
        f"it was not finished after {seconds} s: raise --trial-seconds, or lower the epochs or `base_width` in the "
        "study."
    )


def worker_died(attempts: int, reason: str) -> tuple[str, str]:
    """The kind and message of a trial whose workers died so often, and none got further than the one before."""
    return "WorkerDied", (
        f"{attempts} workers in a row died over it, none of them an epoch further ({reason}): see its log, and that of "
        "the machine for a lack of memory."
    )


def spoils(error: BaseException) -> bool:
    """Whether its process cannot use the GPU any more after this exception."""
    return type(error).__name__ == "AcceleratorError" or any(sign in text_of(error) for sign in _SPOILED)


def alike(reason: str) -> str:
    """A reason without the numbers in it: two trials with equal ones failed in the same way."""
    return _NUMBER.sub("#", reason)

"""What can go wrong in a trial: for each fault a kind, and a message that ends with the remedy. No torch, no ray.

| kind | what happened |
| --- | --- |
| `Diverged` | a loss became infinite or not a number |
| `OutOfMemory` | the GPU or the machine ran out of memory |
| `OverTime` | the trial took longer than `trial_seconds` |
| `InputError` | the recipe, images, teacher or disk do not allow it; the message says which |
| `WorkerDied` | several workers in a row died, none an epoch further than the one before |
| any other | an exception by its own name, for example from a brought teacher's code |
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
    """The kind and message of a foreseen exception, else None. Found by name, so that torch need not be imported."""
    names = {cls.__name__ for cls in type(error).__mro__}
    text = message_of(error)
    first = text.splitlines()[0]
    if "OutOfMemoryError" in names:
        return "OutOfMemory", f"the GPU is out of memory ({first}): {GPU_REMEDY}"
    if "MemoryError" in names or any(phrase in text for phrase in _NO_MEMORY):
        return "OutOfMemory", f"the machine is out of memory ({first}): {MACHINE_REMEDY}"
    return (type(error).__name__, text) if {"InputError", "Diverged"} & names else None


def describe(error: BaseException) -> tuple[str, str]:
    """The kind and message of any exception that ended a trial."""
    unforeseen = f"{message_of(error)} (the trial's log has the traceback: correct what it names)"
    return foreseen(error) or (type(error).__name__, unforeseen)


def one_line(error: BaseException) -> str:
    """The kind and message of an exception outside a trial, as one line."""
    kind, message = foreseen(error) or (type(error).__name__, message_of(error))
    return f"{kind}: {message.splitlines()[0]}"


def message_of(error: BaseException) -> str:
    """An exception's message; the `__str__` of a brought teacher's own exception may itself raise."""
    try:
        return str(error).strip() or "no message"
    except Exception:
        return "its message cannot be read"


def why_died(text: str) -> str:
    """Why a worker died, from Ray's message about it."""
    if "memory" in text and "killed" in text and "monitor" in text.lower():
        return f"Ray ended it because the machine was out of memory: {MACHINE_REMEDY}"
    if "node has died" in text or "node was terminated" in text:
        return NODE_DIED
    if "worker process has died" in text:
        return "its process died"
    return text.splitlines()[0] if text else "unknown"


def over_time(seconds: int) -> tuple[str, str]:
    """The kind and message of a trial that passed its time limit."""
    return "OverTime", (
        f"it was not finished after {seconds} s: raise `search.run --trial-seconds`, or lower the epochs or "
        "`base_width` in the study."
    )


def worker_died(attempts: int, reason: str) -> tuple[str, str]:
    """The kind and message of a trial after this many workers died, none of them further than the one before."""
    return "WorkerDied", (
        f"{attempts} workers in a row died over it, none of them an epoch further ({reason}): see its log, and that of "
        "the machine for a lack of memory."
    )


def spoils(error: BaseException) -> bool:
    """Whether a process can no longer use the GPU after this exception."""
    return type(error).__name__ == "AcceleratorError" or any(phrase in message_of(error) for phrase in _SPOILED)


def without_numbers(reason: str) -> str:
    """A reason without the numbers in it: trials for which it is equal failed in the same way."""
    return _NUMBER.sub("#", reason)

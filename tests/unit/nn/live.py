"""How many bytes of tensors exist at a time: what was made inside the block and is still held by someone."""

import weakref
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class LiveBytes(TorchDispatchMode):
    """Counts the storages that operations make; views share one."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, function: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for made in result if isinstance(result, tuple | list) else (result,):
            if isinstance(made, Tensor):
                self._add(made)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        name, size = id(storage), storage.nbytes()
        if name not in self._known:
            self._known.add(name)
            weakref.finalize(storage, self._drop, name, size)
            self.now += size
            self.peak = max(self.peak, self.now)

    def _drop(self, name: int, size: int) -> None:
        self._known.remove(name)
        self.now -= size

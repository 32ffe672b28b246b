"""Rows of requests that are there at the same time run as one.

Each request is answered in a greenlet. Where it asks the model, it is parked, and the event loop goes on to
the next one; then all that are parked run together, and each goes on with its own rows. So nothing waits for
a thread, and a request that is alone waits for nobody.
"""

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence

from greenlet import getcurrent, greenlet

from handlers.inference.dataplane import Model
from handlers.inference.deadline import Watch
from handlers.inference.errors import Late
from handlers.inference.rows import join, rows_of, split
from handlers.inference.tensor import Tensor

Tensors = dict[str, Tensor]


class _Parked:
    """A request that waits for the model."""

    def __init__(self, inputs: Tensors, outputs: Sequence[str] | None, due: float) -> None:
        self.greenlet = getcurrent()
        self.due = due
        self.inputs = inputs
        self.outputs = None if outputs is None else list(outputs)
        self.rows, self.kind = rows_of(inputs), _kind(inputs, outputs)


class BatchedModel(Model):
    """The same model, whose ``infer`` joins the rows of requests that differ in nothing but their number."""

    def __init__(  # noqa: PLR0913 - what the worker knows and was told
        self,
        model: Model,
        *,
        limit: Callable[[], int],
        delay: float,
        others_arrive: Callable[[], bool],
        ran: Callable[[int], None],
        timeout: float = math.inf,
    ) -> None:
        """Batch over the running event loop.

        Args:
            model: what answers; it is not used by others.
            limit: how many rows may run as one; 1 turns batching off.
            delay: seconds that a request may be held back while others arrive.
            others_arrive: whether a request is arriving that may join.
            ran: told the number of rows of each run.
            timeout: seconds from when a request asks for the model until its run is ended, as Late.
        """
        vars(self).update(vars(model))
        self._limit = limit
        self._delay = delay
        self._others_arrive = others_arrive
        self._ran = ran
        self._timeout = timeout
        self._watch = Watch(self.give_up)
        self._loop = asyncio.get_running_loop()
        self._parked: list[_Parked] = []
        self._timer: asyncio.Handle | None = None
        self._hub = getcurrent()

    def start(self, answer: Callable[[], None]) -> None:
        """Call ``answer``, which may be parked in ``infer`` and finish later, on the loop."""
        if self._limit() > 1:
            greenlet(answer, self._hub).switch()
        else:
            answer()

    def infer(self, inputs: Mapping[str, Tensor], outputs: Sequence[str] | None = None) -> Tensors:
        """As ``Model.infer``, perhaps together with others."""
        answers: Tensors | None = None
        try:
            answers = self._infer(dict(inputs), outputs, time.monotonic() + self._timeout)
            return answers
        finally:
            # Other requests may have been answered meanwhile.
            self.kept = None if answers is None else (inputs, answers)

    def take_kept(self) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]] | None:
        """Inputs and outputs of the request that goes on, which are forgotten here; None: there were none."""
        kept, self.kept = self.kept, None
        return kept

    def _infer(self, inputs: Tensors, outputs: Sequence[str] | None, due: float) -> Tensors:
        if getcurrent() is self._hub:
            return self._run(inputs, outputs, due)
        self._parked.append(_Parked(inputs, outputs, due))
        self._schedule()
        result: Tensors = self._hub.switch()
        return result

    def _schedule(self) -> None:
        """Run soon: at once if the batch is full or nobody else arrives, else when the delay is over."""
        is_full = sum(parked.rows for parked in self._parked) >= self._limit()
        if is_full or not self._delay or not self._others_arrive():
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_soon(self._flush)
        elif self._timer is None:
            self._timer = self._loop.call_later(self._delay, self._flush)

    def _flush(self) -> None:
        self._timer = None
        parked, self._parked = self._parked, []
        limit = self._limit()
        while parked:
            kind, rows = parked[0].kind, 0
            group: list[_Parked] = []
            rest: list[_Parked] = []
            for one in parked:
                if one.kind == kind and (not group or (kind is not None and rows + one.rows <= limit)):
                    group.append(one)
                    rows += one.rows
                else:
                    rest.append(one)
            parked = rest
            self._answer(group)

    def _answer(self, group: list[_Parked]) -> None:
        results = self._joined(group) if len(group) > 1 else None
        for index, one in enumerate(group):
            if results is not None:
                one.greenlet.switch(results[index])
                continue
            try:
                result = self._run(one.inputs, one.outputs, one.due)
            except Exception as error:  # noqa: BLE001 - it is raised where the request waits
                one.greenlet.throw(error)
            else:
                one.greenlet.switch(result)

    def _joined(self, group: list[_Parked]) -> list[Tensors] | None:
        """The outputs of each, or None: one of them is wrong, and each must learn by itself which."""
        total = sum(one.rows for one in group)
        try:
            inputs = join([one.inputs for one in group])
            if inputs is None:
                return None
            outputs = self._run(inputs, group[0].outputs, min(one.due for one in group))
        except Exception:  # noqa: BLE001 - it comes again, for whom it concerns
            return None
        if any(not tensor.shape or tensor.shape[0] != total for tensor in outputs.values()):
            return None
        return split(outputs, [one.rows for one in group])

    def _run(self, inputs: Tensors, outputs: Sequence[str] | None, due: float) -> Tensors:
        if time.monotonic() > due:
            raise Late
        self._ran(rows_of(inputs))
        self._watch.begin(due)
        try:
            return super().infer(inputs, outputs)
        finally:
            if not self._watch.end():
                self.go_on()


def _kind(inputs: Tensors, outputs: Sequence[str] | None) -> object:
    """What requests must share to run as one; None cannot run with any other."""
    rows = {tensor.shape[0] if tensor.shape else None for tensor in inputs.values()}
    if len(rows) != 1 or rows & {None, 0}:
        return None
    return (
        frozenset((name, tensor.dtype, tensor.shape[1:]) for name, tensor in inputs.items()),
        None if outputs is None else tuple(outputs),
    )

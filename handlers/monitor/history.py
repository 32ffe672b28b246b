"""Evidence and shares over time, in bounded memory: slots that grow as the time does."""

from typing import Literal

import msgspec

_MOST = 288
_SLOT_S = 60.0

Series = Literal["drift", "quality", "agreement", "accuracy", "agreed"]


class Point(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One slot of time, from ``time`` on (seconds since 1970).

    The largest evidence (1 is an alarm) for ``drift``, ``quality`` and ``agreement``; sums and counts of what
    was right or agreed.
    """

    time: float
    requests: int = 0
    drift: float = 0.0
    quality: float = 0.0
    agreement: float = 0.0
    right: float = 0.0
    labels: int = 0
    agreed: float = 0.0
    replayed: int = 0


class History(msgspec.Struct, kw_only=True):
    """``points`` in their order, each of ``slot_s`` seconds; slots without requests are left out."""

    points: list[Point] = []
    slot_s: float = _SLOT_S

    def at(self, moment: float) -> Point:
        """The slot to add to; what is late is added to the first slot that is not before it."""
        begin = moment // self.slot_s * self.slot_s
        if not self.points or begin > self.points[-1].time:
            if len(self.points) >= _MOST:
                self._coarsen()
                return self.at(moment)
            self.points.append(Point(time=begin))
            return self.points[-1]
        return next(point for point in self.points if point.time >= begin)

    def _coarsen(self) -> None:
        self.slot_s *= 2
        merged: dict[float, Point] = {}
        for point in self.points:
            begin = point.time // self.slot_s * self.slot_s
            merged[begin] = _sum(merged[begin], point) if begin in merged else _at(point, begin)
        self.points = list(merged.values())


def _at(point: Point, begin: float) -> Point:
    return msgspec.structs.replace(point, time=begin)


def _sum(one: Point, other: Point) -> Point:
    return Point(
        time=one.time,
        requests=one.requests + other.requests,
        drift=max(one.drift, other.drift),
        quality=max(one.quality, other.quality),
        agreement=max(one.agreement, other.agreement),
        right=one.right + other.right,
        labels=one.labels + other.labels,
        agreed=one.agreed + other.agreed,
        replayed=one.replayed + other.replayed,
    )

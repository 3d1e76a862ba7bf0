"""Who foresees: ours, what is plain, and what libraries offer. Each says how many seconds are left, or None."""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise

from chunk_sync.domain.forecast import Forecast, forecast
from chunk_sync.domain.samples import Sample

Candidate = Callable[[Sequence[Sample]], float | None]
_GRID = 60


def ours(samples: Sequence[Sample]) -> float | None:
    """What chunk_sync says."""
    found = forecast(samples)
    return found.expected - samples[-1].at if isinstance(found, Forecast) else None


def since_start(samples: Sequence[Sample]) -> float | None:
    """The rate since the start, as chunk_processing_status has it, and no end before the mailbox may go on."""
    return _at_rate(samples, samples[0])


def lately(samples: Sequence[Sample]) -> float | None:
    """The rate of the last quarter of the time."""
    now = samples[-1].at
    first = next(s for s in samples if s.at >= samples[0].at + 0.75 * (now - samples[0].at))
    return _at_rate(samples, samples[max(samples.index(first) - 1, 0)])


def with_libraries() -> dict[str, Candidate]:
    """Candidates of statsmodels and scipy, where they are installed."""
    try:
        import numpy as np
        from scipy.stats import theilslopes
        from statsmodels.tsa.api import ExponentialSmoothing, SimpleExpSmoothing, UnobservedComponents
    except ImportError:
        return {}

    def smoothed(samples: Sequence[Sample]) -> float | None:
        fit = SimpleExpSmoothing(np.array(_rates(samples)), initialization_method="estimated").fit()
        return _left(samples, float(fit.forecast(1)[0]))

    def holt(samples: Sequence[Sample]) -> float | None:
        fit = ExponentialSmoothing(
            np.array(_rates(samples)), trend="add", damped_trend=True, initialization_method="estimated"
        ).fit()
        return _left(samples, float(np.mean(fit.forecast(_GRID))))

    def kalman(samples: Sequence[Sample]) -> float | None:
        fit = UnobservedComponents(np.array(_rates(samples)), "local level").fit(disp=False, maxiter=50)
        return _left(samples, float(fit.forecast(1)[0]))

    def theil(samples: Sequence[Sample]) -> float | None:
        slope = theilslopes([s.landed for s in samples], [s.at for s in samples])[0]
        return _left(samples, float(slope))

    return {
        "statsmodels SES": _quiet(smoothed),
        "statsmodels Holt, damped": _quiet(holt),
        "statsmodels local level": _quiet(kalman),
        "scipy Theil-Sen": _quiet(theil),
    }


def _quiet(candidate: Candidate) -> Candidate:
    def asked(samples: Sequence[Sample]) -> float | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return candidate(samples) if len(samples) > 5 else since_start(samples)

    return asked


def _rates(samples: Sequence[Sample]) -> list[float]:
    """Messages a second in sixty spells of the same length."""
    start, end = samples[0].at, samples[-1].at
    times = [s.at for s in samples]
    marks = [start + (end - start) * n / _GRID for n in range(_GRID + 1)]
    landed = [_landed(samples, times, mark) for mark in marks]
    return [(b - a) * _GRID / (end - start) for a, b in pairwise(landed)]


def _landed(samples: Sequence[Sample], times: Sequence[float], at: float) -> float:
    """Read between two samples."""
    after = min(max(bisect_left(times, at), 1), len(samples) - 1)
    low, high = samples[after - 1], samples[after]
    part = (at - low.at) / (high.at - low.at) if high.at > low.at else 1.0
    return low.landed + (high.landed - low.landed) * min(max(part, 0.0), 1.0)


def _at_rate(samples: Sequence[Sample], first: Sample) -> float | None:
    now = samples[-1]
    landed = now.landed - first.landed
    return _left(samples, landed / (now.at - first.at)) if landed > 0 else None


def _left(samples: Sequence[Sample], rate: float) -> float | None:
    now = samples[-1]
    if rate <= 0:
        return None
    return max((now.planned - now.landed) / rate, now.not_before - now.at)

"""Profiles: how large the messages of a demo mailbox are, and of which kinds."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from chunk_sync.errors import UsageError

ProfileName = Literal["demo", "real", "small"]


@dataclass(frozen=True, slots=True)
class SizeModel:
    """A lognormal size in bytes, kept between two bounds."""

    median: int
    sigma: float
    low: int
    high: int

    def draw(self, rng: Random) -> int:
        """Draw one size."""
        return min(max(int(self.median * rng.lognormvariate(0.0, self.sigma)), self.low), self.high)


@dataclass(frozen=True, slots=True)
class Profile:
    """The shape of a mailbox: size models, and whether there is more than plain text."""

    name: ProfileName
    text: SizeModel
    html: SizeModel
    attachment: SizeModel
    logo: SizeModel
    rich: bool = True


# `real` follows measured mailboxes: half of the messages below 16 KB, one in a hundred above 1 MB.
# `demo` is the same shape, shrunk until 5,000 messages are about 80 MB. `small` is a list archive.
_REAL = Profile(
    "real",
    text=SizeModel(2_500, 0.9, 60, 300_000),
    html=SizeModel(20_000, 0.8, 900, 400_000),
    attachment=SizeModel(48_000, 1.35, 400, 8_700_000),
    logo=SizeModel(9_900, 1.0, 300, 400_000),
)
_DEMO = Profile(
    "demo",
    text=SizeModel(1_500, 0.9, 60, 60_000),
    html=SizeModel(5_000, 0.8, 900, 80_000),
    attachment=SizeModel(7_000, 1.25, 400, 1_500_000),
    logo=SizeModel(2_500, 0.8, 300, 20_000),
)
_SMALL = Profile("small", SizeModel(1_500, 0.9, 60, 60_000), _DEMO.html, _DEMO.attachment, _DEMO.logo, rich=False)
_PROFILES = {profile.name: profile for profile in (_REAL, _DEMO, _SMALL)}


def profile_named(name: str) -> Profile:
    """Look a profile up; raises UsageError for an unknown name."""
    for known, profile in _PROFILES.items():
        if known == name:
            return profile
    message = f"no demo profile {name!r}: choose one of {', '.join(sorted(_PROFILES))}"
    raise UsageError(message)

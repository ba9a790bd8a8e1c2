"""Which variant a client gets: by its Accept header, the width of the place on the page, and its pixel density."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from souk_imaging.images import Format, Variant

PREFERRED = (Format.AVIF, Format.WEBP, Format.JPEG, Format.PNG)
"""Newest first: a newer format is only published where it is smaller than the older ones of its size."""
MIN_DPR, MAX_DPR = 0.5, 5.0
"""A density outside is taken as the nearer of them: a browser's zoom makes it 0.3, or 10, and still wants its picture."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """Which formats a client shows. There are four classes of clients that are offered something: AVIF or not, times WebP or
    not."""

    avif: bool = False
    webp: bool = False
    jpeg: bool = True
    png: bool = True

    @classmethod
    def from_accept(cls, accept: str) -> "Capabilities":
        """Read an Accept header (RFC 9110, 12.5.1), leniently as to spaces and unknown parameters.

        AVIF and WebP must be named with q > 0, because `image/*` and `*/*` are sent by clients that show neither. JPEG and PNG
        are also accepted by
        wildcard; an empty header accepts everything that an old client shows.
        """
        weights = dict(_weights(accept))
        if not weights:
            return cls()
        wild = weights.get("image/*", weights.get("*/*", 0.0))
        return cls(
            avif=weights.get("image/avif", 0.0) > 0,
            webp=weights.get("image/webp", 0.0) > 0,
            jpeg=weights.get("image/jpeg", wild) > 0,
            png=weights.get("image/png", wild) > 0,
        )

    def shows(self, form: Format) -> bool:
        """Whether the client shows a format."""
        return {Format.AVIF: self.avif, Format.WEBP: self.webp, Format.JPEG: self.jpeg, Format.PNG: self.png}[form]


def density(dpr: float) -> float:
    """What a device pixel ratio is taken as; ValueError where it is not a number above 0."""
    if not 0 < dpr < math.inf:
        raise ValueError("must be a number above 0")
    return min(max(dpr, MIN_DPR), MAX_DPR)


def choose(
    variants: Sequence[Variant], capabilities: Capabilities, width: int, dpr: float, *, save_data: bool = False
) -> Variant | None:
    """The variant for a place `width` CSS pixels wide (0: as wide as there is) at `density(dpr)` device pixels each; None where
    none is shown.

    The narrowest that fills the place, else the widest; of that width the newest format. `save_data` takes `dpr` as 1.
    """
    shown = [variant for variant in variants if capabilities.shows(variant.format)]
    if not shown:
        return None
    needed = width * (1.0 if save_data else density(dpr)) if width else float("inf")
    enough = [variant.width for variant in shown if variant.width >= needed]
    chosen_width = min(enough) if enough else max(variant.width for variant in shown)
    return min((v for v in shown if v.width == chosen_width), key=lambda variant: PREFERRED.index(variant.format))


def _weights(accept: str) -> Iterable[tuple[str, float]]:
    for entry in accept[:4096].split(","):
        media, *parameters = (part.strip().lower() for part in entry.split(";"))
        if not all(media.partition("/")):
            continue
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        yield media, weight

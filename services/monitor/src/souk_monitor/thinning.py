"""Which bodies are kept: all of the first, and of those that follow fewer and fewer, so that no cause fills the disk."""


def is_kept(ordinal: int, keep: int) -> bool:
    """Whether the body of an event is kept.

    ordinal: its number, from 1, among those of its fingerprint. keep: how many of the first are all kept. Of the next `keep` each
    second is, up to 4 `keep` each fourth, and so on: of n events, about keep (1 + log2(n / keep) / 2).
    """
    step = 1 << ((ordinal - 1) // keep).bit_length()
    return ordinal % step == 0

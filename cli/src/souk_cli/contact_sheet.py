"""The demo's contact sheet: one HTML page with every photo, its variants, what they weigh and how long they took."""

import html
import shutil
import statistics
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

from souk.imaging.v1 import imaging_pb2 as pb

from souk_cli.demo_checks import Got
from souk_cli.display import seconds, size
from souk_cli.savings import NAMES, NEWEST_FIRST, Savings, ready, savings

CARD_WIDTH = 640
"""Pixels of the variant that a card shows, at the least."""


class Sheet:
    """A page in a folder, with its pictures beside it."""

    def __init__(self, folder: Path, described: Mapping[Path, str]) -> None:
        self._folder = folder
        self._described = described
        self._pictures = folder / "pictures"
        shutil.rmtree(self._pictures, ignore_errors=True)

    def keep(self, image_id: str, name: str, data: bytes) -> None:
        """Put one variant beside the page."""
        path = self._pictures / image_id / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def write(
        self, images: Mapping[Path, pb.Image], took: Mapping[Path, float], fetched: Iterable[Got], total_seconds: float
    ) -> Path:
        """Write the page and return its path."""
        total = savings(*images.values())
        cards = [_card(path.name, self._described.get(path, ""), image, took[path]) for path, image in images.items()]
        page = self._folder / "index.html"
        template = resources.files("souk_cli").joinpath("contact_sheet.html").read_text(encoding="utf-8")
        page.write_text(
            template.replace("{{facts}}", _facts(images, total, total_seconds))
            .replace("{{browsers}}", "".join(_browser(got) for got in fetched))
            .replace("{{cards}}", "".join(cards)),
            encoding="utf-8",
        )
        return page


def _facts(images: Mapping[Path, pb.Image], total: Savings, took: float) -> str:
    typical = statistics.median([made.saved for made in map(savings, images.values()) if made.fallback_bytes] or [0.0])
    count = sum(len(ready(image)) for image in images.values())
    facts = [
        (str(len(images)), "photos", size(total.original_bytes)),
        (str(count), "variants", f"{size(sum(total.bytes_by_format.values()))}, each photo decoded once"),
        (f"−{total.saved_of_original:.0%}", "to load", "the widest variant against the original"),
        (f"−{typical:.0%}", "by format", "the median photo: AVIF and WebP against JPEG and PNG, size by size"),
        (seconds(took), "in all", "from the first byte to the last variant"),
    ]
    return "".join(f"<div><b>{value}</b><span>{name}</span><small>{detail}</small></div>" for value, name, detail in facts)


def _browser(got: Got) -> str:
    form = got.content_type.partition("/")[2].upper().replace("WEBP", "WebP")
    return (
        f"<tr><th>{html.escape(got.browser)}</th><td><code>{html.escape(got.accept)}</code></td>"
        f"<td><i class=f-{form.lower()}>{form}</i></td><td class=n>{size(got.size_bytes)}</td></tr>"
    )


def _card(name: str, description: str, image: pb.Image, took: float) -> str:
    made, original, processing = savings(image), image.original, image.processing
    facts = [
        f"{original.width} × {original.height}",
        original.content_type.partition("/")[2].upper(),
        size(original.size_bytes),
        *(["transparent"] if original.has_alpha else []),
        *([f"{original.frames} frames"] if original.frames > 1 else []),
    ]
    times = [
        ("decoded", processing.decode_time.ToTimedelta().total_seconds()),
        ("worked", processing.worker_time.ToTimedelta().total_seconds()),
        ("waited", processing.queue_time.ToTimedelta().total_seconds()),
        ("in all", took),
    ]
    frame = "photo clear" if original.has_alpha else "photo"
    return f"""
<article>
  <a class="{frame}" href="{_link(image, _shown(image, NEWEST_FIRST[0]))}">{_picture(image, name)}</a>
  <header><h2>{html.escape(name)}</h2><p>{html.escape(description)}</p><p class=facts>{" · ".join(facts)}</p></header>
  <div class=saved><b>−{made.saved_of_original:.0%}</b><span>{size(original.size_bytes)} → {size(made.widest_bytes)}</span></div>
  {_bars(image)}
  <footer>{" ".join(f"<span>{what} <b>{seconds(span)}</b></span>" for what, span in times)}</footer>
</article>"""


def _picture(image: pb.Image, name: str) -> str:
    """A <picture>, so that the page itself shows what each browser takes."""
    sources = [
        f'<source type="{variant.content_type}" srcset="{_link(image, variant)}">'
        for form in NEWEST_FIRST[:2]
        if (variant := _shown(image, form)).format == form
    ]
    fallback = _shown(image, NEWEST_FIRST[2])
    return (
        f'<picture>{"".join(sources)}<img src="{_link(image, fallback)}" width={fallback.width} height={fallback.height} '
        f'loading=lazy alt="{html.escape(name)}"></picture>'
    )


def _shown(image: pb.Image, form: pb.Format.ValueType) -> pb.Variant:
    """The variant of a format that fills a card; of another format where there is none."""
    variants = [variant for variant in ready(image) if variant.format == form] or ready(image)
    wide = [variant for variant in variants if max(variant.width, variant.height) >= CARD_WIDTH]
    return wide[-1] if wide else variants[0]


def _bars(image: pb.Image) -> str:
    """A row for every size, and in it a bar for every format, as long as its bytes."""
    longest = max((variant.size_bytes for variant in ready(image)), default=1)
    rows = []
    sizes = dict.fromkeys((variant.width, variant.height) for variant in image.variants)
    for width, height in sizes:
        bars = []
        for variant in sorted(
            (v for v in image.variants if (v.width, v.height) == (width, height)), key=lambda v: NEWEST_FIRST.index(v.format)
        ):
            form = NAMES[variant.format]
            if variant.state == pb.VARIANT_STATE_READY:
                share = max(100 * variant.size_bytes / longest, 0.5)
                encoded = seconds(variant.encode_time.ToTimedelta().total_seconds())
                title = html.escape(f"{variant.name}, encoded in {encoded}")
                bars.append(
                    f'<a class=f-{form.lower()} href="{_link(image, variant)}" title="{title}">'
                    f"<i>{form}</i><u><s style='width:{share:.1f}%'></s></u><b>{size(variant.size_bytes)}</b></a>"
                )
            else:
                bars.append(
                    f"<a class=none title='came out no smaller than an older format'><i>{form}</i><u></u><b>skipped</b></a>"
                )
        rows.append(f"<section><h3>{width} × {height}</h3>{''.join(bars)}</section>")
    return f"<div class=sizes>{''.join(rows)}</div>"


def _link(image: pb.Image, variant: pb.Variant) -> str:
    return html.escape(f"pictures/{image.image_id}/{variant.name}")

"""`souk image show`, `list`, `download`, `watch` and `delete`."""

import sys
from datetime import UTC
from pathlib import Path
from typing import Annotated

import typer
from souk.client import ClientConfig, ImagingClient, from_failure
from souk.imaging.v1 import imaging_pb2 as pb

from souk_cli.connection import IMAGING, Json, connected, with_client
from souk_cli.display import out, plain, print_json, seconds, show_error, size
from souk_cli.savings import NAMES, ready, savings
from souk_cli.tables import Column, FittedTable
from souk_cli.visible import escape

ImageId = Annotated[str, typer.Argument(help="The id that the upload gave.", show_default=False)]
_STATES = {
    pb.IMAGE_STATE_PROCESSING: "[yellow]processing[/]",
    pb.IMAGE_STATE_READY: "[green]ready[/]",
    pb.IMAGE_STATE_FAILED: "[red]failed[/]",
}
_VARIANT_STATES = {
    pb.VARIANT_STATE_PENDING: "[yellow]pending[/]",
    pb.VARIANT_STATE_READY: "[green]ready[/]",
    pb.VARIANT_STATE_SKIPPED: "[dim]skipped[/]",
}


@connected(IMAGING)
def show(
    config: ClientConfig,
    image_id: ImageId,
    json: Json = False,
) -> None:
    """Show one image with all its variants."""

    async def work(client: ImagingClient) -> None:
        image = await client.get(image_id)
        if json:
            print_json(plain(image))
        else:
            _show(image)

    with_client(config, work, json=json)


@connected(IMAGING)
def list_images(
    config: ClientConfig,
    owner: Annotated[str, typer.Option(help="Only images of this owner.")] = "",
    tag: Annotated[list[str] | None, typer.Option(help="Only images with this tag; may be given several times.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at the most.")] = 50,
    json: Json = False,
) -> None:
    """List images, newest first."""

    async def work(client: ImagingClient) -> None:
        images: list[pb.Image] = []
        async for image in client.list(owner=owner, tags=tag or (), page_size=min(limit, 200)):
            images.append(image)
            if len(images) == limit:
                break
        if json:
            print_json([plain(image) for image in images])
        elif images:
            out.print(images_table(images))
        else:
            out.print("[dim]No images.[/]")

    with_client(config, work, json=json)


@connected(IMAGING)
def download(
    config: ClientConfig,
    image_id: ImageId,
    variant: Annotated[str, typer.Option(help="Name of the variant, as `souk image show` lists it. Default: the best one.")] = "",
    accept: Annotated[str, typer.Option(help="Without --variant: what the client can show, as an Accept header.")] = (
        "image/avif,image/webp,*/*"
    ),
    width: Annotated[int, typer.Option(min=0, help="Without --variant: CSS pixels to fill. 0: the widest.")] = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File or folder; - for stdout. Default: here.")] = None,
    json: Json = False,
) -> None:
    """Fetch one variant. The file is there whole, or not at all."""

    async def work(client: ImagingClient) -> None:
        name = variant or (await client.select(image_id, accept=accept, width=width)).name
        if output == Path("-"):
            sys.stdout.buffer.write(await client.download(image_id, name))
            return
        target = output or Path(name)
        path = await client.download(image_id, name, target / name if target.is_dir() else target)
        if json:
            print_json({"variant": name, "path": str(path), "size_bytes": path.stat().st_size})
        else:
            out.print(f"{escape(str(path))}  [dim]{size(path.stat().st_size)}[/]")

    with_client(config, work, json=json)


@connected(IMAGING)
def watch(
    config: ClientConfig,
    image_id: ImageId,
    json: Json = False,
) -> None:
    """Follow an image until its variants are ready. Exits with 1 where they cannot be made, or it is deleted."""
    last: list[pb.Image | None] = []

    async def work(client: ImagingClient) -> None:
        async for image in client.watch(image_id):
            last[:] = [image]
            if json:
                print_json(plain(image) if image else {"deleted": True})
            elif image:
                done = len([v for v in image.variants if v.state != pb.VARIANT_STATE_PENDING])
                out.print(f"{image.image_id}  {_STATES[image.state]}  {done} of {len(image.variants)} variants")
            else:
                out.print(f"{escape(image_id)}  [red]deleted[/]")

    with_client(config, work, json=json)
    image = last[0] if last else None
    if image and image.state == pb.IMAGE_STATE_FAILED and not json:
        show_error(from_failure(image.error), about=image_id, address=config.target)
    if image is None or image.state == pb.IMAGE_STATE_FAILED:
        raise typer.Exit(1)


@connected(IMAGING)
def delete(
    config: ClientConfig,
    image_ids: Annotated[list[str], typer.Argument(help="The ids that the uploads gave.", show_default=False)],
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Succeed also where there is no such image.")] = False,
    json: Json = False,
) -> None:
    """Delete images with their originals and all their variants."""

    async def work(client: ImagingClient) -> None:
        for image_id in image_ids:
            await client.delete(image_id, allow_missing=allow_missing)
            if json:
                print_json({"deleted": image_id})
            else:
                out.print(f"{image_id}  deleted")

    with_client(config, work, json=json)


def _show(image: pb.Image) -> None:
    original, made = image.original, savings(image)
    out.print(f"[bold]{image.image_id}[/]  {_STATES[image.state]}  owner {escape(image.owner)}  profile {escape(image.profile)}")
    if image.tags:
        out.print(f"tags      {escape(', '.join(image.tags))}")
    kind = escape(original.content_type)
    alpha = ", transparent" if original.has_alpha else ""
    frames = f", {original.frames} frames" if original.frames > 1 else ""
    out.print(f"original  {original.width}×{original.height} {kind}, {size(original.size_bytes)}{alpha}{frames}")
    out.print(f"url       {escape(image.url)}")
    if image.HasField("processing"):
        took = image.processing
        out.print(
            f"took      {seconds(took.total_time.ToTimedelta().total_seconds())}: waiting "
            f"{seconds(took.queue_time.ToTimedelta().total_seconds())}, decoding "
            f"{seconds(took.decode_time.ToTimedelta().total_seconds())}; {size(took.peak_memory_bytes)} of memory"
        )
    if made.fallback_bytes:
        out.print(f"saved     [green]{made.saved:.0%}[/] against JPEG or PNG at the same sizes")
    if image.state == pb.IMAGE_STATE_FAILED:
        show_error(from_failure(image.error))
    table = FittedTable(
        Column("Size"),
        Column("Format"),
        Column("Bytes", right=True),
        Column("State", drop=1),
        Column("Encoded in", right=True, drop=2),
        Column("Variant"),
    )
    for variant in image.variants:
        is_made = variant.state != pb.VARIANT_STATE_PENDING
        table.add_row(
            f"{variant.width}×{variant.height}",
            NAMES[variant.format],
            size(variant.size_bytes) if variant.size_bytes else "",
            _VARIANT_STATES[variant.state],
            seconds(variant.encode_time.ToTimedelta().total_seconds()) if is_made else "",
            variant.name,
        )
    out.print()
    out.print(table)


def images_table(images: list[pb.Image]) -> FittedTable:
    """Images, one a row."""
    table = FittedTable(
        Column("Image id"),
        Column("State"),
        Column("Owner", least=12, drop=2),
        Column("Profile", drop=5),
        Column("Original", right=True, drop=3),
        Column("Variants", right=True, drop=7),
        Column("Saved", right=True, drop=4),
        Column("Uploaded", drop=1),
        Column("Tags", least=12, fold=True, drop=6),
    )
    for image in images:
        made, original = savings(image), image.original
        table.add_row(
            image.image_id,
            _STATES[image.state],
            escape(image.owner),
            escape(image.profile),
            f"{original.width}×{original.height} {size(original.size_bytes)}",
            f"{len(ready(image))}",
            f"[green]{made.saved:.0%}[/]" if made.fallback_bytes else "",
            f"{image.create_time.ToDatetime(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S}",
            escape(", ".join(image.tags)),
        )
    return table

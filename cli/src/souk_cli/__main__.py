"""The `souk` command."""

import typer

from souk_cli import (
    cache,
    cache_operations,
    db_explain,
    db_insight,
    db_migrate,
    db_plans,
    db_pool,
    db_seed,
    demo,
    image,
    image_upload,
    tokens,
    up,
)

app = typer.Typer(
    name="souk",
    help="Start the Souk services, use them, and see what they do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(up.up)
app.command("demo")(demo.demo)
image_app = typer.Typer(help="Upload photos, and find, fetch and delete what became of them.", no_args_is_help=True)
image_app.command("upload")(image_upload.upload)
for command in (image.show, image.list_images, image.download, image.watch, image.delete):
    image_app.command("list" if command is image.list_images else command.__name__)(command)
app.add_typer(image_app, name="image")
cache_app = typer.Typer(help="Read, write and invalidate what is cached, and see how well it works.", no_args_is_help=True)
for each in (cache.get, cache.put, cache.invalidate, cache.stats, cache.watch, cache_operations.warm, cache.namespaces):
    cache_app.command(each.__name__)(each)
operations_app = typer.Typer(help="What goes on in a node of the cache after its command has ended.", no_args_is_help=True)
operations_app.command("list")(cache_operations.list_operations)
operations_app.command("show")(cache_operations.show)
operations_app.command("cancel")(cache_operations.cancel)
cache_app.add_typer(operations_app, name="operations")
app.add_typer(cache_app, name="cache")
db_app = typer.Typer(help="The database behind dbopt: its schema, data to try on, and how it does.", no_args_is_help=True)
db_app.command("migrate")(db_migrate.migrate)
db_app.command("seed")(db_seed.seed)
db_app.command("pool")(db_pool.pool)
db_app.command("explain")(db_explain.explain)
db_app.command("slow")(db_insight.slow)
db_app.command("stats")(db_insight.stats)
db_app.command("findings")(db_plans.findings)
db_app.command("changes")(db_plans.changes)
app.add_typer(db_app, name="db")
token_app = typer.Typer(help="Who may call the services.", no_args_is_help=True)
token_app.command("create")(tokens.create)
app.add_typer(token_app, name="token")


def main() -> None:
    """Run the command line; the exit status is 0, 1 where something failed, or 2 for a command that makes no sense."""
    app(prog_name="souk")


if __name__ == "__main__":
    main()

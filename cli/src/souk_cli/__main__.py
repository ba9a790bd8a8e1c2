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
    errors_change,
    errors_events,
    errors_list,
    errors_report,
    errors_show,
    errors_summary,
    image,
    image_upload,
    monitor,
    monitor_options,
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
errors_app = typer.Typer(help="What is broken: every error once, in the right issue.", no_args_is_help=True)
errors_app.command("list")(errors_list.list_issues)
errors_app.command("show")(errors_show.show)
errors_app.command("events")(errors_events.events)
errors_app.command("summary")(errors_summary.summary)
for change in (
    errors_change.resolve,
    errors_change.acknowledge,
    errors_change.ignore,
    errors_change.reopen,
    errors_change.assign,
    errors_change.comment,
):
    errors_app.command(change.__name__)(change)
errors_app.command("report")(errors_report.report)
errors_app.command("tail")(errors_list.tail)
errors_app.command("explain")(errors_show.explain)
errors_app.command("merge")(errors_change.merge)
errors_app.command("split")(errors_change.split)
errors_app.command("erase-user")(errors_change.erase_user)
app.add_typer(errors_app, name="errors")
monitor_app = typer.Typer(help="The monitor service: its schema, its projects and their keys.", no_args_is_help=True)
monitor_app.command("migrate")(monitor.migrate)
projects_app = typer.Typer(help="What errors are reported to.", no_args_is_help=True)
projects_app.command("list")(monitor.list_projects)
projects_app.command("create")(monitor_options.create_project)
projects_app.command("set")(monitor_options.set_options)
projects_app.command("disable")(monitor.disable_project)
projects_app.command("enable")(monitor.enable_project)
monitor_app.add_typer(projects_app, name="projects")
keys_app = typer.Typer(help="What Sentry's SDKs report with.", no_args_is_help=True)
keys_app.command("list")(monitor.list_keys)
keys_app.command("create")(monitor.create_key)
keys_app.command("revoke")(monitor.revoke_key)
monitor_app.add_typer(keys_app, name="keys")
app.add_typer(monitor_app, name="monitor")
token_app = typer.Typer(help="Who may call the services.", no_args_is_help=True)
token_app.command("create")(tokens.create)
app.add_typer(token_app, name="token")


def main() -> None:
    """Run the command line; the exit status is 0, 1 where something failed, or 2 for a command that makes no sense."""
    app(prog_name="souk")


if __name__ == "__main__":
    main()

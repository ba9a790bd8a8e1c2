"""The `souk` command."""

from souk_cli.lazy_group import lazy_group

image = lazy_group(
    "image",
    "Upload photos, and find, fetch and delete what became of them.",
    {
        "upload": "image_upload:upload",
        "show": "image:show",
        "list": "image:list_images",
        "download": "image:download",
        "watch": "image:watch",
        "delete": "image:delete",
    },
)
operations = lazy_group(
    "operations",
    "What goes on in a node of the cache after its command has ended.",
    {
        "list": "cache_operations:list_operations",
        "show": "cache_operations:show",
        "cancel": "cache_operations:cancel",
    },
)
cache = lazy_group(
    "cache",
    "Read, write and invalidate what is cached, and see how well it works.",
    {
        "get": "cache:get",
        "put": "cache:put",
        "invalidate": "cache:invalidate",
        "stats": "cache:stats",
        "watch": "cache:watch",
        "warm": "cache_operations:warm",
        "namespaces": "cache:namespaces",
        "operations": operations,
    },
)
db = lazy_group(
    "db",
    "The database behind dbopt: its schema, data to try on, and how it does.",
    {
        "migrate": "db_migrate:migrate",
        "seed": "db_seed:seed",
        "pool": "db_pool:pool",
        "explain": "db_explain:explain",
        "slow": "db_insight:slow",
        "stats": "db_insight:stats",
        "findings": "db_plans:findings",
        "changes": "db_plans:changes",
    },
)
errors = lazy_group(
    "errors",
    "What is broken: every error once, in the right issue.",
    {
        "list": "errors_list:list_issues",
        "show": "errors_show:show",
        "events": "errors_events:events",
        "summary": "errors_summary:summary",
        "resolve": "errors_change:resolve",
        "acknowledge": "errors_change:acknowledge",
        "ignore": "errors_change:ignore",
        "reopen": "errors_change:reopen",
        "assign": "errors_change:assign",
        "comment": "errors_change:comment",
        "report": "errors_report:report",
        "tail": "errors_list:tail",
        "explain": "errors_show:explain",
        "merge": "errors_change:merge",
        "split": "errors_change:split",
        "erase-user": "errors_change:erase_user",
    },
)
projects = lazy_group(
    "projects",
    "What errors are reported to.",
    {
        "list": "monitor:list_projects",
        "create": "monitor_options:create_project",
        "set": "monitor_options:set_options",
        "disable": "monitor:disable_project",
        "enable": "monitor:enable_project",
    },
)
keys = lazy_group(
    "keys",
    "What Sentry's SDKs report with.",
    {
        "list": "monitor:list_keys",
        "create": "monitor:create_key",
        "revoke": "monitor:revoke_key",
    },
)
monitor = lazy_group(
    "monitor",
    "The monitor service: its schema, its projects and their keys.",
    {"migrate": "monitor:migrate", "projects": projects, "keys": keys},
)
token = lazy_group("token", "Who may call the services.", {"create": "tokens:create"})
app = lazy_group(
    "souk",
    "Start the Souk services, use them, and see what they do.",
    {
        "up": "up:up",
        "demo": "demo:demo",
        "image": image,
        "cache": cache,
        "db": db,
        "errors": errors,
        "monitor": monitor,
        "token": token,
    },
)


def main() -> None:
    """Run the command line; the exit status is 0, 1 where something failed, or 2 for a command that makes no sense."""
    app(prog_name="souk")


if __name__ == "__main__":
    main()

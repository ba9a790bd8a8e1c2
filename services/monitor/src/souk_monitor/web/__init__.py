"""The HTTP face of monitor: what Sentry's SDKs send to."""

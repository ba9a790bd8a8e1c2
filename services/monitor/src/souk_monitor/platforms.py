"""The families of languages whose stacks are cleaned alike."""

from collections.abc import Iterable

from souk_monitor.events import Event, Frame

FAMILIES = {
    "python": "python",
    "node": "javascript",
    "javascript": "javascript",
    "nodejs": "javascript",
    "webjs": "javascript",
    "java": "java",
    "kotlin": "java",
    "android": "java",
    "scala": "java",
    "groovy": "java",
    "go": "go",
    "csharp": "csharp",
    "dotnet": "csharp",
    "ruby": "ruby",
    "php": "php",
    "rust": "rust",
    "dart": "dart",
    "flutter": "dart",
    "elixir": "elixir",
    "erlang": "elixir",
    "native": "native",
    "cocoa": "native",
    "objc": "native",
    "swift": "native",
    "c": "native",
    "cpp": "native",
}
"""Families by what reporters call a platform, and by OpenTelemetry's telemetry.sdk.language."""

EXTENSIONS = {
    ".py": "python",
    ".pyx": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".ts": "javascript",
    ".tsx": "javascript",
    ".jsx": "javascript",
    ".vue": "javascript",
    ".java": "java",
    ".kt": "java",
    ".scala": "java",
    ".groovy": "java",
    ".go": "go",
    ".cs": "csharp",
    ".rb": "ruby",
    ".php": "php",
    ".rs": "rust",
    ".dart": "dart",
    ".ex": "elixir",
    ".exs": "elixir",
    ".swift": "native",
    ".m": "native",
    ".mm": "native",
    ".c": "native",
    ".cc": "native",
    ".cpp": "native",
}


def family_of_frames(frames: Iterable[Frame]) -> str:
    """The family that the first file with a known extension is of; empty: none is."""
    for frame in frames:
        path = frame.abs_path or frame.file
        dot = path.rfind(".")
        if dot >= 0 and (found := EXTENSIONS.get(path[dot:].partition("?")[0])):
            return found
    return ""


def family_of(event: Event) -> str:
    """The family of an event's stacks, by what the reporter says, else by its files; empty: not known."""
    named = FAMILIES.get(event.platform.lower(), "")
    if named:
        return named
    for exception in event.exceptions:
        if found := family_of_frames(exception.frames):
            return found
    return family_of_frames(event.stack)

"""What the rules of categories say of an event, in the terms that the store keeps."""

from souk_monitor.categories import classify
from souk_monitor.events import Event
from souk_monitor.preparing import SEVERITIES, Fix, Understanding


def understand(event: Event) -> Understanding:
    """Category, severity and suggested fix."""
    found = classify(event)
    severity = SEVERITIES[found.level] if found.level is not event.level else 0
    fix = Fix(found.fix.rule, found.fix.text, found.fix.evidence) if found.fix else Fix()
    return Understanding(found.category.value, severity, fix)

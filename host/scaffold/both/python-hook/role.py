"""What the settings of a container mean. Nothing here calls wxc, so it is tested with any Python."""

import re


def of(settings):
    """The role of a container; an empty text where it has none."""
    role = settings.get("role", "")
    if not re.fullmatch("[a-z0-9-]*", role):
        raise ValueError(f"the role {role!r} is none: use a-z, 0-9 and -")
    return role


def count(stored):
    """The number that the store has; none is zero."""
    return int(stored) if stored.isdigit() else 0

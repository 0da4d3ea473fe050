"""Where the parts of a volume are, and what its note says. Nothing here calls wxc, so it is tested with any Python."""

# What images are "snapshots" of.
IMAGES = ".images"


def home(id):
    """The directory that the host makes for a volume: web, web/snaps/before, .images/DIGEST."""
    base, at, rest = id.partition("@")
    if not at:
        return base
    return f"{IMAGES}/{rest}" if base == IMAGES else f"{base}/snaps/{rest}"


def root(id):
    """The root file system itself."""
    return home(id) + "/rootfs"


def note(id):
    """What is remembered of a volume: beside its root, because inside it the container could change it."""
    return home(id) + "/rootfs.volume"


def removed(id):
    """Where a root goes that is being removed."""
    return home(id) + "/rootfs.removed"


def shelf(top):
    """The directory whose entries are volumes too, for a directory at the top of the pool; None where there are none."""
    if top == IMAGES:
        return IMAGES
    return None if top.startswith(".") else f"{top}/snaps"


def parse(note):
    """Whether the volume is sealed, and the operation that made it so, or made it."""
    words = note.split()
    return words[:1] == ["sealed"], words[1] if len(words) > 1 else None

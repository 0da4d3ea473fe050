"""A storage backend: each root file system in a plain directory. The functions stand in wit/deps/storage/volumes.wit.

Every call gets a fresh instance of this component, and may be the last: what it leaves behind has to be whole, or to be seen as
unfinished. So the order of the steps is what matters here.
"""

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import scope, tree
from wit_world.imports.wxc_host_types import Error, ErrorKind
from wit_world.imports.wxc_storage_types import (
    Access,
    Mount,
    MountSource_Tree,
    Phase,
    Place,
    Pool,
    Volume,
    VolumeUsage,
)

from layout import note, parse, removed, root, shelf


class Volumes(exports.Volumes):
    def open(self):
        room = tree.space(scope.pool())
        return Pool(room.total, room.available, None)

    def scan(self, after, limit):
        pool = scope.pool()
        # By the bytes of the ids: `a-b` comes before `a@s`, whatever the directories say.
        later = sorted(id for id in ids(pool) if after is None or id > after)
        volumes = []
        for id in later:
            if len(volumes) == limit:
                break
            volume = find(pool, id)
            if volume:
                volumes.append(volume)
        return volumes

    def create(self, operation, id, size):
        if size is not None:
            raise failure(ErrorKind.UNSUPPORTED, "a directory has no size of its own")
        pool = scope.pool()
        old = find(pool, id)
        if old and old.phase == Phase.REMOVING:
            self.remove(operation, id)
        elif old and old.operation == operation:
            return old
        elif old:
            raise failure(ErrorKind.ALREADY_EXISTS, f"volume {id} exists already")
        # The note first: a root without one would be nobody's, and the repeated call would not know it as its own.
        write_note(pool, id, "writable", operation)
        tree.make_directory(pool, root(id), 0o755)
        tree.sync(pool, root(id))
        return get(pool, id)

    def seal(self, operation, id):
        pool = scope.pool()
        if get(pool, id).phase != Phase.SEALED:
            tree.sync(pool, root(id))
            write_note(pool, id, "sealed", operation)
        return get(pool, id)

    def mounts(self, id, access):
        volume = get(scope.pool(), id)
        if volume.phase == Phase.SEALED and access == Access.READ_WRITE:
            raise failure(ErrorKind.INVALID, f"volume {id} is sealed: it can only be read")
        source = MountSource_Tree(Place("pool", root(id)))
        return [Mount(source, "", access == Access.READ_ONLY, [])]

    def usage(self, id):
        pool = scope.pool()
        get(pool, id)
        usage = tree.usage(pool, root(id))
        return VolumeUsage(None, usage.bytes, usage.entries)

    def remove(self, operation, id):
        pool = scope.pool()
        if is_directory(pool, root(id)):
            # Of an earlier volume of this name, if it is there at all. From the rename on the volume is gone.
            tree.remove_tree(pool, removed(id))
            tree.rename(pool, root(id), removed(id))
        tree.remove(pool, note(id))
        tree.remove_tree(pool, removed(id))


def find(pool, id):
    """The volume as the pool shows it, or None. What is there decides; the note only tells more about it."""
    sealed, operation = parse((found(tree.read, pool, note(id), 1024) or b"").decode())
    if is_directory(pool, root(id)):
        phase = Phase.SEALED if sealed else Phase.WRITABLE
    elif is_directory(pool, removed(id)):
        phase = Phase.REMOVING
    else:
        return None
    return Volume(id, phase, None, operation)


def get(pool, id):
    """The volume, for verbs that need one."""
    volume = find(pool, id)
    if not volume or volume.phase == Phase.REMOVING:
        raise failure(ErrorKind.NOT_FOUND, f"there is no volume {id}")
    return volume


def ids(pool):
    """The ids of everything that could be a volume, by the directories there are."""
    for top in directories(pool, ""):
        below = shelf(top)
        if below:
            yield from (f"{top}@{name}" for name in directories(pool, below) if not name.startswith("."))
        if not top.startswith("."):
            yield top


def directories(pool, path):
    """The directories in a directory, which come a page at a time; none where it is missing."""
    names, after, most = [], None, 1000
    while True:
        page = found(tree.entries, pool, path, after, most) or []
        names += [entry.name for entry in page if entry.kind == tree.NodeKind.DIRECTORY]
        if len(page) < most:
            return names
        after = page[-1].name


def is_directory(pool, path):
    status = found(tree.inspect, pool, path)
    return status is not None and status.kind == tree.NodeKind.DIRECTORY


def write_note(pool, id, phase, operation):
    tree.write(pool, note(id), f"{phase} {operation}".encode(), 0o644)


def found(verb, *arguments):
    """What a verb answers; "not there" is an answer, and not a failure."""
    try:
        return verb(*arguments)
    except Err as error:
        if error.value.kind == ErrorKind.NOT_FOUND:
            return None
        raise


def failure(kind, message):
    return Err(Error(kind, message))

// A storage backend: each root file system in a plain directory. The functions stand in wit/deps/storage/volumes.wit.
//
// Every call gets a fresh instance of this component, and may be the last: what it leaves behind has to be whole, or to be seen
// as unfinished. So the order of the steps is what matters here.
import * as tree from "wxc:host/tree@0.1.0";
import { pool as poolOfThisCall } from "wxc:storage/scope@0.1.0";

import { note, parse, removed, root, shelf } from "./layout.js";
import { bytes, text } from "./utf8.js";

export const volumes = {
  open() {
    const { total, available } = tree.space(poolOfThisCall());
    return { total, available, metadataAvailable: null };
  },

  scan(after, limit) {
    const pool = poolOfThisCall();
    const later = ids(pool).filter((id) => after === null || id > after);
    // By the bytes of the ids: `a-b` comes before `a@s`, whatever the directories say.
    later.sort((one, other) => (one < other ? -1 : 1));
    const found = [];
    for (const id of later) {
      if (found.length === limit) break;
      const volume = find(pool, id);
      if (volume) found.push(volume);
    }
    return found;
  },

  create(operation, id, size) {
    if (size !== null) throw failure("unsupported", "a directory has no size of its own");
    const pool = poolOfThisCall();
    const old = find(pool, id);
    if (old?.phase === "removing") this.remove(operation, id);
    else if (old && old.operation === operation) return old;
    else if (old) throw failure("already-exists", `volume ${id} exists already`);
    // The note first: a root without one would be nobody's, and the repeated call would not know it as its own.
    writeNote(pool, id, "writable", operation);
    tree.makeDirectory(pool, root(id), 0o755);
    tree.sync(pool, root(id));
    return get(pool, id);
  },

  seal(operation, id) {
    const pool = poolOfThisCall();
    if (get(pool, id).phase !== "sealed") {
      tree.sync(pool, root(id));
      writeNote(pool, id, "sealed", operation);
    }
    return get(pool, id);
  },

  mounts(id, access) {
    const volume = get(poolOfThisCall(), id);
    if (volume.phase === "sealed" && access === "read-write") {
      throw failure("invalid", `volume ${id} is sealed: it can only be read`);
    }
    const source = { tag: "tree", val: { handle: "pool", path: root(id) } };
    return [{ source, target: "", readOnly: access === "read-only", options: [] }];
  },

  usage(id) {
    const pool = poolOfThisCall();
    get(pool, id);
    const usage = tree.usage(pool, root(id));
    return { exclusive: null, referenced: usage.bytes, entries: usage.entries };
  },

  remove(_operation, id) {
    const pool = poolOfThisCall();
    if (isDirectory(pool, root(id))) {
      // Of an earlier volume of this name, if it is there at all. From the rename on the volume is gone.
      tree.removeTree(pool, removed(id));
      tree.rename(pool, root(id), removed(id));
    }
    tree.remove(pool, note(id));
    tree.removeTree(pool, removed(id));
  },
};

// The volume as the pool shows it, or undefined. What is there decides; the note only tells more about it.
function find(pool, id) {
  const kept = found(() => tree.read(pool, note(id), 1024)) ?? new Uint8Array();
  const { sealed, operation } = parse(text(kept));
  let phase;
  if (isDirectory(pool, root(id))) phase = sealed ? "sealed" : "writable";
  else if (isDirectory(pool, removed(id))) phase = "removing";
  else return undefined;
  return { id, phase, parent: null, operation };
}

// The volume, for verbs that need one.
function get(pool, id) {
  const volume = find(pool, id);
  if (!volume || volume.phase === "removing") throw failure("not-found", `there is no volume ${id}`);
  return volume;
}

// The ids of everything that could be a volume, by the directories there are.
function ids(pool) {
  const all = [];
  for (const top of directories(pool, "")) {
    const below = shelf(top) === undefined ? [] : directories(pool, shelf(top));
    all.push(...below.filter((name) => !name.startsWith(".")).map((name) => `${top}@${name}`));
    if (!top.startsWith(".")) all.push(top);
  }
  return all;
}

// The directories in a directory, which come a page at a time; none where it is missing.
function directories(pool, path) {
  const most = 1000;
  const names = [];
  let after = null;
  for (;;) {
    const page = found(() => tree.entries(pool, path, after, most)) ?? [];
    names.push(...page.filter(({ kind }) => kind === "directory").map(({ name }) => name));
    if (page.length < most) return names;
    after = page.at(-1).name;
  }
}

function isDirectory(pool, path) {
  return found(() => tree.inspect(pool, path))?.kind === "directory";
}

function writeNote(pool, id, phase, operation) {
  tree.write(pool, note(id), bytes(`${phase} ${operation}`), 0o644);
}

// What a verb answers; "not there" is an answer, and not a failure. An error of the host's is in `payload`.
function found(verb) {
  try {
    return verb();
  } catch (error) {
    if (error.payload?.kind === "not-found") return undefined;
    throw error;
  }
}

function failure(kind, message) {
  return { kind, message };
}

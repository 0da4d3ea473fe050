#![forbid(unsafe_code)]
//! The sentences of the contract that the suite tries, word for word: a backend that fails is told which one it breaks.

use std::fmt;

use serde::Serialize;

/// A sentence of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The file below `wit/`.
    pub file: &'static str,
    /// The item it stands at.
    pub item: &'static str,
    /// Its words.
    pub text: &'static str,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wit/{}, {}: \"{}\"", self.file, self.item, self.text)
    }
}

/// `rules! { NAME: file, item, text; ... }`: the constants, and the list of them for the test that compares.
macro_rules! rules {
    ($($name:ident: $file:literal, $item:literal, $text:literal;)*) => {
        $(
            #[doc = $text]
            pub const $name: Rule = Rule { file: $file, item: $item, text: $text };
        )*
        /// All of them.
        pub const ALL: &[Rule] = &[$($name),*];
    };
}

rules! {
    OPEN: "storage/volumes.wit", "open", "Looks whether the pool can be used by this backend, changes nothing, and tells the room it has.";
    SCAN: "storage/volumes.wit", "scan", "What is there, from the storage itself";
    SCAN_SORTED: "storage/volumes.wit", "scan", "volumes sorted by the bytes of their ids, those after `after`, at most `limit`.";
    SCAN_LAST: "storage/volumes.wit", "scan", "A shorter list than asked for is the last one.";
    SCAN_PHASES: "storage/volumes.wit", "scan", "Unfinished ones are listed with their phase.";
    CREATE: "storage/volumes.wit", "create", "Makes an empty writable volume whose root belongs to user 0 with permissions 0755.";
    CREATE_SIZE: "storage/volumes.wit", "create", "one that cannot limit answers `unsupported` when it is given.";
    CREATE_TAKEN: "storage/volumes.wit", "create", "`already-exists` when another operation made one of that name.";
    SEAL: "storage/volumes.wit", "seal", "Makes a writable volume sealed: durable when the call returns, and never changed again.";
    SEAL_AGAIN: "storage/volumes.wit", "seal", "Sealing a sealed one succeeds.";
    MOUNTS: "storage/volumes.wit", "mounts", "What has to be mounted to use the volume, as data; the first is its root.";
    MOUNTS_PURE: "storage/volumes.wit", "mounts", "Changes nothing, may be called at any time and by a process that never mounts.";
    USAGE: "storage/volumes.wit", "usage", "What a volume takes up.";
    REMOVE: "storage/volumes.wit", "remove", "Removes a volume in any phase.";
    REMOVE_NONE: "storage/volumes.wit", "remove", "Succeeds when there is none; `in-use` when others depend on it";
    REMOVE_HALF: "storage/volumes.wit", "remove", "Interrupted, it leaves the volume whole or in phase `removing`.";
    READ_WRITE: "storage/types.wit", "access", "For reading and writing; refused for a sealed volume.";
    SEALED: "storage/types.wit", "phase", "It is durable, never changes, and can become a parent.";
    PARENT: "storage/types.wit", "volume", "The volume it still depends on: one whose removal would break it.";
    PLACE: "storage/types.wit", "place", "A file or directory below a handle.";
    REPEAT: "storage/types.wit", "operation-id", "it then goes on where it left off and ends with the same result.";
    VOLUME_ID: "storage/types.wit", "volume-id", "The name of a volume, minted by the host, of one grammar that is checked on both sides of every call";
    HOMES: "storage/scope.wit", "pool", "a backend keeps everything of a volume in there, in entries whose names begin with `rootfs`, `rootdev`, `delta` or `overlay`";
    HIDDEN: "storage/scope.wit", "pool", "Configuration, locks and logs lie beside them and are not there for a backend";
    NOT_FOUND: "host/types.wit", "error-kind", "What was named is not there.";
    CLONE: "storage/clones.wit", "clone", "Makes a writable volume with the content of the sealed volume `parent`; `invalid` when that is not sealed.";
    CLONES: "storage/clones.wit", "clones", "writable volumes that share what they have in common with a sealed one.";
    PINS_PARENT: "storage/clones.wit", "traits", "The parent cannot be removed while there are clones of it.";
    UNSEAL: "storage/clones.wit", "unseal", "`in-use` while something depends on it; unsealing a writable one succeeds.";
    TAKE: "storage/snapshots.wit", "take", "with the content that the writable volume `of` has now.";
    SNAPSHOTS: "storage/snapshots.wit", "snapshots", "A snapshot is a sealed volume: `volumes.scan` lists it, `volumes.mounts` shows it, `clones.clone` clones it, `volumes.remove` removes it.";
    REST_TAKE: "storage/snapshots-at-rest.wit", "take", "with the content that the writable volume `of` has.";
    REST_STAYS: "storage/snapshots-at-rest.wit", "take", "That one may be mounted and stays so: nothing of it may be renamed, exchanged or removed.";
    PINS_VOLUME: "storage/snapshots.wit", "traits", "The volume stays dependent on its snapshots: it cannot be removed before them.";
    BLOCKERS: "storage/snapshots.wit", "restore-blockers", "The volumes that would have to be removed before `snapshot` could be restored";
    RESTORE: "storage/snapshots.wit", "restore", "Gives the volume that `snapshot` was taken of the content it had then.";
    RESTORE_HALF: "storage/snapshots.wit", "restore", "After a crash it has the old content or the restored one, and repeating the call ends with the restored one.";
    SIZE: "storage/sizes.wit", "get", "The most a volume may take up, in bytes.";
    SIZE_SET: "storage/sizes.wit", "set", "Changes it; none lifts the limit where that is possible.";
    SIZE_SMALLER: "storage/sizes.wit", "set", "Making it smaller is refused with `invalid` when what is in it does not fit, and never loses data.";
    SIZE_ALWAYS: "storage/sizes.wit", "traits", "Every volume has a size, because its blocks are handed out at once or its file system needs one.";
    RENAME_NONE: "storage/renames.wit", "renames", "a backend that keeps nothing elsewhere needs none of this.";
    ERROR: "host/types.wit", "error", "A failure: a kind to react to and a sentence for a person.";
    SUBSCRIBE: "hook/hook.wit", "subscribe", "When it wants to be called. Asked for when the plugin is installed or its settings change.";
    WISH_PLACES: "hook/types.wit", "adjust", "Only at `create`, `pre-start`, `clone` and `configure`.";
    BUDGET: "hook/types.wit", "budget", "The most time that one call may take, in milliseconds; the host's own limit holds as well.";
    ADJUST_PURE: "hook/hook.wit", "adjust", "Pure: the same context gives the same changes.";
    ADJUST_DENIED: "hook/hook.wit", "adjust", "It may read `settings` and `store`; every other verb fails with `denied` in this call";
    PATCH: "hook/types.wit", "patch", "One change of the plan.";
    PATCH_GRANT: "hook/types.wit", "patch", "What a plugin may change is part of its grant, case by case";
    VALIDATE_PURE: "hook/hook.wit", "validate", "Pure like `adjust`.";
    REFUSE: "hook/types.wit", "refuse", "Do not go on, for this reason: one sentence that the user sees.";
    ACT: "hook/hook.wit", "act", "What it returns, up to 64 KiB, is kept and handed to `undo` if a later part of the same operation fails.";
    UNDO: "hook/hook.wit", "undo", "Takes back what `act` did for the same context, given what that returned.";
    UNDO_AGAIN: "hook/hook.wit", "undo", "Called in reverse order, and again after a crash: it succeeds when there is nothing left to take back.";
    OPTIONS: "template/template.wit", "options", "What the user can say. The same answer every time";
    PARAMETER: "template/types.wit", "parameter", "Something the user can say: it becomes an option with `--help` and completion, and a question on a terminal.";
    PARAMETER_DOC: "template/types.wit", "doc", "One sentence of help.";
    SEARCH: "template/template.wit", "search", "The images that match what is said so far, best first, at most `limit`.";
    SEARCH_INCOMPLETE: "template/template.wit", "search", "Answers may be incomplete.";
    CANDIDATE: "template/types.wit", "candidate", "The answers that choose exactly this one.";
    RESOLVE: "template/template.wit", "resolve", "Chooses one image and says how to assemble it.";
    RESOLVE_KINDS: "template/template.wit", "resolve", "`not-found` when nothing matches, `invalid` when the answers make no sense together";
    ARCHITECTURE: "template/types.wit", "request", "The architecture wanted, in the kernel's word";
    FINISH: "template/template.wit", "finish", "Turns metadata of the image into settings of the container and files in its root.";
    FINISH_PURE: "template/template.wit", "finish", "Pure: it depends on its arguments (and on `host-system`) alone, so it can be repeated after a crash and at a later moment.";
    AGAIN: "template/types.wit", "again", "The later moments at which `finish` is to be called again, with the same manifest and members.";
    RENAME: "storage/renames.wit", "rename", "Gives a volume that is not mounted another name, and with it its snapshots and what its dependents remember of it.";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A contract's file without its comment marks, all on one line.
    fn words(file: &str) -> String {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit").join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let words =
            text.lines().flat_map(|line| line.trim_start().trim_start_matches('/').split_whitespace());
        words.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_sentence_is_in_the_contract() {
        for rule in ALL {
            let contract = words(rule.file);
            assert!(contract.contains(rule.text), "{rule}");
            assert!(contract.contains(rule.item), "{rule}");
        }
    }
}

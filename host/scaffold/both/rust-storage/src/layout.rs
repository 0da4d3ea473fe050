//! Where the parts of a volume are, and what its note says. Nothing here calls wxc, so `cargo test` runs it natively.

/// What images are "snapshots" of.
const IMAGES: &str = ".images";

/// The directory that the host makes for a volume: `web`, `web/snaps/before`, `.images/DIGEST`.
pub fn home(id: &str) -> String {
    match id.split_once('@') {
        None => id.to_owned(),
        Some((IMAGES, digest)) => format!("{IMAGES}/{digest}"),
        Some((container, snapshot)) => format!("{container}/snaps/{snapshot}"),
    }
}

/// The root file system itself.
pub fn root(id: &str) -> String {
    home(id) + "/rootfs"
}

/// What is remembered of a volume: beside its root, because inside it the container could change it.
pub fn note(id: &str) -> String {
    home(id) + "/rootfs.volume"
}

/// Where a root goes that is being removed.
pub fn removed(id: &str) -> String {
    home(id) + "/rootfs.removed"
}

/// The directory whose entries are volumes too, for a directory at the top of the pool; none where there are none.
pub fn shelf(top: &str) -> Option<String> {
    match top {
        IMAGES => Some(IMAGES.to_owned()),
        hidden if hidden.starts_with('.') => None,
        container => Some(format!("{container}/snaps")),
    }
}

/// Whether a directory at the top is itself the home of a volume.
pub fn is_container(top: &str) -> bool {
    !top.starts_with('.')
}

/// Whether the volume is sealed, and the operation that made it so, or made it.
pub fn parse(note: &str) -> (bool, Option<String>) {
    let mut words = note.split_whitespace();
    (words.next() == Some("sealed"), words.next().map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_volume_has_its_place() {
        assert_eq!(root("web"), "web/rootfs");
        assert_eq!(note("web@before"), "web/snaps/before/rootfs.volume");
        assert_eq!(removed(".images@0a1b"), ".images/0a1b/rootfs.removed");
        assert_eq!(shelf("web").as_deref(), Some("web/snaps"));
        assert_eq!((shelf(".journal"), is_container(".images")), (None, false));
    }

    #[test]
    fn a_note_has_a_phase_and_an_operation() {
        assert_eq!(parse("sealed op-1"), (true, Some("op-1".to_owned())));
        // A root that somebody else put there, such as LXC.
        assert_eq!(parse(""), (false, None));
    }
}

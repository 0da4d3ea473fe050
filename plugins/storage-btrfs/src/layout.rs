//! From volume ids to paths in the pool and back: the only path arithmetic of this plugin.

/// The container that images are "snapshots" of, and the directory they live in.
const IMAGES: &str = ".images";
/// Where a container's snapshots are, below its own directory.
const SNAPSHOTS: &str = "snaps";

/// The directory that the host makes for a volume: `web`, `web/snaps/before`, `.images/DIGEST`.
fn home(id: &str) -> String {
    match id.split_once('@') {
        None => id.to_owned(),
        Some((IMAGES, digest)) => format!("{IMAGES}/{digest}"),
        Some((container, snapshot)) => format!("{container}/{SNAPSHOTS}/{snapshot}"),
    }
}

/// The subvolume with the root file system.
pub fn root(id: &str) -> String {
    home(id) + "/rootfs"
}

/// What is remembered of a volume: beside its root, because inside it the container could change it.
pub fn note(id: &str) -> String {
    home(id) + "/rootfs.volume"
}

/// Where a root is made that cannot be made at once. What is found there is of no use to anybody: either
/// it was not finished, or a restore has just exchanged it for the new one.
pub fn new(id: &str) -> String {
    home(id) + "/rootfs.new"
}

/// Where a root goes that is being removed.
pub fn removed(id: &str) -> String {
    home(id) + "/rootfs.removed"
}

/// Whether a subvolume is inside the root of a container, and not such a root itself.
pub fn is_inside_a_container(path: &str) -> bool {
    let mut parts = path.splitn(3, '/');
    let (container, entry, rest) = (parts.next(), parts.next(), parts.next());
    container != Some(IMAGES) && entry == Some("rootfs") && rest.is_some()
}

/// The directories whose entries are the homes of volumes, given the names at the top of the pool: each
/// with what the id of such a volume begins with.
pub fn shelves(top: &[String]) -> Vec<(String, String)> {
    let mut shelves = vec![(String::new(), String::new())];
    for name in top {
        match name.as_str() {
            IMAGES => shelves.push((IMAGES.to_owned(), format!("{IMAGES}@"))),
            hidden if hidden.starts_with('.') => {}
            container => shelves.push((format!("{container}/{SNAPSHOTS}"), format!("{container}@"))),
        }
    }
    shelves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_volume_has_its_place() {
        assert_eq!(root("web"), "web/rootfs");
        assert_eq!(root("web@before"), "web/snaps/before/rootfs");
        assert_eq!(root(".images@0a1b"), ".images/0a1b/rootfs");
        assert_eq!(note("web"), "web/rootfs.volume");
        assert_eq!(new("web"), "web/rootfs.new");
        assert_eq!(removed("web@before"), "web/snaps/before/rootfs.removed");
    }

    #[test]
    fn what_a_container_made_is_told_from_what_we_made() {
        for ours in ["web/rootfs", "web/snaps/s/rootfs", ".images/0a/rootfs", ".images/rootfs/rootfs"] {
            assert!(!is_inside_a_container(ours), "{ours}");
        }
        assert!(is_inside_a_container("web/rootfs/var/lib/machines"));
        assert!(!is_inside_a_container("web/snaps/s/rootfs/var/lib/machines"));
    }

    #[test]
    fn shelves_lead_back_to_ids() {
        let top = [".images", ".journal", "web"].map(str::to_owned);
        let shelves = shelves(&top);
        assert_eq!(shelves[1], (".images".to_owned(), ".images@".to_owned()));
        assert_eq!(shelves[2], ("web/snaps".to_owned(), "web@".to_owned()));
        assert_eq!(shelves.len(), 3);
    }
}

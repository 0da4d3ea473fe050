//! From volume ids to paths in the pool and back: the only path arithmetic of this plugin.

/// The container that images are "snapshots" of, and the directory they live in.
const IMAGES: &str = ".images";
/// Where a container's snapshots are, below its own directory.
const SNAPSHOTS: &str = "snaps";

/// The directory that the host makes for a volume: `web`, `web/snaps/before`, `.images/DIGEST`.
pub fn home(id: &str) -> String {
    match id.split_once('@') {
        None => id.to_owned(),
        Some((IMAGES, digest)) => format!("{IMAGES}/{digest}"),
        Some((container, snapshot)) => format!("{container}/{SNAPSHOTS}/{snapshot}"),
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

/// Where a root is made, before it has its limit.
pub fn new(id: &str) -> String {
    home(id) + "/rootfs.new"
}

/// Where a root goes that is being removed.
pub fn removed(id: &str) -> String {
    home(id) + "/rootfs.removed"
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
        assert_eq!(removed("web@before"), "web/snaps/before/rootfs.removed");
    }

    #[test]
    fn shelves_lead_back_to_ids() {
        let top = [".images", ".journal", "web"].map(str::to_owned);
        let shelves = shelves(&top);
        assert_eq!(shelves[0], (String::new(), String::new()));
        assert_eq!(shelves[1], (".images".to_owned(), ".images@".to_owned()));
        assert_eq!(shelves[2], ("web/snaps".to_owned(), "web@".to_owned()));
        assert_eq!(shelves.len(), 3);
    }
}

//! From volume ids to paths in the pool and back: the only path arithmetic of this plugin.

/// The container that images are "snapshots" of, and the directory they live in.
const IMAGES: &str = ".images";
/// Where a container's snapshots are, below its own directory.
const SNAPSHOTS: &str = "snaps";

/// A volume that is built on nothing: a whole root file system, as `storage-dir` keeps it.
pub const BASE: &str = "rootfs";
/// What a volume changed of the one it is built on.
pub const DELTA: &str = "delta";
/// The empty layer that takes the place of one that is about to be moved away.
pub const NEXT: &str = "delta.next";

/// The directory that the host makes for a volume: `web`, `web/snaps/before`, `.images/DIGEST`.
pub fn home(id: &str) -> String {
    match id.split_once('@') {
        None => id.to_owned(),
        Some((IMAGES, digest)) => format!("{IMAGES}/{digest}"),
        Some((container, snapshot)) => format!("{container}/{SNAPSHOTS}/{snapshot}"),
    }
}

/// A layer of a volume: [`BASE`], [`DELTA`] or [`NEXT`].
pub fn layer(id: &str, name: &str) -> String {
    home(id) + "/" + name
}

/// Where the kernel works while the volume is mounted for writing.
pub fn work(id: &str) -> String {
    home(id) + "/overlay-work"
}

/// What is remembered of a volume: beside its layer, because inside it the container could change it. It is the note of
/// `storage-dir`, with more words.
pub fn note(id: &str) -> String {
    home(id) + "/rootfs.volume"
}

/// A layer in the making, as a copy of one that is mounted.
pub fn copy(id: &str) -> String {
    home(id) + "/delta.copy"
}

/// Where a layer goes that is being removed.
pub fn removed(id: &str) -> String {
    home(id) + "/rootfs.removed"
}

/// The container that a volume belongs to; `.images` for an image.
pub fn container(id: &str) -> &str {
    id.split_once('@').map_or(id, |(container, _)| container)
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
        assert_eq!(layer("web", BASE), "web/rootfs");
        assert_eq!(layer("web@before", DELTA), "web/snaps/before/delta");
        assert_eq!(layer(".images@0a1b", BASE), ".images/0a1b/rootfs");
        assert_eq!(note("web"), "web/rootfs.volume");
        assert_eq!(work("web"), "web/overlay-work");
        assert_eq!(removed("web@before"), "web/snaps/before/rootfs.removed");
        assert_eq!((container("web@before"), container("web")), ("web", "web"));
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

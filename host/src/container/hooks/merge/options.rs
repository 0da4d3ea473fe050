#![forbid(unsafe_code)]
//! The words of mount(8) that a hook may say about a mount it adds.

use crate::config::mounts::{AccessTime, Mount};

/// What decides about some of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Containers may write there, by the manifest.
    pub(super) writable: bool,
    /// It is a directory of the host's.
    pub(super) share: bool,
    /// Its ids are not the host's.
    pub(super) own_ids: bool,
}

/// Makes of a mount what one word says. Those that would allow more than a hook's mount may have are no words here.
pub(super) fn option(mount: &mut Mount, word: &str, terms: Terms) -> Result<(), String> {
    match word {
        "ro" => mount.read_only = true,
        "rw" if terms.writable => mount.read_only = false,
        "rw" => return Err("its manifest lets containers only read there".into()),
        "noexec" => mount.noexec = true,
        // So they are anyhow.
        "nosuid" | "nodev" => {}
        "nosymfollow" => mount.nosymfollow = true,
        "idmap" if terms.share => mount.idmapped = terms.own_ids,
        "idmap" => return Err("memory belongs to the container already, there is nothing to shift".into()),
        other => match AccessTime::of(other) {
            Some(time) => mount.access_time = time,
            None => return Err(format!("there is no option {other} here")),
        },
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: Terms = Terms { writable: true, share: true, own_ids: true };

    fn with(words: &[&str], terms: Terms) -> Result<Mount, String> {
        let mut mount = Mount { read_only: !terms.writable, ..Mount::bind("/srv", "/srv") };
        words.iter().try_for_each(|word| option(&mut mount, word, terms)).map(|()| mount)
    }

    #[test]
    fn words_mean_what_mount_makes_of_them() {
        let mount = with(&["ro", "noexec", "noatime", "nosymfollow", "idmap", "nosuid"], SHARE).unwrap();
        assert!(mount.read_only && mount.noexec && mount.nosymfollow && mount.idmapped);
        assert_eq!(mount.access_time, AccessTime::Noatime);
        // The last one holds.
        let mount = with(&["ro", "rw", "noatime", "relatime"], SHARE).unwrap();
        assert_eq!((mount.read_only, mount.access_time), (false, AccessTime::Relatime));
        // With the host's ids there is nothing to shift.
        assert!(!with(&["idmap"], Terms { own_ids: false, ..SHARE }).unwrap().idmapped);
    }

    #[test]
    fn nothing_allows_more() {
        assert!(with(&["rw"], Terms { writable: false, ..SHARE }).unwrap_err().contains("only read"));
        assert!(with(&["idmap"], Terms { share: false, ..SHARE }).unwrap_err().contains("memory"));
        for word in ["suid", "dev", "exec", "bind", "size=1G", "", "uid=0"] {
            assert!(with(&[word], SHARE).is_err(), "{word}");
        }
    }
}

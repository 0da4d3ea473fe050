//! What a setting means: `SHARE PLACE [OPTION,OPTION...]`.

use crate::bindings::wxc::hook::types::{Mount, MountSource, Patch};
use crate::bindings::wxc::host::types::{Error, ErrorKind, Pair};

/// One mount for each setting. `read_only` names the shares that nobody writes to.
pub fn patches(settings: &[Pair], read_only: &str) -> Result<Vec<Patch>, Error> {
    let patch = |setting: &Pair| {
        let mount = mount(&setting.value, read_only);
        mount.map(Patch::AddMount).map_err(|why| Error {
            kind: ErrorKind::Invalid,
            message: format!("hooks.mounts.settings.{} is {:?}: {why}", setting.name, setting.value),
        })
    };
    settings.iter().map(patch).collect()
}

fn mount(text: &str, read_only: &str) -> Result<Mount, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (share, place, options) = match words[..] {
        [share, place] => (share, place, ""),
        [share, place, options] => (share, place, options),
        _ => return Err("a mount is written as \"SHARE /PLACE ro,noatime\"".into()),
    };
    if !place.starts_with('/') {
        return Err(format!("{place} is no place inside: it has to begin with a slash"));
    }
    let mut options: Vec<String> =
        options.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect();
    if read_only.split_whitespace().any(|name| name == share) {
        if options.iter().any(|word| word == "rw") {
            return Err(format!("the administrator lets containers only read {share}"));
        }
        options.push("ro".into());
    }
    // Also where nobody writes: the owners inside are then those that they are on the host.
    options.push("idmap".into());
    let source = MountSource::Share(share.to_owned());
    Ok(Mount { source, target: place.replace("\\040", " "), options })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, read_only: &str) -> Result<Mount, String> {
        let setting = Pair { name: "x".into(), value: text.into() };
        match patches(&[setting], read_only) {
            Ok(mut patches) => match patches.pop() {
                Some(Patch::AddMount(mount)) => Ok(mount),
                other => panic!("{other:?}"),
            },
            Err(error) => Err(error.message),
        }
    }

    #[test]
    fn a_setting_is_a_mount() {
        let mount = of("media /srv/my\\040films ro,noatime", "").unwrap();
        assert!(matches!(&mount.source, MountSource::Share(name) if name == "media"));
        assert_eq!(mount.target, "/srv/my films");
        assert_eq!(mount.options, ["ro", "noatime", "idmap"]);
        assert_eq!(of("  media   /srv  ", "").unwrap().options, ["idmap"]);
    }

    #[test]
    fn what_is_read_only_stays_so() {
        assert_eq!(of("media /srv", "backup media").unwrap().options, ["ro", "idmap"]);
        assert!(of("media /srv rw", "media").unwrap_err().contains("only read media"));
        assert_eq!(of("mediator /srv rw", "media").unwrap().options, ["rw", "idmap"]);
    }

    #[test]
    fn what_is_no_mount_is_told_with_its_setting() {
        for bad in ["", "media", "media srv", "media /srv ro noatime"] {
            assert!(of(bad, "").unwrap_err().contains("hooks.mounts.settings.x"), "{bad}");
        }
    }
}

#![forbid(unsafe_code)]
//! One change of a hook, made in the configuration. What the contract has no case for cannot be reached from here: no
//! capability is added, no path of the host is named, and keys that would do either are not set.

use std::path::{Path, PathBuf};

use rustix::fs::{FileType, major, minor, stat};

use super::Merge;
use super::devices;
use super::options::{Terms, option};
use crate::config::capability::Capability;
use crate::config::mounts::{Create, Mount, normalized};
use crate::config::{edit, toml};
use crate::container::Error;
use crate::container::hooks::attached::Attached;
use crate::container::hooks::phrase::access;
use crate::plan::mounts::node_reason;
use crate::plugin::hook::types::{self, MountSource, Pair, Patch};

/// Tables of limits that a hook may write; the others of `[cgroup]` open devices or write any file.
const LIMITS: &[&str] = &["memory.", "cpu.", "cpuset.", "pids.", "io.", "hugetlb."];

/// What `set-key` may set at most, whatever is granted.
const KEYS: &[&str] = &[
    "autostart.",
    "console.buffer",
    "console.ttys",
    "init.",
    "network.",
    "rlimits.",
    "security.keyring",
    "security.no-new-privileges",
    "stop.",
];
/// Of those, what plugs a container into the host.
const NOT_KEYS: &[&str] = &[".type", ".bridge", ".host-name"];

impl Merge<'_> {
    /// Makes one change.
    pub(super) fn apply(&mut self, hook: &Attached, patch: &Patch) -> Result<(), Error> {
        let container = &mut self.container;
        match patch {
            Patch::SetVariable(p) => {
                container.environment.set.insert(p.name.clone(), p.value.clone());
            }
            Patch::RemoveVariable(name) => {
                container.environment.set.remove(name);
                container.environment.keep.retain(|kept| kept != name);
            }
            Patch::SetSysctl(p) => {
                container.sysctl.0.insert(p.name.clone(), p.value.clone());
            }
            Patch::SetHostname(name) => container.hostname = Some(name.clone()),
            Patch::SetLabel(p) => {
                container.labels.insert(p.name.clone(), p.value.clone());
            }
            Patch::DenySyscall(name) if !container.security.deny_syscalls.contains(name) => {
                container.security.deny_syscalls.push(name.clone());
            }
            Patch::DenySyscall(_) => {}
            Patch::DropCapability(name) => {
                let capability: Capability = name.parse().map_err(|why| self.refuse(hook, patch, why))?;
                let security = &mut self.container.security;
                match &mut security.keep_capabilities {
                    Some(keep) => keep.retain(|kept| *kept != capability),
                    None if security.drop_capabilities.contains(&capability) => {}
                    None => security.drop_capabilities.push(capability),
                }
            }
            Patch::AddAddress((interface, address)) => {
                let found = container.network.iter_mut().enumerate().find(|(index, entry)| {
                    entry.name.clone().unwrap_or_else(|| format!("eth{index}")) == *interface
                });
                let address = address.parse();
                match (found, address) {
                    (Some((_, entry)), Ok(address)) if entry.addresses.contains(&address) => {}
                    (Some((_, entry)), Ok(address)) => entry.addresses.push(address),
                    (None, _) => {
                        let why = format!("there is no interface {interface}");
                        return Err(self.refuse(hook, patch, why));
                    }
                    (_, Err(why)) => return Err(self.refuse(hook, patch, why)),
                }
            }
            Patch::AddMount(mount) => {
                let mount = self.mount(hook, patch, mount)?;
                // One that stays is there already when it is proposed again.
                if !self.container.mounts.contains(&mount) {
                    self.uncovered(hook, patch, &mount)?;
                    self.container.mounts.push(mount);
                }
            }
            Patch::RemoveMount(target) => {
                let place = normalized(target.as_ref());
                let before = container.mounts.len();
                container.mounts.retain(|mount| place.is_none() || normalized(&mount.target) != place);
                if container.mounts.len() == before {
                    let why = "the configuration has no mount there; those that wxc makes itself stay";
                    return Err(self.refuse(hook, patch, why));
                }
            }
            Patch::AddDevice(device) => {
                for name in devices::named(&device.name) {
                    self.add_device(hook, patch, &types::Device { name, ..device.clone() })?;
                }
            }
            Patch::RemoveDevice(name) => {
                let target = Path::new("dev").join(name);
                container.mounts.retain(|mount| normalized(&mount.target).as_ref() != Some(&target));
                let numbers = self.numbers(hook, patch, name)?;
                let rule = format!("{numbers} rwm").parse().map_err(|why| self.refuse(hook, patch, why))?;
                self.container.cgroup.devices.deny.push(rule);
            }
            Patch::SetLimit(p) if LIMITS.iter().any(|table| p.name.starts_with(table)) => {
                self.set(hook, patch, &format!("cgroup.{}", p.name), p)?;
            }
            Patch::SetLimit(_) => return Err(self.refuse(hook, patch, "hooks set no such limit")),
            Patch::SetKey(p) => {
                let allowed = KEYS
                    .iter()
                    .any(|key| if key.ends_with('.') { p.name.starts_with(key) } else { p.name == *key });
                if !allowed || NOT_KEYS.iter().any(|end| p.name.ends_with(end)) {
                    return Err(self.refuse(hook, patch, "no hook may set this key"));
                }
                self.set(hook, patch, &p.name.clone(), p)?;
            }
        }
        Ok(())
    }

    /// A key of the file, with a value as in TOML.
    fn set(&mut self, hook: &Attached, patch: &Patch, key: &str, pair: &Pair) -> Result<(), Error> {
        let value = match pair.value.parse::<toml_edit::Value>() {
            Ok(toml_edit::Value::String(text)) => text.into_value(),
            Ok(other) => other.to_string(),
            Err(_) => {
                return Err(self.refuse(
                    hook,
                    patch,
                    "its value is not written as in TOML, where texts have quotes",
                ));
            }
        };
        let text = toml_edit::ser::to_string(&self.container).map_err(|why| self.refuse(hook, patch, why))?;
        let text = edit::set(&text, &self.file, key, &value).map_err(|why| self.refuse(hook, patch, why))?;
        self.container = toml::parse(&text, &self.file)?;
        Ok(())
    }

    /// What a hook mounts has no set-user-id programs and no devices, and what it shows of the host is only read unless
    /// the manifest says otherwise, which was granted.
    fn mount(&self, hook: &Attached, patch: &Patch, wanted: &types::Mount) -> Result<Mount, Error> {
        let mut mount = match &wanted.source {
            MountSource::Share(name) => {
                let bound = self.host.settings.shares.get(&hook.name).and_then(|shares| shares.get(name));
                let path = bound.ok_or_else(|| self.unbound(hook, name))?;
                // One directory for each container, where the administrator wants that.
                let path =
                    Path::new(&*path.to_string_lossy().replace("{name}", self.name.as_str())).to_owned();
                if !path.is_absolute() {
                    return Err(self.refuse(
                        hook,
                        patch,
                        format!("{} is not an absolute path", path.display()),
                    ));
                }
                let writable = hook.plugin.may_write(name);
                let idmapped = writable && !self.container.privileged;
                Mount {
                    recursive: false,
                    read_only: !writable,
                    idmapped,
                    ..Mount::bind(&path, &wanted.target)
                }
            }
            // For tmpfs that means no limit (tmpfs(5)).
            MountSource::Memory(0) => return Err(self.refuse(hook, patch, "memory has a size")),
            MountSource::Memory(bytes) => Mount {
                kind: "tmpfs".into(),
                options: vec![format!("size={bytes}")],
                ..Mount::bind(PathBuf::new(), &wanted.target)
            },
            MountSource::Other(_) => return Err(self.refuse(hook, patch, "it is no share and no memory")),
        };
        (mount.create, mount.nosuid, mount.nodev) = (Create::Dir, true, true);
        let own_ids = !self.container.privileged;
        let terms = Terms { writable: !mount.read_only, share: mount.is_bind(), own_ids };
        for word in &wanted.options {
            option(&mut mount, word, terms).map_err(|why| self.refuse(hook, patch, why))?;
        }
        Ok(mount)
    }

    /// The last mount of a place is the one that is seen: what was meant to be there would be hidden without a word.
    fn uncovered(&self, hook: &Attached, patch: &Patch, mount: &Mount) -> Result<(), Error> {
        let place = normalized(&mount.target);
        let below = |other: &&Mount| {
            place
                .as_ref()
                .zip(normalized(&other.target))
                .is_some_and(|(place, other)| other.starts_with(place))
        };
        match self.container.mounts.iter().find(below) {
            None => Ok(()),
            Some(hidden) => {
                let source =
                    if hidden.is_bind() { hidden.source.display().to_string() } else { hidden.kind.clone() };
                let why = format!("it would hide {source}, mounted on {}", hidden.target.display());
                Err(self.refuse(hook, patch, why))
            }
        }
    }

    fn unbound(&self, hook: &Attached, share: &str) -> Error {
        Error::Invalid {
            message: format!(
                "{} wants to mount its share {share}, and no directory is named for it",
                hook.name
            ),
            hint: format!(
                "name one in {}: [shares.{}] {share} = \"/some/directory\"",
                self.host.defaults.join("wxc.toml").display(),
                hook.name
            ),
        }
    }

    /// The node is shown to the container, and its use allowed where that is controlled.
    fn add_device(&mut self, hook: &Attached, patch: &Patch, device: &types::Device) -> Result<(), Error> {
        let numbers = self.numbers(hook, patch, &device.name)?;
        if !device.read && !device.write {
            return Err(self.refuse(hook, patch, "it could be neither read nor written"));
        }
        let rule = format!("{numbers} {}", access(device.read, device.write));
        let rule = rule.parse().map_err(|why| self.refuse(hook, patch, why))?;
        let allow = &mut self.container.cgroup.devices.allow;
        // One that stays, or that fits two patterns, is there already.
        if !allow.contains(&rule) {
            allow.push(rule);
        }
        // Every container has these.
        if node_reason(&device.name).is_empty() {
            let path = Path::new("/dev").join(&device.name);
            let node = Mount { recursive: false, nosuid: true, noexec: true, ..Mount::bind(&path, &path) };
            let node = Mount { create: Create::File, ..node };
            if !self.container.mounts.contains(&node) {
                self.container.mounts.push(node);
            }
        }
        Ok(())
    }

    /// `c 226:128` of a device of the host.
    fn numbers(&self, hook: &Attached, patch: &Patch, name: &str) -> Result<String, Error> {
        let clean = normalized(name.as_ref()).filter(|path| path.as_path() == Path::new(name));
        let path = Path::new("/dev")
            .join(clean.ok_or_else(|| self.refuse(hook, patch, "it is no name below /dev"))?);
        let found =
            stat(&path).map_err(|why| self.refuse(hook, patch, format!("{}: {why}", path.display())))?;
        let kind = match FileType::from_raw_mode(found.st_mode) {
            FileType::CharacterDevice => 'c',
            FileType::BlockDevice => 'b',
            _ => return Err(self.refuse(hook, patch, format!("{} is no device", path.display()))),
        };
        Ok(format!("{kind} {}:{}", major(found.st_rdev), minor(found.st_rdev)))
    }
}

//! Reading and writing the seed.

use crate::bindings::wxc::hook::scope;
use crate::bindings::wxc::hook::types::{Context, Event};
use crate::bindings::wxc::host::handles::ContainerRoot;
use crate::bindings::wxc::host::log;
use crate::bindings::wxc::host::rootfs::{self, Access};
use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::instance;
use crate::seed::{self, DIRECTORY};
use crate::settings::Settings;

/// Where cloud-init keeps what it did, by instance.
const INSTANCES: &str = "/var/lib/cloud/instances";
/// What is told a machine may be a password.
const FILE: Access = Access { permissions: 0o600, user: 0, group: 0 };
const OPEN: Access = Access { permissions: 0o755, user: 0, group: 0 };
const CLOSED: Access = Access { permissions: 0o700, user: 0, group: 0 };

/// Writes the whole seed, and removes what is in it and not set any more.
pub fn write(context: &Context, settings: &Settings, network: Option<&str>) -> Result<(), Error> {
    let root = scope::root()?;
    let id = id(&root, context, settings)?;
    let hostname = settings.hostname.as_ref().unwrap_or(&context.plan.hostname);
    if let Some((parent, _)) = DIRECTORY.rsplit_once('/') {
        rootfs::ensure_directory(&root, parent, OPEN)?;
    }
    rootfs::ensure_directory(&root, DIRECTORY, CLOSED)?;
    let meta_data = seed::meta_data(&id, hostname, settings);
    for (name, content) in [
        ("meta-data", Some(meta_data.as_str())),
        ("user-data", Some(seed::user_data(settings))),
        ("vendor-data", settings.vendor_data.as_deref()),
        ("network-config", network),
    ] {
        let path = format!("{DIRECTORY}/{name}");
        match content {
            Some(content) => rootfs::write(&root, &path, content.as_bytes(), FILE)?,
            None => rootfs::remove(&root, &path)?,
        }
    }
    Ok(())
}

/// The instance that it is: as told, or as it was told before, or a new one; a copy always a new one.
fn id(root: &ContainerRoot, context: &Context, settings: &Settings) -> Result<String, Error> {
    let before = instance_before(root)?;
    let is_copy = context.event == Event::Clone;
    if let Some(id) = &settings.instance_id {
        if is_copy && before.as_ref() == Some(id) {
            let what = "its cloud-init will not set it up anew";
            log::emit(
                log::Level::Warn,
                &format!("the copy has the original's instance-id {id}, as it is set: {what}"),
            );
        }
        return Ok(id.clone());
    }
    if let (Some(id), false) = (&before, is_copy) {
        return Ok(id.clone());
    }
    instance::fresh(&context.container.name, |id| {
        let been = there(rootfs::inspect(root, &format!("{INSTANCES}/{id}")))?.is_some();
        Ok(been || before.as_deref() == Some(id))
    })
}

/// The id of the seed that is there.
fn instance_before(root: &ContainerRoot) -> Result<Option<String>, Error> {
    let bytes = there(rootfs::read(root, &format!("{DIRECTORY}/meta-data"), 64 << 10))?;
    Ok(bytes.and_then(|bytes| instance::read(&String::from_utf8_lossy(&bytes))))
}

/// Only what is not there is none.
fn there<T>(found: Result<T, Error>) -> Result<Option<T>, Error> {
    match found {
        Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

#![forbid(unsafe_code)]
//! Making a container: complete or absent.
//!
//! Everything that can be found wrong is found before anything is made. Then, in an order that a
//! kill can interrupt anywhere: record, directory and mark, ids, volume, content, settings; and last
//! `container.toml`, whose rename is what makes it a container.

/// What a container would be made of.
mod prospect;

use prospect::record;
pub(super) use prospect::{Prospect, machine, server_of};

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use serde::Serialize;

use super::assemble::{Assembled, Supplies};
use super::journal::{self, Intent, Operation, Survives};
use super::kept::Kept;
use super::layout::PARTIAL;
use super::volume::{self, OpenVolume};
use super::{
    Error, Host, assemble, dependents, hooks, ids, leftover, lookup, packages, plugins, render, store, vouch,
};
use crate::config::rootfs::TemplateRecord;
use crate::config::{Container, Name, edit, toml, write};
use crate::plugin::hook::types::{Detail, Event};
use crate::plugin::storage::{Access, Storage as _};
use crate::plugin::template::Template as _;
use crate::plugin::template::types::{Assembly, Finished, Member, Moment};
use crate::sys::failpoint;

/// What to make.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    pub name: Name,
    /// What it is made of.
    pub basis: Basis,
    /// Storage plugin, with or without the word `storage-` before it; `None`: what the configuration says.
    pub storage: Option<String>,
    /// Settings of the storage plugin, for this volume alone.
    pub storage_set: Vec<(String, String)>,
    /// The most it may take up, in bytes; `None`: what the storage thinks best.
    pub size: Option<u64>,
    /// Configuration to start from; `None`: the default one.
    pub config: Option<PathBuf>,
    /// Keys and values on top of it.
    pub set: Vec<(String, String)>,
    pub privileged: bool,
    /// Goes away when it stops.
    pub ephemeral: bool,
    /// Also an image that is older than one there was, or out of date.
    pub allow_older: bool,
    /// Ask servers anew, however young what they said is.
    pub fresh: bool,
}

/// What a container is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// What a template chooses.
    Template {
        /// With or without the word `template-` before it.
        name: String,
        /// What stood behind `--`.
        options: Vec<String>,
    },
    /// An image that is here, by its name or the beginning of its key.
    Image(String),
}

impl CreateRequest {
    /// One that says nothing but what has to be said.
    #[must_use]
    pub fn new(name: Name, basis: Basis) -> Self {
        Self {
            name,
            basis,
            storage: None,
            storage_set: Vec::new(),
            size: None,
            config: None,
            set: Vec::new(),
            privileged: false,
            ephemeral: false,
            allow_older: false,
            fresh: false,
        }
    }
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Created {
    pub name: Name,
    pub directory: PathBuf,
    pub template: TemplateRecord,
    pub storage: String,
    pub privileged: bool,
    /// What a person should know: leftovers removed, files left out.
    pub notes: Vec<String>,
    /// What the template says to the user.
    pub message: Option<String>,
}

/// Makes a container.
///
/// # Errors
/// Nothing of it is left then.
pub fn create(host: &Host, request: &CreateRequest) -> Result<Created, Error> {
    let claim = journal::claim(host, &[&request.name], "create")?;
    let created = create_locked(host, request);
    drop(claim);
    created
}

/// The same for a caller that holds the lock.
pub(super) fn create_locked(host: &Host, request: &CreateRequest) -> Result<Created, Error> {
    let name = &request.name;
    let prospect = Prospect::of(host, request)?;
    let members = prospect.members(host)?;
    let mut notes = make_room(host, name)?;
    notes.extend(prospect.notes.clone());
    // What a crash may take anyhow is not worth waiting for the disk.
    let survives = if prospect.container.ephemeral { Survives::Kill } else { Survives::PowerLoss };
    let intent = Intent::Create { name: name.clone(), storage: prospect.container.rootfs.storage.clone() };
    let work = Work { host, request, prospect, members, survives };
    let created = journal::perform(host, &intent, survives, |operation| work.run(operation, notes))?;
    work.prospect.remember(host)?;
    hooks::made(host, name, Event::Create, (Detail::None, &[]))?;
    tracing::info!(%name, path = %host.layout.path.display(), template = created.template.name, "created");
    Ok(created)
}

/// One create, with everything that was found out before.
struct Work<'a> {
    host: &'a Host,
    request: &'a CreateRequest,
    prospect: Prospect,
    /// Its metadata, as far as the template wants to see it.
    members: Vec<Member>,
    survives: Survives,
}

impl Work<'_> {
    fn run(&self, operation: &Operation, mut notes: Vec<String>) -> Result<Created, Error> {
        let Self { host, request, prospect, .. } = self;
        let Prospect { template, answers, asked, manifest, server, storage, .. } = prospect;
        let mut container = prospect.container.clone();
        let name = &request.name;
        operation.step("create.directory")?;
        begin(host, name, &container)?;
        operation.step("create.ids")?;
        if !container.privileged && container.ids.is_empty() {
            container.ids = ids::allocate(host, name)?;
        }
        operation.step("create.volume")?;
        match &prospect.image {
            Some(image) => {
                storage.clone_volume(operation.id(), &image.record.volume(), name.as_str(), request.size)?
            }
            None => storage.create(operation.id(), name.as_str(), request.size)?,
        };
        let mut volume = volume::open(storage, name.as_str(), Access::ReadWrite)?;
        host.check_cancelled()?;
        operation.step("create.fill")?;
        let assembled = match &prospect.image {
            Some(image) => Assembled { notes: image.record.notes.clone(), ..Assembled::default() },
            None => {
                let supplies = Supplies { answers, downloads: prospect.downloads.as_ref() };
                assemble::assemble(host, &container, manifest, supplies, volume.root())?
            }
        };
        if let (Assembly::Packages(all), None) = (&manifest.assembly, &prospect.image) {
            drop(volume);
            volume = packages::install(host, storage, &container, name.as_str(), all)?;
        }
        let target = volume.root();
        notes.extend(assembled.notes);
        container.mounts.extend(assembled.mounts);

        operation.step("create.finish")?;
        let mut finished = template.finish(Moment::Create, asked, manifest, &self.members)?;
        if manifest.expires.is_none() && prospect.members.is_none() {
            let dated = (manifest.product.as_str(), finished.expires);
            notes.extend(vouch::out_of_date(host, false, server, dated, request.allow_older)?);
        }
        render::render(&container, target, answers, std::mem::take(&mut finished.files))?;
        if !finished.again.is_empty() {
            let moments = std::mem::take(&mut finished.again);
            let kept = Kept::new(template, server, moments, asked, manifest, &self.members)?;
            kept.write(&host.layout.directory(name))?;
        }
        container.template = Some(record(prospect));
        // What the user said is not looked up in the image.
        finished.settings.retain(|setting| !is_said(&request.set, &setting.name));
        lookup::look_up(&mut finished, target)?;
        lookup::look_up_program(&mut finished, target)?;
        let text = settle(host, name, &container, &finished)?;
        host.check_cancelled()?;
        // Content first, then the name that says it is complete.
        operation.step("create.durable")?;
        settle_content(host, name, &volume, &text, self.survives)?;
        operation.step("create.complete")?;
        complete(host, name, self.survives)?;
        Ok(Created {
            name: name.clone(),
            directory: host.layout.directory(name),
            template: container.template.unwrap_or_default(),
            storage: container.rootfs.storage,
            privileged: container.privileged,
            notes,
            message: finished.message,
        })
    }
}

/// Clears the way: the name is free, or held by what a killed command left.
pub(super) fn make_room(host: &Host, name: &Name) -> Result<Vec<String>, Error> {
    match leftover::look(host, name) {
        leftover::Kind::Absent => Ok(Vec::new()),
        leftover::Kind::Complete => {
            Err(Error::Exists { name: name.to_string(), path: host.layout.path.clone() })
        }
        leftover::Kind::Leftover => {
            // Of a wxc that kept no journal.
            leftover::remove(host, name, &plugins::operation("remove"), None)?;
            Ok(vec![format!("removed what an interrupted command had left of {name}")])
        }
        leftover::Kind::Kept => match dependents::drop_kept(host, name) {
            Err(Error::InUse { clones, .. }) => Err(Error::Invalid {
                message: format!(
                    "the name {name} is not free yet: it was destroyed, and its storage is shared by {}",
                    clones.join(", ")
                ),
                hint: format!("destroy {} first, or choose another name", clones.join(", ")),
            }),
            other => other.map(|()| Vec::new()),
        },
        leftover::Kind::Foreign => Err(leftover::foreign(host, name)),
    }
}

/// Makes the directory with its mark. Only its owner can enter it: images bring set-id programs
/// whose owner is root of the host on disk.
pub(super) fn begin(host: &Host, name: &Name, container: &Container) -> Result<(), Error> {
    let directory = host.layout.directory(name);
    DirBuilder::new().mode(0o700).create(&directory).map_err(Error::io("make", &directory))?;
    let mark = write::fresh(container, name).map_err(|error| Error::Invalid {
        message: format!("this configuration cannot be written: {error}"),
        hint: "use paths that are UTF-8".into(),
    })?;
    // Says what this is to whoever looks. After a loss of power the journal's record does.
    store::replace_fleeting(&directory.join(PARTIAL), mark.as_bytes())
}

/// The final text of `container.toml`: what is configured, and what the template sets where the user said
/// nothing. The user's own settings are in `container` already; said again, a list of theirs would
/// take the place of one that the template's mounts were added to.
fn settle(host: &Host, name: &Name, container: &Container, finished: &Finished) -> Result<String, Error> {
    let path = host.layout.config(name);
    let text = write::fresh(container, name).map_err(|error| Error::Invalid {
        message: format!("this configuration cannot be written: {error}"),
        hint: "use paths that are UTF-8".into(),
    })?;
    let mut values = Vec::with_capacity(finished.settings.len());
    for setting in &finished.settings {
        if !assemble::is_allowed(&setting.name) {
            return Err(Error::Invalid {
                message: format!("the template wants to set {}, which no template may", setting.name),
                hint: "use another image, or set it yourself with -s after you have looked at it".into(),
            });
        }
        values.push(plain(&setting.name, &setting.value)?);
    }
    let pairs = finished.settings.iter().zip(&values);
    let pairs: Vec<(&str, &str)> =
        pairs.map(|(setting, value)| (setting.name.as_str(), value.as_str())).collect();
    let text = edit::set_all(&text, &path, &pairs)?;
    toml::parse(&text, &path)?;
    Ok(text)
}

/// A value as a person would type it: a template writes values as in TOML, where a text has quotes.
fn plain(key: &str, value: &str) -> Result<String, Error> {
    match value.parse::<toml_edit::Value>() {
        Ok(toml_edit::Value::String(text)) => Ok(text.into_value()),
        Ok(_) => Ok(value.to_owned()),
        Err(_) => Err(Error::Invalid {
            message: format!("the template wants to set {key} to {value:?}, which is no value of TOML"),
            hint: "this is a mistake of the template: tell its author".into(),
        }),
    }
}

/// Whether the user set this key, or a table that it is in.
fn is_said(set: &[(String, String)], key: &str) -> bool {
    set.iter().any(|(said, _)| {
        key.strip_prefix(said.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}

/// The mark gets the text of the configuration, and with everything else of the new container it is made durable: by one sync of
/// the file system, which is the first of the two moments that have to be waited for.
pub(super) fn settle_content(
    host: &Host,
    name: &Name,
    volume: &OpenVolume,
    text: &str,
    survives: Survives,
) -> Result<(), Error> {
    let directory = host.layout.directory(name);
    store::replace_fleeting(&directory.join(PARTIAL), text.as_bytes())?;
    if survives == Survives::Kill {
        return Ok(());
    }
    volume.sync_with(&directory).map_err(Error::io("make durable", &directory))
}

/// The last step: from here on it is a container. When it fails, it is none. The mark, which says what the configuration
/// is to say, becomes the configuration, so that no instant has both.
pub(super) fn complete(host: &Host, name: &Name, survives: Survives) -> Result<(), Error> {
    let directory = host.layout.directory(name);
    let (mark, config) = (directory.join(PARTIAL), host.layout.config(name));
    failpoint::pass("container.complete")
        .and_then(|()| fs::rename(&mark, &config))
        .map_err(Error::io("write", &config))?;
    if survives == Survives::Kill {
        return Ok(());
    }
    // In place, and perhaps not durable: that is not complete.
    store::sync_directory(&directory).inspect_err(|_| drop(fs::rename(&config, &mark)))
}

#[cfg(test)]
mod tests {
    use super::{is_said, plain};

    #[test]
    fn a_text_of_a_templates_loses_its_quotes_and_nothing_else_does() {
        assert_eq!(plain("arch", "\"a \\\"b\"").unwrap(), "a \"b");
        assert_eq!(plain("init.command", "[\"/bin/sh\"]").unwrap(), "[\"/bin/sh\"]");
        assert!(plain("arch", "x y").unwrap_err().to_string().contains("no value of TOML"));
    }

    #[test]
    fn what_the_user_said_is_not_the_templates_to_set() {
        let set = [("init.command".to_string(), String::new()), ("stop".to_string(), String::new())];
        assert!(is_said(&set, "init.command") && is_said(&set, "stop.halt"));
        assert!(!is_said(&set, "init.commands") && !is_said(&set, "init.stub") && !is_said(&set, "init"));
    }
}

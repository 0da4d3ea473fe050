#![forbid(unsafe_code)]
//! Making a container: complete or absent.
//!
//! Everything that can be found wrong is found before anything is made. Then, in an order that a
//! kill can interrupt anywhere: record, directory and mark, ids, volume, content, settings; and last
//! `container.toml`, whose rename is what makes it a container.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::again::Kept;
use super::assemble::{Assembled, Supplies};
use super::downloads::{self, Downloads};
use super::given::Named;
use super::images::{self, Image};
use super::journal::{self, Intent, Operation, Survives};
use super::layout::PARTIAL;
use super::options;
use super::volume::{self, OpenVolume};
use super::{
    Error, Host, assemble, dependents, ids, leftover, lookup, packages, plugins, render, serials, store,
    vouch,
};
use crate::config::rootfs::TemplateRecord;
use crate::config::{Container, Name, edit, system, toml, write};
use crate::plugin::storage::{Access, Storage as _};
use crate::plugin::template::types::{
    ArchiveRole, Assembly, Candidate, Finished, Manifest, Member, Moment, Request,
};
use crate::plugin::template::{Template as _, digest_of};
use crate::plugin::{FailureKind, PluginError, StoragePlugin, TemplatePlugin};
use crate::sys::failpoint;

/// What to make.
#[derive(Debug, Clone)]
pub struct CreateRequest {
    pub name: Name,
    /// Template plugin, with or without the word `template-` before it.
    pub template: String,
    /// Storage plugin, in the same way; `None`: what the configuration says.
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
    /// Also an image that is older than one there was.
    pub allow_older: bool,
    /// What stood behind `--`.
    pub options: Vec<String>,
}

/// What a template knows the configuration of a layered image by.
const CONFIG: &str = "config";
/// The most images that are listed.
const MOST_CANDIDATES: u32 = 10_000;

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
    notes.extend(prospect.why.clone());
    // What a crash may take anyhow is not worth waiting for the disk.
    let survives = if prospect.container.ephemeral { Survives::Kill } else { Survives::PowerLoss };
    let intent = Intent::Create { name: name.clone(), storage: prospect.container.rootfs.storage.clone() };
    let work = Work { host, request, prospect, members, survives };
    let created = journal::perform(host, &intent, survives, |operation| work.run(operation, notes))?;
    work.prospect.remember(host)?;
    tracing::info!(%name, path = %host.layout.path.display(), template = created.template.name, "created");
    Ok(created)
}

/// What a container would be made of: everything that can be found out before anything of it is made.
pub(super) struct Prospect {
    template: TemplatePlugin,
    answers: options::Answers,
    downloads: Option<Downloads>,
    asked: Request,
    pub(super) manifest: Manifest,
    /// Where the manifest comes from.
    pub(super) server: String,
    container: Container,
    storage: StoragePlugin,
    /// Why this storage, where we chose.
    pub(super) why: Option<String>,
    /// What the volume can be a clone of; nobody removes it meanwhile.
    pub(super) image: Option<Image>,
}

impl Prospect {
    /// Asks the template, and makes the image if there is to be one.
    pub(super) fn of(host: &Host, request: &CreateRequest) -> Result<Self, Error> {
        let mut container = configuration(host, request)?;
        let chosen = plugins::choose(host, &container.rootfs.storage)?;
        container.rootfs.storage = chosen.name;
        let mut template = plugins::load_template(host, &request.template)?;
        let parameters = template.options()?;
        let mut answers = options::parse(template.identity(), &parameters, &request.options)?;
        options::complete(&mut answers, &parameters, template.declared_inputs());
        let downloads = downloads::connect(host, &mut template, &mut answers)?;
        let server = server_of(&template, &answers);
        let policy = vouch::connect(host, &mut template, &server)?;
        template.read_through(Arc::new(Named { given: answers.given.clone(), cancel: host.cancel }));
        let asked = Request {
            container: request.name.to_string(),
            architecture: rustix::system::uname().machine().to_string_lossy().into_owned(),
            privileged: container.privileged,
            answers: answers.shown.clone(),
        };
        let manifest = template.resolve(&asked).map_err(|error| about_options(error, request))?;
        // Not the whole of it: a header may be a password.
        tracing::debug!(name = %request.name, product = manifest.product, serial = manifest.serial, "resolved");
        assemble::check(&template, &manifest)?;
        policy.check(&manifest)?;
        serials::check(host, &template.identity().name, &server, &manifest, request.allow_older)?;
        let storage = plugins::load_storage_set(host, &container.rootfs.storage, &request.storage_set)?;
        let room = storage.open()?;
        assemble::check_room(host, &room, &manifest, &answers)?;
        let image = match is_like_an_image(&storage, request)? {
            true => {
                let supplies = Supplies { answers: &answers, downloads: downloads.as_ref() };
                images::prepare(host, &storage, &container, &template.identity().name, &manifest, supplies)?
            }
            false => None,
        };
        let why = chosen.why;
        Ok(Self { template, answers, downloads, asked, manifest, server, container, storage, why, image })
    }

    pub(super) fn template_name(&self) -> &str {
        &self.template.identity().name
    }

    /// What the template calls it, with its build.
    pub(super) fn product(&self) -> String {
        let product = [self.manifest.product.as_str(), &self.manifest.serial].join("/");
        product.trim_end_matches('/').to_owned()
    }

    /// Whether something of it stays when no container is made: an image, or what a server has.
    pub(super) fn is_kept(&self) -> bool {
        self.image.is_some()
            || self.downloads.is_some()
                && matches!(
                    self.manifest.assembly,
                    Assembly::Archives(_) | Assembly::Layers(_) | Assembly::Packages(_)
                )
    }

    /// Has everything here that a server has.
    pub(super) fn download(&self, host: &Host) -> Result<(), Error> {
        match (&self.manifest.assembly, &self.downloads) {
            (Assembly::Archives(archives), Some(downloads)) => downloads.all(archives, self.image.is_none()),
            (Assembly::Layers(layers), Some(downloads)) => downloads.all_layers(layers, self.image.is_none()),
            (Assembly::Packages(all), downloads) if self.image.is_none() => {
                let supplies = Supplies { answers: &self.answers, downloads: downloads.as_ref() };
                packages::obtain(host, all, supplies)
            }
            _ => Ok(()),
        }
    }

    fn members(&self, host: &Host) -> Result<Vec<Member>, Error> {
        let supplies = Supplies { answers: &self.answers, downloads: self.downloads.as_ref() };
        match (&self.manifest.assembly, &self.downloads) {
            (Assembly::Archives(archives), Some(downloads)) => downloads.members(archives),
            (Assembly::Layers(layers), _) => {
                let content = assemble::layers_config(host, layers, supplies)?;
                Ok(vec![Member { name: CONFIG.into(), content }])
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// Whether the volume can be a clone of what others are made from: it has no settings of its own, and no size
/// that the image's would have to be brought to.
fn is_like_an_image(storage: &StoragePlugin, request: &CreateRequest) -> Result<bool, Error> {
    let sized = request.size.is_some() && storage.abilities().sizes && storage.size_traits()?.always;
    Ok(request.storage_set.is_empty() && !sized)
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
        let Prospect { template, answers, asked, manifest, storage, .. } = prospect;
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
        render::render(&container, target, answers, std::mem::take(&mut finished.files))?;
        if !finished.again.is_empty() {
            let moments = std::mem::take(&mut finished.again);
            let kept = Kept::new(template, moments, asked, manifest, &self.members)?;
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

/// The configuration to start from, checked as a whole.
fn configuration(host: &Host, request: &CreateRequest) -> Result<Container, Error> {
    let default = host.defaults.join("default.toml");
    let (path, mut text) = match &request.config {
        Some(path) => (path.clone(), fs::read_to_string(path).map_err(Error::io("read", path))?),
        None => {
            // Checks it as what it is; its text is what counts.
            system::new_container(&host.defaults)?;
            let text = fs::read_to_string(&default).unwrap_or_default();
            (if text.is_empty() { host.layout.config(&request.name) } else { default }, text)
        }
    };
    for (key, value) in &request.set {
        text = edit::set(&text, &path, key, value)?;
    }
    let mut container = toml::parse(&text, &path)?;
    container.privileged |= request.privileged;
    container.ephemeral |= request.ephemeral;
    // What a command line says, then what a file or -s says, also when that is the default, then the administrator.
    if let Some(storage) = &request.storage {
        container.rootfs.storage.clone_from(storage);
    } else if let Some(storage) = &host.settings.storage
        && !edit::get(&text, &path, "rootfs.storage")?.set
    {
        container.rootfs.storage.clone_from(storage);
    }
    Ok(container)
}

/// Says where the options of a template go, when it says that something is missing.
fn about_options(error: PluginError, request: &CreateRequest) -> Error {
    if error.failure() != Some(FailureKind::Invalid) {
        return error.into();
    }
    let template = &request.template;
    Error::Invalid {
        message: error.to_string(),
        hint: format!(
            "the options of a template go behind --, as in: wxc create {} -t {template} -- --OPTION VALUE \
             (list them: wxc create -t {template} --help-template)",
            request.name
        ),
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
    let mut text = write::fresh(container, name).map_err(|error| Error::Invalid {
        message: format!("this configuration cannot be written: {error}"),
        hint: "use paths that are UTF-8".into(),
    })?;
    for setting in &finished.settings {
        if !assemble::is_allowed(&setting.name) {
            return Err(Error::Invalid {
                message: format!("the template wants to set {}, which no template may", setting.name),
                hint: "use another image, or set it yourself with -s after you have looked at it".into(),
            });
        }
        text = edit::set(&text, &path, &setting.name, &plain(&setting.name, &setting.value)?)?;
    }
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

/// What `container.toml` remembers of where it came from.
fn record(prospect: &Prospect) -> TemplateRecord {
    let Prospect { template, manifest, server, .. } = prospect;
    let identity = template.identity();
    TemplateRecord {
        name: identity.name.clone(),
        version: identity.version.clone(),
        image: [manifest.product.as_str(), &manifest.serial].join("/").trim_end_matches('/').to_owned(),
        digest: root_digest(manifest),
        server: server.clone(),
        signer: manifest.signer.clone().unwrap_or_default(),
        created: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    }
}

/// The digest of the archive that the root is in, where it is known.
fn root_digest(manifest: &Manifest) -> String {
    let blob = match &manifest.assembly {
        Assembly::Archives(archives) => {
            archives.parts.iter().find(|part| part.role != ArchiveRole::Metadata).map(|part| &part.blob)
        }
        // The configuration names all layers by their digests: its own is what identifies the image.
        Assembly::Layers(layers) => layers.config.as_ref(),
        _ => None,
    };
    let digest = blob.and_then(|blob| digest_of(blob.digest.as_ref()?));
    digest.map_or_else(String::new, |digest| digest.to_string())
}

/// The server that the user or else the template names, for telling images of different ones apart.
fn server_of(template: &TemplatePlugin, answers: &options::Answers) -> String {
    let declared = template.declared_servers();
    let named = declared.and_then(|servers| {
        answers.shown.iter().find(|answer| servers.from_parameters.contains(&answer.name))
    });
    let first = declared.and_then(|servers| servers.origins.first());
    named.map(|answer| answer.value.clone()).or_else(|| first.cloned()).unwrap_or_default()
}

/// The options of a template.
///
/// # Errors
/// There is no such template.
pub fn template_options(host: &Host, template: &str) -> Result<Vec<options::Parameter>, Error> {
    Ok(plugins::load_template(host, template)?.options()?)
}

/// What a template has, as far as it fits what is said.
///
/// # Errors
/// There is no such template, it has no such option, or its server does not answer.
pub fn search(
    host: &Host,
    template: &str,
    words: &[String],
    privileged: bool,
) -> Result<Vec<Candidate>, Error> {
    let mut template = plugins::load_template(host, template)?;
    let servers =
        template.declared_servers().map_or_else(Vec::new, |servers| servers.from_parameters.clone());
    let mut answers = options::parse_filters(template.identity(), &template.options()?, &servers, words)?;
    downloads::connect(host, &mut template, &mut answers)?;
    let server = server_of(&template, &answers);
    vouch::connect(host, &mut template, &server)?;
    let request = Request {
        container: String::new(),
        architecture: rustix::system::uname().machine().to_string_lossy().into_owned(),
        privileged,
        answers: answers.shown,
    };
    Ok(template.search(&request, MOST_CANDIDATES)?)
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

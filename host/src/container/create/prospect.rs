#![forbid(unsafe_code)]
//! What a container would be made of: everything that can be found out, and found wrong, before anything of it is made.

use std::fs;
use std::sync::Arc;

use super::super::assemble::{self, Supplies};
use super::super::downloads::{self, Downloads};
use super::super::given::Named;
use super::super::images::{self, Image, Record, Wanted};
use super::super::{Error, Host, options, packages, pin, plugins, serials, vouch};
use super::{Basis, CreateRequest};
use crate::config::rootfs::TemplateRecord;
use crate::config::{Container, edit, system, toml};
use crate::plugin::storage::Storage as _;
use crate::plugin::template::types::{ArchiveRole, Assembly, Manifest, Member, Request};
use crate::plugin::template::{Template as _, digest_of};
use crate::plugin::{FailureKind, PluginError, StoragePlugin, TemplatePlugin};

/// What a container would be made of: everything that can be found out before anything of it is made.
pub(in crate::container) struct Prospect {
    pub(super) template: TemplatePlugin,
    pub(super) answers: options::Answers,
    pub(super) downloads: Option<Downloads>,
    pub(super) asked: Request,
    pub(in crate::container) manifest: Manifest,
    /// Where the manifest comes from.
    pub(in crate::container) server: String,
    pub(super) container: Container,
    pub(super) storage: StoragePlugin,
    /// What a person should know: why this storage, that the image is out of date.
    pub(in crate::container) notes: Vec<String>,
    /// What the volume can be a clone of; nobody removes it meanwhile.
    pub(in crate::container) image: Option<Image>,
    /// Its metadata, where no server has to be asked for them.
    pub(super) members: Option<Vec<Member>>,
}

impl Prospect {
    /// Asks the template, and makes the image if there is to be one.
    pub(in crate::container) fn of(host: &Host, request: &CreateRequest) -> Result<Self, Error> {
        match &request.basis {
            Basis::Template { name, options } => Self::of_template(host, request, name, options),
            Basis::Image(word) => Self::of_image(host, request, word),
        }
    }

    fn of_template(
        host: &Host,
        request: &CreateRequest,
        template: &str,
        options: &[String],
    ) -> Result<Self, Error> {
        let mut container = configuration(host, request)?;
        let chosen = plugins::choose(host, &container.rootfs.storage)?;
        container.rootfs.storage = chosen.name;
        let mut template = plugins::load_template(host, template)?;
        let parameters = template.options()?;
        let mut answers = options::parse(template.identity(), &parameters, options)?;
        options::complete(&mut answers, &parameters, template.declared_inputs());
        let downloads = downloads::connect(host, &mut template, &mut answers, request.fresh)?;
        let server = server_of(&template, &answers);
        let vouching = vouch::connect(host, &mut template, &server)?;
        template.read_through(Arc::new(Named { given: answers.given.clone(), cancel: host.cancel }));
        let asked = Request {
            container: request.name.to_string(),
            architecture: machine(),
            privileged: container.privileged,
            answers: answers.shown.clone(),
        };
        let mut manifest = template.resolve(&asked).map_err(|error| match host.check_cancelled() {
            // What it was told of that is no mistake of anybody's.
            Err(cancelled) => cancelled,
            Ok(()) => about_options(error, request),
        })?;
        // Not the whole of it: a header may be a password.
        tracing::debug!(name = %request.name, product = manifest.product, serial = manifest.serial, "resolved");
        assemble::check(&template, &manifest)?;
        vouching.check(&manifest)?;
        serials::check(host, &template.identity().name, &server, &manifest, request.allow_older)?;
        let signed = template.declared_servers().is_some_and(|servers| servers.signed);
        let mut notes: Vec<String> = chosen.why.into_iter().collect();
        let dated = (manifest.product.as_str(), manifest.expires);
        notes.extend(vouch::out_of_date(host, signed, &server, dated, request.allow_older)?);
        let storage = plugins::load_storage_set(host, &container.rootfs.storage, &request.storage_set)?;
        let room = storage.open()?;
        assemble::check_room(host, &room, &manifest, &answers)?;
        let clones = is_like_an_image(&storage, request)? && images::is_possible(&storage, &container)?;
        if let Some(downloads) = &downloads {
            let fresh = request.fresh || is_flushed(&answers);
            let remembered = pin::Remembered { blobs: !fresh, images: !fresh && clones };
            notes.extend(pin::pin(host, downloads, &vouching, remembered, &mut manifest)?);
        }
        let image = match clones {
            true => {
                let supplies = Supplies { answers: &answers, downloads: downloads.as_ref() };
                let (template, server, asked, manifest) = (&template, server.as_str(), &asked, &manifest);
                let wanted = Wanted { template, server, asked, manifest, supplies };
                images::prepare(host, &storage, &container, wanted)?
            }
            false => None,
        };
        let members = None;
        Ok(Self {
            template,
            answers,
            downloads,
            asked,
            manifest,
            server,
            container,
            storage,
            notes,
            image,
            members,
        })
    }

    /// Of an image that is here: nothing is asked for, and nothing of it is looked up.
    fn of_image(host: &Host, request: &CreateRequest, word: &str) -> Result<Self, Error> {
        let mut container = configuration(host, request)?;
        let (image, kept) = images::hold(host, word)?;
        check_like(&image.record, request, &container)?;
        container.rootfs.storage.clone_from(&image.record.storage);
        let template = plugins::load_template(host, &kept.template)?;
        let storage = plugins::load_storage(host, &container.rootfs.storage)?;
        storage.open()?;
        // What its metadata said when it was unpacked, too.
        let expires = kept.manifest.expires.or(image.record.expires);
        let dated = (kept.manifest.product.as_str(), expires);
        let notes = vouch::out_of_date(host, false, &kept.server, dated, request.allow_older)?;
        let asked = Request {
            container: request.name.to_string(),
            architecture: machine(),
            privileged: container.privileged,
            ..kept.request
        };
        Ok(Self {
            template,
            answers: options::Answers::default(),
            downloads: None,
            asked,
            manifest: kept.manifest,
            server: kept.server,
            container,
            storage,
            notes: notes.into_iter().collect(),
            image: Some(image),
            members: Some(kept.members),
        })
    }

    pub(super) fn members(&self, host: &Host) -> Result<Vec<Member>, Error> {
        match &self.members {
            Some(members) => Ok(members.clone()),
            None => {
                let supplies = Supplies { answers: &self.answers, downloads: self.downloads.as_ref() };
                assemble::members(host, &self.manifest, supplies)
            }
        }
    }

    pub(in crate::container) fn template_name(&self) -> &str {
        &self.template.identity().name
    }

    pub(in crate::container) fn storage_name(&self) -> &str {
        &self.container.rootfs.storage
    }

    /// What the template calls it, with its build.
    pub(in crate::container) fn product(&self) -> String {
        let product = [self.manifest.product.as_str(), &self.manifest.serial].join("/");
        product.trim_end_matches('/').to_owned()
    }

    /// Whether something of it stays when no container is made: an image, or what a server has.
    pub(in crate::container) fn is_kept(&self) -> bool {
        self.image.is_some()
            || self.downloads.is_some()
                && matches!(
                    self.manifest.assembly,
                    Assembly::Archives(_) | Assembly::Layers(_) | Assembly::Packages(_)
                )
    }

    /// Has everything here that a server has.
    pub(in crate::container) fn download(&self, host: &Host) -> Result<(), Error> {
        match (&self.manifest.assembly, &self.downloads) {
            (Assembly::Archives(archives), Some(downloads)) => downloads.all(archives, self.image.is_none()),
            (Assembly::Layers(layers), downloads) if self.image.is_none() => {
                let supplies = Supplies { answers: &self.answers, downloads: downloads.as_ref() };
                assemble::obtain_layers(host, layers, supplies)?;
                assemble::members(host, &self.manifest, supplies).map(drop)
            }
            (Assembly::Packages(all), downloads) if self.image.is_none() => {
                let supplies = Supplies { answers: &self.answers, downloads: downloads.as_ref() };
                packages::obtain(host, all, supplies)
            }
            _ => Ok(()),
        }
    }
}

/// Whether the user wants what the server has now, in LXC's word for it: a template asks for its lists anew then, and what is remembered
/// of downloads counts no more than they do.
fn is_flushed(answers: &options::Answers) -> bool {
    answers.shown.iter().any(|answer| answer.name == "flush-cache" && answer.value == "true")
}

/// Whether the volume can be a clone of what others are made from: it has no settings of its own, and no size
/// that the image's would have to be brought to.
fn is_like_an_image(storage: &StoragePlugin, request: &CreateRequest) -> Result<bool, Error> {
    let sized = request.size.is_some() && storage.abilities().sizes && storage.size_traits()?.always;
    Ok(request.storage_set.is_empty() && !sized)
}

/// Refuses what an image cannot be made into.
fn check_like(image: &Record, request: &CreateRequest, container: &Container) -> Result<(), Error> {
    let refuse = |why: String, hint: String| Err(Error::Invalid { message: why, hint });
    let short = images::short(&image.key);
    if let Some(other) = request.storage.as_ref().filter(|other| {
        other.as_str() != plugins::BEST
            && plugins::prefixed("storage", other) != plugins::prefixed("storage", &image.storage)
    }) {
        return refuse(
            format!("image {short} is on {}, and its containers cannot be on {other}", image.storage),
            format!("leave the storage away, or pull the image for it: wxc image pull -B {other} ..."),
        );
    }
    if !request.storage_set.is_empty() || request.size.is_some() {
        return refuse(
            format!("a container of image {short} is a clone of it: it has no size or settings of its own"),
            "change its size afterwards (wxc resize), or name the template instead of the image".into(),
        );
    }
    match (image.privileged, container.privileged) {
        (true, false) => refuse(
            format!("image {short} is for containers with root privileges of the host's: it has devices"),
            "say --privileged, or pull it again without".into(),
        ),
        (false, true) => refuse(
            format!(
                "image {short} is for containers without root privileges of the host's: it has no devices"
            ),
            "pull it for the others: wxc image pull --privileged ...".into(),
        ),
        _ => Ok(()),
    }
}

/// This machine's architecture, in the kernel's word.
pub(in crate::container) fn machine() -> String {
    rustix::system::uname().machine().to_string_lossy().into_owned()
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
    let Basis::Template { name: template, .. } = &request.basis else { return error.into() };
    Error::Invalid {
        message: error.to_string(),
        hint: format!(
            "the options of a template go behind --, as in: wxc create {} -t {template} -- --OPTION VALUE \
             (list them: wxc create -t {template} --help-template)",
            request.name
        ),
    }
}
/// The server that the user or else the template names, for telling images of different ones apart.
pub(in crate::container) fn server_of(template: &TemplatePlugin, answers: &options::Answers) -> String {
    let declared = template.declared_servers();
    // The first parameter is the one that says whose images they are.
    let named = declared.and_then(|servers| {
        let said = |name: &String| answers.shown.iter().find(|answer| answer.name == *name);
        servers.from_parameters.iter().find_map(said)
    });
    let first = declared.and_then(|servers| servers.origins.first());
    named.map(|answer| answer.value.clone()).or_else(|| first.cloned()).unwrap_or_default()
}

/// What `container.toml` remembers of where it came from.
pub(super) fn record(prospect: &Prospect) -> TemplateRecord {
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

#![forbid(unsafe_code)]
//! Template plugins in plain Rust.
//!
//! The records of the contract are plain data and are used as they are ([`types`]); a manifest and what
//! belongs to it can be kept as JSON, because `finish` may be asked again at a later moment. What a
//! template returns is checked here against the contract and its own manifest. What only the host's other
//! rooms can judge is theirs: which settings a template may set, and where a digest is required.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use wasmtime::Store;
use wasmtime::component::Instance;

use super::bindings::host::wxc::host::types::Error as WitError;
use super::bindings::template::Template as World;
use super::call::Ready;
use super::error::{Identity, PluginError};
use super::host::place::parts;
use super::host::{Fetcher, Inputs, Scope, State, Verifier};
use super::manifest::{self, is_name};
use super::record::{Grounds, Recorded, Records};
use crate::config::system::Keep;
use crate::fetch::{self, Reach};

/// The records of `wxc:template`, as `wit/template/types.wit` describes them.
pub mod types {
    pub use crate::plugin::bindings::host::wxc::host::types::{Digest, DigestAlgorithm, Pair};
    pub use crate::plugin::bindings::template::wxc::template::types::*;
}

use types::{
    ArchiveRole, Archives, Assembly, Blob, BootstrapBase, Candidate, Digest, DigestAlgorithm, Finished,
    Given, Manifest, Member, Moment, Node, Origin, Packages, Pair, Parameter, ParameterKind, Rendered,
    Request, Signature,
};

/// A source of root file systems.
pub trait Template {
    /// Name and version, for messages.
    fn identity(&self) -> &Identity;
    /// What the user can say; the same every time.
    fn options(&self) -> Result<Vec<Parameter>, PluginError>;
    /// Images that match, best first, at most `limit`.
    fn search(&self, request: &Request, limit: u32) -> Result<Vec<Candidate>, PluginError>;
    /// Chooses one image and says how to assemble it.
    fn resolve(&self, request: &Request) -> Result<Manifest, PluginError>;
    /// Turns metadata into settings and files. Pure.
    fn finish(
        &self,
        moment: Moment,
        request: &Request,
        manifest: &Manifest,
        members: &[Member],
    ) -> Result<Finished, PluginError>;
}

/// A template plugin.
#[derive(Debug)]
pub struct TemplatePlugin {
    pub(super) ready: Ready,
    pub(super) state: Option<PathBuf>,
    pub(super) settings: super::Settings,
    pub(super) host_directories: Arc<[String]>,
    pub(super) fetcher: Option<Arc<Fetcher>>,
    pub(super) verifier: Option<Arc<Verifier>>,
    pub(super) inputs: Option<Arc<dyn Inputs>>,
    pub(super) records: Records,
    pub(super) progress: super::Watcher,
}

const MOST_PARAMETERS: usize = 64;
const MOST_FILES: usize = 1000;
const MOST_LAYERS: usize = 128;
const MOST_URLS: usize = 16;
const LONGEST_SIGNATURE: usize = 64 << 10;
const MOST_PACKAGES: usize = 5000;
const MOST_PROGRAMS: usize = 16;

impl Template for TemplatePlugin {
    fn identity(&self) -> &Identity {
        &self.ready.identity
    }

    fn options(&self) -> Result<Vec<Parameter>, PluginError> {
        self.call(
            "template.options",
            false,
            &(),
            |store, instance| {
                World::new(&mut *store, instance)?.wxc_template_template().call_options(&mut *store).map(Ok)
            },
            |options: &Vec<Parameter>| check_parameters(options),
        )
    }

    fn search(&self, request: &Request, limit: u32) -> Result<Vec<Candidate>, PluginError> {
        self.call(
            "template.search",
            false,
            &(request, limit),
            |store, instance| {
                World::new(&mut *store, instance)?.wxc_template_template().call_search(
                    &mut *store,
                    request,
                    limit,
                )
            },
            |found: &Vec<Candidate>| check_candidates(found, limit),
        )
    }

    fn resolve(&self, request: &Request) -> Result<Manifest, PluginError> {
        self.call(
            "template.resolve",
            false,
            &(request,),
            |store, instance| {
                World::new(&mut *store, instance)?.wxc_template_template().call_resolve(&mut *store, request)
            },
            |manifest| self.check_manifest(manifest),
        )
    }

    fn finish(
        &self,
        moment: Moment,
        request: &Request,
        manifest: &Manifest,
        members: &[Member],
    ) -> Result<Finished, PluginError> {
        self.call(
            "template.finish",
            true,
            &(moment, request, manifest, members),
            |store, instance| {
                let world = World::new(&mut *store, instance)?;
                world.wxc_template_template().call_finish(&mut *store, moment, request, manifest, members)
            },
            check_finished,
        )
    }
}

impl TemplatePlugin {
    /// The servers that its manifest declares.
    #[must_use]
    pub fn declared_servers(&self) -> Option<&manifest::Fetch> {
        self.ready.manifest.fetch.as_ref()
    }

    /// From now on its calls may ask these servers, and its manifests name them.
    pub fn reach_through(&mut self, fetcher: Fetcher) {
        self.fetcher = Some(Arc::new(fetcher));
    }

    /// From now on its calls may read small pieces of what the user named.
    pub fn read_through(&mut self, inputs: Arc<dyn Inputs>) {
        self.inputs = Some(inputs);
    }

    /// The files of the host that its parameters mean unless told.
    #[must_use]
    pub fn declared_inputs(&self) -> &BTreeMap<String, manifest::Input> {
        &self.ready.manifest.inputs
    }

    /// The key rings that its manifest declares.
    #[must_use]
    pub fn declared_keyrings(&self) -> &[String] {
        self.ready.manifest.trust.as_ref().map_or(&[], |trust| &trust.keyrings)
    }

    /// From now on its calls may have signatures checked.
    pub fn trust_through(&mut self, verifier: Arc<Verifier>) {
        self.verifier = Some(verifier);
    }

    fn reach(&self) -> Option<&Reach> {
        self.fetcher.as_deref().map(|fetcher| &fetcher.reach)
    }

    fn grounds(&self) -> Grounds {
        let servers = self.reach().map(|reach| reach.servers().iter().map(ToString::to_string).collect());
        let signers = self.verifier.as_ref().map(|verifier| verifier.seen());
        Grounds {
            servers: servers.unwrap_or_default(),
            signers: signers.unwrap_or_default(),
            ..Grounds::default()
        }
    }

    /// From now on its calls are kept in this directory: those that failed, or all.
    pub fn record(&mut self, keep: Keep, directory: PathBuf) {
        self.records = Records::in_directory(keep, directory);
    }

    /// One call; `check` says what the contract does not allow of its answer.
    fn call<R: Serialize>(
        &self,
        name: &'static str,
        pure: bool,
        arguments: &impl Serialize,
        body: impl FnOnce(&mut Store<State>, &Instance) -> wasmtime::Result<Result<R, WitError>>,
        check: impl FnOnce(&R) -> Result<(), String>,
    ) -> Result<R, PluginError> {
        let about = Recorded { call: name, budget: None, arguments, grounds: &|| self.grounds() };
        let said = |line: &str| self.progress.0.said(&self.ready.identity.name, line);
        self.records.run(&self.ready, &about, self.scope(pure), &said, |scope| {
            let answer = self.ready.call(name, scope, &self.progress.0, body)?;
            check(&answer).map_err(|why| self.ready.broken(name, why))?;
            Ok(answer)
        })
    }

    fn scope(&self, pure: bool) -> Scope {
        Scope {
            settings: Arc::clone(&self.settings.0),
            store: if pure { None } else { self.state.clone() },
            host_directories: Arc::clone(&self.host_directories),
            // What a server says may be otherwise the next time.
            fetcher: if pure { None } else { self.fetcher.clone() },
            inputs: if pure { None } else { self.inputs.clone() },
            verifier: if pure { None } else { self.verifier.clone() },
            ..Scope::default()
        }
    }

    fn check_manifest(&self, manifest: &Manifest) -> Result<(), String> {
        one_line([manifest.product.as_str(), &manifest.serial, &manifest.architecture])?;
        let seen = |signer: &String| self.verifier.as_ref().is_some_and(|known| known.has_seen(None, signer));
        if let Some(signer) = manifest.signer.as_ref().filter(|signer| !seen(signer)) {
            return Err(format!("it names {signer:?} as who vouches for it, whose signature nobody checked"));
        }
        match &manifest.assembly {
            Assembly::Empty => Ok(()),
            Assembly::Tree(given) => check_given(given),
            Assembly::Archives(archives) => self.check_archives(archives),
            Assembly::Layers(layers) => {
                if layers.stack.is_empty() || layers.stack.len() > MOST_LAYERS {
                    return Err(format!("an image has 1 to {MOST_LAYERS} layers"));
                }
                layers
                    .stack
                    .iter()
                    .try_for_each(|l| self.check_blob(&l.blob).and(check_digest(&l.diff_id)))?;
                layers.config.as_ref().map_or(Ok(()), |blob| self.check_blob(blob))
            }
            Assembly::Packages(packages) => self.check_packages(packages),
            Assembly::Bootstrap(bootstrap) => {
                let Some(declared) = &self.ready.manifest.bootstrap else {
                    return Err("its manifest has no [bootstrap]".into());
                };
                let program = bootstrap.argv.first().map_or("", String::as_str);
                if !declared.programs.iter().any(|p| p == program) {
                    return Err(format!("its manifest does not declare the program {program:?}"));
                }
                if bootstrap.network && !declared.network {
                    return Err("its manifest does not declare the network".into());
                }
                match &bootstrap.base {
                    BootstrapBase::HostSystem(host) => self.check_host_directories(&host.directories),
                    BootstrapBase::Archives(archives) => self.check_archives(archives),
                }
            }
            Assembly::HostSystem(host) => self.check_host_directories(&host.directories),
        }
    }

    fn check_packages(&self, packages: &Packages) -> Result<(), String> {
        let Some(declared) = &self.ready.manifest.bootstrap else {
            return Err("its manifest has no [bootstrap]".into());
        };
        if packages.stack.len() > MOST_PACKAGES || packages.install.len() > MOST_PROGRAMS {
            return Err(format!("more than {MOST_PACKAGES} packages, or {MOST_PROGRAMS} programs"));
        }
        if packages.first.len() > MOST_FILES {
            return Err(format!("more than {MOST_FILES} files to render"));
        }
        packages.first.iter().try_for_each(check_rendered)?;
        for package in &packages.stack {
            if !is_file_name(&package.name) {
                return Err(format!("{:?} is no name of a package's file", package.name));
            }
            if package.blob.digest.is_none() {
                return Err(format!("{} has no digest", package.name));
            }
            self.check_blob(&package.blob)?;
        }
        one_line(packages.environment.iter().flat_map(|pair| [pair.name.as_str(), &pair.value]))?;
        for argv in &packages.install {
            let program = argv.first().map_or("", String::as_str);
            if !declared.programs.iter().any(|known| known == program) {
                return Err(format!("its manifest does not declare the program {program:?}"));
            }
            if argv.iter().any(|word| word.contains('\0')) {
                return Err("an argument holds a zero byte".into());
            }
        }
        Ok(())
    }

    fn check_host_directories(&self, directories: &[String]) -> Result<(), String> {
        match directories.iter().find(|d| !self.host_directories.contains(d)) {
            Some(other) => Err(format!("its manifest does not declare the host's directory {other:?}")),
            None => Ok(()),
        }
    }

    fn check_archives(&self, archives: &Archives) -> Result<(), String> {
        let roots = archives.parts.iter().filter(|a| a.role != ArchiveRole::Metadata).count();
        if roots != 1 || archives.parts.len() > MOST_LAYERS {
            return Err("exactly one archive is the root file system".into());
        }
        for archive in &archives.parts {
            self.check_blob(&archive.blob)?;
            parts(archive.prefix.trim_end_matches('/')).map_err(|e| e.message)?;
        }
        for member in &archives.members {
            parts(member.trim_end_matches('/')).map_err(|e| e.message)?;
        }
        archives.combined_digest.as_ref().map_or(Ok(()), check_digest)
    }

    fn check_blob(&self, blob: &Blob) -> Result<(), String> {
        if let Some(digest) = &blob.digest {
            check_digest(digest)?;
        }
        if let Some(Signature { keyring, content }) = &blob.signature {
            if !self.declared_keyrings().contains(keyring) {
                return Err(format!("its manifest declares no key ring {keyring:?}"));
            }
            if content.len() > LONGEST_SIGNATURE {
                return Err(format!("a signature longer than {LONGEST_SIGNATURE} bytes"));
            }
        }
        match &blob.origin {
            Origin::Given(given) => check_given(given),
            Origin::Remote(remote) => {
                let none = || "a download, and its manifest declares no server".to_string();
                let reach = self.reach().ok_or_else(none)?;
                if remote.urls.is_empty() || remote.urls.len() > MOST_URLS {
                    return Err(format!("a download has 1 to {MOST_URLS} addresses"));
                }
                one_line(remote.headers.iter().flat_map(|p| [p.name.as_str(), &p.value]))?;
                let check =
                    |url: &String| reach.check(url).map(drop).map_err(|why| format!("{url:?}: {why}"));
                remote.urls.iter().try_for_each(check)
            }
        }
    }
}

/// The name of a package's file, which cannot lead anywhere and looks like no option.
fn is_file_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._+~%:-".contains(&b);
    name.len() <= 255
        && name.bytes().all(good)
        && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

fn check_parameters(parameters: &[Parameter]) -> Result<(), String> {
    let names: BTreeSet<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
    if parameters.len() > MOST_PARAMETERS || names.len() != parameters.len() {
        return Err(format!("more than {MOST_PARAMETERS} parameters, or one twice"));
    }
    for parameter in parameters {
        if !is_name(&parameter.name) {
            return Err(format!("{:?} is not the name of a parameter", parameter.name));
        }
        one_line([parameter.doc.as_str(), parameter.default.as_deref().unwrap_or("")])?;
        // It would be a file of the host's that nobody has named.
        if matches!(parameter.kind, ParameterKind::File | ParameterKind::Directory | ParameterKind::Secret)
            && parameter.default.is_some()
        {
            return Err(format!(
                "{} has a default, which a file, a directory or a secret cannot have",
                parameter.name
            ));
        }
        if let (ParameterKind::Choice(words), default) = (&parameter.kind, &parameter.default) {
            one_line(words.iter().map(String::as_str))?;
            if default.as_ref().is_some_and(|d| !words.contains(d)) {
                return Err(format!("the default of {} is none of its choices", parameter.name));
            }
        }
    }
    Ok(())
}

fn check_candidates(found: &[Candidate], limit: u32) -> Result<(), String> {
    if found.len() > limit as usize {
        return Err("more candidates than were asked for".into());
    }
    let texts = found.iter().flat_map(|c| [&c.product, &c.release, &c.architecture, &c.flavour, &c.serial]);
    one_line(texts.map(String::as_str))
}

fn check_finished(finished: &Finished) -> Result<(), String> {
    if finished.files.len() > MOST_FILES {
        return Err(format!("more than {MOST_FILES} files to render"));
    }
    // A line break in a value is how a line of one's own gets into a configuration file.
    one_line(finished.settings.iter().flat_map(|p| [p.name.as_str(), &p.value]))?;
    finished.files.iter().try_for_each(check_rendered)
}

fn check_rendered(file: &Rendered) -> Result<(), String> {
    let path = file.path.strip_prefix('/').ok_or_else(|| format!("{:?} is not absolute", file.path))?;
    if parts(path).map_err(|e| e.message)?.is_empty() {
        return Err("the root itself is not rendered".into());
    }
    // 0o6000: set-user-id and set-group-id.
    if file.permissions > 0o7777 || file.permissions & 0o6000 != 0 {
        return Err(format!("{}: permissions {:o} are not allowed", file.path, file.permissions));
    }
    match &file.node {
        Node::Symlink(target) if target.is_empty() || target.contains('\0') => {
            Err(format!("{}: a link needs a target", file.path))
        }
        Node::Given(given) => check_given(given),
        _ => Ok(()),
    }
}

fn check_given(given: &Given) -> Result<(), String> {
    if !is_name(&given.parameter) {
        return Err(format!("{:?} is not the name of a parameter", given.parameter));
    }
    parts(&given.path).map(|_| ()).map_err(|e| e.message)
}

fn check_digest(digest: &Digest) -> Result<(), String> {
    let no = || format!("{:?} is not as many hexadecimal digits as its algorithm has", digest.hex);
    digest_of(digest).map(drop).ok_or_else(no)
}

/// The digest that a plugin named, if its digits are digits.
#[must_use]
pub fn digest_of(digest: &Digest) -> Option<fetch::Digest> {
    let algorithm = match digest.algorithm {
        DigestAlgorithm::Sha256 => fetch::Algorithm::Sha256,
        DigestAlgorithm::Sha512 => fetch::Algorithm::Sha512,
    };
    fetch::Digest::new(algorithm, &digest.hex)
}

fn one_line<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    match texts.into_iter().find(|t| t.contains(char::is_control)) {
        Some(text) => Err(format!("{text:?} holds control characters")),
        None => Ok(()),
    }
}

/// What the user said, completed by defaults and checked against the parameters: what a [`Request`] carries.
///
/// # Errors
/// A sentence that names the parameter and what would fit.
pub fn answers(parameters: &[Parameter], said: &[(String, String)]) -> Result<Vec<Pair>, String> {
    let mut answers = Vec::new();
    for (name, value) in said {
        let Some(parameter) = parameters.iter().find(|p| p.name == *name) else {
            let known: Vec<String> = parameters.iter().map(|p| format!("--{}", p.name)).collect();
            return Err(format!("there is no option --{name} (there are: {})", known.join(", ")));
        };
        if !parameter.repeatable && answers.iter().any(|a: &Pair| a.name == *name) {
            return Err(format!("--{name} is given twice"));
        }
        check_answer(parameter, value)?;
        answers.push(Pair { name: name.clone(), value: value.clone() });
    }
    for parameter in parameters {
        if answers.iter().any(|a| a.name == parameter.name) {
            continue;
        }
        match &parameter.default {
            Some(value) => answers.push(Pair { name: parameter.name.clone(), value: value.clone() }),
            None if parameter.required => {
                return Err(format!("--{} is missing: {}", parameter.name, parameter.doc));
            }
            None => {}
        }
    }
    Ok(answers)
}

fn check_answer(parameter: &Parameter, value: &str) -> Result<(), String> {
    let name = &parameter.name;
    match &parameter.kind {
        _ if value.contains(char::is_control) => Err(format!("--{name}: {value:?} holds control characters")),
        ParameterKind::Integer if value.parse::<i64>().is_err() => {
            Err(format!("--{name}: {value:?} is not a whole number"))
        }
        ParameterKind::Boolean if !matches!(value, "true" | "false") => {
            Err(format!("--{name}: {value:?} is neither true nor false"))
        }
        ParameterKind::Choice(words) if !words.iter().any(|w| w == value) => {
            Err(format!("--{name}: {value:?} is none of {}", words.join(", ")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(name: &str, kind: ParameterKind, default: Option<&str>, required: bool) -> Parameter {
        let default = default.map(str::to_owned);
        Parameter { name: name.into(), kind, doc: "words".into(), default, required, repeatable: false }
    }

    fn said(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn answers_are_checked_and_completed() {
        let choice = ParameterKind::Choice(vec!["a".into(), "b".into()]);
        let parameters = [
            parameter("which", choice, Some("a"), false),
            parameter("from", ParameterKind::File, None, true),
        ];
        let full = answers(&parameters, &[said("from", "x.tar")]).unwrap();
        assert_eq!(full.iter().map(|p| p.value.as_str()).collect::<Vec<_>>(), ["x.tar", "a"]);
        assert!(answers(&parameters, &[]).unwrap_err().contains("--from is missing"));
        assert!(answers(&parameters, &[said("form", "x")]).unwrap_err().contains("--from"));
        let bad = [said("from", "x"), said("which", "c")];
        assert!(answers(&parameters, &bad).unwrap_err().contains("none of a, b"));
        assert!(answers(&parameters, &[said("from", "x"), said("from", "y")]).unwrap_err().contains("twice"));
    }

    #[test]
    fn no_parameter_names_a_file_of_the_hosts_by_itself() {
        let with = |kind| check_parameters(&[parameter("from", kind, Some("/etc/shadow"), false)]);
        for kind in [ParameterKind::File, ParameterKind::Directory, ParameterKind::Secret] {
            assert!(with(kind).unwrap_err().contains("cannot have"));
        }
        assert!(with(ParameterKind::Text).is_ok());
    }

    #[test]
    fn rendered_files_stay_inside_and_get_no_privilege() {
        let file = |path: &str, permissions| Rendered {
            path: path.into(),
            node: Node::File(vec![]),
            permissions,
            user: 0,
            group: 0,
            keep_existing: false,
        };
        assert!(check_rendered(&file("/etc/hosts", 0o644)).is_ok());
        for bad in [file("etc/hosts", 0o644), file("/", 0o644), file("/../x", 0o644), file("/bin/x", 0o4755)]
        {
            assert!(check_rendered(&bad).is_err(), "{bad:?}");
        }
    }
}

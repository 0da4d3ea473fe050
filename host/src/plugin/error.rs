#![forbid(unsafe_code)]
//! What can go wrong with a plugin, and what to do about it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::budget::Limit;
use super::grants::Permission;
use super::manifest::ManifestError;
use super::registry::Kind;
use crate::sys::trusted::TrustError;

/// Which plugin, as every message says it: name and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Name, such as `storage-dir`.
    pub name: String,
    /// Version from its manifest.
    pub version: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "plugin {} {}", self.name, self.version)
    }
}

/// Why a plugin failed, as far as the host can react to it (`error-kind` of the contract).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "wit/host/types.wit has a sentence for each")]
pub enum FailureKind {
    Invalid,
    Unsupported,
    NotFound,
    AlreadyExists,
    Busy,
    InUse,
    NoSpace,
    Denied,
    Integrity,
    Exhausted,
    Cancelled,
    Failed,
}

/// An error of this layer. Each names the plugin and, where there is one, its version and the call.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// No plugin of that name in any place.
    #[error("there is no {kind} plugin {name:?}")]
    NotFound {
        /// What was looked for.
        kind: Kind,
        /// Its name.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// No plugin of that name, of whatever kind.
    #[error("there is no plugin {name:?}")]
    Unknown {
        /// The name.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// There is no file of that name among the installed ones.
    #[error("plugin {0} is not installed")]
    NotInstalled(String),
    /// The administrator has switched it off.
    #[error("plugin {0} is disabled")]
    Disabled(String),
    /// A file that was to be another version of a plugin is another plugin.
    #[error("the file is the plugin {is}, and not {wanted}")]
    OtherPlugin {
        /// What it is.
        is: String,
        /// What it should have been.
        wanted: String,
    },
    /// A file that was to be a newer version is an older one.
    #[error("{plugin} {to} is older than {from}, which is installed")]
    Older {
        /// The plugin.
        plugin: String,
        /// The version that is there.
        from: String,
        /// The version of the file.
        to: String,
    },
    /// A version is signed by somebody else than the one that is installed.
    #[error("{plugin} was signed by the key {before} when it was installed, and this file is by {now}")]
    OtherSigner {
        /// The plugin.
        plugin: String,
        /// Fingerprint of the key then.
        before: String,
        /// Fingerprint of the key now, or nobody.
        now: String,
    },
    /// No file was there before the last upgrade.
    #[error("there is no earlier file of plugin {0} to go back to")]
    NoPrevious(String),
    /// There is one, and it is of another kind.
    #[error("plugin {name} is a {is} plugin, not a {wanted} plugin")]
    WrongKind {
        /// Its name.
        name: String,
        /// What it is.
        is: Kind,
        /// What was asked for.
        wanted: Kind,
    },
    /// A name that cannot be a plugin's.
    #[error("{0:?} is not a plugin name: use a-z, 0-9 and -, beginning with a letter")]
    BadName(String),
    /// The file could have been written by somebody else.
    #[error("cannot use plugin {name}")]
    Untrusted {
        /// Its name.
        name: String,
        /// What is wrong.
        #[source]
        source: TrustError,
    },
    /// The manifest inside the component cannot be used.
    #[error("the manifest of plugin {name} cannot be used")]
    Manifest {
        /// Its name.
        name: String,
        /// What is wrong.
        #[source]
        source: ManifestError,
    },
    /// The plugin asks for more than it was granted.
    #[error("{plugin} is not granted: {}", words(missing))]
    NotGranted {
        /// Which.
        plugin: Identity,
        /// What is missing.
        missing: Vec<Permission>,
        /// Whether another file of the same name had been granted something.
        changed: bool,
    },
    /// The plugin imports something that this version of wxc does not offer.
    #[error("{plugin} needs the interface {interface}, which this wxc does not offer{}", why.map(|w| format!(" ({w})")).unwrap_or_default())]
    NotOffered {
        /// Which.
        plugin: Identity,
        /// The import.
        interface: String,
        /// A reason, where there is one to tell.
        why: Option<&'static str>,
    },
    /// The plugin lacks an optional ability, or the one its kind must have.
    #[error("{plugin} has no {interface}")]
    Lacks {
        /// Which.
        plugin: Identity,
        /// The export that was looked for.
        interface: String,
    },
    /// The call used up a budget.
    #[error("{plugin}: {call} was stopped: {limit}")]
    Budget {
        /// Which.
        plugin: Identity,
        /// The function of its contract.
        call: &'static str,
        /// What was used up.
        limit: Limit,
    },
    /// The guest crashed.
    #[error("{plugin} crashed in {call}: {message}")]
    Trap {
        /// Which.
        plugin: Identity,
        /// The function of its contract.
        call: &'static str,
        /// What the engine says.
        message: String,
    },
    /// The plugin did its work and reports a failure.
    #[error("{plugin}: {call}: {message}")]
    Failed {
        /// Which.
        plugin: Identity,
        /// The function of its contract.
        call: &'static str,
        /// The kind of failure.
        kind: FailureKind,
        /// Its sentence.
        message: String,
    },
    /// The plugin returned something that the contract does not allow. Nothing of it was used.
    #[error("{plugin} broke its contract in {call}: {why}")]
    Broken {
        /// Which.
        plugin: Identity,
        /// The function of its contract.
        call: &'static str,
        /// What was wrong with the answer.
        why: String,
    },
    /// The plugin could not be compiled.
    #[error("cannot compile plugin {name}: {why}")]
    Compile {
        /// Its name.
        name: String,
        /// What the compiler said, or why there was none.
        why: String,
    },
    /// No plugin could be made of a file.
    #[error("cannot make a plugin of {}: {why}", path.display())]
    Pack {
        /// Which.
        path: PathBuf,
        /// What stands in the way.
        why: String,
    },
    /// The settings given to a plugin do not fit its manifest.
    #[error("{plugin}: {why}")]
    Setting {
        /// Which.
        plugin: Identity,
        /// What does not fit.
        why: String,
    },
    /// wasmtime refused something that is not the plugin's fault.
    #[error("the plugin engine failed while {doing}: {message}")]
    Engine {
        /// What was attempted.
        doing: &'static str,
        /// What it says.
        message: String,
    },
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The call failed, and everything about it was written down.
    #[error("{error}")]
    Recorded {
        /// Why.
        error: Box<PluginError>,
        /// Where the record is.
        record: PathBuf,
        /// It was too long to be kept whole.
        cut: bool,
    },
    /// A recorded call cannot be run again.
    #[error("a call of {plugin} cannot be replayed: {why}")]
    Replay {
        /// The plugin.
        plugin: String,
        /// What stands in the way.
        why: String,
    },
    /// The plugin that a call was recorded of is another file by now, or gone.
    #[error("the call was recorded with {plugin} {version} ({digest}), which is not here")]
    OtherFile {
        /// Its name.
        plugin: String,
        /// Its version then.
        version: String,
        /// Its digest then.
        digest: wxc_engine::Digest,
    },
    /// A file is no record of a call, or one that this wxc cannot read.
    #[error("{} is no record that can be used: {why}", path.display())]
    Record {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file of what is known about plugins cannot be understood; nothing is loaded until it is mended.
    #[error("the file {} cannot be used: {why}", path.display())]
    BookFile {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// What is to be taken back was not given.
    #[error("{plugin} was not granted {permission}")]
    NothingToRevoke {
        /// Its name.
        plugin: String,
        /// What was to be taken back.
        permission: Permission,
        /// What it has.
        granted: Vec<Permission>,
    },
    /// The grants file cannot be understood; nothing is granted until it is mended.
    #[error("the grants file {} cannot be used: {why}", path.display())]
    GrantsFile {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl PluginError {
    /// What to do next, where there is something: one sentence, or a command to type.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotFound { known, .. } | Self::Unknown { known, .. } if known.is_empty() => {
                "`wxc plugin list` shows what there is".into()
            }
            Self::NotFound { known, .. } | Self::Unknown { known, .. } => {
                format!("there are: {}", known.join(", "))
            }
            Self::Untrusted { source: TrustError::Untrusted { .. }, .. } => {
                "it must belong to root or to you, and nobody else may be able to write it or a directory above it"
                    .into()
            }
            Self::NotGranted { plugin, missing, changed } => {
                let changed = if *changed { "the file has changed since it was granted; " } else { "" };
                let mut command = format!("wxc plugin grant {}", plugin.name);
                for permission in missing {
                    command.push(' ');
                    command.push_str(&shell_word(&permission.to_string()));
                }
                format!("{changed}look at it with `wxc plugin show {}`, then: {command}", plugin.name)
            }
            Self::Budget { .. } | Self::Trap { .. } | Self::Broken { .. } => {
                "this is a fault of the plugin; nothing it returned in this call was used".into()
            }
            Self::NotOffered { .. } => "a newer wxc may offer it; this one cannot use the plugin".into(),
            Self::Compile { .. } => {
                "a plugin is a component with its manifest inside, as `wxc plugin pack` makes it".into()
            }
            Self::NotInstalled(_) => {
                "what is built in or comes with a package is neither removed nor upgraded; a file replaces it: wxc plugin install FILE"
                    .into()
            }
            Self::NothingToRevoke { granted, .. } if granted.is_empty() => "it was granted nothing".into(),
            Self::NothingToRevoke { plugin, granted, .. } => {
                let quoted = granted.iter().map(|permission| shell_word(&permission.to_string()));
                let quoted: Vec<String> = quoted.collect();
                format!("it has: {}; all of it: wxc plugin revoke {plugin}", quoted.join(" "))
            }
            Self::Disabled(name) => format!("switch it on again: wxc plugin enable {name}"),
            Self::OtherPlugin { is, .. } => format!("install it beside: wxc plugin install FILE; or upgrade {is} with it"),
            Self::Older { .. } => "say --allow-downgrade if that is what you want".into(),
            Self::OtherSigner { .. } => {
                "nothing was changed; if its author told you of a new key, name it: --key FILE; for one that is not signed, remove it and install that".into()
            }
            Self::NoPrevious(_) => "name a file or an address: wxc plugin upgrade NAME FILE".into(),
            Self::BookFile { .. } => "mend or remove it; it says which plugins are switched off and where they came from".into(),
            Self::Recorded { error, record, cut } => {
                let inner = error.hint().map(|hint| format!("{hint}; ")).unwrap_or_default();
                let record = shell_word(&record.display().to_string());
                if *cut {
                    format!("{inner}what was recorded of it is in {record}, and too long to be replayed")
                } else {
                    format!("{inner}the call can be repeated offline: wxc plugin replay {record}")
                }
            }
            Self::OtherFile { plugin, .. } => format!(
                "name the component with --with FILE; --with {plugin} replays it with the one that is here now"
            ),
            Self::Record { .. } => "a record is a file that wxc wrote when a call of a plugin failed; see docs/plugins.md".into(),
            Self::GrantsFile { .. } => "mend or remove it; plugins then have to be granted again".into(),
            _ => return None,
        })
    }

    /// Whose call failed, where it was one that the plugin itself reported as failed.
    #[must_use]
    pub fn who_reported(&self) -> Option<&Identity> {
        match self {
            Self::Failed { plugin, .. } => Some(plugin),
            Self::Recorded { error, .. } => error.who_reported(),
            _ => None,
        }
    }

    /// The kind of failure, where the plugin itself reported one.
    #[must_use]
    pub fn failure(&self) -> Option<FailureKind> {
        self.reported().map(|(kind, _)| kind)
    }

    /// The same with its sentence.
    #[must_use]
    pub fn reported(&self) -> Option<(FailureKind, &str)> {
        match self {
            Self::Failed { kind, message, .. } => Some((*kind, message)),
            Self::Recorded { error, .. } => error.reported(),
            _ => None,
        }
    }
}

fn words(permissions: &[Permission]) -> String {
    let list: Vec<String> = permissions.iter().map(ToString::to_string).collect();
    list.join(", ")
}

/// Quotes a word for the shell, if it needs it.
fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=+@%".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

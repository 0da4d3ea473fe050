#![forbid(unsafe_code)]
//! The use cases: what the command line and other programs call.
//!
//! Each takes the [`Host`] it works on, a typed request, and returns data; nothing here prints, and
//! nothing reads the environment.

/// Directories below others, without following anything.
mod beneath;
/// What can go wrong, with what to do next.
mod error;
/// What is unfinished: written down before anything changes, gone when it is done.
pub mod journal;
/// Directories, run-time state, names.
pub mod layout;
/// One writer for each container.
pub mod lock;
/// Plugins by the names that people use.
pub mod plugins;
/// Reading a container's configuration, with a useful answer when it is not there.
pub mod store;
/// Steps back.
pub mod undo;

/// What this machine can do, for the plan.
pub mod facts;
/// From which host ids a caller may give.
pub mod idpools;
/// Who has which host ids.
pub mod idregistry;
/// Ranges of ids that no two containers share.
pub mod ids;

/// Files that an image wants rendered later.
mod again;
/// Where this machine gets its own packages from.
mod apt;
/// A plugin's file, and who vouches for it.
pub mod arrival;
/// From a template's manifest to a filled root.
mod assemble;
/// The configuration of a copy.
mod carry;
/// What templates have, and take.
pub mod catalogue;
/// Copying a container.
pub mod copy;
/// Making a container.
pub mod create;
/// Which containers are built on others.
pub mod dependents;
/// Removing a container.
pub mod destroy;
/// What is not as it should be, and how to put it right.
pub mod doctor;
/// What servers have, on this machine.
pub mod downloads;
/// An archive that is unpacked while it comes.
mod early;
/// Ephemeral containers are gone when they stop.
pub mod ephemeral;
/// Freezing and thawing.
pub mod freeze;
/// What the user named on the command line.
mod given;
/// Hooks: who is asked what, when something happens.
pub(crate) mod hooks;
/// What a copy has of its own.
mod identity;
/// Images: sealed volumes that new containers are clones of.
pub mod images;
/// What a template is asked with, kept for later.
mod kept;
/// What a killed command left behind.
pub mod leftover;
/// Users, groups and programs that an image names.
mod lookup;
/// The options of a template on the command line.
pub mod options;
/// Roots of packages.
mod packages;
/// Digests that nobody gave, and signatures over archives.
mod pin;
/// Giving a container another name.
pub mod rename;
/// Files of a template's `finish`, into the root.
mod render;
/// Whether a tree is a root file system.
mod root_check;
/// The newest build that there was of each image.
mod serials;
/// What a copy of a tree changes.
mod shift;
/// Hooks and templates on trial.
pub mod trial;
/// Volumes, open for the host's own work.
pub mod volume;
/// Who has to vouch for an image.
mod vouch;

/// Snapshots of a container.
pub mod snapshot;

/// A container as a file, and back.
pub mod transfer;

/// Work that is due when a container is gone.
pub mod release;
/// The most that a container may take up.
pub mod resize;
/// A throw-away container for one command.
pub mod run;
/// Several downloads at once.
mod side_by_side;
/// Starting a container: plan, launch.
pub mod start;
/// Asking it to stop.
pub mod stop;

/// Reading and changing the configuration.
pub mod configure;
/// One container in numbers.
pub mod info;
/// All containers with their states.
pub mod list;
/// Waiting for states, and watching them.
pub mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use error::Error;
pub use layout::Layout;

use crate::config::Name;
use crate::config::system::Settings;
use crate::plugin::{self, Plugins};

/// What a use case works on: where things are, which plugins there are, who watches.
#[derive(Clone)]
pub struct Host {
    pub layout: Layout,
    pub plugins: Arc<Plugins>,
    /// Where the registry of ids is.
    pub registry: PathBuf,
    /// What the administrator set for all containers.
    pub settings: Settings,
    /// How servers are reached.
    pub proxies: downloads::Proxies,
    /// Directory of `default.toml`.
    pub defaults: PathBuf,
    /// Hears how far long work is.
    pub progress: Arc<dyn plugin::Progress>,
    /// Options with which a helper process finds this host again.
    pub again: Vec<String>,
    /// The variables that it also needs, as `KEY=VALUE`: where an ordinary user's own files are.
    pub environment: Vec<String>,
    /// The container whose hook called this command, as its directory: that one cannot be changed from here.
    pub hook_of: Option<PathBuf>,
    /// Set by Ctrl-C: long work ends and takes back what it did.
    pub cancel: &'static AtomicBool,
}

impl Host {
    /// The same with another directory of containers.
    fn elsewhere(&self, path: &Path) -> Result<Self, Error> {
        let run_base = self.layout.run.parent().unwrap_or(&self.layout.run);
        let layout = Layout::open(path, run_base)?;
        let mut again = self.again.clone();
        if let Some(at) = again.iter().position(|word| word == "--path").filter(|at| at + 1 < again.len()) {
            again[at + 1] = layout.path.to_string_lossy().into_owned();
        }
        Ok(Self { layout, again, ..self.clone() })
    }

    /// A name that nobody has.
    fn fresh_name(&self, prefix: &str) -> Result<Name, Error> {
        const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        loop {
            let mut random = [0u8; 6];
            rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
                .map_err(|e| Error::io("get random numbers for a name in", &self.layout.path)(e.into()))?;
            let letters = random.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
            let prefix = prefix.chars().take(crate::config::name::MAX - random.len());
            let name: Name = prefix.chain(letters).collect::<String>().parse()?;
            if leftover::look(self, &name) == leftover::Kind::Absent {
                return Ok(name);
            }
        }
    }

    /// Refuses what a hook of the very container asks for: its lock is held by the operation that called the hook, and waits for it.
    fn check_not_within(&self, name: &Name, verb: &str) -> Result<(), Error> {
        let own = self.layout.directory(name);
        if self.hook_of.as_ref().is_none_or(|of| *of != own) {
            return Ok(());
        }
        Err(Error::Invalid {
            message: format!(
                "{verb} of {name} from a hook of {name}: the operation that called the hook is not over"
            ),
            hint: "a hook may look at its container (info, ls), and change others".into(),
        })
    }

    /// Fails when the user asked to stop.
    fn check_cancelled(&self) -> Result<(), Error> {
        if self.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host").field("layout", &self.layout).finish_non_exhaustive()
    }
}

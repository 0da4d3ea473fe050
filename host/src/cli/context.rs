#![forbid(unsafe_code)]
//! Helpers that several verbs share: where this caller's things are, names, pairs.
//!
//! The environment is read here and nowhere below.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;

use super::args::{Global, Target};
use super::interrupt;
use super::output::Output;
use super::progress::Shown;
use super::report::Failure;
use crate::config::size::Size;
use crate::config::{Name, system};
use crate::container::downloads::Proxies;
use crate::container::hooks::INSIDE;
use crate::container::{Error, Host, Layout};
use crate::plugin::{Places, Plugins};

/// What every verb gets.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) global: Global,
    pub(super) out: Output,
}

impl Context {
    pub(super) fn new(global: Global) -> Self {
        let out = Output { quiet: global.quiet };
        Self { global, out }
    }

    /// The host, for a verb that works on containers.
    pub(super) fn host(&self) -> Result<Host, Failure> {
        host(self.global.path.clone(), run_base()?, self.global.plugin_dir.clone(), self.out.quiet)
    }

    /// The plugins, for a verb that needs no containers.
    pub(super) fn plugins(&self) -> Plugins {
        Plugins::new(Places::standard(self.global.plugin_dir.clone()))
    }
}

/// A host at these places; without a path where the administrator or else wxc has it.
pub(super) fn host(
    path: Option<PathBuf>,
    run_base: PathBuf,
    plugin_dir: Option<PathBuf>,
    quiet: bool,
) -> Result<Host, Failure> {
    let defaults = config_directory()?;
    let settings = system::settings(&defaults).map_err(Error::from)?;
    let path = path.or_else(|| settings.path.clone()).map_or_else(default_path, Ok)?;
    let mut again = vec!["--path".to_string(), path.to_string_lossy().into_owned()];
    again.extend(["--run".to_string(), run_base.to_string_lossy().into_owned()]);
    if let Some(directory) = &plugin_dir {
        again.extend(["--plugin-dir".to_string(), directory.to_string_lossy().into_owned()]);
    }
    Ok(Host {
        layout: Layout::open(&path, &run_base)?,
        plugins: Arc::new(Plugins::new(Places::standard(plugin_dir))),
        registry: registry()?,
        settings,
        proxies: proxies(),
        defaults,
        again,
        environment: own_files(),
        progress: Arc::new(Shown::new(quiet)),
        hook_of: env::var_os(INSIDE).map(PathBuf::from),
        cancel: interrupt::flag(),
    })
}

/// What the administrator set, for a verb that needs no containers.
pub(super) fn settings() -> Result<system::Settings, Failure> {
    Ok(system::settings(&config_directory()?).map_err(Error::from)?)
}

/// Where `wxc.toml` and `default.toml` are. Root's place is fixed unless root says otherwise.
fn config_directory() -> Result<PathBuf, Failure> {
    match env::var_os("WXC_CONFIG_DIR").map(PathBuf::from) {
        Some(set) if set.is_absolute() => Ok(set),
        Some(_) => {
            Err(Failure::new("WXC_CONFIG_DIR is not an absolute path")
                .hint("unset it, or give the whole path"))
        }
        None => Ok(system::directory(is_root(), |variable| env::var_os(variable))),
    }
}

/// The proxies that curl(1) and others take from the environment, in either case; `HTTP_PROXY` only in lower case, because a
/// server's `Proxy:` header becomes that in a CGI program.
fn proxies() -> Proxies {
    let of =
        |names: &[&str]| names.iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()));
    Proxies {
        https: of(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
        http: of(&["http_proxy", "all_proxy", "ALL_PROXY"]),
        none: of(&["no_proxy", "NO_PROXY"]),
    }
}

/// What of the environment says where files are; for root, whose places are fixed, only what root says.
fn own_files() -> Vec<String> {
    const VARIABLES: [&str; 4] = ["HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"];
    let set = |variable: &&str| Some(format!("{variable}={}", env::var(variable).ok()?));
    let own = if is_root() { &[][..] } else { &VARIABLES };
    own.iter().chain(&["WXC_CONFIG_DIR"]).filter_map(set).collect()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory below the user's home, by the XDG base directory specification.
fn user_directory(variable: &str, below_home: &str) -> Result<PathBuf, Failure> {
    if let Some(set) = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute()) {
        return Ok(set.join("wxc"));
    }
    let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
    home.map(|home| home.join(below_home).join("wxc")).ok_or_else(|| {
        Failure::new("it is not known where your home directory is")
            .hint("set HOME, or name a directory with -P")
    })
}

fn default_path() -> Result<PathBuf, Failure> {
    if is_root() { Ok("/var/lib/wxc".into()) } else { user_directory("XDG_DATA_HOME", ".local/share") }
}

/// Where run-time state goes. Root's own is fixed unless root says otherwise.
fn run_base() -> Result<PathBuf, Failure> {
    if let Some(set) = env::var_os("WXC_RUN_DIR").map(PathBuf::from) {
        return if set.is_absolute() {
            Ok(set)
        } else {
            Err(Failure::new("WXC_RUN_DIR is not an absolute path").hint("unset it, or give the whole path"))
        };
    }
    if is_root() {
        return Ok("/run/wxc".into());
    }
    match env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute()) {
        Some(run) => Ok(run.join("wxc")),
        None => Err(Failure::new("XDG_RUNTIME_DIR is not set: there is no place for run-time state")
            .hint("log in through a session that sets it (loginctl enable-linger), or set WXC_RUN_DIR")),
    }
}

fn registry() -> Result<PathBuf, Failure> {
    if is_root() {
        Ok("/var/lib/wxc/.ids".into())
    } else {
        Ok(user_directory("XDG_DATA_HOME", ".local/share")?.join(".ids"))
    }
}

/// The name that a verb was given.
pub(super) fn name(target: &Target) -> Result<Name, Failure> {
    parse_name(target.word())
}

/// A word as a name.
pub(super) fn parse_name(word: &str) -> Result<Name, Failure> {
    word.parse().map_err(|error| Failure::from(Error::Name(error)))
}

/// `KEY=VALUE`, as `-s` takes it.
pub(super) fn pairs(words: &[String]) -> Result<Vec<(String, String)>, Failure> {
    words
        .iter()
        .map(|word| match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.trim().to_string(), value.to_string())),
            _ => Err(Failure::new(format!("{word:?} is not KEY=VALUE"))
                .hint("for example: -s cgroup.memory.max=512M; the keys are listed by `wxc config keys`")),
        })
        .collect()
}

/// A number of bytes, as people write it.
pub(super) fn size(word: &str) -> Result<u64, Failure> {
    word.parse::<Size>().map(|size| size.0).map_err(Failure::new)
}

/// `KEY=VALUE`, or `KEY` for the value that this process has.
pub(super) fn variables(words: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let mut variables = Vec::new();
    for word in words {
        match word.split_once('=') {
            Some(("", _)) => return Err(Failure::new(format!("{word:?} has no name before the ="))),
            Some((key, value)) => variables.push((key.to_string(), value.to_string())),
            None => match env::var(word) {
                Ok(value) => variables.push((word.clone(), value)),
                Err(env::VarError::NotPresent) => {
                    return Err(Failure::new(format!("{word} is not set here, so it cannot be passed on"))
                        .hint(format!("give its value: --env {word}=VALUE")));
                }
                Err(env::VarError::NotUnicode(_)) => {
                    return Err(Failure::new(format!("the value of {word} is not UTF-8")));
                }
            },
        }
    }
    Ok(variables)
}

/// The caller's environment as far as it is text.
pub(super) fn environment() -> std::collections::BTreeMap<String, String> {
    env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

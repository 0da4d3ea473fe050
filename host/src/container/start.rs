#![forbid(unsafe_code)]
//! Starting a container: everything is asked and decided here, and carried out by the monitor.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Uid, fchown, fstat};
use rustix::stdio::{stderr, stdin, stdout};

use super::hooks::Happening;
use super::{
    Error, Host, again, beneath, dependents, ephemeral, facts, hooks, ids, journal, leftover, plugins, store,
};
use crate::config::ids::IdRange;
use crate::config::{Container, Name, edit, toml};
use crate::plan::build::{self, Overrides};
use crate::plan::facts::Facts;
use crate::plan::{Identity, Plan, ReleaseStep, RootSource};
use crate::plugin::hook::types::Event;
use crate::plugin::storage::{Access, Storage as _};
use crate::runtime::{self, LaunchOptions, Launched};

/// One start.
#[derive(Debug, Default)]
pub struct StartRequest {
    /// Configuration keys for this start only.
    pub set: Vec<(String, String)>,
    pub overrides: Overrides,
    /// Stay with the container: it ends when the caller does.
    pub foreground: bool,
    /// With `foreground`: init gets this process's streams, instead of a console.
    pub streams: bool,
    /// Gets the id of the first process.
    pub pidfile: Option<PathBuf>,
    /// Gets what the console shows, appended.
    pub console_log: Option<PathBuf>,
}

/// What a start would do. Touches nothing.
///
/// # Errors
/// This machine, this caller or the configuration cannot do it.
pub fn plan(host: &Host, name: &Name, request: &StartRequest) -> Result<Plan, Error> {
    let container = configuration(host, name, request)?;
    let ground = Ground::of(host, name, &container)?;
    hooks::shape(host, name, Event::PreStart, &container, &|container| {
        ground.plan(container, &request.overrides)
    })
}

/// The configuration with what this start changes.
fn configuration(host: &Host, name: &Name, request: &StartRequest) -> Result<Container, Error> {
    let path = host.layout.config(name);
    let mut text = store::text(host, name)?;
    for (key, value) in &request.set {
        text = edit::set(&text, &path, key, value)?;
    }
    let mut container = toml::parse(&text, &path)?;
    if let Some(log) = &request.console_log {
        container.console.log = Some(absolute(log)?);
    }
    Ok(container)
}

fn absolute(path: &std::path::Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(Error::io("resolve", path))
}

/// Asks the storage plugin, gathers the facts, builds the plan. Hooks are not asked.
pub(super) fn plan_of(
    host: &Host,
    name: &Name,
    container: &Container,
    overrides: &Overrides,
) -> Result<Plan, Error> {
    Ground::of(host, name, container)?.plan(container, overrides)
}

/// What a plan needs besides the configuration: found out once, however often a plan is built on it.
#[derive(Debug)]
struct Ground {
    identity: Identity,
    facts: Facts,
    root: RootSource,
}

impl Ground {
    fn of(host: &Host, name: &Name, container: &Container) -> Result<Self, Error> {
        let reading = container.rootfs.read_only || container.rootfs.in_memory;
        let access = if reading { Access::ReadOnly } else { Access::ReadWrite };
        Ok(Self::on(host, name, root_of(host, name, container, access)?))
    }

    fn on(host: &Host, name: &Name, root: RootSource) -> Self {
        let directory = host.layout.directory(name);
        let facts = facts::gather(&directory);
        let identity = Identity {
            name: name.to_string(),
            path: host.layout.path.clone(),
            directory,
            run: host.layout.run_directory(name),
        };
        Self { identity, facts, root }
    }

    fn plan(&self, container: &Container, overrides: &Overrides) -> Result<Plan, Error> {
        Ok(build::build(container, self.identity.clone(), &self.facts, self.root.clone(), overrides)?)
    }
}

/// How a container would run, for those who are told about it and do not start it.
pub(super) fn plan_about(host: &Host, name: &Name, container: &Container) -> Result<Plan, Error> {
    // Its storage may not be mountable now (it is sealed, or being made): where it is, is all that is told of it.
    let elsewhere = || RootSource::Tree {
        pool: host.layout.path.clone(),
        relative: Path::new(name.as_str()).join("rootfs"),
    };
    let root = root_of(host, name, container, Access::ReadOnly).unwrap_or_else(|_| elsewhere());
    Ground::on(host, name, root).plan(container, &Overrides::default())
}

fn root_of(host: &Host, name: &Name, container: &Container, access: Access) -> Result<RootSource, Error> {
    let storage = plugins::load_storage(host, &container.rootfs.storage)?;
    let volume = container.rootfs.volume.clone().unwrap_or_else(|| name.to_string());
    storage.mounts(&volume, access)?.root().map_err(|why| Error::Invalid {
        message: format!("{} wants something mounted that wxc does not mount: {why}", storage.identity()),
        hint: "tell the author of the plugin".into(),
    })
}

/// Starts a container and returns when it is RUNNING.
///
/// # Errors
/// Whatever failed; nothing of the start is left then.
pub fn start(host: &Host, name: &Name, request: &StartRequest) -> Result<Launched, Error> {
    // A name that nobody has needs no lock.
    store::require(host, name)?;
    ephemeral::sweep(host);
    let lock = journal::claim(host, &[name], "start")?;
    let launched = start_locked(host, name, request);
    drop(lock);
    launched
}

/// The same for a caller that holds the lock.
pub(super) fn start_locked(host: &Host, name: &Name, request: &StartRequest) -> Result<Launched, Error> {
    if leftover::look(host, name) != leftover::Kind::Complete {
        return Err(store::not_found(host, name));
    }
    if let Some(snapshot) = super::watch::snapshot(host, name) {
        let state = snapshot.state.to_string();
        return Err(Error::Running { name: name.to_string(), state, verb: "start" });
    }
    let plan = match plan(host, name, request) {
        // It may be sealed, because it lent its storage to clones; they may be gone since.
        Err(error) if dependents::may_be_sealed(&error) => {
            dependents::reclaim(host, name, &store::load(host, name)?, "started")?;
            plan(host, name, request)?
        }
        other => other?,
    };
    ids::act_for_all(host)?;
    again::starting(host, name)?;
    hand_over(&plan)?;
    prepare_console_log(&plan)?;
    prepare_root_place(&plan)?;
    let of_start = hooks::OfStart { host, plan: &plan };
    let options = LaunchOptions {
        foreground: request.foreground,
        streams: request.streams.then(|| [stdin(), stdout(), stderr()]),
        program: None,
        runner: super::release::arguments(host),
        environment: host.environment.clone(),
        pidfile: request.pidfile.clone(),
        hooks: Some(&of_start),
    };
    tracing::debug!(%name, ?plan, "planned");
    let goes = plan.release.contains(&ReleaseStep::Destroy);
    let started = runtime::prepare(&plan, &options).map_err(Error::from).and_then(|prepared| {
        // While the monitor comes up.
        hooks::act(host, &plan, "pre-start", &Happening::default())?;
        if goes {
            ephemeral::begin(host, name)?;
        }
        Ok(prepared.go()?)
    });
    let launched = match started {
        Ok(launched) => launched,
        Err(error) => {
            hooks::failed(host, &plan, &error);
            if goes {
                ephemeral::forget(host, name)?;
            }
            return Err(error);
        }
    };
    let pid = u32::try_from(launched.init).ok();
    hooks::completed(host, &plan, "started", &Happening { pid, ..Happening::default() });
    tracing::info!(%name, init = launched.init, "started");
    Ok(launched)
}

/// Gives the container's root the directory that its changes go into, and the kernel's work directory, if they are still
/// the caller's who had them made: without root it is the container's own root who mounts them.
pub(super) fn hand_over(plan: &Plan) -> Result<(), Error> {
    let (RootSource::Overlay { pool, upper: Some(side), .. }, Some(ids)) =
        (&plan.rootfs.source, plan.ids.as_ref().filter(|_| !plan.rootfs.idmapped))
    else {
        return Ok(());
    };
    let root = |ranges: &[IdRange]| ranges.iter().find(|r| r.container.0 == 0).map(|r| r.host.0);
    let own = rustix::process::geteuid();
    for directory in [&side.upper, &side.work] {
        let failed = || Error::io("give to the container's root", pool);
        let fd = beneath::open(pool, directory)?;
        if fstat(&fd).map_err(|e| failed()(e.into()))?.st_uid == own.as_raw() {
            let (user, group) = (root(&ids.users).map(Uid::from_raw), root(&ids.groups).map(Gid::from_raw));
            fchown(&fd, user, group).map_err(|e| failed()(e.into()))?;
        }
    }
    Ok(())
}

/// Makes the directory at which programs of the host find the container's root.
fn prepare_root_place(plan: &Plan) -> Result<(), Error> {
    let Some(place) = &plan.hooks.rootfs else { return Ok(()) };
    if !rustix::process::geteuid().is_root() {
        return Err(Error::Invalid {
            message:
                "programs of the host amid the mounts of a container (pre-mount, mount, autodev) need root"
                    .into(),
            hint: "use a hook plugin there, or another hook point".into(),
        });
    }
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o755).create(place);
    made.map_err(Error::io("make", place))
}

/// Finds out now, with a clear message, whether the log can be written.
fn prepare_console_log(plan: &Plan) -> Result<(), Error> {
    let Some(log) = &plan.console.log else { return Ok(()) };
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true);
    options.open(&log.file).map(drop).map_err(Error::io("write the console's log", &log.file))
}

/// The caller's environment, for `environment.keep`.
#[must_use]
pub fn overrides_with(environment: BTreeMap<String, String>) -> Overrides {
    Overrides { caller_environment: environment, ..Overrides::default() }
}

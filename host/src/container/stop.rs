#![forbid(unsafe_code)]
//! Asking a container to stop: ask, wait, then kill.

use std::time::{Duration, Instant};

use super::watch::Watcher;
use super::{Error, Host, hooks, store, watch};
use crate::config::Name;
use crate::config::stop::Stop;
use crate::runtime::State;
use crate::runtime::client::Events;
use crate::runtime::control::Request;

/// One stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopRequest {
    pub how: How,
    /// How long to wait; `None`: what the configuration says.
    pub timeout: Option<Duration>,
    /// Kill when the time is over.
    pub then_kill: bool,
    /// Wait at all.
    pub wait: bool,
}

/// What is done first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Init is asked to halt.
    Ask,
    /// Init is asked to reboot.
    Reboot,
    /// Everything is killed.
    Kill,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It has stopped, or rebooted, by itself.
    Itself,
    /// It was killed, because that was asked for or the time was over.
    Killed,
    /// It was asked, and nobody waited.
    Asked,
}

/// How long what was killed may take to be gone: the kernel has to take its memory apart.
const AFTER_KILL: Duration = Duration::from_secs(30);

/// Stops a container. `warn` hears at once when init has no handler for the signal, which makes the
/// kernel drop it: without that a person waits a minute for nothing.
///
/// # Errors
/// It does not run, or did not stop in time.
pub fn stop(host: &Host, name: &Name, request: StopRequest, warn: impl Fn(&str)) -> Result<Stopped, Error> {
    if request.how == How::Kill {
        kill(host, name)?;
        return Ok(Stopped::Killed);
    }
    let client = watch::connect(host, name)?;
    let mut events = watch::connect(host, name)?.subscribe()?;
    let mut watcher = Watcher::new(host, |candidate| candidate == name)?;
    let deadline = Instant::now() + timeout(host, name, request.timeout);
    // A frozen init would hear of it only when somebody thaws it.
    if client.state()? == State::Frozen {
        client.order(&Request::Unfreeze)?;
    }
    if hooks::perhaps(host, name) {
        let plan = client.plan()?;
        if plan.hooks.is_due("stopping") {
            let init = watch::snapshot(host, name).and_then(|snapshot| snapshot.init);
            hooks::after_in(host, &plan, "stopping", init);
        }
    }
    if request.how == How::Reboot {
        client.order(&Request::Reboot)?;
    } else {
        let (signal, handled) = client.stop(None)?;
        if !handled {
            warn(&unhandled(name, signal, request.then_kill));
        }
    }
    if !request.wait {
        return Ok(Stopped::Asked);
    }
    let done = match request.how {
        How::Reboot => rebooted(&mut watcher, deadline)?,
        How::Ask | How::Kill => ended(&mut events, deadline)?,
    };
    if done {
        tracing::info!(%name, how = ?request.how, "ended by itself");
        return Ok(Stopped::Itself);
    }
    if request.then_kill && request.how != How::Reboot {
        kill(host, name)?;
        return Ok(Stopped::Killed);
    }
    Err(Error::StillRunning {
        name: name.to_string(),
        seconds: timeout(host, name, request.timeout).as_secs(),
        hint: format!("kill it (wxc stop -k {name}), or give it more time with -t"),
    })
}

/// Kills everything in it and waits until it is gone.
///
/// # Errors
/// It does not run, or the kernel does not let go of it.
pub fn kill(host: &Host, name: &Name) -> Result<(), Error> {
    let client = watch::connect(host, name)?;
    let mut events = watch::connect(host, name)?.subscribe()?;
    client.order(&Request::Kill)?;
    tracing::info!(%name, "killed");
    if ended(&mut events, Instant::now() + AFTER_KILL)? {
        return Ok(());
    }
    Err(Error::StillRunning {
        name: name.to_string(),
        seconds: AFTER_KILL.as_secs(),
        hint: "a process may be stuck in the kernel: look for state D in `ps`".into(),
    })
}

/// Waits for the monitor of a container that has stopped.
///
/// # Errors
/// It does not end.
pub(super) fn outlast(host: &Host, name: &Name) -> Result<(), Error> {
    let mut events = match watch::connect(host, name) {
        Err(Error::NotRunning { .. }) => return Ok(()),
        other => other?.subscribe()?,
    };
    match ended(&mut events, Instant::now() + AFTER_KILL)? {
        true => Ok(()),
        false => Err(Error::StillRunning {
            name: name.to_string(),
            seconds: AFTER_KILL.as_secs(),
            hint: "it has stopped, and its monitor is still busy with it: try again".into(),
        }),
    }
}

/// Waits until the monitor has ended: it says STOPPED, lets go of the run directory and closes the
/// stream, in this order, so the next command finds the container stopped.
fn ended(events: &mut Events, deadline: Instant) -> Result<bool, Error> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if events.next(Some(left))?.is_none() {
            return Ok(Instant::now() < deadline);
        }
    }
}

/// Waits until it runs again after a reboot: it is RUNNING, and was something else before.
fn rebooted(watcher: &mut Watcher<'_>, deadline: Instant) -> Result<bool, Error> {
    let mut was_down = false;
    while let Some((_, event)) = watcher.next(Some(deadline))? {
        match event.state {
            State::Running if was_down => return Ok(true),
            State::Running => {}
            _ => was_down = true,
        }
    }
    Ok(false)
}

fn timeout(host: &Host, name: &Name, asked: Option<Duration>) -> Duration {
    // The configuration may have been broken since the start: that must not keep it from stopping.
    let configured = || store::load(host, name).map_or_else(|_| Stop::default().timeout, |c| c.stop.timeout);
    asked.unwrap_or_else(|| configured().duration())
}

fn unhandled(name: &Name, signal: i32, then_kill: bool) -> String {
    let signal = crate::config::signal::Signal(signal);
    let then = if then_kill { "it will be killed when the time is over" } else { "it will not stop" };
    format!(
        "init of {name} has no handler for {signal}, so it does not hear it; {then} \
         (wxc stop -k {name} kills it at once; stop.halt sets another signal)"
    )
}

#![forbid(unsafe_code)]
//! States: asking for one, waiting for some, watching all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};

use super::{Error, Host, store};
use crate::config::Name;
use crate::runtime::client::{Events, peek};
use crate::runtime::control::Event;
use crate::runtime::state::Snapshot;
use crate::runtime::{Client, RuntimeError, State};

/// What is known about a running container; `None` when it is stopped.
#[must_use]
pub fn snapshot(host: &Host, name: &Name) -> Option<Snapshot> {
    peek(&host.layout.run_directory(name))
}

/// The state of a container that exists.
///
/// # Errors
/// There is none of that name.
pub fn state(host: &Host, name: &Name) -> Result<State, Error> {
    store::require(host, name)?;
    Ok(snapshot(host, name).map_or(State::Stopped, |snapshot| snapshot.state))
}

/// A connection to the container's monitor.
///
/// # Errors
/// It does not run, or there is none of that name.
pub fn connect(host: &Host, name: &Name) -> Result<Client, Error> {
    host.check_not_within(name, "an order")?;
    match Client::connect(&host.layout.run_directory(name), name.as_str()) {
        Err(RuntimeError::NotRunning { .. }) => {
            store::require(host, name)?;
            Err(Error::NotRunning { name: name.to_string() })
        }
        other => Ok(other?),
    }
}

/// Waits until the container is in one of `states`. `None`: the time was over first.
///
/// # Errors
/// Its monitor says what makes no sense.
pub fn wait(
    host: &Host,
    name: &Name,
    states: &[State],
    timeout: Option<Duration>,
) -> Result<Option<State>, Error> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut watcher = Watcher::new(host, |candidate| candidate == name)?;
    // After the watch began, so that nothing falls between.
    let mut now = snapshot(host, name).map_or(State::Stopped, |snapshot| snapshot.state);
    loop {
        if states.contains(&now) {
            return Ok(Some(now));
        }
        match watcher.next(deadline)? {
            Some((_, event)) => now = event.state,
            None => return Ok(None),
        }
    }
}

/// Changes of state of all containers that are wanted, also of those that start later.
pub struct Watcher<'a> {
    host: &'a Host,
    wanted: Box<dyn Fn(&Name) -> bool + 'a>,
    /// Tells of run directories that appear.
    notify: std::os::fd::OwnedFd,
    streams: BTreeMap<Name, Stream>,
    /// What was heard and not asked for yet.
    heard: std::collections::VecDeque<(Name, Event)>,
}

impl std::fmt::Debug for Watcher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("streams", &self.streams.keys()).finish_non_exhaustive()
    }
}

/// What is heard of one container.
#[derive(Debug)]
struct Stream {
    events: Events,
    /// The state it was in last.
    last: State,
}

impl<'a> Watcher<'a> {
    /// Watches from now on.
    ///
    /// # Errors
    /// The kernel has no more watches for this user.
    pub fn new(host: &'a Host, wanted: impl Fn(&Name) -> bool + 'a) -> Result<Self, Error> {
        let failed = |error: rustix::io::Errno| Error::io("watch", &host.layout.run)(error.into());
        let notify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(failed)?;
        inotify::add_watch(&notify, &host.layout.run, WatchFlags::CREATE | WatchFlags::ONLYDIR)
            .map_err(failed)?;
        let mut watcher = Self {
            host,
            wanted: Box::new(wanted),
            notify,
            streams: BTreeMap::new(),
            heard: std::collections::VecDeque::new(),
        };
        watcher.find_new(false)?;
        Ok(watcher)
    }

    /// The next change; `None` when `deadline` is over.
    ///
    /// # Errors
    /// A monitor says what makes no sense.
    pub fn next(&mut self, deadline: Option<Instant>) -> Result<Option<(Name, Event)>, Error> {
        loop {
            if let Some(heard) = self.heard.pop_front() {
                return Ok(Some(heard));
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            self.listen(left)?;
        }
    }

    fn listen(&mut self, left: Option<Duration>) -> Result<(), Error> {
        let names: Vec<Name> = self.streams.keys().cloned().collect();
        let mut fds: Vec<PollFd<'_>> = vec![PollFd::new(&self.notify, PollFlags::IN)];
        fds.extend(self.streams.values().map(|s| PollFd::from_borrowed_fd(s.events.socket(), PollFlags::IN)));
        let timeout = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::io("wait for changes of", &self.host.layout.run)(error.into())),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        for (name, ready) in names.into_iter().zip(ready.iter().skip(1)) {
            if *ready {
                self.hear(name)?;
            }
        }
        if ready.first() == Some(&true) {
            self.find_new(true)?;
        }
        Ok(())
    }

    fn hear(&mut self, name: Name) -> Result<(), Error> {
        let Some(stream) = self.streams.get_mut(&name) else { return Ok(()) };
        match stream.events.next(Some(Duration::ZERO))? {
            Some(event) => {
                stream.last = event.state;
                self.heard.push_back((name, event));
            }
            // The monitor is gone. One that was killed had no time to say so.
            None => {
                if stream.last != State::Stopped {
                    self.heard.push_back((name.clone(), Event { state: State::Stopped, exit: None }));
                }
                self.streams.remove(&name);
            }
        }
        Ok(())
    }

    /// Subscribes to monitors that are not known yet. `tell`: their present state is a change.
    fn find_new(&mut self, tell: bool) -> Result<(), Error> {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(&self.notify, &mut buffer);
        while reader.next().is_ok() {}
        let directory = &self.host.layout.run;
        for entry in std::fs::read_dir(directory).map_err(Error::io("list", directory))? {
            let entry = entry.map_err(Error::io("list", directory))?;
            let name = entry.file_name().to_str().and_then(|word| word.parse::<Name>().ok());
            let Some(name) = name.filter(|name| (self.wanted)(name)) else { continue };
            if self.streams.contains_key(&name) || !entry.path().is_dir() {
                continue;
            }
            // Its socket and its state appear later, on a busy machine much later, and in a directory that a
            // killed monitor left they appear without a new directory: from here on each of them wakes us.
            let appears = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
            if inotify::add_watch(&self.notify, entry.path(), appears).is_err() {
                continue;
            }
            let connected = Client::connect(&entry.path(), name.as_str()).and_then(Client::subscribe);
            let Ok(mut events) = connected else { continue };
            let Some(first) = events.next(Some(Duration::ZERO))? else { continue };
            // What is already so when the watch begins is no change.
            if tell {
                // Its directory is the first thing a start makes; it can speak when it is past that.
                if first.state != State::Starting {
                    self.heard.push_back((name.clone(), Event { state: State::Starting, exit: None }));
                }
                self.heard.push_back((name.clone(), first));
            }
            self.streams.insert(name, Stream { events, last: first.state });
        }
        Ok(())
    }
}

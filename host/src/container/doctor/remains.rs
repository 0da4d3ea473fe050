#![forbid(unsafe_code)]
//! What monitors that were killed have left of containers that run no more: state, sockets, cgroups.

use std::fs;

use super::{Error, Look, Problem, Remedy};
use crate::config::Name;
use crate::runtime;

impl Look<'_> {
    /// The next start of a container cleans up after the last one; of a container that is gone there is none.
    pub(super) fn remains(&mut self) -> Result<(), Error> {
        let run = &self.host.layout.run;
        let entries = match fs::read_dir(run) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(Error::io("list", run))?,
        };
        let mut names: Vec<Name> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect();
        names.sort();
        for name in names {
            let at = self.host.layout.run_directory(&name);
            if !runtime::is_abandoned(&at) || self.is_busy(&name) {
                continue;
            }
            let next = match self.host.layout.exists(&name) {
                true => "harmless: the next start cleans up",
                false => "the container is gone, so nobody else cleans up",
            };
            let cgroups = runtime::abandoned_cgroups(&at);
            let of = match cgroups.len() {
                0 => String::new(),
                count => format!(" and {count} cgroups"),
            };
            let what = format!("the monitor of {name} was killed and left its run-time state{of}; {next}");
            let cure = Some((
                Remedy::Remains(name.clone()),
                "end what is left of its processes, and remove that".into(),
            ));
            self.add(Problem::Remains, Some(name.as_str()), at, what, cure);
        }
        Ok(())
    }
}

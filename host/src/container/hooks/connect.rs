#![forbid(unsafe_code)]
//! What a hook reaches outside: the servers of its manifest and of the administrator's settings for it, and the key rings
//! that it names. What a container's own file says has no part in it.

use crate::container::{Error, Host, downloads};
use crate::plugin::{Fetcher, HookPlugin, Verifier};
use crate::trust::Rings;

/// The ring that belongs to a server which somebody chose; nobody chooses one for a hook.
const OF_SERVER: &str = "server";

/// Gives a hook what its manifest declares, as far as it is granted: what is not imported is not there to be used.
///
/// # Errors
/// What the administrator wrote of a server cannot be used.
pub fn connect(host: &Host, hook: &mut HookPlugin) -> Result<(), Error> {
    let servers = hook.servers();
    if !servers.is_empty() {
        let reach = downloads::reach(host, &servers)?;
        hook.reach_through(Fetcher { reach, documents: downloads::documents(host), fresh: false });
    }
    let told = hook.told_servers();
    if !told.is_empty() {
        hook.tell_through(downloads::reach(host, &told)?);
    }
    let names = hook.declared_keyrings().iter().filter(|name| *name != OF_SERVER);
    let names: Vec<String> = names.cloned().collect();
    if !names.is_empty() {
        let rings =
            Rings { named: host.settings.keyrings.clone(), directory: host.defaults.join("keyrings") };
        let found = names.into_iter().map(|name| {
            let ring = rings.find(&name);
            (name, ring)
        });
        hook.trust_through(Verifier::new(found.collect()));
    }
    Ok(())
}

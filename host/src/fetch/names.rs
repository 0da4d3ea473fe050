//! Addresses of servers, looked up once in a session.
//!
//! The library asks for each request, also where a connection is open. Servers of names that are asked often, or by several at
//! once, let some questions fall; each of those costs the five seconds of resolv.conf(5).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Remembers what was found.
#[derive(Debug, Default)]
pub(super) struct Remembering {
    asked: DefaultResolver,
    known: Mutex<BTreeMap<String, ResolvedSocketAddrs>>,
}

impl Resolver for Remembering {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        // With its scheme: the port may follow from that.
        let server = uri.scheme_str().zip(uri.authority()).map(|(scheme, name)| format!("{scheme}://{name}"));
        let known = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = server.as_ref().and_then(|server| known().get(server).cloned()) {
            return Ok(found);
        }
        let found = self.asked.resolve(uri, config, timeout)?;
        if let Some(server) = server {
            known().insert(server, found.clone());
        }
        Ok(found)
    }
}

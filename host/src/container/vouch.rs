#![forbid(unsafe_code)]
//! Who has to vouch for an image: the key rings that a template may use, and whether a server is believed without a signature.

use std::fs::File;
use std::sync::Arc;

use super::downloads::spelled;
use super::{Error, Host, images};
use crate::config::system::Remote;
use crate::plugin::template::Template as _;
use crate::plugin::template::types::Manifest;
use crate::plugin::{TemplatePlugin, Verifier};
use crate::trust::{Ring, Rings, TrustError};

/// The name under which a template asks for the keys of the server that the user chose.
const SERVER: &str = "server";

/// What holds for one server.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Policy {
    /// The server itself is believed: it has shown who it is.
    Server,
    /// The administrator's keys for it have to vouch.
    Keys,
    /// One of the rings that the template brings along has to.
    Signature,
}

/// Who has to vouch for what a server has, and the keys to find out with.
#[derive(Debug)]
pub(super) struct Vouching {
    policy: Policy,
    server: String,
    verifier: Arc<Verifier>,
}

/// Lets a template have signatures checked with the rings that its manifest declares, and says what holds for `server`.
///
/// # Errors
/// A signature is required, and there are no keys to check it with.
pub(super) fn connect(host: &Host, template: &mut TemplatePlugin, server: &str) -> Result<Vouching, Error> {
    let rings = Rings { named: host.settings.keyrings.clone(), directory: host.defaults.join("keyrings") };
    let remote = of_address(host, server)?;
    let of_server = remote.and_then(|(name, remote)| of_remote(&rings, name, remote)).transpose()?;
    // It may be asked without anybody showing who they are, because its own rings vouch.
    let signed = template.declared_servers().is_some_and(|servers| servers.signed);
    let policy = match remote {
        Some((name, remote)) => policy(name, remote, signed)?,
        None if signed => Policy::Signature,
        None => Policy::Server,
    };
    if policy == Policy::Keys && !template.declared_keyrings().iter().any(|declared| declared == SERVER) {
        return Err(Error::Invalid {
            message: format!(
                "{} checks no signatures, and {server} is to be believed only with one",
                template.identity()
            ),
            hint: "use another template, or set `require-signature = false` for that remote in wxc.toml"
                .into(),
        });
    }
    let declared = template.declared_keyrings().iter();
    let found = declared.filter_map(|name| match (name.as_str(), &of_server) {
        (SERVER, Some(ring)) => Some((name.clone(), Ok(ring.clone()))),
        // Keys of nobody's: the template asks, and hears that there are none.
        (SERVER, None) => None,
        (other, _) => Some((name.clone(), rings.find(other))),
    });
    let found = found.collect();
    let verifier = Arc::new(Verifier::new(found));
    template.trust_through(Arc::clone(&verifier));
    Ok(Vouching { policy, server: server.to_owned(), verifier })
}

/// What is written of a server; of several remotes with its address, the one with keys: a name must not be a way around them.
fn of_address<'a>(host: &'a Host, server: &str) -> Result<Option<(&'a String, &'a Remote)>, Error> {
    let all = host.settings.remotes.iter().filter(|(_, remote)| same(&remote.server, server));
    let strict = |remote: &Remote| (remote.keyring.is_some(), remote.require_signature == Some(true));
    let found = all.clone().max_by_key(|(_, remote)| strict(remote));
    let Some((name, chosen)) = found else { return Ok(None) };
    if let Some((other, _)) =
        all.clone().find(|(_, remote)| remote.keyring.is_some() && remote.keyring != chosen.keyring)
    {
        return Err(Error::Invalid {
            message: format!("the remotes {name} and {other} are one server ({server}) with different keys"),
            hint: "give both the same `keyring` in wxc.toml: who vouches does not depend on a name".into(),
        });
    }
    Ok(Some((name, chosen)))
}

fn same(one: &str, other: &str) -> bool {
    spelled(one) == spelled(other)
}

fn of_remote(rings: &Rings, name: &str, remote: &Remote) -> Option<Result<Ring, Error>> {
    let ring = rings.find(remote.keyring.as_deref()?);
    let ring = ring.map(|ring| Ring { name: format!("of the remote {name}"), ..ring });
    Some(ring.map_err(|error| Error::Invalid {
        message: format!("the remote {name}: {error}"),
        hint: format!("or correct `keyring` below [remotes.{name}] in wxc.toml"),
    }))
}

fn policy(name: &str, remote: &Remote, signed: bool) -> Result<Policy, Error> {
    match (remote.require_signature, &remote.keyring) {
        (_, None) if signed => Ok(Policy::Signature),
        (Some(true), None) => Err(Error::Invalid {
            message: format!(
                "the remote {name} requires a signature, and wxc.toml names no keys that could make one"
            ),
            hint: format!(
                "write `keyring = \"FILE\"` below [remotes.{name}], with the server's public keys in FILE"
            ),
        }),
        // Whoever allows what is not signed does so for what its server shows, and not for what anybody could.
        (Some(false), Some(_)) if signed => Ok(Policy::Signature),
        (Some(true) | None, Some(_)) => Ok(Policy::Keys),
        (Some(false) | None, _) => Ok(Policy::Server),
    }
}

impl Vouching {
    /// Refuses an image that nobody vouches for who would have to.
    ///
    /// # Errors
    /// That.
    pub(super) fn check(&self, manifest: &Manifest) -> Result<(), Error> {
        let ring = match self.policy {
            Policy::Server => return Ok(()),
            // A key of another ring that the template has is no key of this server's.
            Policy::Keys => Some(SERVER),
            Policy::Signature => None,
        };
        match &manifest.signer {
            Some(signer) if self.verifier.has_seen(ring, signer) => Ok(()),
            _ => Err(self.nobody(&manifest.product)),
        }
    }

    /// Whether bytes count of which nobody says what they have to be: its server has shown who it is, and that is enough.
    pub(super) fn believes_server(&self) -> bool {
        self.policy == Policy::Server
    }

    /// Whether a key of this ring vouched for something in this command.
    pub(super) fn has_seen(&self, ring: &str, signer: &str) -> bool {
        self.verifier.has_seen(Some(ring), signer)
    }

    /// Checks the signature beside a file; returns the fingerprint of the key that made it.
    ///
    /// # Errors
    /// Nobody of the ring vouches for it.
    pub(super) fn check_file(&self, ring: &str, file: &File, signature: &[u8]) -> Result<String, TrustError> {
        self.verifier.check_file(ring, file, signature)
    }

    /// The error for what nobody vouches for.
    pub(super) fn nobody(&self, what: &str) -> Error {
        Error::Invalid {
            message: format!("nobody vouches for {what}: {} did not sign it", self.server),
            hint: "do not use it; if this server does not sign, set `require-signature = false` for it in wxc.toml".into(),
        }
    }
}

/// When an image that was made of a manifest is out of date. How long a signed release may be believed (`signed`) is about the release, which
/// comes anew every few days, and says nothing of what was made of it.
pub(super) fn end_of_image(template: &TemplatePlugin, manifest: &Manifest) -> Option<u64> {
    let signed = template.declared_servers().is_some_and(|servers| servers.signed);
    manifest.expires.filter(|_| !signed)
}

/// What to tell of an image that is out of date. What nothing but its signature vouches for (`signed`) is then not to be had: whoever stands between
/// here and the mirror could go on showing it, and hide what came after.
///
/// # Errors
/// It is, and what is out of date is not to be had from this server.
pub(super) fn out_of_date(
    host: &Host,
    signed: bool,
    server: &str,
    (product, expires): (&str, Option<u64>),
    allow: bool,
) -> Result<Option<String>, Error> {
    let Some(since) = images::expired(expires) else { return Ok(None) };
    let day = since.strftime("%Y-%m-%d");
    let told = format!("{product} has been out of date since {day}");
    let strict = |remote: &Remote| remote.refuse_expired && same(&remote.server, server);
    if !allow && (signed || host.settings.remotes.values().any(strict)) {
        return Err(Error::Invalid {
            message: format!("{told}, and {server} is to be used only for what is not"),
            hint: "ask another server, or this one when it has a newer build; if you want this one: --allow-older"
                .into(),
        });
    }
    Ok(Some(format!("{told}: nobody mends flaws in it any more")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_spelling_is_the_same_server() {
        for other in
            ["https://a.example/", "HTTPS://a.example", "https://A.example:443", "https://a.example:0443/"]
        {
            assert!(same("https://a.example", other), "{other}");
        }
        for other in ["https://a.example:444", "http://a.example", "https://b.example", "https://a.example/x"]
        {
            assert!(!same("https://a.example", other), "{other}");
        }
    }

    #[test]
    fn who_configures_keys_wants_signatures() {
        let remote = |require, keyring: Option<&str>| Remote {
            server: "https://x".into(),
            require_signature: require,
            keyring: keyring.map(str::to_owned),
            ..Remote::default()
        };
        let of = |require, keyring| policy("ours", &remote(require, keyring), false);
        assert_eq!(of(None, None).unwrap(), Policy::Server);
        assert_eq!(of(Some(false), Some("k")).unwrap(), Policy::Server);
        assert_eq!(of(None, Some("k")).unwrap(), Policy::Keys);
        assert_eq!(of(Some(true), Some("k")).unwrap(), Policy::Keys);
        assert!(of(Some(true), None).unwrap_err().to_string().contains("no keys"));
        // A template with rings of its own needs no others, and takes nothing without.
        for (require, keyring) in [(None, None), (Some(true), None), (Some(false), Some("k"))] {
            assert_eq!(policy("ours", &remote(require, keyring), true).unwrap(), Policy::Signature);
        }
        assert_eq!(policy("ours", &remote(None, Some("k")), true).unwrap(), Policy::Keys);
    }
}

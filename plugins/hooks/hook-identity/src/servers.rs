//! Which servers have which keys, and how they are made.

/// A server for SSH.
pub struct Server {
    /// Where its program is, in the systems there are.
    pub programs: &'static [&'static str],
    pub directory: &'static str,
    /// A private key is `PREFIX TYPE SUFFIX`; what begins and goes on like one (its public key, its certificate) belongs to it.
    prefix: &'static str,
    suffix: &'static str,
    tool: &'static [&'static str],
    /// What makes all keys that it usually has, where nobody knows which those were.
    pub usual: Option<&'static [&'static str]>,
}

/// Those whose keys are known.
pub const ALL: &[Server] = &[
    Server {
        programs: &["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd", "/usr/lib/ssh/sshd"],
        directory: "/etc/ssh",
        prefix: "ssh_host_",
        suffix: "_key",
        tool: &["ssh-keygen", "-q", "-N", ""],
        usual: Some(&["ssh-keygen", "-A"]),
    },
    Server {
        programs: &["/usr/sbin/dropbear", "/usr/bin/dropbear", "/usr/local/sbin/dropbear"],
        directory: "/etc/dropbear",
        prefix: "dropbear_",
        suffix: "_host_key",
        tool: &["dropbearkey"],
        // It makes them itself when somebody comes (its option -R, which its services have).
        usual: None,
    },
];

impl Server {
    /// Whether a file of its directory is a key, or belongs to one.
    pub fn owns(&self, name: &str) -> bool {
        let Some(rest) = name.strip_prefix(self.prefix) else { return false };
        rest.find(self.suffix).is_some_and(|at| {
            let after = &rest[at + self.suffix.len()..];
            at > 0 && (after.is_empty() || after.starts_with(['.', '-']))
        })
    }

    /// The type of the private key that a file is.
    pub fn key_type<'a>(&self, name: &'a str) -> Option<&'a str> {
        let kind = name.strip_prefix(self.prefix)?.strip_suffix(self.suffix)?;
        let plain = !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric());
        plain.then_some(kind)
    }

    /// What makes one private key, and its public one.
    pub fn command(&self, kind: &str) -> Vec<String> {
        let file = format!("{}/{}{kind}{}", self.directory, self.prefix, self.suffix);
        let words = self.tool.iter().copied().chain(["-t", kind, "-f", &file]);
        words.map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_what_belongs_to_them_are_told_from_the_rest() {
        let [openssh, dropbear] = ALL else { panic!("two servers") };
        for (name, owned, kind) in [
            ("ssh_host_ed25519_key", true, Some("ed25519")),
            ("ssh_host_rsa_key.pub", true, None),
            ("ssh_host_rsa_key-cert.pub", true, None),
            ("ssh_host_keys", false, None),
            ("ssh_host__key", false, None),
            ("ssh_host_-f_key", true, None),
            ("sshd_config", false, None),
            ("moduli", false, None),
        ] {
            assert_eq!((openssh.owns(name), openssh.key_type(name)), (owned, kind), "{name}");
        }
        assert_eq!(dropbear.key_type("dropbear_rsa_host_key"), Some("rsa"));
        assert!(!dropbear.owns("dropbear.conf"));
    }

    #[test]
    fn a_key_is_made_where_it_was() {
        assert_eq!(
            ALL[0].command("rsa"),
            ["ssh-keygen", "-q", "-N", "", "-t", "rsa", "-f", "/etc/ssh/ssh_host_rsa_key"]
        );
        assert_eq!(
            ALL[1].command("rsa"),
            ["dropbearkey", "-t", "rsa", "-f", "/etc/dropbear/dropbear_rsa_host_key"]
        );
    }
}

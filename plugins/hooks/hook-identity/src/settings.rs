//! What the settings mean.

use crate::bindings::wxc::host::types::Pair;
use crate::pattern::Pattern;

/// What is wanted of a container's copies.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether the host keys of SSH are renewed.
    pub ssh_keys: bool,
    /// What else is removed.
    pub remove: Vec<Pattern>,
}

impl Settings {
    /// An unknown key is refused: it may be one that should have protected somebody.
    pub fn read(pairs: &[Pair]) -> Result<Self, String> {
        let mut settings = Self { ssh_keys: true, remove: Vec::new() };
        for Pair { name, value } in pairs {
            match name.as_str() {
                "ssh-keys" => settings.ssh_keys = truth(name, value)?,
                "remove" => settings.remove = patterns(value)?,
                _ => return Err(format!("there is no setting {name:?}; there are ssh-keys and remove")),
            }
        }
        Ok(settings)
    }
}

fn truth(name: &str, value: &str) -> Result<bool, String> {
    value.parse().map_err(|_| format!("the setting {name} is true or false, and not {value:?}"))
}

fn patterns(value: &str) -> Result<Vec<Pattern>, String> {
    let pattern = |word| Pattern::parse(word).map_err(|why| format!("the setting remove: {why}"));
    value.split_whitespace().map(pattern).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let pair = |(name, value): &(&str, &str)| Pair { name: (*name).into(), value: (*value).into() };
        Settings::read(&pairs.iter().map(pair).collect::<Vec<_>>())
    }

    #[test]
    fn keys_are_renewed_unless_told() {
        assert_eq!(read(&[]).unwrap(), Settings { ssh_keys: true, remove: vec![] });
        assert!(!read(&[("ssh-keys", "false")]).unwrap().ssh_keys);
        let both = read(&[("remove", "/etc/krb5.keytab\n/var/lib/app/id*")]).unwrap();
        assert_eq!(both.remove.len(), 2);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_name() {
        for (name, value, word) in [
            ("ssh-keys", "yes", "true or false"),
            ("remove", "etc/x", "\"etc/x\""),
            ("removes", "/x", "removes"),
        ] {
            assert!(read(&[(name, value)]).unwrap_err().contains(word), "{name}");
        }
    }
}

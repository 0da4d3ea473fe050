#![forbid(unsafe_code)]
//! `[notify]`, and what it has in common with `[fetch]`: which servers a plugin may reach.

use serde::{Deserialize, Serialize};

use super::{Manifest, ManifestError, SettingKind, is_name};
use crate::plugin::registry::Kind;

/// `[notify]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Notify {
    /// Scheme, host and port.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Settings with which the administrator names a further server.
    #[serde(default)]
    pub from_settings: Vec<String>,
    /// What it is for.
    pub reason: String,
}

impl Manifest {
    /// The servers of both tables.
    pub(super) fn check_servers(&self) -> Result<(), ManifestError> {
        let fetch = self.fetch.iter().map(|f| ("fetch", &f.origins, &f.from_settings));
        let notify = self.notify.iter().map(|n| ("notify", &n.origins, &n.from_settings));
        for (table, origins, settings) in fetch.chain(notify) {
            for origin in origins {
                check_origin(table, origin)?;
            }
            for name in settings {
                self.check_setting(&format!("{table}.from-settings"), name)?;
            }
        }
        let parameters = self.fetch.iter().flat_map(|fetch| &fetch.from_parameters);
        for name in parameters {
            let why = if !is_name(name) {
                format!("{name:?} is not the name of a parameter")
            } else if self.kind == Kind::Hook {
                "a hook has no parameters; the administrator names servers by `from-settings`".into()
            } else {
                continue;
            };
            return Err(bad("fetch.from-parameters", why));
        }
        if self.notify.is_some() && self.kind != Kind::Hook {
            return Err(bad("notify", "only hooks send messages".into()));
        }
        Ok(())
    }

    /// One that holds a server of the administrator's: nobody else may say where messages go, and the author says it as an origin.
    fn check_setting(&self, field: &str, name: &str) -> Result<(), ManifestError> {
        if self.kind != Kind::Hook {
            return Err(bad(field, "only a hook has it; a template has `from-parameters`".into()));
        }
        let why = match self.settings.get(name) {
            None => format!("there is no [settings.{name}]"),
            Some(setting) if setting.kind != SettingKind::Url => {
                format!("the setting {name} is not of type url")
            }
            Some(setting) if setting.user => format!("the setting {name} is not the administrator's alone"),
            Some(setting) if setting.default.is_some() => {
                format!("the setting {name} has a default: a server of your own stands under `origins`")
            }
            Some(_) => return Ok(()),
        };
        Err(bad(field, why))
    }
}

fn check_origin(table: &str, origin: &str) -> Result<(), ManifestError> {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    if host.is_none_or(|host| host.is_empty() || host.contains(['/', '@', '?', '#', ' '])) {
        return Err(bad(table, format!("{origin:?} is not an origin such as https://images.example.org")));
    }
    Ok(())
}

fn bad(field: &str, why: String) -> ManifestError {
    ManifestError::Value { field: field.into(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "name = \"hook-x\"\nkind = \"hook\"\nversion = \"1\"\napi = \"0.1\"\ndescription = \"x\"\n";

    fn refused(text: &str) -> String {
        Manifest::parse(&format!("{HEAD}{text}")).map_or_else(|error| error.to_string(), |_| String::new())
    }

    #[test]
    fn a_server_of_the_administrators_is_a_setting_of_theirs_alone() {
        let url = "[settings.url]\ndoc = \"\"\ntype = \"url\"\n";
        let asks = "[notify]\nreason = \"\"\nfrom-settings = [\"url\"]\n";
        assert_eq!(refused(&format!("{url}{asks}")), "");
        assert!(refused(asks).contains("no [settings.url]"));
        for (more, word) in [
            ("user = true\n", "administrator's alone"),
            ("default = \"https://a.example/x\"\n", "origins"),
            ("default = \"nowhere\"\n", "url"),
        ] {
            assert!(refused(&format!("{url}{more}{asks}")).contains(word), "{more}");
        }
        let text = url.replace("\"url\"\n", "\"text\"\n");
        assert!(refused(&format!("{text}{asks}")).contains("not of type url"));
        let fetch = asks.replace("[notify]", "[fetch]");
        assert_eq!(refused(&format!("{url}{fetch}")), "");
        assert!(refused("[fetch]\nreason = \"\"\nfrom-parameters = [\"server\"]\n").contains("parameters"));
        assert!(refused("[notify]\nreason = \"\"\norigins = [\"https://a@b\"]\n").contains("not an origin"));
    }

    #[test]
    fn an_address_is_one() {
        let text = format!("{HEAD}[settings.url]\ndoc = \"\"\ntype = \"url\"\n");
        let setting = &Manifest::parse(&text).unwrap().settings["url"];
        assert_eq!(setting.normal("https://a.example/x?y").unwrap(), "https://a.example/x?y");
        for bad in ["", "a.example", "ftp://a", "https://a@b/", "file:///etc/passwd"] {
            assert!(setting.normal(bad).is_err(), "{bad}");
        }
    }
}

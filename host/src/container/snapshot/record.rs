//! `snapshot.toml`: the container's configuration of that moment, and a table `[snapshot]`.

use std::fs;

use serde::{Deserialize, Serialize};
use toml_edit::DocumentMut;

use super::super::{Error, Host, store};
use super::FILE;
use crate::config::Name;

/// The key of the table.
const TABLE: &str = "snapshot";

/// What is known of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Record {
    pub name: Name,
    /// When, as RFC 3339 in UTC.
    pub created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Bytes of its own, where that is known: those of a full copy.
    pub size: Option<u64>,
    /// Why its file cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The table `[snapshot]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Moment {
    pub(super) created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
}

/// A file that was read, or why it could not be.
pub(in crate::container) struct Found {
    name: Name,
    content: Result<(Moment, String), String>,
}

impl Found {
    /// What a list shows of it.
    pub(super) fn record(self) -> Record {
        let (moment, problem) = match self.content {
            Ok((moment, _)) => (moment, None),
            Err(problem) => (Moment::default(), Some(problem)),
        };
        let Moment { created, comment, size } = moment;
        Record { name: self.name, created, comment, size, problem }
    }

    /// The container's configuration of that moment.
    pub(in crate::container) fn configuration(self) -> Result<String, Error> {
        self.content().map(|(_, text)| text)
    }

    /// The same with what is known of that moment.
    pub(super) fn content(self) -> Result<(Moment, String), Error> {
        self.content.map_err(|problem| Error::Invalid {
            message: problem,
            hint: "repair the file, or remove the snapshot: its content cannot be restored without it".into(),
        })
    }
}

/// Reads the file of a snapshot.
pub(in crate::container) fn read(host: &Host, name: &Name, snapshot: &Name) -> Found {
    let path = super::file(host, name, snapshot);
    let content = fs::read_to_string(&path).map_err(|error| error.to_string()).and_then(|text| split(&text));
    let content = content.map_err(|why| format!("{} is not the file of a snapshot: {why}", path.display()));
    Found { name: snapshot.clone(), content }
}

/// Writes it, durably: from here on it is a snapshot.
pub(super) fn write(
    host: &Host,
    name: &Name,
    snapshot: &Name,
    moment: &Moment,
    configuration: &str,
) -> Result<(), Error> {
    let path = super::file(host, name, snapshot);
    let text = join(moment, configuration).map_err(|why| Error::Invalid {
        message: format!("cannot write {}: {why}", path.display()),
        hint: format!("check the configuration: wxc config validate {name}"),
    })?;
    store::replace(&host.layout.snapshot(name, snapshot).join(FILE), text.as_bytes())
}

/// Now, as files and lists say it.
pub(in crate::container) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

fn join(moment: &Moment, configuration: &str) -> Result<String, String> {
    let mut document: DocumentMut = configuration.parse().map_err(|e: toml_edit::TomlError| e.to_string())?;
    let mut table = toml_edit::ser::to_document(moment).map_err(|error| error.to_string())?.into_table();
    table.decor_mut().set_prefix("\n");
    document.insert(TABLE, toml_edit::Item::Table(table));
    Ok(document.to_string())
}

fn split(text: &str) -> Result<(Moment, String), String> {
    let mut document: DocumentMut = text.parse().map_err(|e: toml_edit::TomlError| e.to_string())?;
    let table = document.remove(TABLE).ok_or("it has no table [snapshot]")?;
    let table = table.into_table().map_err(|_| "snapshot is no table")?;
    let moment = toml_edit::de::from_str(&table.to_string()).map_err(|error| error.message().to_owned())?;
    Ok((moment, document.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# mine\nhostname = \"www\" # ours\n\n[rootfs]\nstorage = \"dir\"\n\n\
                        [[network]]\ntype = \"empty\"\n# the end\n";

    #[test]
    fn the_configuration_comes_back_as_it_was() {
        for configuration in [TEXT, "", "# only a comment\n", "hostname = \"a\"\n"] {
            for comment in [None, Some("two\nlines \"quoted\" \u{1b}[31m")] {
                let moment = Moment {
                    created: "2026-01-02T03:04:05Z".into(),
                    comment: comment.map(Into::into),
                    size: Some(7),
                };
                let text = join(&moment, configuration).unwrap();
                assert_eq!(split(&text).unwrap(), (moment, configuration.to_owned()), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_snapshot_is_told() {
        assert!(split("hostname = \"a\"\n").unwrap_err().contains("[snapshot]"));
        assert!(
            split("snapshot = 1\n").is_err() && split("[snapshot]\nx = 1\n").is_err() && split("=").is_err()
        );
    }
}

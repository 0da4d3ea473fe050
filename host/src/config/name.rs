#![forbid(unsafe_code)]
//! The name of a container: one strict grammar, checked once, carried as a type.
//!
//! A name becomes a directory, a cgroup, part of a socket's path, a host name and a cell of a
//! table. So it is ASCII, cannot be taken for an option, a hidden file or a path, and has no end
//! that file systems or resolvers drop.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// `[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}`, without a dot at the end.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

/// Longest name: what fits into a label of the DNS (RFC 1035, 2.3.4).
pub const MAX: usize = 63;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a container's name cannot be empty")]
    Empty,
    #[error("a container's name has at most {MAX} characters, this one has {0}")]
    TooLong(usize),
    #[error("\"{}\" is not a container's name: it starts with '{}'", .0.escape_debug(), .1.escape_debug())]
    Start(String, char),
    #[error("\"{}\" is not a container's name: it contains '{}'", .0.escape_debug(), .1.escape_debug())]
    Character(String, char),
    #[error("\"{0}\" is not a container's name: it ends with a dot")]
    End(String),
}

impl NameError {
    /// What a name looks like.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        "a name starts with a letter or digit and goes on with letters, digits, '.', '_' and '-', as in \"web-1\""
    }
}

impl Name {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a host name: `_` is no character of one (RFC 1123).
    #[must_use]
    pub fn to_hostname(&self) -> String {
        self.0.replace('_', "-").trim_end_matches('-').to_string()
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let first = text.chars().next().ok_or(NameError::Empty)?;
        if !first.is_ascii_alphanumeric() {
            return Err(NameError::Start(shortened(text), first));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if let Some(c) = text.chars().find(|c| !allowed(*c)) {
            return Err(NameError::Character(shortened(text), c));
        }
        if text.len() > MAX {
            return Err(NameError::TooLong(text.len()));
        }
        if text.ends_with('.') {
            return Err(NameError::End(text.into()));
        }
        Ok(Self(text.into()))
    }
}

/// A message repeats no more than this of a hostile text.
fn shortened(text: &str) -> String {
    text.chars().take(MAX).collect()
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<std::path::Path> for Name {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref()
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_is_a_name() {
        for text in ["a", "0", "web-1", "Web_2.example", "a..b", &"x".repeat(MAX)] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_what_could_be_something_else() {
        let long = "x".repeat(MAX + 1);
        let hostile = [
            "",
            ".",
            "..",
            ".images",
            "-f",
            "--help",
            "_x",
            "a/b",
            "../a",
            "a\0",
            "a\nb",
            "a b",
            "a@snap",
            "é",
            "a.",
            "a\u{202e}b",
            "*",
            "a%s",
            "a:b",
            &long,
        ];
        for text in hostile {
            assert!(text.parse::<Name>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn messages_show_no_raw_control_characters() {
        let error = "a\u{1b}[31m".parse::<Name>().unwrap_err();
        assert!(!error.to_string().contains('\u{1b}'), "{error}");
    }

    #[test]
    fn a_hostname_has_no_underscore() {
        assert_eq!("my_web_".parse::<Name>().unwrap().to_hostname(), "my-web");
    }
}

#![forbid(unsafe_code)]
//! Which devices a privileged container may use, and how rules are written.
//!
//! Only the host's root can make device nodes. A container with its own user namespace has no need
//! of these rules: it sees the nodes that were bound into its `/dev` and can make none.

use std::{fmt, str::FromStr};

use super::{DeviceKind, DeviceRule};

/// One row of the default policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// As [`DeviceRule`] is written.
    pub rule: &'static str,
    pub reason: &'static str,
}

/// The default policy: nothing but these, as LXC's `common.conf`.
pub const ALLOWED: [Row; 13] = [
    Row { rule: "c *:* m", reason: "packages unpack nodes; making one is not using it" },
    Row { rule: "b *:* m", reason: "packages unpack nodes; making one is not using it" },
    Row { rule: "c 1:3 rwm", reason: "/dev/null" },
    Row { rule: "c 1:5 rwm", reason: "/dev/zero" },
    Row { rule: "c 1:7 rwm", reason: "/dev/full" },
    Row { rule: "c 1:8 rwm", reason: "/dev/random" },
    Row { rule: "c 1:9 rwm", reason: "/dev/urandom" },
    Row { rule: "c 5:0 rwm", reason: "/dev/tty" },
    Row { rule: "c 5:1 rwm", reason: "/dev/console" },
    Row { rule: "c 5:2 rwm", reason: "/dev/ptmx" },
    Row { rule: "c 136:* rwm", reason: "/dev/pts" },
    Row { rule: "c 10:229 rwm", reason: "/dev/fuse" },
    Row { rule: "c 10:200 rwm", reason: "/dev/net/tun, in the container's own network" },
];

/// A rule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a device rule: expected TYPE MAJOR:MINOR ACCESS, such as \"c 10:200 rwm\" or \"a\"")]
pub struct RuleError(String);

/// The rules of a privileged container: all denied, then the default ones.
///
/// # Errors
/// Never for the table above, which a test reads.
pub fn default_rules() -> Result<Vec<DeviceRule>, RuleError> {
    let allowed = ALLOWED.iter().map(|row| parse(row.rule, true));
    std::iter::once(parse("a", false)).chain(allowed).collect()
}

/// Read a rule as LXC and the kernel write it: `a`, or `c 10:200 rwm` with `*` for any number.
///
/// # Errors
/// When it is none.
pub fn parse(text: &str, allow: bool) -> Result<DeviceRule, RuleError> {
    let mut rule: DeviceRule = text.parse()?;
    rule.allow = allow;
    Ok(rule)
}

/// An allowing rule.
impl FromStr for DeviceRule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let error = || RuleError(text.to_owned());
        let words: Vec<&str> = text.split_whitespace().collect();
        let (kind, numbers, access) = match words[..] {
            ["a"] => ("a", "*:*", "rwm"),
            [kind, numbers, access] => (kind, numbers, access),
            _ => return Err(error()),
        };
        let kind = match kind {
            "a" => DeviceKind::All,
            "c" => DeviceKind::Char,
            "b" => DeviceKind::Block,
            _ => return Err(error()),
        };
        let (major, minor) = numbers.split_once(':').ok_or_else(error)?;
        let number = |text: &str| match text {
            "*" => Ok(None),
            digits => digits.parse().map(Some).map_err(|_not_a_number| error()),
        };
        if access.is_empty() || access.chars().any(|c| !"rwm".contains(c)) {
            return Err(error());
        }
        Ok(Self {
            allow: true,
            kind,
            major: number(major)?,
            minor: number(minor)?,
            read: access.contains('r'),
            write: access.contains('w'),
            mknod: access.contains('m'),
        })
    }
}

/// As the kernel reads it in v1's `devices.allow` and `devices.deny`.
impl fmt::Display for DeviceRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            DeviceKind::All => 'a',
            DeviceKind::Char => 'c',
            DeviceKind::Block => 'b',
        };
        let number = |number: Option<u32>| number.map_or_else(|| "*".to_owned(), |number| number.to_string());
        write!(f, "{kind} {}:{} ", number(self.major), number(self.minor))?;
        let access = [(self.read, "r"), (self.write, "w"), (self.mknod, "m")];
        access.iter().filter(|(given, _)| *given).try_for_each(|(_, letter)| f.write_str(letter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_written_as_the_kernel_does() {
        for text in ["c 1:3 rwm", "b *:* m", "c 136:* rw", "a *:* rwm"] {
            assert_eq!(parse(text, true).unwrap().to_string(), text);
        }
        assert_eq!(parse("a", false).unwrap().to_string(), "a *:* rwm");
    }

    #[test]
    fn what_is_not_a_rule_is_refused() {
        for text in ["", "c", "c 1:3", "c 1 rwm", "d 1:3 r", "c 1:3 x", "c -1:3 r", "c 1:3 r w"] {
            assert_eq!(parse(text, true), Err(RuleError(text.to_owned())));
        }
    }

    #[test]
    fn the_default_policy_can_be_read_and_starts_with_nothing() {
        let rules = default_rules().unwrap();
        assert_eq!(rules.len(), ALLOWED.len() + 1);
        assert!(!rules[0].allow && rules[0].kind == DeviceKind::All);
        assert!(rules[1..].iter().all(|rule| rule.allow));
    }
}

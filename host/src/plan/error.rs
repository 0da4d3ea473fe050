#![forbid(unsafe_code)]
//! Why a configuration cannot become a plan on this machine.

/// A start that is refused before anything was touched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The kernel or the caller's rights lack something that this container needs.
    #[error("{feature} is not available: {because}")]
    Missing {
        /// e.g. `a user namespace`.
        feature: String,
        because: String,
        /// What to do about it: a sysctl, a kernel option, another key.
        advice: String,
    },
    /// A value that is well formed but impossible here.
    #[error("{key}: {message}")]
    Refused {
        /// Dotted configuration key.
        key: String,
        message: String,
        advice: String,
    },
    /// The container has no range of ids, and is not privileged.
    #[error("the container has no range of user and group ids, and it is not privileged")]
    NoIds,
}

impl PlanError {
    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> &str {
        match self {
            Self::Missing { advice, .. } | Self::Refused { advice, .. } => advice,
            Self::NoIds => {
                "give it one with `wxc config set NAME ids.users 0:1000000000:65536` (with \
                 ids that no other container has), or make it privileged with `wxc config set NAME privileged true`"
            }
        }
    }

    #[must_use]
    pub fn missing(
        feature: impl Into<String>,
        because: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self::Missing { feature: feature.into(), because: because.into(), advice: advice.into() }
    }

    #[must_use]
    pub fn refused(key: impl Into<String>, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Refused { key: key.into(), message: message.into(), advice: advice.into() }
    }
}

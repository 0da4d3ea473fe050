#![forbid(unsafe_code)]
//! The table of cases: the core first, then the optional abilities, then every verb cut short.

mod clones;
mod core;
mod mounts;
mod removal;
mod renames;
mod rest;
mod scan;
mod sizes;
mod snapshots;

pub(super) use removal::gone;

use super::Tried;
use super::interrupted::{self, Verb};
use super::lab::Lab;
use super::report::Step;
use super::rules::Rule;
use crate::plugin::Strike;
use crate::plugin::storage::Abilities;

/// One thing that the contract promises.
#[derive(Debug)]
pub struct Case {
    /// As it is chosen and reported.
    pub name: &'static str,
    /// What it needs besides the core.
    pub needs: Need,
    /// What a good backend does.
    pub claim: &'static str,
    /// The sentence of the contract that says so.
    pub rule: &'static Rule,
    pub(super) run: Run,
}

impl Tried for Case {
    fn name(&self) -> &'static str {
        self.name
    }

    fn claim(&self) -> &'static str {
        self.claim
    }

    fn rule(&self) -> &'static Rule {
        self.rule
    }
}

/// How a case is run.
#[derive(Debug, Clone, Copy)]
pub(super) enum Run {
    /// By a function.
    Once(fn(&Lab<'_>) -> Step),
    /// A verb, cut short at every call to the host, in one way.
    Interrupted(&'static Verb, Strike),
}

impl Run {
    pub(super) fn call(self, lab: &Lab<'_>) -> Step {
        match self {
            Self::Once(function) => function(lab),
            Self::Interrupted(verb, strike) => interrupted::at_every_call(lab, verb, strike),
        }
    }
}

/// What a case needs of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing but the core.
    Core,
    /// `clones`.
    Clones,
    /// `snapshots`.
    Snapshots,
    /// Both of them.
    ClonesAndSnapshots,
    /// `snapshots-at-rest`.
    SnapshotsAtRest,
    /// `sizes`.
    Sizes,
    /// No `sizes`.
    NoSizes,
}

impl Need {
    /// Why a backend cannot be tried with this.
    #[must_use]
    pub fn lacking(self, has: Abilities) -> Option<String> {
        let lacks = |ability: &str| Some(format!("it does not export `{ability}`"));
        match self {
            Self::Clones | Self::ClonesAndSnapshots if !has.clones => lacks("clones"),
            Self::Snapshots | Self::ClonesAndSnapshots if !has.snapshots => lacks("snapshots"),
            Self::SnapshotsAtRest if !has.snapshots_at_rest => lacks("snapshots-at-rest"),
            Self::Sizes if !has.sizes => lacks("sizes"),
            Self::NoSizes if has.sizes => Some("it exports `sizes`".to_owned()),
            _ => None,
        }
    }
}

/// All cases in their order.
pub fn all() -> impl Iterator<Item = &'static Case> {
    [
        core::CASES,
        scan::CASES,
        mounts::CASES,
        removal::CASES,
        clones::CASES,
        snapshots::CASES,
        rest::CASES,
        sizes::CASES,
        renames::CASES,
        interrupted::CASES,
    ]
    .into_iter()
    .flatten()
}

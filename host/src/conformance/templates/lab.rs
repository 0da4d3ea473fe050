//! What a case works with: a template, the answers of whoever tries it, and the calls that were made.

use std::path::PathBuf;

use crate::conformance::report::{Step, Stop, told};
use crate::container::Host;
use crate::container::trial::Asked;
use crate::plugin::template::Template as _;
use crate::plugin::template::types::{Manifest, Member, Parameter};
use crate::plugin::trial::{Calls, Trial};
use crate::plugin::{FailureKind, PluginError, TemplatePlugin};

/// A template on trial.
#[derive(Debug)]
pub(super) struct Lab<'a> {
    pub(super) trial: &'a Trial,
    pub(super) host: Host,
    pub(super) directory: PathBuf,
    /// What stands behind `--`.
    pub(super) words: &'a [String],
}

impl Lab<'_> {
    /// The template without anything that it could reach.
    pub(super) fn alone(&self) -> (TemplatePlugin, Calls) {
        self.trial.template(self.directory.join("state"))
    }

    pub(super) fn options(&self) -> Step<Vec<Parameter>> {
        Ok(self.alone().0.options()?)
    }

    /// The template with the answers that were given, and with its servers where they are granted.
    pub(super) fn asked(&self) -> Step<(Asked, Calls)> {
        let parameters = self.options()?;
        let (template, calls) = self.alone();
        let reach = self.trial.beyond.is_empty();
        let asked = Asked::new(&self.host, template, &parameters, self.words, reach);
        let skip = |error| Stop::Skip(format!("{} (say it behind --)", told(&error)));
        Ok((asked.map_err(skip)?, calls))
    }

    /// What it makes of the answers. One that needs a server which is not granted, or not there, cannot be tried.
    pub(super) fn resolved(&self, asked: &Asked) -> Step<Manifest> {
        match asked.template.resolve(&asked.request) {
            Ok(manifest) => Ok(manifest),
            Err(error) => Err(self.excused(error)),
        }
    }

    /// The metadata that it asked for.
    pub(super) fn members(&self, asked: &Asked, manifest: &Manifest) -> Step<Vec<Member>> {
        let had = asked.members(&self.host, manifest);
        had.map_err(|error| Stop::Skip(format!("the image's metadata cannot be had: {}", told(&error))))
    }

    /// A failure of a function that has all it needs, but for what is not granted.
    pub(super) fn denied(&self, error: PluginError) -> Stop {
        match &error {
            PluginError::Failed { kind: FailureKind::Denied, .. } => self.excused(error),
            _ => Stop::from(error),
        }
    }

    /// A failure that may have its cause outside of the template.
    pub(super) fn excused(&self, error: PluginError) -> Stop {
        match &error {
            PluginError::Failed { kind: FailureKind::Denied, message, .. }
                if !self.trial.beyond.is_empty() =>
            {
                let asked: Vec<String> = self.trial.beyond.iter().map(ToString::to_string).collect();
                Stop::Skip(format!(
                    "it needs what is not granted ({}): {message} (try --grant)",
                    asked.join(", ")
                ))
            }
            PluginError::Failed { message, .. } => {
                Stop::Skip(format!("it does not get that far (other answers are given behind --): {message}"))
            }
            _ => Stop::from(error),
        }
    }
}

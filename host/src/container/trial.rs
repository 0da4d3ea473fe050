#![forbid(unsafe_code)]
//! A template on trial: connected as for a create, which then is not made.

use std::path::Path;
use std::sync::Arc;

pub use super::hooks::connect::connect;
pub use super::hooks::trial::Stage;

use super::assemble::{self, Supplies};
use super::create::{machine, server_of};
use super::downloads::{self, Downloads};
use super::given::Named;
use super::options::{self, Answers, Parameter};
use super::{Error, Host, Layout, vouch};
use crate::plugin::TemplatePlugin;
use crate::plugin::template::Template as _;
use crate::plugin::template::types::{Manifest, Member, Request};

/// The same host with another directory of containers, in which nothing ever runs.
#[must_use]
pub fn elsewhere(host: &Host, below: &Path) -> Host {
    let layout = Layout { path: below.to_owned(), run: below.join(".run") };
    Host { layout, ..host.clone() }
}

/// A template that is asked for a container named `web`.
#[derive(Debug)]
pub struct Asked {
    pub template: TemplatePlugin,
    /// With the answers that the words gave, defaults included.
    pub request: Request,
    answers: Answers,
    downloads: Option<Downloads>,
}

impl Asked {
    /// Reads the words that stand behind `--`, and lets the template reach its servers if `reach`.
    ///
    /// # Errors
    /// They do not fit the template, or one is missing.
    pub fn new(
        host: &Host,
        mut template: TemplatePlugin,
        parameters: &[Parameter],
        words: &[String],
        reach: bool,
    ) -> Result<Self, Error> {
        let mut answers = options::parse(template.identity(), parameters, words)?;
        options::complete(&mut answers, parameters, template.declared_inputs());
        let mut connected = None;
        if reach {
            connected = downloads::connect(host, &mut template, &mut answers, false)?;
            let server = server_of(&template, &answers);
            vouch::connect(host, &mut template, &server)?;
        }
        template.read_through(Arc::new(Named { given: answers.given.clone(), cancel: host.cancel }));
        let request = Request {
            container: "web".into(),
            architecture: machine(),
            privileged: false,
            answers: answers.shown.clone(),
        };
        Ok(Self { template, request, answers, downloads: connected })
    }

    /// The metadata that a manifest asks for.
    ///
    /// # Errors
    /// It cannot be had.
    pub fn members(&self, host: &Host, manifest: &Manifest) -> Result<Vec<Member>, Error> {
        let supplies = Supplies { answers: &self.answers, downloads: self.downloads.as_ref() };
        assemble::members(host, manifest, supplies)
    }
}

#![forbid(unsafe_code)]
//! What a template has, and what it takes: questions that make nothing.

use super::create::{machine, server_of};
use super::options::{self, Parameter};
use super::{Error, Host, downloads, plugins, vouch};
use crate::plugin::template::Template as _;
use crate::plugin::template::types::{Candidate, Request};

/// The most images that are listed.
const MOST: u32 = 10_000;

/// A look at what a template has.
#[derive(Debug, Clone, Copy)]
pub struct CatalogueRequest<'a> {
    /// With or without the word `template-` before it.
    pub template: &'a str,
    /// What is said so far; only what fits it is shown.
    pub words: &'a [String],
    pub privileged: bool,
}

/// The options of a template.
///
/// # Errors
/// There is no such template.
pub fn template_options(host: &Host, template: &str) -> Result<Vec<Parameter>, Error> {
    Ok(plugins::load_template(host, template)?.options()?)
}

/// The options that have to be said, and are not.
///
/// # Errors
/// There is no such template, or it has no such options.
pub fn missing_options(host: &Host, template: &str, words: &[String]) -> Result<Vec<Parameter>, Error> {
    let template = plugins::load_template(host, template)?;
    let parameters = template.options()?;
    let missing = options::missing(template.identity(), &parameters, words)?;
    Ok(missing.into_iter().cloned().collect())
}

/// What a template has, as far as it fits what is said.
///
/// # Errors
/// There is no such template, it has no such option, or its server does not answer.
pub fn search(host: &Host, request: &CatalogueRequest<'_>) -> Result<Vec<Candidate>, Error> {
    let mut template = plugins::load_template(host, request.template)?;
    let servers =
        template.declared_servers().map_or_else(Vec::new, |servers| servers.from_parameters.clone());
    let parameters = template.options()?;
    let mut answers = options::parse_filters(template.identity(), &parameters, &servers, request.words)?;
    downloads::connect(host, &mut template, &mut answers, false)?;
    let server = server_of(&template, &answers);
    vouch::connect(host, &mut template, &server)?;
    let asked = Request {
        container: String::new(),
        architecture: machine(),
        privileged: request.privileged,
        answers: answers.shown,
    };
    Ok(template.search(&asked, MOST)?)
}

//! A Debian or Ubuntu straight from a mirror: the signed release, its list of packages, those that are needed, and dpkg to install
//! them.
//!
//! The plugin reads and chooses. The host downloads and checks the packages, unpacks those without which dpkg could not run, and
//! runs it inside a container.
#![deny(unsafe_code)]

/// The release and its list of packages.
mod archive;
/// What the user can say.
mod choice;
/// Fields of Debian's text files.
mod control;
/// What is rendered into the root.
mod files;
/// What was found out before.
mod memory;
/// Which packages are needed.
mod solve;

/// Ways in for a fuzzer.
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

#[allow(unsafe_code, reason = "generated component glue")]
mod bindings {
    wit_bindgen::generate!({
        path: ["wit/host", "wit/template"],
        world: "wxc:template/template-plugin",
        generate_all,
    });
    export!(Debian with_types_in self);
    use super::Debian;
}

use archive::List;
use bindings::exports::wxc::template::template::Guest;
use bindings::wxc::host::types::{Digest, DigestAlgorithm, Error, ErrorKind, Pair};
use bindings::wxc::template::types::{
    Assembly, Blob, Candidate, Finished, Manifest, Member, Moment, Origin, Package, Packages, Parameter,
    Remote, Request,
};
use choice::Choice;
use memory::Needed;
use solve::Known;
use words::architecture::of_kernel;

/// Where the host puts the packages.
const PLACE: &str = "/packages";
const DPKG: &str = "/usr/bin/dpkg";

struct Debian;

impl Guest for Debian {
    fn options() -> Vec<Parameter> {
        choice::parameters()
    }

    /// A mirror has no list of its releases.
    fn search(_: Request, _: u32) -> Result<Vec<Candidate>, Error> {
        Ok(Vec::new())
    }

    fn resolve(request: Request) -> Result<Manifest, Error> {
        let choice = Choice::of(&request)?;
        let releases = archive::releases(&choice)?;
        let lists = releases.iter().map(|release| archive::lists(&choice, release));
        let lists: Vec<Vec<List>> = lists.collect::<Result<_, _>>()?;
        let digests =
            |lists: &Vec<List>| lists.iter().map(|list| list.digest.as_str()).collect::<Vec<_>>().join(",");
        let question = format!(
            "{} {} {} {} {}",
            env!("CARGO_PKG_VERSION"),
            choice.architecture,
            choice.variant,
            choice.include.join(","),
            lists.iter().map(digests).collect::<Vec<_>>().join(";")
        );
        let needed = match memory::recall(&question) {
            Some(needed) => needed,
            None => {
                let needed = solved(&choice, &releases, &lists)?;
                memory::remember(&question, &needed);
                needed
            }
        };
        let stack: Option<Vec<Package>> = needed.iter().map(|found| package(&releases, found)).collect();
        let stack = stack.ok_or_else(|| error(ErrorKind::Failed, "what was remembered of it is damaged"))?;
        let assembly = Assembly::Packages(Packages {
            first: files::first(&choice, &releases),
            install: install(&stack),
            stack,
            environment: files::environment(),
        });
        let mut extra = choice.include.clone();
        extra.sort_unstable();
        let extra = if extra.is_empty() { String::new() } else { format!("+{}", extra.join("+")) };
        // Who asked for no updates has another thing, which stands still. Of the others, what a mirror has no more was there before: it has
        // the same name, and its build is older.
        let updates = if choice.updates { "" } else { "-frozen" };
        let main = &releases[0];
        Ok(Manifest {
            product: format!(
                "{}/{}/{}/{}{updates}{extra}",
                main.origin, main.codename, choice.architecture, choice.variant
            ),
            serial: releases.iter().map(|release| release.serial.clone()).max().unwrap_or_default(),
            architecture: of_kernel(&choice.architecture).into(),
            // What holds no longer of one of them holds no longer.
            expires: releases.iter().filter_map(|release| release.expires).min(),
            signer: Some(main.signer.clone()),
            assembly,
        })
    }

    fn finish(_: Moment, request: Request, manifest: Manifest, _: Vec<Member>) -> Result<Finished, Error> {
        let has = |name: &str| match &manifest.assembly {
            Assembly::Packages(packages) => {
                packages.stack.iter().any(|package| package.name.split('_').next() == Some(name))
            }
            _ => false,
        };
        Ok(Finished {
            settings: Vec::new(),
            files: files::last(&request.container, &has),
            again: Vec::new(),
            message: Some(format!("To log in: wxc attach {}, and then passwd.", request.container)),
            expires: None,
        })
    }
}

fn solved(
    choice: &Choice<'_>,
    releases: &[archive::Release],
    lists: &[Vec<List>],
) -> Result<Vec<Needed>, Error> {
    let texts = releases.iter().zip(lists).map(|(release, own)| {
        own.iter().map(|list| archive::packages(release, list)).collect::<Result<Vec<_>, _>>()
    });
    let texts: Vec<Vec<String>> = texts.collect::<Result<_, _>>()?;
    let known = Known::of(&texts, &choice.architecture).map_err(|why| {
        error(ErrorKind::Integrity, format!("the list of packages of {}: {why}", choice.mirror))
    })?;
    let needed = solve::needed(&known, choice).map_err(|why| {
        error(ErrorKind::NotFound, format!("{} of {}: {why}", choice.release, choice.mirror))
    })?;
    let one = |(found, base): &(solve::Found<'_>, bool)| Needed {
        release: found.release,
        filename: found.filename.to_owned(),
        size: found.size,
        sha256: found.sha256.to_owned(),
        base: *base,
    };
    Ok(needed.iter().map(one).collect())
}

fn package(releases: &[archive::Release], found: &Needed) -> Option<Package> {
    let name = found.filename.rsplit('/').next().unwrap_or_default().to_owned();
    let urls = vec![format!("{}/{}", releases.get(found.release)?.mirror, found.filename)];
    let digest = Digest { algorithm: DigestAlgorithm::Sha256, hex: found.sha256.clone() };
    let origin = Origin::Remote(Remote { urls, headers: Vec::new() });
    let blob = Blob { origin, digest: Some(digest), signature: None, size: Some(found.size) };
    Some(Package { name, blob, base: found.base })
}

/// All are unpacked before any is set up: dpkg then finds an order in which everything has what it needs.
fn install(stack: &[Package]) -> Vec<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let mut unpack = words(&[DPKG, "--force-depends", "--force-unsafe-io", "--unpack"]);
    unpack.extend(stack.iter().map(|package| format!("{PLACE}/{}", package.name)));
    vec![unpack, words(&[DPKG, "--force-unsafe-io", "--configure", "--pending"])]
}

fn pair(name: &str, value: &str) -> Pair {
    Pair { name: name.into(), value: value.into() }
}

fn error(kind: ErrorKind, message: impl Into<String>) -> Error {
    Error { kind, message: message.into() }
}

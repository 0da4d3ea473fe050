//! What the user can say, and which image that means.

use words::architecture;

use crate::error;
use crate::image::Image;
use image_metadata::host_types::{Error, ErrorKind};
use image_metadata::template_types::{Parameter, ParameterKind, Request};

/// How a server lists what it has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Whichever it has.
    Auto,
    /// As LXC's servers do.
    Lxc,
    /// As Incus and LXD want it.
    Simplestreams,
}

pub fn parameters() -> Vec<Parameter> {
    let text = ParameterKind::Text;
    let formats = ["auto", "lxc", "simplestreams"].map(str::to_owned).into();
    vec![
        parameter("dist", text.clone(), "The distribution, such as debian", None, true),
        parameter("release", text.clone(), "Its release, such as trixie", None, true),
        parameter(
            "arch",
            text.clone(),
            "The architecture, such as amd64; this machine's unless told",
            None,
            false,
        ),
        parameter("variant", text.clone(), "The flavour of the image", Some("default"), false),
        parameter(
            "build",
            text.clone(),
            "The build, such as 20260722_05:24; the newest unless told",
            None,
            false,
        ),
        parameter(
            "server",
            text,
            "The server: its address, its name, or what wxc.toml calls it",
            Some("https://images.linuxcontainers.org"),
            false,
        ),
        parameter(
            "format",
            ParameterKind::Choice(formats),
            "How the server lists what it has",
            Some("auto"),
            false,
        ),
        parameter(
            "flush-cache",
            ParameterKind::Boolean,
            "Ask the server even if its list is fresh",
            None,
            false,
        ),
    ]
}

fn parameter(name: &str, kind: ParameterKind, doc: &str, default: Option<&str>, required: bool) -> Parameter {
    Parameter {
        name: name.into(),
        kind,
        doc: doc.into(),
        default: default.map(str::to_owned),
        required,
        repeatable: false,
    }
}

/// What the user said.
#[derive(Clone, Copy)]
pub struct Choice<'a> {
    pub server: &'a str,
    pub fresh: bool,
    pub format: Format,
    dist: Option<&'a str>,
    release: Option<&'a str>,
    arch: Option<&'a str>,
    native: &'a str,
    variant: Option<&'a str>,
    build: Option<&'a str>,
}

impl<'a> Choice<'a> {
    pub fn of(request: &'a Request) -> Self {
        let said = |name: &str| request.answers.iter().find(|a| a.name == name).map(|a| a.value.as_str());
        Self {
            server: said("server").unwrap_or_default().trim_end_matches('/'),
            fresh: said("flush-cache") == Some("true"),
            format: match said("format") {
                Some("lxc") => Format::Lxc,
                Some("simplestreams") => Format::Simplestreams,
                _ => Format::Auto,
            },
            dist: said("dist"),
            release: said("release"),
            arch: said("arch").map(architecture::of_debian),
            native: architecture::of_debian(&request.architecture),
            variant: said("variant"),
            build: said("build"),
        }
    }

    /// The same, whatever is kept of the server's lists.
    pub fn afresh(&self) -> Self {
        Self { fresh: true, ..*self }
    }

    /// Whether an image is one of those that were asked for.
    pub fn fits(&self, image: &Image) -> bool {
        (0..5).all(|at| self.agrees(image, at))
    }

    /// Whether an image is what was asked for in one respect.
    fn agrees(&self, image: &Image, at: usize) -> bool {
        let (_, wanted, is) = self.wanted(image)[at];
        let other = |wanted: &str| match at {
            // As people write it, and as the image's publisher does.
            0 => is.eq_ignore_ascii_case(wanted),
            1 => image.also.iter().any(|also| also == wanted),
            _ => false,
        };
        wanted.is_none_or(|wanted| wanted == is || other(wanted))
    }

    /// What is wanted of an image and what it is, from the most to the least telling.
    fn wanted<'b>(&'b self, image: &'b Image) -> [(&'static str, Option<&'b str>, &'b str); 5] {
        [
            ("distribution", self.dist, &image.dist),
            ("release", self.release, &image.release),
            ("architecture", self.arch, &image.arch),
            ("variant", self.variant, &image.variant),
            ("build", self.build, &image.build),
        ]
    }

    /// The newest of those that fit; or which word of the user's fits none, and what would.
    pub fn best(&self, images: Vec<Image>) -> Result<Image, Error> {
        let mut left = images;
        // Nothing runs on another machine's processor unless somebody says so.
        let chosen = Choice { arch: Some(self.arch.unwrap_or(self.native)), ..*self };
        for at in 0..5 {
            if !left.is_empty() && !left.iter().any(|image| chosen.agrees(image, at)) {
                return Err(chosen.unknown(&left, at));
            }
            left.retain(|image| chosen.agrees(image, at));
        }
        left.into_iter()
            .max_by(|a, b| a.build.cmp(&b.build))
            .ok_or_else(|| error(ErrorKind::NotFound, format!("{} has no images", self.server)))
    }

    /// What there is instead of what was asked for.
    fn unknown(&self, images: &[Image], at: usize) -> Error {
        let mut known: Vec<&str> = images.iter().map(|image| self.wanted(image)[at].2).collect();
        known.sort_unstable();
        known.dedup();
        let known = known.join(", ");
        let (what, wanted) = images.first().map_or(("image", None), |image| {
            let (what, wanted, _) = self.wanted(image)[at];
            (what, wanted)
        });
        let of_it = if at == 0 { "" } else { " of it" };
        let wanted = wanted.unwrap_or_default();
        error(
            ErrorKind::NotFound,
            format!("{} has no {what} {wanted:?}{of_it}; it has: {known}", self.server),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Files;
    use image_metadata::host_types::Pair;

    fn image(line: &str) -> Image {
        crate::flat::line(line).unwrap()
    }

    fn request(answers: &[(&str, &str)]) -> Request {
        let answers = answers.iter().map(|(n, v)| Pair { name: (*n).into(), value: (*v).into() }).collect();
        Request { container: "c".into(), architecture: "x86_64".into(), privileged: false, answers }
    }

    #[test]
    fn the_newest_that_fits_is_chosen_and_a_wrong_word_is_named() {
        let lines = [
            "debian;trixie;amd64;default;20260101_05:24;/a/",
            "debian;trixie;amd64;default;20260301_05:24;/b/",
            "debian;trixie;amd64;cloud;20260401_05:24;/c/",
            "debian;trixie;arm64;default;20260401_05:24;/d/",
        ];
        let best = |answers: &[(&str, &str)]| {
            let (request, images) = (request(answers), lines.map(image).into());
            let image = Choice::of(&request).best(images).map_err(|e| e.message)?;
            let Files::Directory(path) = image.files else { panic!("no directory") };
            Ok::<String, String>(path)
        };
        let usual = [("server", "https://s"), ("dist", "debian"), ("variant", "default")];
        let with = |more: &[(&'static str, &'static str)]| best(&[&usual[..], more].concat());
        assert_eq!(with(&[("release", "trixie")]).unwrap(), "/b/");
        assert_eq!(with(&[("release", "trixie"), ("arch", "aarch64")]).unwrap(), "/d/");
        assert_eq!(with(&[("release", "trixie"), ("build", "20260101_05:24")]).unwrap(), "/a/");
        let wrong = with(&[("release", "trixi")]).unwrap_err();
        assert_eq!(wrong, "https://s has no release \"trixi\" of it; it has: trixie");
        let wrong = best(&[("server", "https://s"), ("dist", "debain")]).unwrap_err();
        assert_eq!(wrong, "https://s has no distribution \"debain\"; it has: debian");
    }
}

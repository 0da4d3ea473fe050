//! What the user can say, and which image that means.

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::bindings::wxc::template::types::{Parameter, ParameterKind, Request};
use crate::error;
use crate::flat::Image;

/// How servers call the kernel's architectures, which are those of Debian.
const ARCHITECTURES: [(&str, &str); 9] = [
    ("x86_64", "amd64"),
    ("aarch64", "arm64"),
    ("armv7l", "armhf"),
    ("armv6l", "armel"),
    ("i686", "i386"),
    ("ppc64le", "ppc64el"),
    ("riscv64", "riscv64"),
    ("s390x", "s390x"),
    ("loongarch64", "loong64"),
];

/// The server's word for an architecture of the kernel's.
pub fn servers_word(architecture: &str) -> &str {
    ARCHITECTURES.iter().find(|(kernel, _)| *kernel == architecture).map_or(architecture, |(_, word)| word)
}

/// The kernel's word for an architecture of the server's.
pub fn kernels_word(architecture: &str) -> &str {
    ARCHITECTURES.iter().find(|(_, word)| *word == architecture).map_or(architecture, |(kernel, _)| kernel)
}

pub fn parameters() -> Vec<Parameter> {
    let text = ParameterKind::Text;
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
            dist: said("dist"),
            release: said("release"),
            arch: said("arch").map(servers_word),
            native: servers_word(&request.architecture),
            variant: said("variant"),
            build: said("build"),
        }
    }

    /// Whether an image is one of those that were asked for.
    pub fn fits(&self, image: &Image) -> bool {
        self.wanted(image).iter().all(|(_, wanted, is)| wanted.is_none_or(|wanted| wanted == *is))
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
    pub fn best<'b>(&self, images: &'b [Image]) -> Result<&'b Image, Error> {
        let mut left: Vec<&Image> = images.iter().collect();
        // Nothing runs on another machine's processor unless somebody says so.
        let chosen = Choice { arch: Some(self.arch.unwrap_or(self.native)), ..*self };
        for at in 0..5 {
            let before = left.clone();
            left.retain(|image| {
                let (_, wanted, is) = chosen.wanted(image)[at];
                wanted.is_none_or(|wanted| wanted == is)
            });
            if let (true, Some(first)) = (left.is_empty(), before.first()) {
                let (what, wanted, _) = chosen.wanted(first)[at];
                let mut known: Vec<&str> = before.iter().map(|image| self.wanted(image)[at].2).collect();
                known.sort_unstable();
                known.dedup();
                let wanted = wanted.unwrap_or_default();
                let known = known.join(", ");
                let message = format!("{} has no {what} {wanted:?} of it; it has: {known}", self.server);
                return Err(error(
                    ErrorKind::NotFound,
                    message.replace(" of it", if at == 0 { "" } else { " of it" }),
                ));
            }
        }
        left.into_iter()
            .max_by(|a, b| a.build.cmp(&b.build))
            .ok_or_else(|| error(ErrorKind::NotFound, format!("{} has no images", self.server)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::wxc::host::types::Pair;

    fn image(line: &str) -> Image {
        crate::flat::line(line).unwrap()
    }

    fn request(answers: &[(&str, &str)]) -> Request {
        let answers = answers.iter().map(|(n, v)| Pair { name: (*n).into(), value: (*v).into() }).collect();
        Request { container: "c".into(), architecture: "x86_64".into(), privileged: false, answers }
    }

    #[test]
    fn the_newest_that_fits_is_chosen_and_a_wrong_word_is_named() {
        let images = [
            image("debian;trixie;amd64;default;20260101_05:24;/a/"),
            image("debian;trixie;amd64;default;20260301_05:24;/b/"),
            image("debian;trixie;amd64;cloud;20260401_05:24;/c/"),
            image("debian;trixie;arm64;default;20260401_05:24;/d/"),
        ];
        let best = |answers: &[(&str, &str)]| {
            let request = request(answers);
            Choice::of(&request).best(&images).map(|image| image.path.clone()).map_err(|e| e.message)
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

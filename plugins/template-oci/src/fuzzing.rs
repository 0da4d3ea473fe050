//! A way in for bytes that nobody would send: it says what has to hold whatever they are.

use std::cell::Cell;

use crate::bindings::wxc::host::types::{Error, ErrorKind, Pair};
use crate::bindings::wxc::template::types::{Given, Member, Origin, Request};
use crate::spec::{self, Descriptor, Source};
use crate::{error, settings};

/// Most documents that are asked for: an index, one in it, a manifest, a configuration.
const MOST: usize = 5;

/// Documents in the order in which they are asked for.
struct Fed<'a> {
    documents: Vec<&'a [u8]>,
    asked: Cell<usize>,
}

impl Source for Fed<'_> {
    fn document(&self, _: &Descriptor) -> Result<Vec<u8>, Error> {
        let at = self.asked.replace(self.asked.get() + 1);
        assert!(at < MOST, "it is asked on and on");
        self.documents
            .get(at)
            .map(|bytes| bytes.to_vec())
            .ok_or_else(|| error(ErrorKind::NotFound, "no more"))
    }

    fn origin(&self, descriptor: &Descriptor) -> Result<Origin, Error> {
        let path = descriptor.digest.clone();
        Ok(Origin::Given(Given { parameter: "layout".into(), path }))
    }
}

/// Documents of an image, with a zero byte between: indexes, a manifest, a configuration.
pub fn manifest(bytes: &[u8]) {
    let documents: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let source = Fed { documents: documents.clone(), asked: Cell::new(0) };
    let Ok(first) = spec::parse::<Descriptor>("it", br#"{"mediaType":"x","digest":"sha256:00","size":1}"#)
    else {
        panic!("a descriptor is one")
    };
    if let Ok(image) = spec::image(&source, first, "amd64") {
        for layer in &image.layers.stack {
            assert!(layer.blob.digest.is_some() && !layer.diff_id.hex.is_empty());
        }
    }
    let answers = vec![Pair { name: "layout".into(), value: "x".into() }];
    let request =
        Request { container: "c".into(), architecture: "x86_64".into(), privileged: false, answers };
    for content in documents {
        let members = [Member { name: "config".into(), content: content.into() }];
        let Ok(finished) = settings::finish(&request, &members) else { continue };
        for setting in &finished.settings {
            let plain = |text: &str| !text.contains(char::is_control);
            assert!(plain(&setting.name) && plain(&setting.value), "{setting:?}");
        }
        for file in &finished.files {
            assert!(
                file.path.starts_with('/') && !file.path.split('/').any(|part| part == ".."),
                "{:?}",
                file.path
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_fed_before() {
        let found = words::fuzzed::inputs("manifest");
        assert!(found.len() > 1);
        found.iter().for_each(|bytes| super::manifest(bytes));
    }
}

//! Ways in for bytes that nobody would send: each says what has to hold whatever they are.

use crate::choice::Choice;
use crate::image::{Files, Image, is_place, is_word};
use crate::{flat, streams};
use image_metadata::host_types::Pair;
use image_metadata::template_types::{Finished, Member, Moment, Origin, Request};

/// Longest metadata that the host hands over, in bytes.
const LONGEST: usize = 256 << 10;

fn request(architecture: &str) -> Request {
    let answers = vec![Pair { name: "server".into(), value: "https://s".into() }];
    Request { container: "name".into(), architecture: architecture.into(), privileged: false, answers }
}

/// Lists of images, of either kind, and digests of files.
pub fn index(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let request = request("x86_64");
    let choice = Choice::of(&request);
    let mut images: Vec<Image> = text.lines().filter_map(|line| flat::line(line).ok()).collect();
    if let Some(hex) = flat::digest(&text, "rootfs.tar.xz") {
        assert!(hex.len() == 64);
    }
    images.extend(streams::of_text(&choice, &text));
    for image in &images {
        for word in [&image.dist, &image.release, &image.arch, &image.variant, &image.build] {
            assert!(is_word(word), "{word:?}");
        }
        match &image.files {
            Files::Directory(path) => assert!(path.starts_with('/') && is_place(path), "{path:?}"),
            Files::Listed(archives) => {
                for part in &archives.parts {
                    let Origin::Remote(remote) = &part.blob.origin else { panic!("not from the server") };
                    let inside =
                        remote.urls.iter().all(|url| url.starts_with("https://s/") && !url.contains("/../"));
                    assert!(inside, "{remote:?}");
                }
            }
        }
    }
    // Whatever there is, one is chosen or it is said why not.
    drop(choice.best(images));
}

/// Metadata of an image: files behind names, with a zero byte between.
pub fn metadata(bytes: &[u8]) {
    if bytes.len() > LONGEST {
        return;
    }
    let mut pieces = bytes.split(|byte| *byte == 0);
    let mut members = Vec::new();
    while let (Some(name), Some(content)) = (pieces.next(), pieces.next()) {
        members.push(Member { name: String::from_utf8_lossy(name).into_owned(), content: content.into() });
    }
    let request = request("aarch64");
    for moment in [Moment::Create, Moment::Copy, Moment::Rename, Moment::Start] {
        if let Ok(finished) = image_metadata::finish(moment, &request, &members) {
            check(&finished);
        }
    }
}

/// What the host would refuse is a mistake here: the image gets the blame for it.
fn check(finished: &Finished) {
    for file in &finished.files {
        assert!(file.path.starts_with('/'), "{:?}", file.path);
        assert!(!file.path.split('/').any(|part| part == ".."), "{:?}", file.path);
        assert!(
            !file.path.contains('\0') && file.permissions & !0o777 == 0,
            "{:?} {:o}",
            file.path,
            file.permissions
        );
    }
    for setting in &finished.settings {
        let plain = |text: &str| !text.contains(char::is_control);
        assert!(plain(&setting.name) && plain(&setting.value), "{setting:?}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_was_fed_before() {
        for (directory, target) in [("index", super::index as fn(&[u8])), ("metadata", super::metadata)] {
            let found = words::fuzzed::inputs(directory);
            assert!(found.len() > 1, "{directory}");
            found.iter().for_each(|bytes| target(bytes));
        }
    }
}

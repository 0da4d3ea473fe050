#![forbid(unsafe_code)]
//! A directory with files in it, whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::ScaffoldError;

/// Makes a directory that is not there, or takes the place of an empty one: under another name beside it, then renamed.
pub(super) fn directory(path: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<(), ScaffoldError> {
    let absolute = std::path::absolute(path).map_err(|source| failed("find", path, source))?;
    free(path, &absolute)?;
    let (Some(parent), Some(name)) = (absolute.parent(), absolute.file_name()) else {
        return Err(ScaffoldError::Taken(path.to_owned()));
    };
    if let Err(source) = fs::metadata(parent) {
        return Err(failed("find the directory above", path, source));
    }
    let part = parent.join(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    let done = fill(&part, files).and_then(|()| {
        // Over an empty directory, and over nothing else.
        fs::rename(&part, &absolute).map_err(|source| match source.kind() {
            io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotADirectory => {
                ScaffoldError::Taken(path.to_owned())
            }
            _ => failed("make", path, source),
        })
    });
    done.inspect_err(|_| {
        // If it cannot be removed either, its name says what it is.
        let _removed = fs::remove_dir_all(&part);
    })
}

/// Whether nothing is lost when something takes this place.
fn free(path: &Path, absolute: &Path) -> Result<(), ScaffoldError> {
    let there = match fs::symlink_metadata(absolute) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(failed("look at", path, source)),
    };
    if !there.is_dir() {
        return Err(ScaffoldError::Taken(path.to_owned()));
    }
    let mut entries = fs::read_dir(absolute).map_err(|source| failed("look into", path, source))?;
    if entries.next().is_some() {
        return Err(ScaffoldError::Taken(path.to_owned()));
    }
    let here = fs::metadata(".").is_ok_and(|here| (here.dev(), here.ino()) == (there.dev(), there.ino()));
    if here { Err(ScaffoldError::Here(path.to_owned())) } else { Ok(()) }
}

fn fill(directory: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<(), ScaffoldError> {
    fs::create_dir(directory).map_err(|source| failed("make", directory, source))?;
    for (name, content) in files {
        let file: PathBuf = directory.join(name);
        let above = file.parent().unwrap_or(directory);
        fs::create_dir_all(above).map_err(|source| failed("make", above, source))?;
        fs::write(&file, content).map_err(|source| failed("write", &file, source))?;
    }
    Ok(())
}

fn failed(doing: &'static str, path: &Path, source: io::Error) -> ScaffoldError {
    ScaffoldError::Io { doing, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> BTreeMap<String, Vec<u8>> {
        [("a", "1"), ("deep/er/b", "2")].map(|(name, text)| (name.to_owned(), text.into())).into()
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_new_or_empty_directory_is_filled() {
        let scratch = tempfile::tempdir().unwrap();
        for name in ["new", "empty"] {
            let target = scratch.path().join(name);
            if name == "empty" {
                fs::create_dir(&target).unwrap();
            }
            directory(&target, &files()).unwrap();
            assert_eq!(fs::read_to_string(target.join("deep/er/b")).unwrap(), "2");
        }
        assert_eq!(names(scratch.path()).len(), 2);
    }

    #[test]
    fn what_is_there_stays_and_nothing_is_left() {
        let scratch = tempfile::tempdir().unwrap();
        let full = scratch.path().join("full");
        fs::create_dir(&full).unwrap();
        fs::write(full.join("mine"), "").unwrap();
        let file = scratch.path().join("file");
        fs::write(&file, "").unwrap();
        let link = scratch.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        for taken in [&full, &file, &link] {
            let error = directory(taken, &files()).unwrap_err();
            assert!(matches!(error, ScaffoldError::Taken(_)), "{error}");
        }
        assert!(directory(&scratch.path().join("no/such/place"), &files()).is_err());
        // One that cannot be written to the end.
        let odd = BTreeMap::from([("a".to_owned(), Vec::new()), ("a/b".to_owned(), Vec::new())]);
        assert!(directory(&scratch.path().join("half"), &odd).is_err());
        assert_eq!(names(&full), ["mine"]);
        assert_eq!(names(scratch.path()).len(), 3);
    }
}

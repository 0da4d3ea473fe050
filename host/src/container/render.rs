#![forbid(unsafe_code)]
//! Files of a template's `finish`, into the root: the contract's words into the unpacker's.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;

use super::options::Answers;
use super::{Error, assemble, ids};
use crate::config::Container;
use crate::plugin::template::types::{Node, Rendered};
use crate::unpack::{self, Render};

/// Largest file of the user's that is copied into a root this way.
const GIVEN_LIMIT: u64 = 16 << 20;

/// Renders `files`, in their order, into the root at `target`.
pub(super) fn render(
    container: &Container,
    target: BorrowedFd<'_>,
    answers: &Answers,
    files: Vec<Rendered>,
) -> Result<(), Error> {
    let files: Vec<Render> =
        files.into_iter().map(|file| translate(file, answers)).collect::<Result<_, _>>()?;
    if files.is_empty() {
        return Ok(());
    }
    Ok(unpack::render(target, ids::id_mode(container), &files)?)
}

fn translate(file: Rendered, answers: &Answers) -> Result<Render, Error> {
    let node = match file.node {
        Node::Directory => unpack::Node::Directory,
        Node::File(content) => unpack::Node::File(content),
        Node::Symlink(text) => unpack::Node::Symlink(text.into()),
        Node::Given(given) => {
            let path = assemble::given_path(answers, &given)?;
            let too_large = || io::Error::other(format!("it has more than {GIVEN_LIMIT} bytes"));
            let content = fs::metadata(&path)
                .and_then(|meta| if meta.len() > GIVEN_LIMIT { Err(too_large()) } else { fs::read(&path) })
                .map_err(Error::io("read", &path))?;
            unpack::Node::File(content)
        }
        Node::Substitute(words) => {
            unpack::Node::Substitute(words.words.into_iter().map(|pair| (pair.name, pair.value)).collect())
        }
        Node::Absent => unpack::Node::Absent,
    };
    Ok(Render {
        path: file.path.into(),
        node,
        mode: file.permissions,
        uid: file.user,
        gid: file.group,
        keep_existing: file.keep_existing,
    })
}

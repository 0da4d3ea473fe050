//! A pool in memory for the tests. It can be cut off after a number of changes, as a power failure would.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crate::bindings::wxc::host::types::{Error, ErrorKind};
use crate::layout;
use crate::pool::{Bytes, Pool, There};
use crate::volume::error;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Directory,
    File(String),
    Subvolume { uuid: u32, read_only: bool, limit: Option<u64> },
}

#[derive(Default)]
pub struct Memory {
    entries: RefCell<BTreeMap<String, Node>>,
    uuids: Cell<u32>,
    changes: Cell<usize>,
    cut: Cell<Option<usize>>,
    /// Whether quota groups are on.
    pub counting: Cell<bool>,
}

impl Memory {
    /// With these directories, and those above them.
    pub fn with(homes: &[&str]) -> Self {
        let pool = Self::default();
        for home in homes {
            for (at, _) in home.match_indices('/').chain([(home.len(), "")]) {
                pool.entries.borrow_mut().insert(home[..at].to_owned(), Node::Directory);
            }
        }
        pool
    }

    /// A subvolume, as others would make it.
    pub fn plant(&self, path: &str) {
        self.entries.borrow_mut().insert(path.to_owned(), self.fresh(false));
    }

    /// What a container writes into its root.
    pub fn fill(&self, id: &str, text: &str) {
        self.entries.borrow_mut().insert(layout::root(id) + "/data", Node::File(text.to_owned()));
    }

    pub fn content(&self, id: &str) -> Option<String> {
        self.read(&(layout::root(id) + "/data")).unwrap()
    }

    pub fn is_read_only(&self, path: &str) -> bool {
        matches!(self.entries.borrow().get(path), Some(Node::Subvolume { read_only: true, .. }))
    }

    pub fn paths(&self) -> Vec<String> {
        self.entries.borrow().keys().cloned().collect()
    }

    /// Lets so many changes happen, and none after them; none lets all happen.
    pub fn cut_after(&self, changes: Option<usize>) {
        self.changes.set(0);
        self.cut.set(changes);
    }

    fn fresh(&self, read_only: bool) -> Node {
        self.uuids.set(self.uuids.get() + 1);
        Node::Subvolume { uuid: self.uuids.get(), read_only, limit: None }
    }

    fn change(&self) -> Result<(), Error> {
        self.changes.set(self.changes.get() + 1);
        match self.cut.get() {
            Some(cut) if self.changes.get() > cut => Err(error(ErrorKind::Failed, "power failure")),
            _ => Ok(()),
        }
    }

    fn at(path: &str, root: &str) -> bool {
        path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Renames everything by a rule.
    fn moved(&self, rule: impl Fn(String) -> String) {
        let old = std::mem::take(&mut *self.entries.borrow_mut());
        *self.entries.borrow_mut() = old.into_iter().map(|(path, node)| (rule(path), node)).collect();
    }

    /// The subvolumes at and below a path, outermost first.
    fn subvolumes(&self, path: &str) -> Vec<String> {
        let entries = self.entries.borrow();
        let inside =
            entries.iter().filter(|(at, node)| Self::at(at, path) && matches!(node, Node::Subvolume { .. }));
        inside.map(|(at, _)| at.clone()).collect()
    }
}

impl Pool for Memory {
    fn look(&self, path: &str) -> Result<There, Error> {
        Ok(match self.entries.borrow().get(path) {
            None => There::Nothing,
            Some(Node::Subvolume { uuid, .. }) => There::Subvolume(uuid.to_string()),
            Some(_) => There::Other,
        })
    }

    fn directories(&self, path: &str) -> Result<Vec<String>, Error> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let entries = self.entries.borrow();
        let directories = entries.iter().filter(|(_, node)| !matches!(node, Node::File(_)));
        let names = directories.filter_map(|(at, _)| at.strip_prefix(&prefix).map(str::to_owned));
        Ok(names.filter(|name| !name.contains('/')).collect())
    }

    fn below(&self, path: &str) -> Result<Vec<String>, Error> {
        let prefix = if path.is_empty() { String::new() } else { format!("{path}/") };
        let entries = self.entries.borrow();
        let inside = entries.iter().filter(|(_, node)| matches!(node, Node::Subvolume { .. }));
        Ok(inside.filter_map(|(at, _)| at.strip_prefix(&prefix).map(str::to_owned)).collect())
    }

    fn read(&self, path: &str) -> Result<Option<String>, Error> {
        match self.entries.borrow().get(path) {
            Some(Node::File(text)) => Ok(Some(text.clone())),
            _ => Ok(None),
        }
    }

    fn write(&self, path: &str, text: &str) -> Result<(), Error> {
        self.change()?;
        self.entries.borrow_mut().insert(path.to_owned(), Node::File(text.to_owned()));
        Ok(())
    }

    fn forget(&self, path: &str) -> Result<(), Error> {
        self.change()?;
        self.entries.borrow_mut().remove(path);
        Ok(())
    }

    fn rename(&self, path: &str, new: &str) -> Result<(), Error> {
        self.change()?;
        assert!(!self.entries.borrow().contains_key(new), "renamed over {new}");
        self.moved(|at| if Self::at(&at, path) { format!("{new}{}", &at[path.len()..]) } else { at });
        Ok(())
    }

    fn exchange(&self, path: &str, other: &str) -> Result<(), Error> {
        self.change()?;
        assert!(self.entries.borrow().contains_key(path) && self.entries.borrow().contains_key(other));
        self.moved(|at| match (Self::at(&at, path), Self::at(&at, other)) {
            (true, _) => format!("{other}{}", &at[path.len()..]),
            (_, true) => format!("{path}{}", &at[other.len()..]),
            _ => at,
        });
        Ok(())
    }

    fn make(&self, path: &str) -> Result<(), Error> {
        self.change()?;
        assert!(self.entries.borrow_mut().insert(path.to_owned(), self.fresh(false)).is_none());
        Ok(())
    }

    /// One change per subvolume, the outermost first: that is what the host can do.
    fn snapshot(&self, path: &str, new: &str, read_only: bool) -> Result<(), Error> {
        assert!(!self.entries.borrow().contains_key(new), "a snapshot over {new}");
        let all = self.subvolumes(path);
        for from in &all {
            self.change()?;
            let others = |at: &str| all.iter().any(|o| o != from && Self::at(o, from) && Self::at(at, o));
            let old = self.entries.borrow().clone();
            for (at, node) in old.into_iter().filter(|(at, _)| Self::at(at, from) && !others(at)) {
                // Those inside stay what they were.
                let protected = if from == path { read_only } else { self.is_read_only(from) };
                let node = if at == *from { self.fresh(protected) } else { node };
                self.entries.borrow_mut().insert(format!("{new}{}", &at[path.len()..]), node);
            }
        }
        Ok(())
    }

    /// One change per subvolume, the innermost first.
    fn remove(&self, path: &str) -> Result<(), Error> {
        assert!(self.look(path)? != There::Other, "removed {path}");
        for subvolume in self.subvolumes(path).iter().rev() {
            self.change()?;
            self.entries.borrow_mut().retain(|at, _| !Self::at(at, subvolume));
        }
        Ok(())
    }

    fn protect(&self, path: &str, to: bool) -> Result<(), Error> {
        self.change()?;
        if let Some(Node::Subvolume { read_only, .. }) = self.entries.borrow_mut().get_mut(path) {
            *read_only = to;
        }
        Ok(())
    }

    fn sync(&self, _path: &str) -> Result<(), Error> {
        self.change()
    }

    fn limit(&self, path: &str) -> Result<Option<u64>, Error> {
        match self.entries.borrow().get(path) {
            Some(Node::Subvolume { limit, .. }) => Ok(*limit),
            _ => Err(error(ErrorKind::NotFound, path)),
        }
    }

    /// A byte for each of the file's.
    fn usage(&self, path: &str) -> Result<Option<Bytes>, Error> {
        let bytes = self.count(path)?.0;
        Ok(self.counting.get().then_some(Bytes { referenced: bytes, exclusive: bytes }))
    }

    fn set_limit(&self, path: &str, bytes: Option<u64>) -> Result<(), Error> {
        self.change()?;
        self.counting.set(self.counting.get() || bytes.is_some());
        match self.entries.borrow_mut().get_mut(path) {
            Some(Node::Subvolume { limit, .. }) => *limit = bytes,
            _ => return Err(error(ErrorKind::NotFound, path)),
        }
        Ok(())
    }

    fn count(&self, path: &str) -> Result<(u64, u64), Error> {
        let entries = self.entries.borrow();
        let files = entries.iter().filter(|(at, _)| Self::at(at, path)).filter_map(|(_, node)| match node {
            Node::File(text) => Some(text.len() as u64),
            _ => None,
        });
        let lengths: Vec<u64> = files.collect();
        Ok((lengths.iter().sum(), lengths.len() as u64))
    }
}

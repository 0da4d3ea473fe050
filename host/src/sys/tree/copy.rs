//! Copying a tree with all that belongs to it: holes, hard links, owners, modes, times, attributes.
//!
//! Directories are walked depth first, by several threads where a tree is large. They need nothing of each other but the table of
//! [`links`]: a directory gets its times when its own entries are there, and what is made further down does not change them.

mod belongings;
mod entry;
mod links;

use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

use super::listing::{Fold, Listing, Place, Scratch, Stack};
use super::team::{self, Hand};
use super::{Holes, TreeError};
use links::Links;

/// What a copy did, also while it goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    /// Entries made, of every kind.
    pub entries: u64,
    /// Bytes of file content, holes not counted.
    pub bytes: u64,
    /// Sockets and device nodes that were left out.
    pub skipped: u64,
    /// Directories on which something else was mounted: made, but empty. Also the target itself, left out.
    pub mounts: u64,
    /// Extended attributes that the policy or the target filesystem did not take.
    pub attributes: u64,
}

/// What a copy keeps, changes or refuses. The reasons it gives reach the user with the entry's name.
pub trait CopyPolicy {
    /// The owner that is written for an entry of this owner.
    fn owner(&mut self, uid: u32, gid: u32) -> Result<(u32, u32), String>;
    /// The value to store for an extended attribute, or `None` to leave it out.
    fn attribute(&mut self, name: &[u8], value: Vec<u8>) -> Option<Vec<u8>>;
    /// Whether a device node is made (`true`) or left out.
    fn device(&mut self, major: u32, minor: u32) -> Result<bool, String>;
    /// Whether what is of use within one tree only comes along: sockets, and attributes of links and special files.
    fn whole(&self) -> bool {
        false
    }
    /// Called before each entry and after each piece of a large file; an error ends the copy.
    fn progress(&mut self, path: &Path, done: &Copied) -> Result<(), TreeError>;
}

/// Hears how far a copy is, from any of its threads; an error ends it.
pub type Watch<'a> = dyn Fn(&Copied) -> Result<(), TreeError> + Sync + 'a;

/// Everything exactly as it is: what copying a container of one's own means.
struct Exact<'a>(&'a Watch<'a>);

impl CopyPolicy for Exact<'_> {
    fn owner(&mut self, uid: u32, gid: u32) -> Result<(u32, u32), String> {
        Ok((uid, gid))
    }
    fn attribute(&mut self, _: &[u8], value: Vec<u8>) -> Option<Vec<u8>> {
        Some(value)
    }
    fn device(&mut self, _: u32, _: u32) -> Result<bool, String> {
        Ok(true)
    }
    fn whole(&self) -> bool {
        true
    }
    fn progress(&mut self, _: &Path, done: &Copied) -> Result<(), TreeError> {
        self.0(done)
    }
}

/// Copies what is in the directory `from` into the existing directory `to`, and then `from`'s own owner,
/// mode, times and attributes onto it, as `policy` says and on this thread alone.
///
/// File data is shared (`FICLONE`) where both are on one filesystem that can, and copied in the kernel
/// otherwise. A name that exists in `to` already is an error, except for directories, which are joined. File flags (chattr(1))
/// are not copied, as with cp(1): an immutable file could not be changed by the copy's own root.
pub fn copy_tree(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    policy: &mut dyn CopyPolicy,
) -> Result<Copied, TreeError> {
    let (shared, root) = begin(from, to)?;
    Worker::new(&shared, policy).run(root, &mut Hand::alone())?;
    Ok(shared.tally.so_far())
}

/// The same for a tree that is copied exactly as it is: on a few threads when it is large.
pub fn copy_exactly(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    watch: &Watch<'_>,
) -> Result<Copied, TreeError> {
    let (shared, root) = begin(from, to)?;
    team::share(root, &|task, hand| Worker::new(&shared, &mut Exact(watch)).run(task, hand))?;
    Ok(shared.tally.so_far())
}

/// Copies an open regular file onto a new and empty one, exactly as it is.
pub fn copy_file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, watch: &Watch<'_>) -> Result<Copied, TreeError> {
    let path = Path::new("");
    let stat = fstat(from).map_err(TreeError::io("examine", path))?;
    let shared = Shared::new(to)?;
    Worker::new(&shared, &mut Exact(watch)).content(from, to, &stat, path).map_err(|e| e.at(path))?;
    Ok(shared.tally.so_far())
}

fn begin<'a>(from: BorrowedFd<'_>, to: BorrowedFd<'a>) -> Result<(Shared<'a>, Task), TreeError> {
    let level = Level::root(from, to).map_err(|e| e.at(Path::new("")))?;
    Ok((Shared::new(to)?, Task { level, path: PathBuf::new() }))
}

/// What the threads of one copy have in common.
struct Shared<'a> {
    to: BorrowedFd<'a>,
    target: (u64, u64),
    links: Mutex<Links>,
    tally: Tally,
}

impl<'a> Shared<'a> {
    fn new(to: BorrowedFd<'a>) -> Result<Self, TreeError> {
        let target = inode(&fstat(to).map_err(TreeError::io("examine", Path::new("")))?);
        Ok(Self { to, target, links: Mutex::default(), tally: Tally::default() })
    }
}

/// [`Copied`], counted by several threads.
#[derive(Default)]
struct Tally([AtomicU64; 5]);

macro_rules! tally {
    ($($field:ident $at:literal),*) => {
        impl Tally {
            $(fn $field(&self, more: u64) {
                self.0[$at].fetch_add(more, Ordering::Relaxed);
            })*

            fn so_far(&self) -> Copied {
                Copied { $($field: self.0[$at].load(Ordering::Relaxed)),* }
            }
        }
    };
}

tally!(entries 0, bytes 1, skipped 2, mounts 3, attributes 4);

/// A directory, and where it is below the root.
struct Task {
    level: Level,
    path: PathBuf,
}

/// One directory in the middle of being copied.
struct Level {
    from: Listing,
    to: Place,
    stat: Stat,
}

impl Level {
    fn root(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> Result<Self, Fault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let from = when("open", openat(from, c".", flags, Mode::empty()))?;
        let to = when("open", openat(to, c".", flags, Mode::empty()))?;
        let (stat, made) = (when("examine", fstat(&from))?, when("examine", fstat(&to))?);
        let from = Listing::new(Place::new(from, inode(&stat)));
        Ok(Self { from, to: Place::new(to, inode(&made)), stat })
    }
}

impl Fold for Level {
    fn fold(&mut self) {
        self.from.fold();
        self.to.fold();
    }

    fn unfold(&mut self, below: &Self) -> Result<(), Errno> {
        self.from.unfold(&below.from)?;
        self.to.unfold(&below.to)
    }
}

/// An error of one call before the path is known.
enum Fault {
    Call(&'static str, Errno),
    Rule(String),
    Whole(TreeError),
}

impl From<Errno> for Fault {
    fn from(e: Errno) -> Self {
        Self::Call("copy", e)
    }
}

impl Fault {
    fn at(self, path: &Path) -> TreeError {
        match self {
            Self::Call(doing, source) => TreeError::Io { doing, path: path.into(), source },
            Self::Rule(why) => TreeError::Refused { path: path.into(), why },
            Self::Whole(e) => e,
        }
    }
}

/// Names the attempted step.
fn when<T>(doing: &'static str, result: Result<T, Errno>) -> Result<T, Fault> {
    result.map_err(|e| Fault::Call(doing, e))
}

/// One thread of a copy.
struct Worker<'a> {
    shared: &'a Shared<'a>,
    policy: &'a mut dyn CopyPolicy,
    able: Holes,
    scratch: Scratch,
    /// Room for the value of an attribute.
    value: Vec<u8>,
}

impl<'a> Worker<'a> {
    fn new(shared: &'a Shared<'a>, policy: &'a mut dyn CopyPolicy) -> Self {
        let (able, scratch) = (Holes::default(), Scratch::default());
        Self { shared, policy, able, scratch, value: Vec::new() }
    }

    /// A directory with what is in it, but for those below that others take.
    fn run(&mut self, task: Task, hand: &mut Hand<'_, Task, TreeError>) -> Result<(), TreeError> {
        let Task { level, mut path } = task;
        let mut levels = Stack::new(level);
        while let Some(level) = levels.last_mut() {
            if hand.stopped() {
                return Ok(());
            }
            let Some((name, _)) = level.from.next(&mut self.scratch).map_err(TreeError::io("read", &path))?
            else {
                if let Some(done) = levels.pop().map_err(TreeError::io("go up from", &path))? {
                    self.leave(&done).map_err(|e| e.at(&path))?;
                }
                path.pop();
                continue;
            };
            path.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
            self.policy.progress(&path, &self.shared.tally.so_far())?;
            let Some(below) = self.entry(level, &name, &path).map_err(|e| e.at(&path))? else {
                path.pop();
                continue;
            };
            let kept = if hand.wants() {
                hand.give(Task { level: below, path: path.clone() }).map(|task| task.level)
            } else {
                Some(below)
            };
            match kept {
                Some(below) => levels.push(below),
                None => _ = path.pop(),
            }
        }
        Ok(())
    }

    /// A directory whose entries are there: nothing changes its times any more.
    fn leave(&mut self, done: &Level) -> Result<(), Fault> {
        self.belongings(done.from.fd()?, done.to.fd()?, &done.stat)
    }
}

fn inode(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::FileType;
    use std::fs;
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn links_times_modes_and_fifos_arrive() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(a.join("sub/deep")).unwrap();
        fs::create_dir(&b).unwrap();
        fs::write(a.join("sub/file"), "hello").unwrap();
        fs::hard_link(a.join("sub/file"), a.join("other")).unwrap();
        std::os::unix::fs::symlink("/nowhere", a.join("link")).unwrap();
        fs::set_permissions(a.join("sub"), fs::Permissions::from_mode(0o2751)).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, a.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let old = fs::File::open(a.join("sub/deep")).unwrap();
        old.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_nanos(1_234_567_891_234)).unwrap();

        let (from, to) = (fs::File::open(&a).unwrap(), fs::File::open(&b).unwrap());
        let done = copy_exactly(from.as_fd(), to.as_fd(), &|_| Ok(())).unwrap();
        assert_eq!((done.entries, done.skipped), (5, 0));
        assert_eq!(fs::read(b.join("other")).unwrap(), b"hello");
        assert_eq!(
            fs::metadata(b.join("other")).unwrap().ino(),
            fs::metadata(b.join("sub/file")).unwrap().ino()
        );
        assert_eq!(fs::read_link(b.join("link")).unwrap(), Path::new("/nowhere"));
        assert_eq!(fs::metadata(b.join("sub")).unwrap().mode() & 0o7777, 0o2751);
        assert_eq!(fs::metadata(b.join("sub/deep")).unwrap().mtime(), 1234);
        assert_eq!(fs::metadata(b.join("sub/deep")).unwrap().mtime_nsec(), 567_891_234);
        assert_eq!(fs::symlink_metadata(b.join("fifo")).unwrap().mode() & 0o7777, 0o400);
    }

    #[test]
    fn an_existing_link_is_not_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir_all(&a).unwrap();
        fs::create_dir(&b).unwrap();
        fs::write(a.join("x"), "evil").unwrap();
        fs::write(dir.path().join("victim"), "safe").unwrap();
        std::os::unix::fs::symlink("../victim", b.join("x")).unwrap();
        let (from, to) = (fs::File::open(&a).unwrap(), fs::File::open(&b).unwrap());
        let error = copy_exactly(from.as_fd(), to.as_fd(), &|_| Ok(())).unwrap_err();
        assert!(error.to_string().starts_with("cannot create x: "), "{error}");
        assert_eq!(fs::read(dir.path().join("victim")).unwrap(), b"safe");
    }

    #[test]
    fn a_large_tree_arrives_whole_with_its_links() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        fs::create_dir(&b).unwrap();
        let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000);
        for n in 0..60 {
            for m in 0..10 {
                let at = a.join(format!("{n}/{m}"));
                fs::create_dir_all(&at).unwrap();
                fs::write(at.join("file"), format!("{n} {m}")).unwrap();
                fs::hard_link(at.join("file"), a.join(format!("{}/{n}-{m}", n / 2))).unwrap();
            }
        }
        for n in 0..60 {
            fs::File::open(a.join(n.to_string())).unwrap().set_modified(old).unwrap();
        }
        let (from, to) = (fs::File::open(&a).unwrap(), fs::File::open(&b).unwrap());
        let done = copy_exactly(from.as_fd(), to.as_fd(), &|_| Ok(())).unwrap();
        assert_eq!(done.entries, 60 + 600 + 600);
        for n in 0..60 {
            assert_eq!(fs::metadata(b.join(n.to_string())).unwrap().modified().unwrap(), old, "{n}");
            for m in 0..10 {
                let file = b.join(format!("{n}/{m}/file"));
                assert_eq!(fs::read(&file).unwrap(), format!("{n} {m}").as_bytes());
                let other = b.join(format!("{}/{n}-{m}", n / 2));
                assert_eq!(fs::metadata(other).unwrap().ino(), fs::metadata(file).unwrap().ino());
            }
        }
        let top = fs::File::open(dir.path()).unwrap();
        let gone = super::super::remove_tree(top.as_fd(), "b".as_ref()).unwrap();
        assert_eq!((gone, b.exists()), (60 + 600 + 1200 + 1, false));
    }

    #[test]
    fn links_between_the_ends_of_paths_longer_than_any_call_takes() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let top = fs::File::open(dir.path().join("a")).unwrap();
        let open = |at: &std::os::fd::OwnedFd| {
            openat(at, "directory", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
        };
        let mut at: std::os::fd::OwnedFd = top.try_clone().unwrap().into();
        for _ in 0..1500 {
            rustix::fs::mkdirat(&at, "directory", Mode::RWXU).unwrap();
            at = open(&at);
        }
        let flags = OFlags::CREATE | OFlags::WRONLY;
        drop(openat(&at, "one", flags, Mode::RUSR).unwrap());
        rustix::fs::linkat(&at, "one", &at, "other", rustix::fs::AtFlags::empty()).unwrap();
        let to = fs::File::open(dir.path().join("b")).unwrap();
        copy_exactly(top.as_fd(), to.as_fd(), &|_| Ok(())).unwrap();
        let mut at: std::os::fd::OwnedFd = to.try_clone().unwrap().into();
        for _ in 0..1500 {
            at = open(&at);
        }
        let stat = |name: &str| rustix::fs::statat(&at, name, rustix::fs::AtFlags::empty()).unwrap();
        assert_eq!((stat("one").st_nlink, stat("one").st_ino), (2, stat("other").st_ino));
        for tree in [&top, &to] {
            super::super::empty_tree(tree.as_fd()).unwrap();
        }
    }

    #[test]
    fn a_watch_that_refuses_ends_every_thread() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("to")).unwrap();
        for n in 0..500 {
            fs::create_dir_all(dir.path().join(format!("from/{n}/below"))).unwrap();
        }
        let (from, to) = (
            fs::File::open(dir.path().join("from")).unwrap(),
            fs::File::open(dir.path().join("to")).unwrap(),
        );
        let watch = |done: &Copied| if done.entries > 300 { Err(TreeError::Stopped) } else { Ok(()) };
        let error = copy_exactly(from.as_fd(), to.as_fd(), &watch).unwrap_err();
        assert!(matches!(error, TreeError::Stopped), "{error}");
    }
}

//! An ordinary user of the machine, made for one test: own ids, a home, subordinate ids, a delegated cgroup.
//!
//! The machine's own account files stay as they are: every command of the user runs in a mount namespace in which
//! others lie over them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Who runs the commands of an [`crate::Env`], and where what belongs to them is.
#[derive(Debug)]
pub struct User {
    pub uid: u32,
    /// The first of their subordinate ids, of users and of groups.
    pub first: u32,
    /// How many these are.
    pub count: u32,
    files: PathBuf,
    cgroup: Option<PathBuf>,
}

/// What lies over the machine's files.
const COVERED: [&str; 4] = ["passwd", "group", "subuid", "subgid"];

impl User {
    /// With ids for `containers` containers. `files` is an empty directory for the account files.
    pub(crate) fn new(files: PathBuf, containers: u32) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let uid = 60_000 + (std::process::id() % 400) * 10 + number % 10;
        let (first, count) = (800_000_000 + number * 1_000_000, containers * 65536);
        let user = Self {
            uid,
            first,
            count,
            files,
            cgroup: cgroup(&format!("wxc-t{}-{number}", std::process::id())),
        };
        user.write();
        if let Some(cgroup) = &user.cgroup {
            for file in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
                chown(cgroup.join(file), Some(uid), Some(uid)).expect("a cgroup can be delegated");
            }
        }
        user
    }

    fn write(&self) {
        let put = |name: &str, text: String| {
            let path = self.files.join(name);
            fs::write(&path, text).expect("an account file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("an account file");
        };
        for name in &COVERED[..2] {
            let mut text = fs::read_to_string(Path::new("/etc").join(name)).unwrap_or_default();
            let rest = if *name == "passwd" { format!("{}::/:/bin/sh", self.uid) } else { String::new() };
            text.push_str(&format!("wxctest:x:{}:{rest}\n", self.uid));
            put(name, text);
        }
        for name in &COVERED[2..] {
            let text = match self.count {
                0 => String::new(),
                count => format!("wxctest:{}:{count}\n", self.first),
            };
            put(name, text);
        }
    }

    /// `program`, as the user. The test's own environment comes along; arguments are added behind.
    pub(crate) fn command(&self, program: &Path) -> Command {
        // The program is bound to a place of the user's: where it was built may be closed to them.
        let script = r#"
            set -e
            files=$1 cgroup=$2 uid=$3 program=$4; shift 4
            for file in passwd group subuid subgid; do
                [ -e /etc/$file ] || continue
                mount --bind "$files/$file" /etc/$file
            done
            : > "$files/wxc"; chmod 755 "$files/wxc"; mount --bind "$program" "$files/wxc"
            [ -z "$cgroup" ] || echo $$ > "$cgroup/cgroup.procs"
            exec setpriv --reuid "$uid" --regid "$uid" --clear-groups -- "$files/wxc" "$@""#;
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh"]);
        let cgroup = self.cgroup.as_deref().map_or(OsStr::new(""), Path::as_os_str);
        command.arg(&self.files).arg(cgroup).arg(self.uid.to_string()).arg(program);
        command
    }

    /// The names of the cgroups that there are in the delegated one.
    #[must_use]
    pub fn cgroups(&self) -> Vec<String> {
        let entries = self.cgroup.iter().flat_map(fs::read_dir).flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Gives a directory of the test's to the user, with all that is in it.
    ///
    /// # Panics
    /// When it cannot be given.
    pub fn own(&self, path: &Path) {
        let id = format!("{0}:{0}", self.uid);
        let status = Command::new("chown").args(["-Rh", &id]).arg(path).status();
        assert!(status.is_ok_and(|status| status.success()), "{} can be given to the user", path.display());
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(cgroup) = &self.cgroup {
            let _gone = fs::remove_dir(cgroup);
        }
    }
}

/// A new cgroup of the v2 tree, if that is mounted.
fn cgroup(name: &str) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let top = fields.find(|fields| fields.get(2) == Some(&"cgroup2"))?[1].to_owned();
    let path = Path::new(&top).join(name);
    fs::create_dir(&path).ok().map(|()| path)
}

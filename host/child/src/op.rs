//! The operations: each one step of a start or of an entry that can fail on its own.
//!
//! An operation is plain numbers. Its texts, lists and fds are places in the [`Program`] that it
//! belongs to, so that a program is a few flat arrays, owned by the parent.

use core::ffi::c_char;

use crate::sync::Point;

/// A NUL-terminated text: where it begins in [`Program::data`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text(pub u32);

/// Some texts: a range of [`Program::texts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Texts {
    pub start: u32,
    pub count: u32,
}

/// Bytes: a range of [`Program::data`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes {
    pub start: u32,
    pub count: u32,
}

/// An argument vector: where it begins in [`Program::vectors`]; ends with a null pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vector(pub u32);

/// A place for an fd in the child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(pub u16);

/// Some places, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slots {
    pub first: u16,
    pub count: u16,
}

/// How many places there are.
pub const SLOTS: usize = 256;

/// The place of the container's root: the detached mount, and where paths begin once it is attached.
pub const ROOT: Slot = Slot(0);

/// What is made where a mount shall go and nothing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    Nothing,
    Directory,
    File,
}

/// What the child does in one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// Meet the parent: send what is in `send`, wait, and keep the fds of the answer in `receive`.
    Meet {
        point: Point,
        send: Slots,
        receive: Slots,
    },
    /// Ask for a signal when the parent ends (PR_SET_PDEATHSIG). Changes of ids undo it.
    DieWithParent {
        signal: i32,
    },
    /// No core dump, no ptrace by a process without rights over the parent's user namespace.
    Undumpable,
    /// Move this process into the cgroup of the slot's `cgroup.procs`, or of its `tasks` on v1: a
    /// process of one thread that moves itself is spared the grace period that moving another costs.
    JoinCgroup {
        processes: Slot,
    },
    /// Enter the namespaces of `flags` behind a namespace fd or a pidfd.
    Enter {
        namespaces: Slot,
        flags: i32,
    },
    /// Leave namespaces for new ones.
    Unshare {
        flags: i32,
    },
    /// A time namespace (time_namespaces(7)); the offsets as `/proc/PID/timens_offsets` takes them.
    TimeNamespace {
        offsets: Bytes,
    },
    /// Let a new process go on, as a child of the parent, and end this one: what is needed after
    /// entering a process namespace. Its pidfd is sent to the parent ([`Point::Entered`]).
    Sibling,
    /// Take these ids; the groups are 32-bit numbers. `None` leaves them, where
    /// the user namespace does not allow to change them.
    Ids {
        user: u32,
        group: u32,
        groups: Option<Bytes>,
    },
    /// A new session; with a terminal, that becomes its controlling one.
    Session {
        terminal: Option<Slot>,
    },
    /// An anonymous session keyring.
    Keyring,
    Hostname {
        name: Bytes,
    },
    Personality {
        persona: u32,
    },
    /// Write to a file below `/proc` as seen now; refused when that is no procfs.
    WriteProc {
        path: Text,
        data: Bytes,
    },
    /// Bring the loopback device up.
    Loopback,

    /// Set the propagation of the mounts at `/`.
    Propagation {
        flag: u64,
        recursive: bool,
    },
    /// Copy the mount at a path of the host, as detached tree without ties to the host.
    Tree {
        into: Slot,
        path: Text,
        recursive: bool,
    },
    /// A new instance of a file system, detached. `options` are pairs of key and value; a value that
    /// is empty makes a flag.
    Filesystem {
        into: Slot,
        fstype: Text,
        options: Texts,
        attributes: u64,
    },
    /// Change the attributes of a detached mount.
    Attributes {
        mount: Slot,
        set: u64,
        clear: u64,
        recursive: bool,
    },
    /// Make a detached mount cover `/`. The old root stays the root of this process; a mount over it
    /// needs no directory of its own, and is in this namespace.
    Cover {
        mount: Slot,
    },
    /// Put a detached mount over a directory of the host's tree, as this process sees it.
    Place {
        mount: Slot,
        path: Text,
    },
    /// Paths are resolved in `/` as it is now.
    OpenRoot,
    /// Put a detached mount at a path of the container.
    Attach {
        mount: Slot,
        target: Text,
        create: Create,
    },
    /// Bind a path of the container to another one of it with attributes.
    Inside {
        path: Text,
        target: Text,
        create: Create,
        set: u64,
        recursive: bool,
    },
    /// Make a directory of the container and what leads to it.
    Directory {
        path: Text,
        mode: u32,
    },
    /// Make a device node.
    Node {
        path: Text,
        mode: u32,
        device: u64,
    },
    /// Refuse what is in the slot unless it is this device.
    CheckDevice {
        mount: Slot,
        block: bool,
        device: u64,
    },
    /// Make a symbolic link, unless there is something already.
    Link {
        path: Text,
        target: Text,
    },
    /// Allocate a terminal from the devpts at `/dev/pts` of the container. Its slave is bound to
    /// `target` if there is one, and given to a user.
    Terminal {
        master: Slot,
        slave: Slot,
        target: Option<Text>,
        owner: Option<u32>,
    },
    /// Make the container's root `/` and let go of the host's tree.
    Pivot,

    /// Change the working directory, in the container, not through magic links.
    Chdir {
        path: Text,
    },
    /// As [`Op::Chdir`], to the first that works.
    ChdirAny {
        paths: Texts,
    },
    /// Standard input, output, error.
    Stdio {
        input: Slot,
        output: Slot,
        error: Slot,
    },
    /// Make an fd of the slot known to the next program under this number.
    Hand {
        slot: Slot,
        number: i32,
    },
    Umask {
        mask: u32,
    },
    /// Drop what is not in `keep` from the bounding set; `last` is the kernel's last capability.
    Bounding {
        keep: u64,
        last: u32,
    },
    /// Permitted and effective become what they are and `keep` has; inheritable and ambient empty.
    Capabilities {
        keep: u64,
    },
    NoNewPrivs,
    /// Load a filter: `struct sock_filter`, one after the other.
    Seccomp {
        filter: Bytes,
    },
    /// All signals at their default, none blocked.
    Signals,
    /// Every fd from 3 on ends with exec.
    CloseOnExec,
    /// Close all fds from 3 on but those in slots.
    CloseOthers,
    /// Start a child that goes on with the next operation, and stay: reap, forward signals, end as
    /// the child ends.
    Supervise,
    /// Execute the first of `programs` that exists.
    Exec {
        programs: Texts,
        argv: Vector,
        envp: Vector,
    },
    /// Execute the file in the slot.
    ExecFile {
        file: Slot,
        argv: Vector,
        envp: Vector,
    },
}

/// An operation and what its failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub op: Op,
    /// `None`: the start fails. Else the child says so and goes on with this step.
    pub otherwise: Option<u32>,
}

/// Everything the child needs.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    pub steps: &'a [Step],
    pub data: &'a [u8],
    pub texts: &'a [Text],
    /// Pointers into `data`, or null.
    pub vectors: &'a [*const c_char],
    /// The first slots: fds that the child inherits. Below zero: empty.
    pub fds: &'a [i32],
    /// The child's end of the socket to the parent; close-on-exec.
    pub socket: i32,
}

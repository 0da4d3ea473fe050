//! Where child and parent meet. The same names are used on both sides.
//!
//! ```text
//!  point       the child has                       the parent does before it answers
//!  1 Born      been made                           id maps, cgroups, limits, network links;
//!                                                  answers with the fds of idmapped mounts
//!  2 PreMount  separated its mounts from the       hooks; only where one is due
//!              host's, and mounted nothing
//!  3 Mount     everything mounted, no device made; hooks; only where one is due
//!              sends its root
//!  4 Mounted   its root complete; sends the        keeps the terminals
//!              masters of its terminals
//!  5 Ready     left the host's tree                hooks, device rules, state file; answers "go"
//!  -           end of file: exec has happened
//!
//!  6 Entered   (attach) made the process that      starts to watch it; no answer, the sender ends
//!              stays; sends its pidfd
//!  7 Joined    (attach) all namespaces; sends its  keeps the terminal
//!              terminal
//! ```
//!
//! A message of the child is one byte, the point, with the fds it sends; or a record of
//! [`Failure::SIZE`](crate::report::Failure::SIZE) bytes. The answer is the same byte.

/// A place in a start where both sides have to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Point {
    Born = 1,
    PreMount = 2,
    Mount = 3,
    Mounted = 4,
    Ready = 5,
    Entered = 6,
    Joined = 7,
}

impl Point {
    const ALL: [Point; 7] = [
        Point::Born,
        Point::PreMount,
        Point::Mount,
        Point::Mounted,
        Point::Ready,
        Point::Entered,
        Point::Joined,
    ];

    /// The point of a message, if it is one.
    #[must_use]
    pub fn decode(message: &[u8]) -> Option<Point> {
        let [byte] = message else { return None };
        Self::ALL.into_iter().find(|point| *point as u8 == *byte)
    }
}

/// Most fds that one message carries: the kernel's `SCM_MAX_FD` is 253.
pub const MAX_FDS: usize = 128;

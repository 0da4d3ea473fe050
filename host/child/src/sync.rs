//! Where child and parent meet. The same names are used on both sides.
//!
//! ```text
//!  point       the child has                       the parent does before it answers
//!  1 Born      been made                           id maps, cgroups, limits, network links;
//!                                                  answers with the fds of idmapped mounts
//!  2 Mounted   its root complete; sends the        keeps the terminals; later: mount hooks
//!              masters of its terminals
//!  3 Ready     left the host's tree                device rules, state file; answers "go"
//!  -           end of file: exec has happened
//!
//!  4 Entered   (attach) made the process that      starts to watch it; no answer, the sender ends
//!              stays; sends its pidfd
//!  5 Joined    (attach) all namespaces; sends its  keeps the terminal
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
    Mounted = 2,
    Ready = 3,
    Entered = 4,
    Joined = 5,
}

impl Point {
    const ALL: [Point; 5] = [Point::Born, Point::Mounted, Point::Ready, Point::Entered, Point::Joined];

    /// The point of a message, if it is one.
    #[must_use]
    pub fn decode(message: &[u8]) -> Option<Point> {
        let [byte] = message else { return None };
        Self::ALL.into_iter().find(|point| *point as u8 == *byte)
    }
}

/// Most fds that one message carries: the kernel's `SCM_MAX_FD` is 253.
pub const MAX_FDS: usize = 128;

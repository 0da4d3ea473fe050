#![forbid(unsafe_code)]
//! The caller's standard streams: which of them the command gets, and which are terminals, to be
//! replaced.

use std::os::fd::BorrowedFd;

use rustix::termios::isatty;
use serde::{Deserialize, Serialize};
use wxc_child::op::Slot;

use super::TerminalUse;

/// Input, output, error: `true` for those that a terminal of the container's replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Streams([bool; 3]);

impl Streams {
    pub(super) fn of(given: [BorrowedFd<'_>; 3], terminal: TerminalUse) -> Self {
        Self(match terminal {
            TerminalUse::Auto => given.map(isatty),
            TerminalUse::Always => [true; 3],
            TerminalUse::Never => [false; 3],
        })
    }

    /// Whether there is a terminal at all.
    pub(super) fn any(self) -> bool {
        self.0.contains(&true)
    }

    /// What the command gets, from the caller's own streams and the terminal's slave.
    pub(super) fn choose(self, own: [Slot; 3], slave: Slot) -> [Slot; 3] {
        let [input, output, error] = own;
        let choose = |replaced: bool, own: Slot| if replaced { slave } else { own };
        let Self([first, second, third]) = self;
        [choose(first, input), choose(second, output), choose(third, error)]
    }

    /// Where the terminal's keys come from; `None`: the command reads something else.
    pub(super) fn keys(self, given: [BorrowedFd<'_>; 3]) -> Option<BorrowedFd<'_>> {
        let (Self([replaced, ..]), [input, ..]) = (self, given);
        replaced.then_some(input)
    }

    /// Whether every key is the command's: when the person reads here, too. With the output in a
    /// pipe there may be a pager that sits at the same terminal, whose modes are not to be touched.
    pub(super) fn raw(self, [input, output, _]: [BorrowedFd<'_>; 3]) -> bool {
        let Self([replaced, shown, _]) = self;
        replaced && shown && isatty(input) && isatty(output)
    }

    /// Where the terminal's text goes: output, or error when output is something else. With both
    /// elsewhere it is only the echo of keys, which belongs where they are typed.
    pub(super) fn text(self, [input, output, error]: [BorrowedFd<'_>; 3]) -> BorrowedFd<'_> {
        match self.0 {
            [_, true, _] => output,
            [_, _, true] => error,
            _ => input,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_terminals_are_replaced() {
        let own = [Slot(1), Slot(2), Slot(3)];
        let slave = Slot(9);
        assert_eq!(Streams([false, true, false]).choose(own, slave), [Slot(1), slave, Slot(3)]);
        assert_eq!(Streams([true; 3]).choose(own, slave), [slave; 3]);
        assert!(!Streams([false; 3]).any());
        assert!(Streams([false, true, true]).keys([rustix::stdio::stdin(); 3]).is_none());
    }
}

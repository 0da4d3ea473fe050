#![forbid(unsafe_code)]
//! The reverse steps of what is being made: run in reverse order unless the work was completed.

use std::fmt;

/// One step back; its error is a sentence for the log.
type Step<'a> = Box<dyn FnOnce() -> Result<(), String> + 'a>;

/// A stack of steps back. Dropping it runs them; [`Undo::dismiss`] forgets them.
#[derive(Default)]
pub struct Undo<'a> {
    steps: Vec<(&'static str, Step<'a>)>,
}

impl<'a> Undo<'a> {
    /// Remembers how to take back what was just done. `what` completes "could not ...".
    pub fn push(&mut self, what: &'static str, step: impl FnOnce() -> Result<(), String> + 'a) {
        self.steps.push((what, Box::new(step)));
    }

    /// The work is complete: nothing is taken back.
    pub fn dismiss(mut self) {
        self.steps.clear();
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        while let Some((what, step)) = self.steps.pop() {
            // There is already an error under way; this one must not hide it.
            if let Err(reason) = step() {
                tracing::warn!("could not {what}: {reason}");
            }
        }
    }
}

impl fmt::Debug for Undo<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.steps.iter().map(|(what, _)| what)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::Undo;

    #[test]
    fn runs_in_reverse_order_unless_dismissed() {
        let done = RefCell::new(Vec::new());
        let mut undo = Undo::default();
        undo.push("first", || {
            done.borrow_mut().push(1);
            Ok(())
        });
        undo.push("second", || {
            done.borrow_mut().push(2);
            Err("no".into())
        });
        drop(undo);
        assert_eq!(*done.borrow(), [2, 1]);
        let mut undo = Undo::default();
        undo.push("third", || {
            done.borrow_mut().push(3);
            Ok(())
        });
        undo.dismiss();
        assert_eq!(*done.borrow(), [2, 1]);
    }
}

//! A few threads that share the work on one tree: who has nothing to do is given a directory that another one comes across.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Most threads on one tree: more of them wait for the file system's own locks.
const MOST: usize = 4;
/// Directories after which a tree is worth more than one thread.
const WORTH: u32 = 16;

/// Tasks that wait, and who waits for tasks.
struct Team<T, E> {
    state: Mutex<State<T, E>>,
    changed: Condvar,
    /// Threads that wait and have no task waiting for them.
    hungry: AtomicUsize,
    stopped: AtomicBool,
}

struct State<T, E> {
    tasks: Vec<T>,
    working: usize,
    waiting: usize,
    failure: Option<E>,
}

/// What one thread of a team sees of the others.
pub(super) struct Hand<'a, T, E> {
    team: Option<&'a Team<T, E>>,
    grow: Option<&'a dyn Fn()>,
    seen: u32,
}

impl<T, E> Hand<'_, T, E> {
    /// One without others.
    pub(super) fn alone() -> Self {
        Self { team: None, grow: None, seen: 0 }
    }

    /// Whether there is somebody to give a directory to. Asked once for each.
    pub(super) fn wants(&mut self) -> bool {
        self.seen = self.seen.saturating_add(1);
        if self.seen == WORTH
            && let Some(grow) = self.grow.take()
        {
            grow();
        }
        self.team.is_some_and(|team| team.hungry.load(Ordering::Relaxed) > 0)
    }

    /// Gives one away, or answers with it where there is nobody.
    pub(super) fn give(&self, task: T) -> Option<T> {
        let Some(team) = self.team else { return Some(task) };
        let mut state = team.lock();
        state.tasks.push(task);
        team.count(&state);
        team.changed.notify_one();
        None
    }

    /// Whether another one has failed, so that nothing more needs to be done.
    pub(super) fn stopped(&self) -> bool {
        self.team.is_some_and(|team| team.stopped.load(Ordering::Relaxed))
    }
}

impl<T, E> Team<T, E> {
    fn lock(&self) -> MutexGuard<'_, State<T, E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, state: &State<T, E>) {
        self.hungry.store(state.waiting.saturating_sub(state.tasks.len()), Ordering::Relaxed);
    }

    /// The next task; none when there is none left and nobody works who could give one.
    fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if self.stopped.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(task) = state.tasks.pop() {
                state.working += 1;
                self.count(&state);
                return Some(task);
            }
            if state.working == 0 {
                return None;
            }
            state.waiting += 1;
            self.count(&state);
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
            self.count(&state);
        }
    }

    fn done(&self, result: Result<(), E>) {
        let mut state = self.lock();
        state.working -= 1;
        if let Err(error) = result {
            self.stopped.store(true, Ordering::Relaxed);
            state.failure.get_or_insert(error);
        }
        self.changed.notify_all();
    }

    fn run(&self, grow: Option<&dyn Fn()>, work: &Work<'_, T, E>) {
        let mut hand = Hand { team: Some(self), grow, seen: 0 };
        while let Some(task) = self.take() {
            self.done(work(task, &mut hand));
        }
    }
}

type Work<'a, T, E> = dyn Fn(T, &mut Hand<'_, T, E>) -> Result<(), E> + Sync + 'a;

/// Does a task and all that come of it, on several threads where it is worth it; all of them have ended when this returns.
///
/// # Errors
/// The first one of any thread. The others stop when they see it.
pub(super) fn share<T: Send, E: Send>(first: T, work: &Work<'_, T, E>) -> Result<(), E> {
    let state = State { tasks: vec![first], working: 0, waiting: 0, failure: None };
    let (changed, hungry, stopped) = (Condvar::new(), AtomicUsize::new(0), AtomicBool::new(false));
    let team = Team { state: Mutex::new(state), changed, hungry, stopped };
    let helpers = thread::available_parallelism().map_or(1, usize::from).min(MOST) - 1;
    thread::scope(|scope| {
        let grow = || {
            for _ in 0..helpers {
                // Without it the work takes longer, and is done as well.
                let _helper = thread::Builder::new().spawn_scoped(scope, || team.run(None, work));
            }
        };
        team.run(Some(&grow), work);
    });
    let failure = team.lock().failure.take();
    failure.map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    /// Counts the numbers below one, giving halves away.
    fn halves(
        done: &AtomicU64,
        (from, to): (u64, u64),
        hand: &mut Hand<'_, (u64, u64), u64>,
    ) -> Result<(), u64> {
        let mut rest = vec![(from, to)];
        while let Some((from, to)) = rest.pop() {
            if hand.stopped() {
                return Ok(());
            }
            if to - from == 1 {
                done.fetch_add(1, Ordering::Relaxed);
                if from == 77_777 {
                    return Err(from);
                }
                continue;
            }
            let half = from + (to - from) / 2;
            rest.push((from, half));
            let other = (half, to);
            let kept = if hand.wants() { hand.give(other) } else { Some(other) };
            rest.extend(kept);
        }
        Ok(())
    }

    #[test]
    fn everything_is_done_once_and_the_first_failure_is_told() {
        let done = AtomicU64::new(0);
        share((0, 70_000), &|task, hand| halves(&done, task, hand)).unwrap();
        assert_eq!(done.into_inner(), 70_000);
        let done = AtomicU64::new(0);
        assert_eq!(share((0, 80_000), &|task, hand| halves(&done, task, hand)), Err(77_777));
    }
}

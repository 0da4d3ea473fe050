//! How many threads this process has: some calls are only right with one.

use std::{fs, io};

/// Proof that this process had one thread when it was asked. There is nothing that starts another one
/// by itself, so whoever holds it and starts none may rely on it.
#[derive(Debug)]
pub struct SingleThreaded(());

impl SingleThreaded {
    /// Counts the threads (`/proc/self/task`, proc(5)).
    ///
    /// # Errors
    /// There are more, or they cannot be counted.
    pub fn prove() -> io::Result<Self> {
        match fs::read_dir("/proc/self/task")?.count() {
            1 => Ok(Self(())),
            more => Err(io::Error::other(format!("this process has {more} threads where it may have one"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SingleThreaded;

    #[test]
    fn a_second_thread_is_found() {
        let (wait, until) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || until.recv());
        assert!(SingleThreaded::prove().is_err());
        drop(wait);
        assert!(other.join().unwrap().is_err());
    }
}

//! The content of a regular file as memory, without reading it into any.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A file's bytes, for reading.
#[derive(Debug)]
pub(crate) struct Mapped {
    /// Where they are, and how many; nowhere for an empty file, of which nothing can be mapped (mmap(2)).
    at: Option<(NonNull<u8>, usize)>,
}

impl Mapped {
    /// All of a file as it is now. Whoever cuts it off meanwhile ends this process by SIGBUS: a helper's, then, and of its own files.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if length == 0 {
            return Ok(Self { at: None });
        }
        // SAFETY: a new mapping at a place of the kernel's choice replaces none that is there.
        let at = unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ, MapFlags::PRIVATE, file, 0)? };
        let at = NonNull::new(at.cast()).ok_or_else(|| io::Error::other("it was mapped nowhere"))?;
        Ok(Self { at: Some((at, length)) })
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.at {
            None => &[],
            // SAFETY: `of` mapped as many bytes for reading, and they stay until this is dropped; nobody has a way to write them here.
            Some((at, length)) => unsafe { std::slice::from_raw_parts(at.as_ptr(), length) },
        }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        if let Some((at, length)) = self.at {
            // SAFETY: this is what `of` mapped, and no borrow of it is left. It fails for nothing but wrong arguments.
            let _done = unsafe { munmap(at.as_ptr().cast(), length) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_is_its_bytes() {
        let mut file = tempfile::tempfile().unwrap();
        assert!(Mapped::of(&file).unwrap().is_empty());
        let bytes = vec![7; 3 * 4096 + 5];
        file.write_all(&bytes).unwrap();
        assert_eq!(*Mapped::of(&file).unwrap(), *bytes);
        Mapped::of(&File::open("/").unwrap()).unwrap_err();
    }
}

//! Members as they are written: a ustar header, and before it what does not fit into one.

use std::io;

use tar::{EntryType, Header};

use super::super::pax;

/// Bytes of a name in a ustar header.
const NAME: usize = 100;
/// Largest id in seven octal digits.
const ID_MAX: u32 = 0o777_7777;
/// Largest size, and largest time, in eleven octal digits.
const NUMBER_MAX: u64 = 0o777_7777_7777;
const BLOCK: usize = 512;
/// Bytes of one extended header that the unpacker takes.
const EXTENDED_MAX: usize = 1 << 20;

/// What a header says.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) kind: EntryType,
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Seconds and nanoseconds since 1970.
    pub(super) mtime: (i64, i64),
    /// Bytes that follow.
    pub(super) size: u64,
    pub(super) device: (u32, u32),
    /// What a link leads to.
    pub(super) link: Vec<u8>,
    /// Further records of the extended header.
    pub(super) records: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// A file of the archive's own.
    pub(super) fn file(size: u64) -> Self {
        Self {
            kind: EntryType::Regular,
            mode: 0o600,
            uid: 0,
            gid: 0,
            mtime: (0, 0),
            size,
            device: (0, 0),
            link: Vec::new(),
            records: Vec::new(),
        }
    }

    /// The header's blocks, or what no header can hold.
    pub(super) fn bytes(&self, name: &[u8]) -> io::Result<Vec<u8>> {
        let extended = self.extended(name);
        if extended.len() > EXTENDED_MAX {
            return Err(io::Error::other("its name and attributes take more than a mebibyte"));
        }
        let mut bytes = Vec::with_capacity(3 * BLOCK);
        if !extended.is_empty() {
            let mut header = plain(b"PaxHeaders", extended.len() as u64)?;
            header.set_entry_type(EntryType::XHeader);
            header.set_mode(0o600);
            header.set_cksum();
            bytes.extend(header.as_bytes());
            bytes.extend(&extended);
            pad(&mut bytes);
        }
        let mut header = plain(name, self.size)?;
        header.set_entry_type(self.kind);
        header.set_mode(self.mode);
        header.set_uid(self.uid.min(ID_MAX).into());
        header.set_gid(self.gid.min(ID_MAX).into());
        header.set_mtime(u64::try_from(self.mtime.0).unwrap_or(0).min(NUMBER_MAX));
        let field = &mut header.as_old_mut().linkname;
        let length = self.link.len().min(NAME);
        field[..length].copy_from_slice(&self.link[..length]);
        if matches!(self.kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(self.device.0)?;
            header.set_device_minor(self.device.1)?;
        }
        header.set_cksum();
        bytes.extend(header.as_bytes());
        Ok(bytes)
    }

    fn extended(&self, name: &[u8]) -> Vec<u8> {
        let mut records = Vec::new();
        let mut add = |key: &str, value: &[u8]| records.extend(pax::record(key.as_bytes(), value));
        let long = [("path", name), ("linkpath", &*self.link)];
        let long = long.into_iter().filter(|(_, text)| text.len() > NAME).collect::<Vec<_>>();
        if long.iter().any(|(_, text)| std::str::from_utf8(text).is_err()) {
            add("hdrcharset", b"BINARY");
        }
        for (key, text) in long {
            add(key, text);
        }
        if self.size > NUMBER_MAX {
            add("size", self.size.to_string().as_bytes());
        }
        for (key, id) in [("uid", self.uid), ("gid", self.gid)] {
            if id > ID_MAX {
                add(key, id.to_string().as_bytes());
            }
        }
        let (seconds, nanos) = self.mtime;
        if nanos != 0 || u64::try_from(seconds).is_ok_and(|s| s > NUMBER_MAX) || seconds < 0 {
            add("mtime", time(seconds, nanos).as_bytes());
        }
        for (key, value) in &self.records {
            records.extend(pax::record(key, value));
        }
        records
    }
}

/// A ustar header of this name, as much of it as fits, and size.
fn plain(name: &[u8], size: u64) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    let length = name.len().min(NAME);
    header.as_old_mut().name[..length].copy_from_slice(&name[..length]);
    header.set_size(size.min(NUMBER_MAX));
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_device_major(0)?;
    header.set_device_minor(0)?;
    Ok(header)
}

/// Seconds with nine decimals; before 1970 the kernel counts nanoseconds forward from the second below.
fn time(seconds: i64, nanos: i64) -> String {
    if seconds >= 0 || nanos == 0 {
        return format!("{seconds}.{nanos:09}");
    }
    format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos)
}

/// Fills up to a whole block.
pub(super) fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_back() {
        for at in
            [(0, 1), (5, 999_999_999), (-1, 500_000_000), (-7, 0), (-1, 1), (i64::from(u32::MAX) * 9, 0)]
        {
            assert_eq!(pax::time(time(at.0, at.1).as_bytes()), Some(at), "{at:?}");
        }
    }

    #[test]
    fn what_fits_needs_no_extended_header() {
        assert_eq!(Entry::file(7).bytes(b"tree/\xff").unwrap().len(), 512);
        assert_eq!(Entry::file(7).bytes(&[b'a'; 101]).unwrap().len(), 1536);
        let mut much = Entry::file(0);
        much.records = vec![(b"SCHILY.xattr.user.a".to_vec(), vec![0; 2 << 20])];
        assert!(much.bytes(b"a").is_err());
    }
}

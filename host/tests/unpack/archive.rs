//! Archives made by hand: the `tar` crate's writer refuses most of what is needed here, so names are put
//! into headers directly.

use std::io::Write;

use tar::{EntryType, Header};

/// An archive under construction.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
}

impl Archive {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A header that the caller finishes, then its data.
    pub(crate) fn raw(mut self, mut header: Header, data: &[u8]) -> Self {
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(data);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, data: &[u8]) -> Self {
        self.raw(header(EntryType::Regular, name, data.len() as u64), data)
    }

    pub(crate) fn directory(self, name: &str, mode: u32) -> Self {
        let mut h = header(EntryType::Directory, name, 0);
        h.set_mode(mode);
        self.raw(h, b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.raw(link(EntryType::Symlink, name, target), b"")
    }

    pub(crate) fn hardlink(self, name: &str, target: &str) -> Self {
        self.raw(link(EntryType::Link, name, target), b"")
    }

    /// An extended header for the next entry.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        self.pax_of(EntryType::XHeader, records)
    }

    pub(crate) fn pax_of(self, kind: EntryType, records: &[(&str, &[u8])]) -> Self {
        let mut data = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (1..).find(|n| (n + rest).to_string().len() == *n).unwrap() + rest;
            write!(data, "{length} {key}=").unwrap();
            data.extend_from_slice(value);
            data.push(b'\n');
        }
        self.raw(header(kind, "pax", data.len() as u64), &data)
    }

    /// GNU's form of a long name.
    pub(crate) fn long(self, kind: EntryType, name: &str) -> Self {
        let data = [name.as_bytes(), b"\0"].concat();
        self.raw(header(kind, "././@LongLink", data.len() as u64), &data)
    }

    /// With the end marker.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.bytes.extend([0; 1024]);
        self.bytes
    }

    /// Without it, for archives that are cut off.
    pub(crate) fn cut(self) -> Vec<u8> {
        self.bytes
    }
}

/// A header with owner 0:0, mode 644 and a fixed time.
pub(crate) fn header(kind: EntryType, name: &str, size: u64) -> Header {
    let mut h = Header::new_gnu();
    h.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    h.set_entry_type(kind);
    h.set_mode(0o644);
    h.set_uid(0);
    h.set_gid(0);
    h.set_mtime(1_000_000_000);
    h.set_size(size);
    h
}

fn link(kind: EntryType, name: &str, target: &str) -> Header {
    let mut h = header(kind, name, 0);
    h.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    h
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    // As the program does; the library leaves it out.
    encoder.include_checksum(true).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

type Pack = fn(&[u8]) -> Vec<u8>;

/// Every compression, by name.
pub(crate) const CODECS: [(&str, Pack); 3] = [("gzip", gzip), ("xz", xz), ("zstd", zstd)];

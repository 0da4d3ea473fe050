//! The archive as a sequence of members.
//!
//! Headers are understood by the `tar` crate; the walk from one to the next is here, because it is where
//! lies about sizes, endless extended headers and cut archives have to be met with limits.

use tar::{EntryType, Header};

use super::error::UnpackError;
use super::meter::Input;
use super::pax;
use super::request::Limits;
use super::sparse::{self, Map};

const BLOCK: u64 = 512;
/// Bytes of one extended header: a 64 KiB attribute, a few of them, long names.
const EXTENDED_MAX: u64 = 1 << 20;

/// What one member asks for. Nothing in it has been checked but its form.
#[derive(Debug)]
pub(crate) struct Member {
    /// The name as it stands in the archive.
    pub(crate) name: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Seconds and nanoseconds since 1970.
    pub(crate) mtime: (i64, i64),
    /// Extended attributes, name and value.
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Access control lists as text: the one for access, and the default of a directory.
    pub(crate) acls: [Option<Vec<u8>>; 2],
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file with its size, or its map when it has holes.
    File(u64),
    Sparse(Map),
    Directory,
    Symlink(Vec<u8>),
    /// Another name for the member of this name.
    Hardlink(Vec<u8>),
    Fifo,
    /// Not in archives of tar.
    Socket,
    Device {
        block: bool,
        major: u32,
        minor: u32,
    },
    /// Something that is no file, such as a volume label.
    Label,
}

/// Reads members from the decompressed archive.
pub(crate) struct Members {
    input: Input,
    /// Data of the current member that nobody has read, and the filling after it.
    data: u64,
    padding: u64,
    memory: u64,
    global: Extended,
}

/// What headers before the member's own say about it.
#[derive(Debug, Default, Clone)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<(i64, i64)>,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
    acls: [Option<Vec<u8>>; 2],
    sparse: sparse::Records,
    bytes: u64,
}

impl Members {
    pub(crate) fn new(input: Input, limits: &Limits) -> Self {
        let memory = (limits.memory as u64).min(EXTENDED_MAX);
        Self { input, data: 0, padding: 0, memory, global: Extended::default() }
    }

    pub(crate) fn input(&self) -> &Input {
        &self.input
    }

    /// The next member, or `None` at the archive's end marker.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, UnpackError> {
        self.skip_rest()?;
        self.input.mark();
        let mut extended = self.global.clone();
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let name = extended.path.clone().unwrap_or_else(|| header.path_bytes().into_owned());
            let size = number(header.entry_size(), &header.as_old().size, &name)?;
            match header.entry_type() {
                EntryType::GNULongName => {
                    extended.path = Some(self.long(size, &name, &mut extended.bytes)?)
                }
                EntryType::GNULongLink => {
                    extended.link = Some(self.long(size, &name, &mut extended.bytes)?)
                }
                EntryType::XHeader => {
                    let data = self.extra(size, &name, &mut extended.bytes)?;
                    extended.take(&data).map_err(|why| UnpackError::archive(&name, why))?;
                }
                EntryType::XGlobalHeader => {
                    let data = self.extra(size, &name, &mut extended.bytes)?;
                    self.global.take_global(&data).map_err(|why| UnpackError::archive(&name, why))?;
                }
                _ => return self.member(&header, name, size, extended).map(Some),
            }
        }
    }

    /// Data of the current file: at most `most` bytes, which then count as read. Never empty.
    pub(crate) fn data(&mut self, most: u64, entry: &[u8]) -> Result<Data<'_>, UnpackError> {
        let most = most.min(self.data);
        let n = self.input.peek(most, entry)?.len();
        if n == 0 {
            return Err(self.input.cut(entry));
        }
        Ok(Data { members: self, n })
    }

    /// Passes over what nobody has read of the current member.
    pub(crate) fn skip_rest(&mut self) -> Result<(), UnpackError> {
        let rest = self.data.saturating_add(self.padding);
        (self.data, self.padding) = (0, 0);
        self.input.skip(rest, b"")
    }

    /// Reads to the end, which is when a compressed stream's checksum is checked. Returns how many bytes
    /// that are not zero came after the archive.
    pub(crate) fn finish(&mut self) -> Result<u64, UnpackError> {
        let mut trailing = 0;
        loop {
            let bytes = self.input.peek(u64::MAX, b"the end of the archive")?;
            let n = bytes.len();
            if n == 0 {
                return Ok(trailing);
            }
            trailing += bytes.iter().filter(|b| **b != 0).count() as u64;
            self.input.consume(n);
        }
    }

    /// The next header block, `None` at the end marker of two zero blocks (or one, at the very end).
    fn header(&mut self) -> Result<Option<Header>, UnpackError> {
        let mut header = Header::new_old();
        match self.block(&mut header)? {
            0 => {
                // Without this rule an archive that was cut between two members would look complete.
                let why = "it has no end marker: it is cut off, or was made by a broken program";
                let place = format!("byte {}", self.input.taken);
                return Err(UnpackError::archive(place.as_bytes(), why));
            }
            BLOCK => {}
            _ => return Err(self.input.cut(b"")),
        }
        if !is_zero(&header) {
            return self.checked(header).map(Some);
        }
        let n = self.block(&mut header)?;
        if n == 0 || (n == BLOCK && is_zero(&header)) {
            return Ok(None);
        }
        Err(self.damaged("a block of zeros stands between two members"))
    }

    fn block(&mut self, header: &mut Header) -> Result<u64, UnpackError> {
        Ok(self.input.fill(header.as_mut_bytes(), b"")? as u64)
    }

    fn checked(&self, header: Header) -> Result<Header, UnpackError> {
        let mut right = header.clone();
        right.set_cksum();
        match (header.cksum(), right.cksum()) {
            (Ok(a), Ok(b)) if a == b => Ok(header),
            _ if self.input.taken == BLOCK => {
                Err(UnpackError::archive(b"its start", "it is not a tar archive (plain, gzip, xz or zstd)"))
            }
            _ => {
                Err(self
                    .damaged("there is no header where one should be: it is damaged, or a size in it lies"))
            }
        }
    }

    fn damaged(&self, why: &str) -> UnpackError {
        let place = format!("byte {}", self.input.taken.saturating_sub(BLOCK));
        UnpackError::archive(place.as_bytes(), why)
    }

    /// The data of a header that only describes the next member.
    fn extra(&mut self, size: u64, name: &[u8], sum: &mut u64) -> Result<Vec<u8>, UnpackError> {
        *sum = sum.saturating_add(size).saturating_add(BLOCK);
        if *sum > self.memory {
            return Err(UnpackError::limit(name, self.memory, "bytes of extended headers for one entry"));
        }
        let mut data = vec![0; usize::try_from(size).unwrap_or(0)];
        if self.input.fill(&mut data, name)? < data.len() {
            return Err(self.input.cut(name));
        }
        self.input.skip(filling(size), name)?;
        Ok(data)
    }

    fn long(&mut self, size: u64, name: &[u8], sum: &mut u64) -> Result<Vec<u8>, UnpackError> {
        let mut data = self.extra(size, name, sum)?;
        if data.last() == Some(&0) {
            data.pop();
        }
        Ok(data)
    }

    fn member(
        &mut self,
        header: &Header,
        name: Vec<u8>,
        size: u64,
        mut extended: Extended,
    ) -> Result<Member, UnpackError> {
        let mut stored = extended.size.unwrap_or(size);
        let name = extended.sparse.name.take().unwrap_or(name);
        let link =
            extended.link.take().or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let link = link.unwrap_or_default();
        let old = header.as_old();
        let kind = match header.entry_type() {
            // The oldest form has no type for directories; the slash is all there is.
            EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => {
                match extended.sparse.map(&mut self.input, stored, &name)? {
                    Some((map, taken)) => {
                        stored -= taken;
                        Kind::Sparse(map)
                    }
                    None => Kind::File(stored),
                }
            }
            EntryType::GNUSparse => {
                let gnu = header
                    .as_gnu()
                    .ok_or_else(|| UnpackError::archive(&name, "it is sparse, but not GNU's"))?;
                Kind::Sparse(sparse::old_gnu(gnu, &mut self.input, &name)?)
            }
            EntryType::Directory => Kind::Directory,
            // With a list of its entries as data, for incremental backups (tar(5), GNU).
            kind if kind.as_byte() == b'D' => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(link),
            EntryType::Link => Kind::Hardlink(link),
            EntryType::Fifo => Kind::Fifo,
            kind @ (EntryType::Char | EntryType::Block) => Kind::Device {
                block: kind == EntryType::Block,
                major: device(header.device_major(), &name)?,
                minor: device(header.device_minor(), &name)?,
            },
            kind if kind.as_byte() == b'V' => Kind::Label,
            kind => {
                let why = format!("its type {:?} is not known", char::from(kind.as_byte()));
                return Err(UnpackError::refused(&name, why));
            }
        };
        // Only files have data, and those lists. Some archivers leave a size in other headers and write nothing.
        if !matches!(kind, Kind::File(_) | Kind::Sparse(_)) && header.entry_type().as_byte() != b'D' {
            stored = 0;
        }
        if let Kind::Sparse(map) = &kind {
            map.check(stored).map_err(|why| UnpackError::archive(&name, why))?;
        }
        (self.data, self.padding) = (stored, filling(stored));
        let mtime = match extended.mtime {
            Some(time) => time,
            // Times before 1970 are two's complement in the binary form.
            None => (number(header.mtime(), &old.mtime, &name)?.cast_signed(), 0),
        };
        Ok(Member {
            kind,
            mode: (number(header.mode().map(u64::from), &old.mode, &name)? & 0o7777) as u32,
            uid: extended.uid.map_or_else(|| number(header.uid(), &old.uid, &name), Ok)?,
            gid: extended.gid.map_or_else(|| number(header.gid(), &old.gid, &name), Ok)?,
            mtime,
            attributes: extended.attributes,
            acls: extended.acls,
            name,
        })
    }
}

/// Bytes of the current file, taken from the archive when this is done with them.
pub(crate) struct Data<'a> {
    members: &'a mut Members,
    n: usize,
}

impl Data<'_> {
    /// The bytes, and then the archive moves on.
    pub(crate) fn with<T>(
        self,
        entry: &[u8],
        f: impl FnOnce(&[u8]) -> Result<T, UnpackError>,
    ) -> Result<(usize, T), UnpackError> {
        let result = f(self.members.input.peek(self.n as u64, entry)?)?;
        self.members.input.consume(self.n);
        self.members.data -= self.n as u64;
        Ok((self.n, result))
    }
}

impl Extended {
    fn take(&mut self, data: &[u8]) -> Result<(), &'static str> {
        const BAD: &str = "a number in its extended header is malformed";
        for (key, value) in pax::records(data)? {
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(pax::decimal(value).ok_or(BAD)?),
                b"uid" => self.uid = Some(pax::decimal(value).ok_or(BAD)?),
                b"gid" => self.gid = Some(pax::decimal(value).ok_or(BAD)?),
                b"mtime" => self.mtime = Some(pax::time(value).ok_or(BAD)?),
                b"SCHILY.acl.access" => self.acls[0] = Some(value.to_vec()),
                b"SCHILY.acl.default" => self.acls[1] = Some(value.to_vec()),
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.attributes.push((pax::unquote(name), value.to_vec()));
                    } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                        self.sparse.record(key, value)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// A global header describes all that follow; what can only be true of one member makes no sense in it.
    fn take_global(&mut self, data: &[u8]) -> Result<(), &'static str> {
        let mut new = Self::default();
        new.take(data)?;
        if new.path.is_some() || new.link.is_some() || new.size.is_some() || new.sparse.name.is_some() {
            return Err("a global header names a single member");
        }
        self.uid = new.uid.or(self.uid);
        self.gid = new.gid.or(self.gid);
        self.mtime = new.mtime.or(self.mtime);
        Ok(())
    }
}

/// A number of a header. Nothing but blanks is zero: some archivers leave fields that they do not need.
fn number(parsed: std::io::Result<u64>, field: &[u8], name: &[u8]) -> Result<u64, UnpackError> {
    parsed.or_else(|e| {
        let blank = field.iter().all(|b| matches!(b, 0 | b' '));
        if blank { Ok(0) } else { Err(UnpackError::archive(name, e.to_string())) }
    })
}

fn device(number: std::io::Result<Option<u32>>, name: &[u8]) -> Result<u32, UnpackError> {
    let bad = || UnpackError::archive(name, "its device number is malformed");
    number.map_err(|_| bad())?.ok_or_else(bad)
}

fn filling(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

fn is_zero(header: &Header) -> bool {
    header.as_bytes().iter().all(|b| *b == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unpack::codec::from_bytes;

    fn members(bytes: Vec<u8>) -> Members {
        Members::new(from_bytes(bytes, Limits::default()), &Limits::default())
    }

    fn file(size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_path("f").unwrap();
        header.set_mode(0o644);
        header.set_uid(7);
        header.set_gid(8);
        header.set_mtime(9);
        header.set_size(size);
        header.set_cksum();
        header
    }

    #[test]
    fn an_archive_without_end_marker_is_cut_off() {
        let mut bytes = file(0).as_bytes().to_vec();
        let mut it = members(bytes.clone());
        assert_eq!(it.next().unwrap().unwrap().uid, 7);
        assert!(it.next().unwrap_err().to_string().contains("no end marker"));
        bytes.extend([0; 512]);
        let mut it = members(bytes);
        it.next().unwrap().unwrap();
        assert!(it.next().unwrap().is_none());
    }

    #[test]
    fn a_size_that_lies_is_noticed() {
        let mut bytes = file(5000).as_bytes().to_vec();
        bytes.extend([b'x'; 600]);
        let mut it = members(bytes);
        assert_eq!(it.next().unwrap().unwrap().kind, Kind::File(5000));
        assert!(it.next().unwrap_err().to_string().contains("cut off"));
        let mut huge = file(0);
        huge.set_size(u64::MAX - 3);
        huge.set_cksum();
        let mut it = members(huge.as_bytes().to_vec());
        it.next().unwrap().unwrap();
        assert!(it.next().is_err());
    }

    #[test]
    fn extended_headers_have_an_end() {
        let mut bytes = Vec::new();
        for _ in 0..3000 {
            let mut header = file(512);
            header.set_entry_type(EntryType::GNULongName);
            header.set_cksum();
            bytes.extend(header.as_bytes());
            bytes.extend([b'a'; 512]);
        }
        assert!(matches!(members(bytes).next(), Err(UnpackError::Limit { .. })));
    }

    #[test]
    fn the_extended_size_rules() {
        let mut pax = file(0);
        let record = b"11 size=700\n";
        pax.set_entry_type(EntryType::XHeader);
        pax.set_size(record.len() as u64);
        pax.set_cksum();
        let mut bytes = pax.as_bytes().to_vec();
        bytes.extend(record);
        bytes.resize(1024, 0);
        bytes.extend(file(0).as_bytes());
        // The length of the record is wrong: 12 bytes.
        assert!(members(bytes.clone()).next().is_err());
        bytes[512..524].copy_from_slice(b"12 size=700\n");
        let member = members(bytes).next().unwrap().unwrap();
        assert_eq!(member.kind, Kind::File(700));
    }

    /// Damaged archives end with an error or an end, never with a panic (overflows are checked in tests).
    #[test]
    fn no_damage_makes_it_panic() {
        let mut pax = file(0);
        let records = b"25 GNU.sparse.map=0,4,8,4\n22 GNU.sparse.size=99\n14 mtime=-1.25\n";
        pax.set_entry_type(EntryType::XHeader);
        pax.set_size(records.len() as u64);
        pax.set_cksum();
        let mut sparse = file(8);
        sparse.set_entry_type(EntryType::GNUSparse);
        sparse.as_gnu_mut().unwrap().set_real_size(100);
        sparse.as_gnu_mut().unwrap().sparse[0].set_length(8);
        sparse.set_cksum();
        let mut good = Vec::new();
        for (header, data) in
            [(pax, &records[..]), (file(8), b"headtail"), (sparse, b"12345678"), (file(600), &[b'x'; 600])]
        {
            good.extend(header.as_bytes());
            good.extend(data);
            good.resize(good.len().next_multiple_of(512), 0);
        }
        good.resize(good.len() + 1024, 0);
        let mut random = 1u64;
        let mut next = |below: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            usize::try_from(random >> 33).unwrap() % below
        };
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            let block = next(bytes.len() / 512) * 512;
            for _ in 0..=next(4) {
                bytes[block + next(512)] = b"\0 019,.=-\n\xff"[next(11)];
            }
            // A right checksum, so that the damage is looked at.
            let mut header = Header::new_old();
            header.as_mut_bytes().copy_from_slice(&bytes[block..block + 512]);
            header.set_cksum();
            if next(4) > 0 {
                bytes[block..block + 512].copy_from_slice(header.as_bytes());
            }
            let mut it = members(bytes);
            while let Ok(Some(member)) = it.next() {
                if let Kind::Sparse(map) = &member.kind {
                    assert!(map.pieces.iter().all(|(at, length)| at + length <= map.size));
                }
            }
        }
    }
}

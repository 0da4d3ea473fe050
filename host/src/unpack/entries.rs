//! Members of an archive or of an image.

use std::fs::File;

use super::codec;
use super::error::UnpackError;
use super::member::{Member, Members};
use super::request::Options;
use super::section;
use super::squashfs::{self, Disk};

/// Where members come from. A directory comes before what is in it in images only.
pub(crate) enum Entries {
    Tar(Box<Members>),
    Disk(Box<Disk>),
}

impl Entries {
    /// By what is in the file; a section of an export and a layer are archives.
    pub(crate) fn open(file: File, options: &Options) -> Result<Self, UnpackError> {
        if let Some(section) = &options.section {
            let members = section::members(file, &section.before, options.limits);
            return Ok(Self::Tar(Box::new(members)));
        }
        if options.layer.is_none() && squashfs::is_one(&file) {
            return Disk::open(file, &options.limits).map(|disk| Self::Disk(Box::new(disk)));
        }
        let mut input = codec::open(file, options.limits)?;
        if options.layer.is_some() {
            input.digest_all();
        }
        Ok(Self::Tar(Box::new(Members::new(input, &options.limits))))
    }

    pub(crate) fn next(&mut self) -> Result<Option<Member>, UnpackError> {
        match self {
            Self::Tar(members) => members.next(),
            Self::Disk(disk) => disk.next(),
        }
    }

    /// Gives out the next data of the current file, at most `most` bytes and never none; says how many.
    pub(crate) fn data(
        &mut self,
        most: u64,
        entry: &[u8],
        take: impl FnOnce(&[u8]) -> Result<(), UnpackError>,
    ) -> Result<usize, UnpackError> {
        match self {
            Self::Tar(members) => members.data(most, entry)?.with(entry, take).map(|(count, ())| count),
            Self::Disk(disk) => disk.data(most, entry, take),
        }
    }

    /// The seal of a section, if this is the member that has it.
    pub(crate) fn seal(&mut self, member: &Member) -> Result<Option<String>, UnpackError> {
        match self {
            Self::Tar(members) => section::seal(members, member),
            Self::Disk(_) => Ok(None),
        }
    }

    /// Reads to the end of an archive; how many bytes that mean something came after it.
    pub(crate) fn finish(&mut self) -> Result<u64, UnpackError> {
        match self {
            Self::Tar(members) => members.finish(),
            // Its last table is its end, and what fills the last block of a disk belongs to nothing.
            Self::Disk(_) => Ok(0),
        }
    }

    /// The digest of an archive without its compression, where somebody wants it; empty otherwise.
    pub(crate) fn digest(&self) -> String {
        match self {
            Self::Tar(members) => members.input().digest_so_far(),
            Self::Disk(_) => String::new(),
        }
    }

    /// Bytes of the source that were read.
    pub(crate) fn source_read(&self) -> u64 {
        match self {
            Self::Tar(members) => members.input().source_read(),
            Self::Disk(disk) => disk.source_read(),
        }
    }
}

//! Which parts of a sparse file are data: GNU's old form and the three forms within extended headers.

use tar::{GnuExtSparseHeader, GnuHeader, GnuSparseHeader};

use super::error::UnpackError;
use super::meter::Input;
use super::pax::decimal;

/// Pieces of one file: far more than any archiver writes, and 16 MiB of memory.
const MAX_PIECES: usize = 1 << 20;

/// A run of data: offset in the file, length.
pub(crate) type Piece = (u64, u64);

/// A sparse file's full size and its data, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Map {
    pub(crate) size: u64,
    pub(crate) pieces: Vec<Piece>,
}

impl Map {
    /// Ascending, apart, inside the file, and exactly as much data as the archive holds.
    pub(crate) fn check(&self, stored: u64) -> Result<(), &'static str> {
        let (mut end, mut sum) = (0u64, 0u64);
        for (at, length) in &self.pieces {
            let next = at.checked_add(*length).ok_or("a piece of it ends beyond any file")?;
            if *at < end || next > self.size {
                return Err("its map of data overlaps or leaves the file");
            }
            (end, sum) = (next, sum + length);
        }
        if sum == stored { Ok(()) } else { Err("its map does not fit the data that is there") }
    }

    /// One more piece, which may go on where the last one ends.
    pub(crate) fn join(&mut self, piece: Piece) -> Result<(), &'static str> {
        match self.pieces.last_mut() {
            Some((at, length)) if *at + *length == piece.0 => {
                *length += piece.1;
                Ok(())
            }
            _ => self.push(piece),
        }
    }

    fn push(&mut self, piece: Piece) -> Result<(), &'static str> {
        if self.pieces.len() >= MAX_PIECES {
            return Err("its map has too many pieces");
        }
        // Writers end the list with an empty piece at the end of the file.
        if piece.1 > 0 {
            self.pieces.push(piece);
        }
        Ok(())
    }
}

/// GNU's old form: four pieces in the header, then blocks of 21.
pub(crate) fn old_gnu(header: &GnuHeader, input: &mut Input, entry: &[u8]) -> Result<Map, UnpackError> {
    let bad = |why: &str| UnpackError::archive(entry, why.to_owned());
    let size = header.real_size().map_err(|e| bad(&e.to_string()))?;
    let mut map = Map { size, pieces: Vec::new() };
    add(&mut map, &header.sparse).map_err(bad)?;
    let mut more = header.is_extended();
    while more {
        let mut block = GnuExtSparseHeader::new();
        if input.fill(block.as_mut_bytes(), entry)? < 512 {
            return Err(input.cut(entry));
        }
        add(&mut map, block.sparse()).map_err(bad)?;
        more = block.is_extended();
    }
    Ok(map)
}

fn add(map: &mut Map, pieces: &[GnuSparseHeader]) -> Result<(), &'static str> {
    for piece in pieces.iter().filter(|p| !p.is_empty()) {
        let (Ok(at), Ok(length)) = (piece.offset(), piece.length()) else {
            return Err("its map of data is malformed");
        };
        map.push((at, length))?;
    }
    Ok(())
}

/// What the `GNU.sparse.*` records of one member say, in the order in which they come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    major: u64,
    size: Option<u64>,
    numbers: Vec<u64>,
    /// The real name; the header's own is made up.
    pub(crate) name: Option<Vec<u8>>,
    seen: bool,
}

impl Records {
    /// Takes one record; the key without its prefix `GNU.sparse.`.
    pub(crate) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        const BAD: &str = "its map of data is malformed";
        self.seen = true;
        match key {
            b"name" => self.name = Some(value.to_vec()),
            b"major" => self.major = decimal(value).ok_or(BAD)?,
            b"size" | b"realsize" => self.size = Some(decimal(value).ok_or(BAD)?),
            b"offset" | b"numbytes" => self.numbers.push(decimal(value).ok_or(BAD)?),
            b"map" => {
                for number in value.split(|b| *b == b',') {
                    self.numbers.push(decimal(number).ok_or(BAD)?);
                }
            }
            // The minor version and the number of pieces say nothing that is not seen anyway.
            _ => {}
        }
        Ok(())
    }

    /// The map, for version 1 from the first blocks of the data. Returns how many bytes those took.
    pub(crate) fn map(
        self,
        input: &mut Input,
        stored: u64,
        entry: &[u8],
    ) -> Result<Option<(Map, u64)>, UnpackError> {
        let bad = |why: &str| UnpackError::archive(entry, why.to_owned());
        if !self.seen {
            return Ok(None);
        }
        let size = self.size.ok_or_else(|| bad("its map has no size"))?;
        let mut map = Map { size, pieces: Vec::new() };
        let (numbers, taken) = match self.major {
            0 => (self.numbers, 0),
            1 => data_map(input, stored, entry)?,
            n => return Err(bad(&format!("sparse files of version {n} are not known"))),
        };
        if numbers.len() % 2 != 0 {
            return Err(bad("its map of data is malformed"));
        }
        for pair in numbers.chunks_exact(2) {
            map.push((pair[0], pair[1])).map_err(bad)?;
        }
        Ok(Some((map, taken)))
    }
}

/// Version 1: decimal numbers, one a line, the count of pieces first, filled up to a block.
fn data_map(input: &mut Input, stored: u64, entry: &[u8]) -> Result<(Vec<u64>, u64), UnpackError> {
    let bad = || UnpackError::archive(entry, "its map of data is malformed");
    let (mut numbers, mut digits, mut taken) = (Vec::new(), Vec::new(), 0);
    let mut wanted = None;
    loop {
        let mut block = [0; 512];
        if taken + 512 > stored || input.fill(&mut block, entry)? < 512 {
            return Err(bad());
        }
        taken += 512;
        for byte in block {
            if byte != b'\n' {
                digits.push(byte);
                if digits.len() > 20 {
                    return Err(bad());
                }
                continue;
            }
            let number = decimal(&digits).ok_or_else(bad)?;
            digits.clear();
            match wanted {
                None => wanted = usize::try_from(number).ok().filter(|n| *n <= MAX_PIECES).map(|n| n * 2),
                Some(_) => numbers.push(number),
            }
            let Some(wanted) = wanted else { return Err(bad()) };
            if numbers.len() == wanted {
                return Ok((numbers, taken));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_that_lie_are_refused() {
        let map = |size, pieces: &[Piece]| Map { size, pieces: pieces.to_vec() };
        assert!(map(10, &[(0, 2), (8, 2)]).check(4).is_ok());
        assert!(map(10, &[]).check(0).is_ok());
        assert!(map(10, &[(0, 2)]).check(3).is_err());
        assert!(map(10, &[(0, 5), (4, 5)]).check(10).is_err());
        assert!(map(10, &[(5, 2), (0, 2)]).check(4).is_err());
        assert!(map(10, &[(9, 2)]).check(2).is_err());
        assert!(map(10, &[(u64::MAX, 2)]).check(2).is_err());
    }
}

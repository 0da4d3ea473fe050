//! What subvolumes take up and may take up: quota groups.
//!
//! The kernel has calls that set a limit, and none that tells one. The numbers are read from its quota
//! tree, which takes `CAP_SYS_ADMIN`.

use std::ops::RangeInclusive;
use std::os::fd::BorrowedFd;

use linux_raw_sys::btrfs::{
    BTRFS_QGROUP_INFO_KEY, BTRFS_QGROUP_LIMIT_KEY, BTRFS_QGROUP_LIMIT_MAX_RFER,
    BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT, BTRFS_QGROUP_STATUS_FLAG_ON, BTRFS_QGROUP_STATUS_KEY,
    BTRFS_QUOTA_CTL_ENABLE, BTRFS_QUOTA_TREE_OBJECTID, btrfs_ioctl_qgroup_limit_args,
    btrfs_ioctl_quota_ctl_args, btrfs_ioctl_search_args, btrfs_qgroup_limit,
};
use linux_raw_sys::ioctl as codes;
use rustix::io::{Errno, Result};
use rustix::ioctl::{NoArg, Updater, ioctl};

use super::{info, set};

/// Bytes of a subvolume, as of the last commit of the file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// That it refers to.
    pub referenced: u64,
    /// That it alone refers to.
    pub exclusive: u64,
}

/// What a subvolume takes up.
///
/// # Errors
/// `ENOTCONN` where quota groups are off, `EAGAIN` while their numbers are not right, `EPERM` without `CAP_SYS_ADMIN`.
pub fn usage(subvolume: BorrowedFd<'_>) -> Result<Usage> {
    let flags = number(&item(subvolume, BTRFS_QGROUP_STATUS_KEY, 0)?.ok_or(Errno::NOTCONN)?, 2)?;
    if flags & u64::from(BTRFS_QGROUP_STATUS_FLAG_ON) == 0 {
        return Err(Errno::NOTCONN);
    }
    if flags & u64::from(BTRFS_QGROUP_STATUS_FLAG_INCONSISTENT) != 0 {
        return Err(Errno::AGAIN);
    }
    let told = item(subvolume, BTRFS_QGROUP_INFO_KEY, info(subvolume)?.id)?.ok_or(Errno::AGAIN)?;
    // struct btrfs_qgroup_info_item: generation, referenced, compressed, exclusive, compressed.
    Ok(Usage { referenced: number(&told, 1)?, exclusive: number(&told, 3)? })
}

/// The most a subvolume may refer to; none without a limit.
///
/// # Errors
/// `ENOTCONN` where quota groups are off, `EPERM` without `CAP_SYS_ADMIN`.
pub fn limit(subvolume: BorrowedFd<'_>) -> Result<Option<u64>> {
    let Some(told) = item(subvolume, BTRFS_QGROUP_LIMIT_KEY, info(subvolume)?.id)? else { return Ok(None) };
    // struct btrfs_qgroup_limit_item: flags, most referenced, and others that we never set.
    let limited = number(&told, 0)? & u64::from(BTRFS_QGROUP_LIMIT_MAX_RFER) != 0;
    Ok(if limited { Some(number(&told, 1)?) } else { None })
}

/// Limits what a subvolume may refer to, or lifts the limit.
///
/// # Errors
/// `ENOTCONN` where quota groups are off, `EPERM` without `CAP_SYS_ADMIN`.
pub fn set_limit(subvolume: BorrowedFd<'_>, bytes: Option<u64>) -> Result<()> {
    let limit = btrfs_qgroup_limit {
        flags: u64::from(BTRFS_QGROUP_LIMIT_MAX_RFER),
        // All ones lift it (`CLEAR_VALUE` of the kernel's qgroup.c).
        max_rfer: bytes.unwrap_or(u64::MAX),
        max_excl: 0,
        rsv_rfer: 0,
        rsv_excl: 0,
    };
    // Group 0 is the one of the subvolume that the descriptor is in.
    let arguments = btrfs_ioctl_qgroup_limit_args { qgroupid: 0, lim: limit };
    // SAFETY: the structure that BTRFS_IOC_QGROUP_LIMIT reads.
    unsafe { set::<{ codes::BTRFS_IOC_QGROUP_LIMIT }, _>(subvolume, arguments) }
}

/// Turns quota groups on for the whole file system, and waits until what is there is counted.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`.
pub fn enable_quota(file: BorrowedFd<'_>) -> Result<()> {
    let mut command = btrfs_ioctl_quota_ctl_args { cmd: u64::from(BTRFS_QUOTA_CTL_ENABLE), status: 0 };
    // SAFETY: the structure that BTRFS_IOC_QUOTA_CTL reads and writes.
    unsafe { ioctl(file, Updater::<{ codes::BTRFS_IOC_QUOTA_CTL }, _>::new(&mut command)) }?;
    // SAFETY: BTRFS_IOC_QUOTA_RESCAN_WAIT takes no argument.
    unsafe { ioctl(file, NoArg::<{ codes::BTRFS_IOC_QUOTA_RESCAN_WAIT }>::new()) }
}

/// An item of the quota tree.
fn item(subvolume: BorrowedFd<'_>, kind: u32, group: u64) -> Result<Option<Vec<u8>>> {
    let mut found = None;
    let searched = search(subvolume, BTRFS_QUOTA_TREE_OBJECTID, 0, kind, group..=group, &mut |_, bytes| {
        found = Some(bytes.to_vec());
    });
    match searched {
        Ok(()) => Ok(found),
        // There is no such tree.
        Err(Errno::NOENT) => Err(Errno::NOTCONN),
        Err(errno) => Err(errno),
    }
}

/// The numbers of items are 64 bits each, little-endian, one after the other.
fn number(item: &[u8], index: usize) -> Result<u64> {
    let bytes = item.chunks_exact(8).nth(index).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u64::from_le_bytes).ok_or(Errno::IO)
}

/// Bytes before each item: transaction, object, offset (64 bits), kind, length (32 bits).
const HEADER: usize = 32;

/// Hears of the items of one kind of one object in a tree: the rest of their key, and their bytes. Takes `CAP_SYS_ADMIN`.
fn search(
    file: BorrowedFd<'_>,
    tree: u32,
    object: u64,
    kind: u32,
    offsets: RangeInclusive<u64>,
    hear: &mut dyn FnMut(u64, &[u8]),
) -> Result<()> {
    let (mut from, to) = offsets.into_inner();
    loop {
        // SAFETY: numbers alone; zero is a number.
        let mut asked: btrfs_ioctl_search_args = unsafe { std::mem::zeroed() };
        asked.key.tree_id = tree.into();
        (asked.key.min_objectid, asked.key.max_objectid) = (object, object);
        (asked.key.min_type, asked.key.max_type) = (kind, kind);
        (asked.key.min_offset, asked.key.max_offset) = (from, to);
        asked.key.max_transid = u64::MAX;
        asked.key.nr_items = u32::MAX;
        // SAFETY: BTRFS_IOC_TREE_SEARCH reads and writes this structure.
        unsafe { ioctl(file, Updater::<{ codes::BTRFS_IOC_TREE_SEARCH }, _>::new(&mut asked)) }?;
        #[allow(
            clippy::cast_sign_loss,
            clippy::unnecessary_cast,
            reason = "bytes, whatever their sign is here"
        )]
        let bytes: Vec<u8> = asked.buf.iter().map(|&c| c as u8).collect();
        let mut rest = bytes.as_slice();
        let mut last = None;
        for _ in 0..asked.key.nr_items {
            let (offset, item, after) = split(rest)?;
            hear(offset, item);
            (last, rest) = (Some(offset), after);
        }
        match last {
            Some(last) if last < to => from = last + 1,
            _ => return Ok(()),
        }
    }
}

/// The first item of an answer: its offset, its bytes, and what follows.
fn split(answer: &[u8]) -> Result<(u64, &[u8], &[u8])> {
    let (header, rest) = answer.split_at_checked(HEADER).ok_or(Errno::IO)?;
    let native = |at: usize| header[at..at + 8].try_into().map(u64::from_ne_bytes).map_err(|_| Errno::IO);
    let length = header[28..].try_into().map(u32::from_ne_bytes).map_err(|_| Errno::IO)?;
    let (item, after) = rest.split_at_checked(length as usize).ok_or(Errno::IO)?;
    Ok((native(16)?, item, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart_and_a_short_one_refused() {
        let mut answer = vec![0_u8; HEADER];
        answer[16..24].copy_from_slice(&7_u64.to_ne_bytes());
        answer[28..32].copy_from_slice(&16_u32.to_ne_bytes());
        answer.extend(5_u64.to_le_bytes());
        answer.extend(6_u64.to_le_bytes());
        answer.extend([9; 3]);
        let (offset, item, after) = split(&answer).unwrap();
        assert_eq!((offset, after), (7, &[9_u8; 3][..]));
        assert_eq!((number(item, 0), number(item, 1), number(item, 2)), (Ok(5), Ok(6), Err(Errno::IO)));
        assert_eq!(split(&answer[..40]), Err(Errno::IO));
        assert_eq!(split(&answer[..20]), Err(Errno::IO));
    }
}

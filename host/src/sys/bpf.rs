//! Programs of the kernel's virtual machine that are attached to cgroups (bpf(2)).

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

/// One instruction (`struct bpf_insn` of `<linux/bpf.h>`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    pub code: u8,
    /// Destination in the low four bits, source in the high ones.
    pub registers: u8,
    /// Of a jump, counted from the next instruction; of a load, bytes.
    pub offset: i16,
    pub immediate: i32,
}

/// Commands, types and flags of `<linux/bpf.h>`.
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const CGROUP_DEVICE: u32 = 6;
const ALLOW_MULTI: u32 = 2;

/// The fields of `union bpf_attr` for `BPF_PROG_LOAD`, up to the last one used.
#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

/// The fields of `union bpf_attr` for `BPF_PROG_ATTACH`.
#[repr(C)]
struct AttachAttributes {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

/// Have the kernel verify and keep a program that decides on the use of devices.
///
/// # Errors
/// `EINVAL` when the verifier refuses it or the kernel has no such programs, `EPERM` without
/// `CAP_BPF`.
pub fn load_device_program(program: &[Instruction]) -> io::Result<OwnedFd> {
    let length = u32::try_from(program.len()).map_err(|_huge| io::ErrorKind::InvalidInput)?;
    let license = c"MIT";
    let attributes = LoadAttributes {
        prog_type: PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: length,
        insns: program.as_ptr().addr() as u64,
        license: license.as_ptr().addr() as u64,
        prog_name: *b"wxc_devices\0\0\0\0\0",
        expected_attach_type: CGROUP_DEVICE,
        ..LoadAttributes::default()
    };
    // SAFETY: the two pointers are to `length` instructions and to a terminated string that
    // outlive the call, and the kernel only reads them.
    let fd = unsafe { bpf(PROG_LOAD, &attributes) }?;
    // SAFETY: BPF_PROG_LOAD returned a new descriptor (close-on-exec, as all of bpf(2)) to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attach it to a v2 cgroup, next to those that are there and those that come below: all of them
/// have to agree. It stays for as long as the cgroup does.
///
/// # Errors
/// Those of bpf(2), `BPF_PROG_ATTACH`.
pub fn attach_device_program(program: BorrowedFd<'_>, cgroup: BorrowedFd<'_>) -> io::Result<()> {
    let attributes = AttachAttributes {
        target_fd: cgroup.as_raw_fd().cast_unsigned(),
        attach_bpf_fd: program.as_raw_fd().cast_unsigned(),
        attach_type: CGROUP_DEVICE,
        attach_flags: ALLOW_MULTI,
    };
    // SAFETY: the attributes hold two open descriptors and no pointer.
    unsafe { bpf(PROG_ATTACH, &attributes) }.map(drop)
}

/// # Safety
/// `attributes` must be the part of `union bpf_attr` that `command` reads, with pointers valid for it.
unsafe fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_int> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes from a reference, and takes what it knows
    // beyond them as zero; what the pointers inside are valid for is the caller's promise.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    match libc::c_int::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

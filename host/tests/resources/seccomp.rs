//! The default policy, loaded into a child that then tries what it refuses.

use std::{
    io,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Command, ExitStatus},
};

use wxc::{
    plan::{SeccompPlan, SeccompRule, seccomp::policy},
    runtime::seccomp,
};

/// Run `sh -c script` under the policy.
#[allow(unsafe_code, reason = "a filter is loaded between fork and exec")]
fn under(policy: &SeccompPlan, script: &str) -> (ExitStatus, String) {
    let program = seccomp::program(policy).unwrap().unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    // SAFETY: the closure calls prctl(2) and seccomp(2) alone and allocates nothing; `program` is
    // moved into it and lives until exec.
    unsafe {
        command.pre_exec(move || load(&program));
    }
    let output = command.output().unwrap();
    (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[allow(unsafe_code, reason = "seccomp(2)")]
fn load(program: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let filter = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // SAFETY: plain arguments, and a pointer to `len` instructions that the kernel copies.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const filter) != 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[test]
fn the_kernel_takes_the_default_policy_and_programs_run_under_it() {
    let (status, errors) =
        under(&policy(&[]), "ls / > /dev/null && cat /proc/self/status | grep -q 'Seccomp:.*2'");
    assert!(status.success(), "{errors}");
}

#[test]
fn a_forced_unmount_is_refused_and_a_plain_one_is_not() {
    if !crate::root("a_forced_unmount") {
        return;
    }
    // Nothing is mounted there: the plain one comes as far as EINVAL.
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display();
    let (_, plain) = under(&policy(&[]), &format!("umount -i {at}"));
    let (_, forced) = under(&policy(&[]), &format!("umount -i -f {at}"));
    assert!(plain.contains("not mounted"), "{plain}");
    assert!(!forced.contains("not mounted") && !forced.is_empty(), "{forced}");
}

#[test]
fn a_rule_without_errno_kills() {
    let rule = SeccompRule { syscall: "sync".into(), errno: None, arguments: vec![] };
    let (status, _) = under(&SeccompPlan::Deny(vec![rule]), "exec sync");
    assert_eq!(status.signal(), Some(libc::SIGSYS));
}

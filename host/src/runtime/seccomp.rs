#![forbid(unsafe_code)]
//! A [`SeccompPlan`] as a program for the kernel (seccomp(2), classic BPF).
//!
//! One program holds a body for each architecture whose calls the kernel accepts, because a
//! filter that knows the native one only is either passed by (`int 0x80` has other numbers) or,
//! if it kills everything foreign, in the way of 32-bit guests. The x32 calls of x86_64 are
//! answered as a kernel without them does. That, and one errno per rule, is why the program is
//! assembled here and not by a crate made for single-architecture allow lists.

use libc::sock_filter;

use crate::plan::{SeccompArgument, SeccompPlan, SeccompRule};

/// Why a policy cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeccompError {
    #[error("seccomp: there is no system call \"{0}\"")]
    UnknownCall(String),
    #[error("seccomp: {call}: a call has the arguments 0 to 5, not {index}")]
    NoSuchArgument { call: String, index: u8 },
    #[error("seccomp: {call}: argument {index} can never be {value:#x} under the mask {mask:#x}")]
    NeverTrue { call: String, index: u8, mask: u64, value: u64 },
    #[error("seccomp: the policy becomes {0} instructions, the kernel takes {LONGEST}")]
    TooLong(usize),
    #[error("seccomp: filters are not supported on {0}")]
    Machine(&'static str),
}

/// `BPF_MAXINSNS` of `<linux/bpf_common.h>`.
const LONGEST: usize = 4096;

/// One set of system-call numbers that processes on this machine can use.
struct Architecture {
    /// `AUDIT_ARCH_*` of `<linux/audit.h>`, as in `seccomp_data.arch`.
    audit: u32,
    number: fn(&str) -> Option<u32>,
    /// Numbers from here on are another interface that is answered with ENOSYS.
    ceiling: Option<u32>,
}

/// By `std::env::consts::ARCH`, the most used one first.
const MACHINES: [(&str, &[Architecture]); 2] = [
    (
        "x86_64",
        &[
            Architecture {
                audit: 0xC000_003E,
                number: |name| name.parse::<syscalls::x86_64::Sysno>().ok().map(|call| call as u32),
                ceiling: Some(0x4000_0000),
            },
            Architecture {
                audit: 0x4000_0003,
                number: |name| name.parse::<syscalls::x86::Sysno>().ok().map(|call| call as u32),
                ceiling: None,
            },
        ],
    ),
    (
        "aarch64",
        &[
            Architecture {
                audit: 0xC000_00B7,
                number: |name| name.parse::<syscalls::aarch64::Sysno>().ok().map(|call| call as u32),
                ceiling: None,
            },
            Architecture {
                audit: 0x4000_0028,
                number: |name| name.parse::<syscalls::arm::Sysno>().ok().map(|call| call as u32),
                ceiling: None,
            },
        ],
    ),
];

/// Offsets in `struct seccomp_data`; arguments are eight bytes each, low word first.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Instructions, each one that is used (`<linux/bpf_common.h>`).
const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_AT_LEAST: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K
const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
const RETURN: u16 = 0x06; // BPF_RET | BPF_K

/// The program for `plan` on this machine; `None` when there is nothing to filter.
///
/// # Errors
/// When a rule names an unknown call or can never match, or the program would be too long.
pub fn program(plan: &SeccompPlan) -> Result<Option<Vec<sock_filter>>, SeccompError> {
    program_for(std::env::consts::ARCH, plan)
}

fn program_for(machine: &'static str, plan: &SeccompPlan) -> Result<Option<Vec<sock_filter>>, SeccompError> {
    let (rules, otherwise) = match plan {
        SeccompPlan::Off => return Ok(None),
        SeccompPlan::Deny(rules) => (rules, libc::SECCOMP_RET_ALLOW),
        SeccompPlan::Allow(rules) => (rules, refuse(libc::EPERM)),
    };
    let verdict = |rule: &SeccompRule| match plan {
        SeccompPlan::Allow(_) => libc::SECCOMP_RET_ALLOW,
        _ => rule.errno.map_or(libc::SECCOMP_RET_KILL_PROCESS, refuse),
    };
    let known = MACHINES.iter().find(|(name, _)| *name == machine);
    let (_, architectures) = known.ok_or(SeccompError::Machine(machine))?;
    rules.iter().try_for_each(|rule| check(rule, architectures))?;

    let mut program = vec![load(ARCHITECTURE)];
    for architecture in *architectures {
        let body = body(architecture, rules, verdict, otherwise)?;
        let length = u32::try_from(body.len()).map_err(|_huge| SeccompError::TooLong(body.len()))?;
        // A conditional jump reaches 255 instructions, a plain one everything.
        program.push(branch(IF_EQUAL, architecture.audit, 1, 0));
        program.push(instruction(JUMP, length));
        program.extend(body);
    }
    program.push(give(refuse(libc::ENOSYS)));
    if program.len() > LONGEST {
        return Err(SeccompError::TooLong(program.len()));
    }
    Ok(Some(program))
}

/// What does not depend on the architecture, so that a mistake is never just skipped.
fn check(rule: &SeccompRule, architectures: &[Architecture]) -> Result<(), SeccompError> {
    if !architectures.iter().any(|architecture| (architecture.number)(&rule.syscall).is_some()) {
        return Err(SeccompError::UnknownCall(rule.syscall.clone()));
    }
    for &SeccompArgument { index, mask, value } in &rule.arguments {
        let call = rule.syscall.clone();
        if index > 5 {
            return Err(SeccompError::NoSuchArgument { call, index });
        }
        if value & mask != value {
            return Err(SeccompError::NeverTrue { call, index, mask, value });
        }
    }
    Ok(())
}

/// All rules for one architecture; it never falls out of its end.
fn body(
    architecture: &Architecture,
    rules: &[SeccompRule],
    verdict: impl Fn(&SeccompRule) -> u32,
    otherwise: u32,
) -> Result<Vec<sock_filter>, SeccompError> {
    let mut body = vec![load(NUMBER)];
    if let Some(ceiling) = architecture.ceiling {
        // A tracer that skips a call sets its number to -1, which is not of the other interface.
        body.push(branch(IF_EQUAL, u32::MAX, 0, 1));
        body.push(give(libc::SECCOMP_RET_ALLOW));
        body.push(branch(IF_AT_LEAST, ceiling, 0, 1));
        body.push(give(refuse(libc::ENOSYS)));
    }
    for rule in rules {
        if let Some(number) = (architecture.number)(&rule.syscall) {
            let steps = arguments(&rule.arguments, verdict(rule));
            let skip = u8::try_from(steps.len()).map_err(|_long| SeccompError::TooLong(steps.len()))?;
            body.push(branch(IF_EQUAL, number, 0, skip));
            body.extend(steps);
        }
    }
    body.push(give(otherwise));
    Ok(body)
}

/// Test all arguments and answer; when one differs, go on behind it with the number loaded again.
fn arguments(arguments: &[SeccompArgument], verdict: u32) -> Vec<sock_filter> {
    let mut words: Vec<(u32, u32, u32)> = Vec::new();
    for argument in arguments {
        let low = ARGUMENTS + u32::from(argument.index) * 8;
        for (offset, shift) in [(low, 0), (low + 4, 32)] {
            let word = |value: u64| (value >> shift & u64::from(u32::MAX)).try_into().unwrap_or(u32::MAX);
            if word(argument.mask) != 0 {
                words.push((offset, word(argument.mask), word(argument.value)));
            }
        }
    }
    let mut steps = Vec::new();
    for (done, (offset, mask, value)) in words.iter().enumerate() {
        // To the reload behind the answer, over three instructions for every word that is left.
        let over = u8::try_from((words.len() - done - 1) * 3 + 1).unwrap_or(u8::MAX);
        steps.extend([load(*offset), instruction(AND, *mask), branch(IF_EQUAL, *value, 0, over)]);
    }
    steps.push(give(verdict));
    if !words.is_empty() {
        steps.push(load(NUMBER));
    }
    steps
}

/// The answer "this errno"; the kernel keeps 16 bits of it and caps it at 4095.
fn refuse(errno: i32) -> u32 {
    libc::SECCOMP_RET_ERRNO | (u32::try_from(errno).unwrap_or(0) & libc::SECCOMP_RET_DATA)
}

fn load(offset: u32) -> sock_filter {
    instruction(LOAD, offset)
}

fn give(verdict: u32) -> sock_filter {
    instruction(RETURN, verdict)
}

fn instruction(code: u16, k: u32) -> sock_filter {
    branch(code, k, 0, 0)
}

fn branch(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::seccomp::policy;

    const X86_64: u32 = 0xC000_003E;
    const I386: u32 = 0x4000_0003;
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | 1;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | 38;
    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

    /// What the kernel's interpreter would answer; it panics where the kernel would refuse to load.
    fn run(program: &[sock_filter], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
        let word = |offset: u32| match offset {
            NUMBER => number,
            ARCHITECTURE => arch,
            _ => {
                let argument = arguments[usize::try_from((offset - ARGUMENTS) / 8).unwrap()];
                u32::try_from(argument >> ((offset % 8) * 8) & 0xffff_ffff).unwrap()
            }
        };
        let (mut at, mut accumulator) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = program[at];
            let jump = |taken: bool| usize::from(if taken { jt } else { jf });
            at += 1;
            match code {
                LOAD => accumulator = word(k),
                AND => accumulator &= k,
                IF_EQUAL => at += jump(accumulator == k),
                IF_AT_LEAST => at += jump(accumulator >= k),
                JUMP => at += usize::try_from(k).unwrap(),
                RETURN => return k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn on_x86_64(plan: &SeccompPlan) -> Vec<sock_filter> {
        program_for("x86_64", plan).unwrap().unwrap()
    }

    #[test]
    fn the_default_policy_holds_in_both_interfaces_of_x86_64() {
        let program = on_x86_64(&policy(&[]));
        // kexec_load, init_module, umount2, ioctl, read; the numbers are those of the two tables.
        for (arch, kexec, module, umount2, ioctl, read) in
            [(X86_64, 246, 175, 166, 16, 0), (I386, 283, 128, 52, 54, 3)]
        {
            let ask = |number, second| run(&program, arch, number, [0, second, 0, 0, 0, 0]);
            assert_eq!(ask(kexec, 0), EPERM);
            assert_eq!(ask(module, 0), EPERM);
            assert_eq!(ask(umount2, 0), ALLOW);
            assert_eq!(ask(umount2, 1), EPERM);
            assert_eq!(ask(umount2, 8 | 1), EPERM);
            assert_eq!(ask(ioctl, 0x5412), EPERM);
            assert_eq!(ask(ioctl, 0xdead_beef_0000_5412), EPERM, "the upper half is not looked at");
            assert_eq!(ask(ioctl, 0x541C), EPERM);
            assert_eq!(ask(ioctl, 0x5413), ALLOW);
            assert_eq!(ask(read, 0), ALLOW);
        }
    }

    #[test]
    fn other_interfaces_do_not_exist() {
        let program = on_x86_64(&policy(&[]));
        assert_eq!(run(&program, X86_64, 0x4000_0000 | 246, [0; 6]), ENOSYS, "x32");
        assert_eq!(run(&program, X86_64, u32::MAX, [0; 6]), ALLOW, "skipped by a tracer");
        assert_eq!(run(&program, 0x8000_0016, 1, [0; 6]), ENOSYS, "an unknown architecture");
    }

    #[test]
    fn each_rule_has_its_own_answer_and_the_first_match_wins() {
        let rule =
            |syscall: &str, errno, arguments| SeccompRule { syscall: syscall.into(), errno, arguments };
        let both = vec![
            SeccompArgument { index: 0, mask: u64::MAX, value: 7 << 32 | 5 },
            SeccompArgument { index: 5, mask: 0xff, value: 0x12 },
        ];
        let program = on_x86_64(&SeccompPlan::Deny(vec![
            rule("mmap", Some(12), both),
            rule("mmap", Some(38), vec![SeccompArgument { index: 2, mask: 4, value: 4 }]),
            rule("reboot", None, vec![]),
        ]));
        let mmap = |arguments| run(&program, X86_64, 9, arguments);
        assert_eq!(mmap([7 << 32 | 5, 0, 4, 0, 0, 0xff12]), libc::SECCOMP_RET_ERRNO | 12);
        assert_eq!(mmap([5, 0, 4, 0, 0, 0x12]), ENOSYS, "the upper half differs, the second rule matches");
        assert_eq!(mmap([7 << 32 | 5, 0, 0, 0, 0, 0x13]), ALLOW);
        assert_eq!(run(&program, X86_64, 169, [0; 6]), libc::SECCOMP_RET_KILL_PROCESS);
    }

    #[test]
    fn an_allow_list_refuses_the_rest() {
        let rule = SeccompRule { syscall: "read".into(), errno: None, arguments: vec![] };
        let program = on_x86_64(&SeccompPlan::Allow(vec![rule]));
        assert_eq!(run(&program, X86_64, 0, [0; 6]), ALLOW);
        assert_eq!(run(&program, X86_64, 1, [0; 6]), EPERM);
        assert_eq!(run(&program, I386, 3, [0; 6]), ALLOW);
    }

    #[test]
    fn aarch64_and_its_32_bit_guests() {
        let program = program_for("aarch64", &policy(&[])).unwrap().unwrap();
        assert_eq!(run(&program, 0xC000_00B7, 104, [0; 6]), EPERM, "kexec_load");
        assert_eq!(run(&program, 0x4000_0028, 347, [0; 6]), EPERM, "kexec_load");
        assert_eq!(run(&program, 0xC000_00B7, 63, [0; 6]), ALLOW, "read");
    }

    #[test]
    fn mistakes_are_not_skipped() {
        let deny = |syscall: &str, arguments| {
            let rule = SeccompRule { syscall: syscall.into(), errno: Some(1), arguments };
            program_for("x86_64", &SeccompPlan::Deny(vec![rule]))
        };
        assert!(matches!(deny("raed", vec![]), Err(SeccompError::UnknownCall(name)) if name == "raed"));
        let wrong = SeccompArgument { index: 6, mask: 1, value: 1 };
        assert!(matches!(deny("read", vec![wrong]), Err(SeccompError::NoSuchArgument { .. })));
        let never = SeccompArgument { index: 0, mask: 1, value: 2 };
        assert!(matches!(deny("read", vec![never]), Err(SeccompError::NeverTrue { .. })));
        assert!(matches!(program_for("x86_64", &SeccompPlan::Off), Ok(None)));
    }
}

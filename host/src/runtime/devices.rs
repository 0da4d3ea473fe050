#![forbid(unsafe_code)]
//! Device rules of a plan, put in force: a program on the v2 cgroup, or entries of v1's device
//! controller (the kernel's `cgroup-v2.rst`, "Device controller", and `cgroup-v1/devices.rst`).
//!
//! The rules hold for privileged containers. Root of a user namespace cannot make nodes, and those
//! that it is given are decided by their permissions.

use std::{io, os::fd::AsFd, path::PathBuf};

use crate::{
    plan::{DeviceKind, DeviceRule},
    sys::bpf::{Instruction, attach_device_program, load_device_program},
};

use super::cgroup::{CgroupError, Cgroups};

/// Why device rules are not in force.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    #[error("this container has no cgroup that could control its devices")]
    NoCgroup,
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error("the kernel does not take the program that controls devices: {source}")]
    Program { source: io::Error },
    #[error("cannot write the device rule \"{rule}\" to {path}: {source}")]
    Entry { path: PathBuf, rule: String, source: io::Error },
    #[error(
        "the device rule \"{later}\" takes back a part of \"{earlier}\", which cgroups v1 cannot express"
    )]
    TooFine { earlier: String, later: String },
}

impl DeviceError {
    /// What to do next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Program { .. } => Some("this needs CONFIG_CGROUP_BPF, and CAP_BPF or root".into()),
            Self::Cgroup(error) => error.hint(),
            Self::TooFine { earlier, .. } => {
                Some(format!("write the parts of \"{earlier}\" that are allowed as rules"))
            }
            _ => None,
        }
    }
}

/// Put `rules` in force for everything in the container's cgroup. Nothing to do without rules.
///
/// # Errors
/// When neither generation of the controller can be had.
pub fn apply(cgroups: &Cgroups, rules: &[DeviceRule]) -> Result<(), DeviceError> {
    if rules.is_empty() {
        return Ok(());
    }
    match attach(cgroups, rules) {
        // A v2 tree on a kernel without these programs, next to v1's controller.
        Err(DeviceError::Program { .. } | DeviceError::NoCgroup) if cgroups.place_of("devices").is_some() => {
            write_entries(cgroups, rules)
        }
        result => result,
    }
}

fn attach(cgroups: &Cgroups, rules: &[DeviceRule]) -> Result<(), DeviceError> {
    let cgroup = cgroups.v2_directory()?.ok_or(DeviceError::NoCgroup)?;
    load_device_program(&program(rules))
        .and_then(|program| attach_device_program(program.as_fd(), cgroup.as_fd()))
        .map_err(|source| DeviceError::Program { source })
}

fn write_entries(cgroups: &Cgroups, rules: &[DeviceRule]) -> Result<(), DeviceError> {
    let place = cgroups.place_of("devices").ok_or(DeviceError::NoCgroup)?;
    for rule in exceptions(rules)? {
        let path = place.payload.join(if rule.allow { "devices.allow" } else { "devices.deny" });
        let text = rule.to_string();
        std::fs::write(&path, &text).map_err(|source| DeviceError::Entry { path, rule: text, source })?;
    }
    Ok(())
}

/// Instructions that are used (`<linux/bpf_common.h>`, `<linux/bpf.h>`), and registers.
const LOAD_WORD: u8 = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const MOVE: u8 = 0xb4; // BPF_ALU | BPF_MOV | BPF_K
const MOVE_REGISTER: u8 = 0xbc; // BPF_ALU | BPF_MOV | BPF_X
const AND: u8 = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT: u8 = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const IF_EQUAL: u8 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const IF_DIFFERENT: u8 = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const EXIT: u8 = 0x95; // BPF_JMP | BPF_EXIT
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
/// The context is not needed any more when the first rule is looked at.
const SCRATCH: u8 = CONTEXT;

/// `BPF_DEVCG_*`.
const BLOCK: i32 = 1;
const CHAR: i32 = 2;
const MKNOD: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;

/// The program for the rules: the last one that matches decides, so they are tried from the end.
fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    // struct bpf_cgroup_dev_ctx: access << 16 | kind, major, minor.
    let mut program = vec![
        load(KIND, 0),
        instruction(MOVE_REGISTER, ACCESS | KIND << 4, 0, 0),
        instruction(AND, KIND, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        let conditions = conditions(rule);
        program.extend(jump_over(&conditions));
        program.extend(answer(rule.allow));
        if conditions.is_empty() {
            // The verifier refuses what can never be reached.
            return program;
        }
    }
    // As without a device controller.
    program.extend(answer(true));
    program
}

/// A test of a rule; when `code` holds for `register` and `value`, the rule does not match.
struct Condition {
    prepare: Vec<Instruction>,
    code: u8,
    register: u8,
    value: i32,
}

fn conditions(rule: &DeviceRule) -> Vec<Condition> {
    let differs = |register, value| Condition { prepare: vec![], code: IF_DIFFERENT, register, value };
    let mut all = Vec::new();
    match rule.kind {
        DeviceKind::All => {}
        DeviceKind::Block => all.push(differs(KIND, BLOCK)),
        DeviceKind::Char => all.push(differs(KIND, CHAR)),
    }
    // Numbers of devices have at most twenty bits.
    all.extend(rule.major.map(|major| differs(MAJOR, major.cast_signed())));
    all.extend(rule.minor.map(|minor| differs(MINOR, minor.cast_signed())));
    let listed = [(rule.read, READ), (rule.write, WRITE), (rule.mknod, MKNOD)];
    let listed: i32 = listed.iter().filter(|(given, _)| *given).map(|(_, bit)| bit).sum();
    if listed != READ | WRITE | MKNOD {
        // Allowed is what is listed as a whole; denied is what touches anything listed.
        let (mask, code) = if rule.allow { (!listed, IF_DIFFERENT) } else { (listed, IF_EQUAL) };
        let prepare =
            vec![instruction(MOVE_REGISTER, SCRATCH | ACCESS << 4, 0, 0), instruction(AND, SCRATCH, 0, mask)];
        all.push(Condition { prepare, code, register: SCRATCH, value: 0 });
    }
    all
}

/// The tests of one rule, each leading over the rest of them and over the answer.
fn jump_over(conditions: &[Condition]) -> Vec<Instruction> {
    const ANSWER: i16 = 2;
    let mut backwards = Vec::new();
    let mut distance = ANSWER;
    for condition in conditions.iter().rev() {
        backwards.push(instruction(condition.code, condition.register, distance, condition.value));
        backwards.extend(condition.prepare.iter().rev());
        // At most six instructions in all.
        distance = ANSWER.saturating_add_unsigned(u16::try_from(backwards.len()).unwrap_or(u16::MAX));
    }
    backwards.reverse();
    backwards
}

fn answer(allow: bool) -> [Instruction; 2] {
    [instruction(MOVE, RESULT, 0, i32::from(allow)), instruction(EXIT, 0, 0, 0)]
}

fn load(register: u8, offset: i16) -> Instruction {
    instruction(LOAD_WORD, register | CONTEXT << 4, offset, 0)
}

fn instruction(code: u8, registers: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers, offset, immediate }
}

/// The rules as v1 keeps them: one default, and exceptions from it that may come in any order.
fn exceptions(rules: &[DeviceRule]) -> Result<Vec<DeviceRule>, DeviceError> {
    let mut default = true;
    let mut list: Vec<DeviceRule> = Vec::new();
    for rule in rules.iter().flat_map(spell_out) {
        if rule.kind == DeviceKind::All {
            default = rule.allow;
            list.clear();
        } else if rule.allow != default {
            list.push(rule);
        } else {
            list.retain(|earlier| !covers(&rule, earlier));
            if let Some(earlier) = list.iter().find(|earlier| overlap(&rule, earlier)) {
                return Err(DeviceError::TooFine { earlier: earlier.to_string(), later: rule.to_string() });
            }
        }
    }
    let first: DeviceRule = DeviceRule {
        allow: default,
        kind: DeviceKind::All,
        major: None,
        minor: None,
        read: true,
        write: true,
        mknod: true,
    };
    Ok(std::iter::once(first).chain(list).collect())
}

/// v1's `a` is everything; one that is not is a rule for each kind.
fn spell_out(rule: &DeviceRule) -> Vec<DeviceRule> {
    let everything = rule.major.is_none() && rule.minor.is_none() && rule.read && rule.write && rule.mknod;
    if rule.kind != DeviceKind::All || everything {
        return vec![rule.clone()];
    }
    [DeviceKind::Char, DeviceKind::Block].map(|kind| DeviceRule { kind, ..rule.clone() }).into()
}

fn covers(rule: &DeviceRule, other: &DeviceRule) -> bool {
    let number = |mine: Option<u32>, others: Option<u32>| mine.is_none() || mine == others;
    rule.kind == other.kind
        && number(rule.major, other.major)
        && number(rule.minor, other.minor)
        && (rule.read || !other.read)
        && (rule.write || !other.write)
        && (rule.mknod || !other.mknod)
}

fn overlap(rule: &DeviceRule, other: &DeviceRule) -> bool {
    let number = |a: Option<u32>, b: Option<u32>| a.is_none() || b.is_none() || a == b;
    rule.kind == other.kind
        && number(rule.major, other.major)
        && number(rule.minor, other.minor)
        && ((rule.read && other.read) || (rule.write && other.write) || (rule.mknod && other.mknod))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::devices::{default_rules, parse};

    fn rules(texts: &[(&str, bool)]) -> Vec<DeviceRule> {
        texts.iter().map(|(text, allow)| parse(text, *allow).unwrap()).collect()
    }

    /// What the kernel's virtual machine would answer.
    fn run(program: &[Instruction], kind: i32, access: i32, major: i32, minor: i32) -> bool {
        let mut registers = [0i32; 8];
        let mut at = 0;
        loop {
            let Instruction { code, registers: both, offset, immediate } = program[at];
            let (to, from) = (usize::from(both & 15), usize::from(both >> 4));
            at += 1;
            let jump = usize::try_from(offset).unwrap();
            match code {
                LOAD_WORD => registers[to] = [access << 16 | kind, major, minor][jump / 4],
                MOVE => registers[to] = immediate,
                MOVE_REGISTER => registers[to] = registers[from],
                AND => registers[to] &= immediate,
                SHIFT_RIGHT => registers[to] >>= immediate,
                IF_EQUAL if registers[to] == immediate => at += jump,
                IF_DIFFERENT if registers[to] != immediate => at += jump,
                IF_EQUAL | IF_DIFFERENT => {}
                EXIT => return registers[0] != 0,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    #[test]
    fn the_default_rules() {
        let program = program(&default_rules().unwrap());
        assert!(run(&program, CHAR, READ | WRITE, 1, 3), "/dev/null");
        assert!(run(&program, CHAR, MKNOD, 8, 0) && run(&program, BLOCK, MKNOD, 8, 0));
        assert!(!run(&program, BLOCK, READ, 8, 0), "/dev/sda");
        assert!(!run(&program, BLOCK, READ | MKNOD, 8, 0));
        assert!(!run(&program, CHAR, READ, 1, 1), "/dev/mem");
        assert!(run(&program, CHAR, READ, 136, 77) && !run(&program, BLOCK, READ, 136, 77));
    }

    #[test]
    fn later_rules_win_in_parts_too() {
        let program = program(&rules(&[("c 1:* rwm", false), ("c 1:3 r", true), ("c *:* m", false)]));
        assert!(run(&program, CHAR, READ, 1, 3));
        assert!(!run(&program, CHAR, READ | WRITE, 1, 3) && !run(&program, CHAR, WRITE, 1, 3));
        assert!(!run(&program, CHAR, MKNOD, 9, 9) && run(&program, CHAR, READ, 9, 9));
        assert!(!run(&program, CHAR, READ | MKNOD, 9, 9));
    }

    #[test]
    fn nothing_follows_a_rule_for_everything() {
        let program = program(&rules(&[("c 1:3 r", true), ("a", false)]));
        assert_eq!(program.len(), 8);
        assert!(!run(&program, CHAR, READ, 1, 3));
    }

    #[test]
    fn v1_gets_one_default_and_its_exceptions() {
        let text = |rules: Vec<DeviceRule>| -> Vec<String> {
            rules.iter().map(|rule| format!("{} {rule}", if rule.allow { "allow" } else { "deny" })).collect()
        };
        let list = rules(&[
            ("c 9:9 r", true),
            ("a", false),
            ("c 1:3 rw", true),
            ("c 1:5 r", true),
            ("c 1:5 rwm", false),
        ]);
        assert_eq!(text(exceptions(&list).unwrap()), ["deny a *:* rwm", "allow c 1:3 rw"]);
        let list = rules(&[("a *:* m", false)]);
        assert_eq!(text(exceptions(&list).unwrap()), ["allow a *:* rwm", "deny c *:* m", "deny b *:* m"]);
        let list = rules(&[("a", false), ("c 1:* rw", true), ("c 1:3 w", false)]);
        assert!(matches!(exceptions(&list), Err(DeviceError::TooFine { .. })));
        let list = rules(&[("a", false), ("c 1:* r", true), ("c 1:3 w", false)]);
        assert_eq!(text(exceptions(&list).unwrap()), ["deny a *:* rwm", "allow c 1:* r"]);
    }
}

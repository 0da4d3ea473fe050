//! Which accounts a fresh root knows: those that programs of any distribution count on. Nobody can log in
//! with a password; one enters from the host.

/// Name, id (of the user and of its group), home, shell.
const USERS: &[(&str, u32, &str, &str)] = &[
    ("root", 0, "/root", "/bin/sh"),
    ("daemon", 1, "/", "/usr/sbin/nologin"),
    ("bin", 2, "/", "/usr/sbin/nologin"),
    ("nobody", 65534, "/", "/usr/sbin/nologin"),
];

/// Groups that are no user's own: their numbers are the same in Debian and its kin, and elsewhere only the
/// names matter.
const GROUPS: &[(&str, u32)] = &[
    ("sys", 3),
    ("adm", 4),
    ("tty", 5),
    ("disk", 6),
    ("mail", 8),
    ("kmem", 15),
    ("audio", 29),
    ("utmp", 43),
    ("video", 44),
    ("users", 100),
    ("nogroup", 65534),
];

/// `/etc/passwd`, in the format of passwd(5).
pub fn passwd() -> String {
    let line = |(name, id, home, shell): &(&str, u32, &str, &str)| {
        format!("{name}:x:{id}:{id}:{name}:{home}:{shell}\n")
    };
    USERS.iter().map(line).collect()
}

/// `/etc/shadow`, in the format of shadow(5): a password of `*` is one that nothing matches.
pub fn shadow() -> String {
    USERS.iter().map(|(name, ..)| format!("{name}:*:::::::\n")).collect()
}

/// `/etc/group`, in the format of group(5).
pub fn group() -> String {
    let own = USERS.iter().map(|(name, id, ..)| (*name, *id)).filter(|(name, _)| *name != "nobody");
    own.chain(GROUPS.iter().copied()).map(|(name, id)| format!("{name}:x:{id}:\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_the_first_and_cannot_log_in() {
        assert!(passwd().starts_with("root:x:0:0:root:/root:/bin/sh\n"));
        assert!(shadow().starts_with("root:*:"));
        assert!(group().starts_with("root:x:0:\n"));
    }

    #[test]
    fn every_line_has_its_fields_and_every_number_one_group() {
        assert!(passwd().lines().all(|line| line.split(':').count() == 7));
        assert!(shadow().lines().all(|line| line.split(':').count() == 9));
        let mut ids: Vec<_> =
            group().lines().map(|line| line.split(':').nth(2).unwrap().to_owned()).collect();
        let all = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all);
    }
}

//! The kernel's words for architectures, and those of Debian, which servers of images took over.

const ALL: [(&str, &str); 9] = [
    ("x86_64", "amd64"),
    ("aarch64", "arm64"),
    ("armv7l", "armhf"),
    ("armv6l", "armel"),
    ("i686", "i386"),
    ("ppc64le", "ppc64el"),
    ("riscv64", "riscv64"),
    ("s390x", "s390x"),
    ("loongarch64", "loong64"),
];

/// Debian's word for an architecture of the kernel's; another word as it is.
#[must_use]
pub fn of_debian(kernel: &str) -> &str {
    ALL.iter().find(|(known, _)| *known == kernel).map_or(kernel, |(_, word)| word)
}

/// The kernel's word for an architecture of Debian's; another word as it is.
#[must_use]
pub fn of_kernel(debian: &str) -> &str {
    ALL.iter().find(|(_, known)| *known == debian).map_or(debian, |(word, _)| word)
}

/// Whether this is an architecture, in Debian's word.
#[must_use]
pub fn is_debian(word: &str) -> bool {
    ALL.iter().any(|(_, known)| *known == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_and_nothing_made_up() {
        assert_eq!((of_debian("x86_64"), of_kernel("arm64")), ("amd64", "aarch64"));
        assert_eq!((of_debian("amd64"), of_kernel("z80")), ("amd64", "z80"));
        assert!(is_debian("loong64") && !is_debian("x86_64"));
    }
}

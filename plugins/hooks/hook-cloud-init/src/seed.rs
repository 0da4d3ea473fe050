//! The texts of the seed. They are YAML; what comes from elsewhere stands in it as texts of JSON, which YAML has as well.

use crate::settings::Settings;

/// Where NoCloud looks.
pub const DIRECTORY: &str = "/var/lib/cloud/seed/nocloud";

/// Who the machine is, and whose keys let in.
pub fn meta_data(id: &str, hostname: &str, settings: &Settings) -> String {
    let mut text = format!("instance-id: {}\nlocal-hostname: {}\n", quoted(id), quoted(hostname));
    if !settings.ssh_keys.is_empty() {
        text.push_str("public-keys:\n");
        settings.ssh_keys.iter().for_each(|key| text.push_str(&format!("  - {}\n", quoted(key))));
    }
    text
}

/// What the machine is to do. The file has to be there.
pub fn user_data(settings: &Settings) -> &str {
    settings.user_data.as_deref().unwrap_or("#cloud-config\n{}\n")
}

/// A text as JSON has it.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Also what only YAML takes for the end of a line.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

/// Texts as a list.
pub fn list<T: ToString>(texts: &[T]) -> String {
    let all: Vec<String> = texts.iter().map(|text| quoted(&text.to_string())).collect();
    format!("[{}]", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::read;

    #[test]
    fn what_comes_from_elsewhere_cannot_leave_its_text() {
        assert_eq!(quoted("a\"b\\c\nd: e\u{2028}é"), "\"a\\\"b\\\\c\\u000ad: e\\u2028é\"");
        assert_eq!(list(&["a", "b"]), "[\"a\", \"b\"]");
    }

    #[test]
    fn a_machine_is_told_who_it_is() {
        let settings = read(&[("ssh-keys", "ssh-rsa A a\nssh-rsa B b")]).unwrap();
        assert_eq!(
            meta_data("web", "www", &settings),
            "instance-id: \"web\"\nlocal-hostname: \"www\"\npublic-keys:\n  - \"ssh-rsa A a\"\n  - \"ssh-rsa B b\"\n"
        );
        assert_eq!(user_data(&settings), "#cloud-config\n{}\n");
    }
}

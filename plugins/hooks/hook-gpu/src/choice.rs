//! What the settings say.

use crate::bindings::wxc::host::types::{Error, ErrorKind, Pair};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    Nvidia,
    Amd,
    Dri,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Devices {
    All,
    /// Numbers of nvidia's, names of the others.
    These(Vec<String>),
}

/// What a container is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub vendor: Vendor,
    pub devices: Devices,
    pub display: bool,
    pub optional: bool,
    pub capabilities: String,
    /// Places inside.
    pub libraries: Option<String>,
    pub programs: Option<String>,
}

const KEYS: [&str; 7] = ["vendor", "devices", "display", "optional", "capabilities", "libraries", "programs"];

impl Choice {
    /// From the settings of a container; one that means nothing is an error and not left out.
    pub fn read(settings: &[Pair]) -> Result<Self, Error> {
        if let Some(other) = settings.iter().find(|setting| !KEYS.contains(&setting.name.as_str())) {
            return Err(wrong(&other.name, &format!("there are {}", KEYS.join(", "))));
        }
        let get = |key: &str| settings.iter().find(|s| s.name == key).map(|s| s.value.trim());
        let yes = |key: &str| match get(key) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(wrong(key, "true or false would do")),
        };
        let vendor = match get("vendor") {
            Some("nvidia") => Vendor::Nvidia,
            Some("amd") => Vendor::Amd,
            Some("dri") => Vendor::Dri,
            _ => return Err(wrong("vendor", "nvidia, amd or dri has to be said")),
        };
        let place = |key: &str| match get(key) {
            None | Some("") => Ok(None),
            Some(path) if path.starts_with('/') => Ok(Some(path.to_owned())),
            Some(_) => Err(wrong(key, "a path inside begins with a slash")),
        };
        Ok(Self {
            vendor,
            devices: devices(vendor, get("devices").unwrap_or("all"))?,
            display: yes("display")?,
            optional: yes("optional")?,
            capabilities: get("capabilities").unwrap_or("compute,utility").to_owned(),
            libraries: place("libraries")?,
            programs: place("programs")?,
        })
    }
}

fn devices(vendor: Vendor, text: &str) -> Result<Devices, Error> {
    if text == "all" {
        return Ok(Devices::All);
    }
    let digits = |word: &str| !word.is_empty() && word.len() <= 4 && word.bytes().all(|b| b.is_ascii_digit());
    let good = |word: &str| match vendor {
        Vendor::Nvidia => digits(word),
        Vendor::Amd | Vendor::Dri => {
            ["renderD", "card"].iter().any(|kind| word.strip_prefix(kind).is_some_and(digits))
        }
    };
    let words: Vec<String> = text.split([' ', ',']).filter(|w| !w.is_empty()).map(str::to_owned).collect();
    if words.is_empty() || !words.iter().all(|word| good(word)) {
        let what = if vendor == Vendor::Nvidia { "\"0 1\"" } else { "\"renderD128 card0\"" };
        return Err(wrong("devices", &format!("all, or a list such as {what}, would do")));
    }
    Ok(Devices::These(words))
}

fn wrong(key: &str, why: &str) -> Error {
    Error { kind: ErrorKind::Invalid, message: format!("hooks.gpu.settings.{key} makes no sense: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn read(settings: &[(&str, &str)]) -> Result<Choice, String> {
        let pair = |(name, value): &(&str, &str)| Pair { name: (*name).into(), value: (*value).into() };
        Choice::read(&settings.iter().map(pair).collect::<Vec<_>>()).map_err(|error| error.message)
    }

    #[test]
    fn a_vendor_is_enough() {
        let choice = read(&[("vendor", "nvidia")]).unwrap();
        assert_eq!((choice.vendor, choice.devices, choice.optional), (Vendor::Nvidia, Devices::All, false));
        let choice = read(&[("vendor", "dri"), ("devices", "renderD128, card0")]).unwrap();
        assert_eq!(choice.devices, Devices::These(vec!["renderD128".into(), "card0".into()]));
    }

    #[test]
    fn what_makes_no_sense_is_told_with_its_key() {
        for settings in [
            &[][..],
            &[("vendor", "matrox")],
            &[("vendor", "nvidia"), ("devices", "0 ../sda")],
            &[("vendor", "nvidia"), ("devices", "*")],
            &[("vendor", "nvidia"), ("devices", "")],
            &[("vendor", "dri"), ("devices", "0")],
            &[("vendor", "dri"), ("optional", "perhaps")],
            &[("vendor", "dri"), ("libraries", "lib")],
            &[("vendor", "dri"), ("device", "all")],
        ] {
            let said = read(settings).unwrap_err();
            let key = settings.last().map_or("vendor", |(key, _)| key);
            assert!(said.contains(&format!("hooks.gpu.settings.{key} ")), "{said}");
        }
    }
}

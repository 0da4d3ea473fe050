//! What the settings mean.

use crate::bindings::wxc::hook::types::NetworkInterface;
use crate::bindings::wxc::host::types::Pair;

/// What is wanted of a container's network.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    /// `None`: those without an address.
    interfaces: Option<Vec<String>>,
    /// Whether nameservers are written down.
    pub resolv_conf: bool,
}

impl Settings {
    /// An unknown key is refused.
    pub fn read(pairs: &[Pair]) -> Result<Self, String> {
        let mut settings = Self { interfaces: None, resolv_conf: true };
        for Pair { name, value } in pairs {
            match name.as_str() {
                "interfaces" => {
                    settings.interfaces = Some(value.split_whitespace().map(str::to_owned).collect());
                }
                "resolv-conf" => {
                    let truth = value.parse();
                    let why = |_| format!("the setting resolv-conf is true or false, and not {value:?}");
                    settings.resolv_conf = truth.map_err(why)?;
                }
                _ => {
                    return Err(format!(
                        "there is no setting {name:?}; there are interfaces and resolv-conf"
                    ));
                }
            }
        }
        Ok(settings)
    }

    /// Those of the plan that are to get an address.
    ///
    /// # Errors
    /// One is named that is not there, as a sentence.
    pub fn interfaces<'a>(&'a self, plan: &'a [NetworkInterface]) -> Result<Vec<&'a str>, String> {
        let Some(named) = &self.interfaces else {
            let bare = plan.iter().filter(|interface| interface.addresses.is_empty());
            return Ok(bare.map(|interface| interface.name.as_str()).collect());
        };
        let find = |name: &'a String| {
            let all = || plan.iter().map(|interface| interface.name.as_str()).collect::<Vec<_>>().join(", ");
            let known = plan.iter().any(|interface| interface.name == *name);
            known.then_some(name.as_str()).ok_or_else(|| {
                format!("the setting interfaces: the container has no {name:?} of its own; it has {}", all())
            })
        };
        named.iter().map(find).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let pair = |(name, value): &(&str, &str)| Pair { name: (*name).into(), value: (*value).into() };
        Settings::read(&pairs.iter().map(pair).collect::<Vec<_>>())
    }

    fn plan(all: &[(&str, &[&str])]) -> Vec<NetworkInterface> {
        let interface = |(name, addresses): &(&str, &[&str])| NetworkInterface {
            name: (*name).into(),
            kind: "veth".into(),
            parent: None,
            peer: None,
            hardware_address: None,
            addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
        };
        all.iter().map(interface).collect()
    }

    #[test]
    fn interfaces_without_an_address_get_one_unless_told() {
        let plan = plan(&[("eth0", &["10.0.0.1/24"]), ("eth1", &[])]);
        assert_eq!(read(&[]).unwrap().interfaces(&plan).unwrap(), ["eth1"]);
        assert_eq!(
            read(&[("interfaces", "eth0 eth1")]).unwrap().interfaces(&plan).unwrap(),
            ["eth0", "eth1"]
        );
        assert!(read(&[("interfaces", "")]).unwrap().interfaces(&plan).unwrap().is_empty());
        let why = read(&[("interfaces", "eth2")]).unwrap().interfaces(&plan).unwrap_err();
        assert!(why.contains("\"eth2\"") && why.contains("eth0, eth1"), "{why}");
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        assert!(read(&[("resolv-conf", "yes")]).unwrap_err().contains("true or false"));
        assert!(read(&[("interface", "eth0")]).unwrap_err().contains("\"interface\""));
    }
}

//! Which changes a choice makes. A name with a star means what the host has of it, and none is no error; one without has to be there.

use crate::bindings::wxc::hook::types::{Device, Mount, MountSource, Patch};
use crate::bindings::wxc::host::types::Pair;
use crate::choice::{Choice, Devices, Vendor};

/// What every program of nvidia's needs besides the processor itself.
const NVIDIA_COMMON: [&str; 3] = ["nvidia-uvm*", "nvidia-modeset*", "nvidia-caps/nvidia-cap*"];
/// The one that is there whenever its driver is.
const NVIDIA_CONTROL: &str = "nvidiactl";
/// The kernel numbers render nodes from here on (drm_minor_alloc).
const FIRST_RENDER: &str = "dri/renderD128";

/// All of them.
pub fn patches(choice: &Choice) -> Vec<Patch> {
    let devices =
        names(choice).into_iter().map(|name| Patch::AddDevice(Device { name, read: true, write: true }));
    devices.chain(mounts(choice)).chain(variables(choice)).collect()
}

fn names(choice: &Choice) -> Vec<String> {
    let mut names = match choice.vendor {
        Vendor::Nvidia => nvidia(choice),
        Vendor::Dri => dri(choice),
        Vendor::Amd => {
            let kfd = if choice.optional { "kfd*" } else { "kfd" };
            dri(choice).into_iter().chain([kfd.to_owned()]).collect()
        }
    };
    names.sort();
    names.dedup();
    names
}

fn nvidia(choice: &Choice) -> Vec<String> {
    let mut names: Vec<String> = NVIDIA_COMMON.map(str::to_owned).to_vec();
    names.push(if choice.optional { format!("{NVIDIA_CONTROL}*") } else { NVIDIA_CONTROL.to_owned() });
    match &choice.devices {
        Devices::All => names.push("nvidia*".to_owned()),
        Devices::These(numbers) => names.extend(numbers.iter().map(|number| format!("nvidia{number}"))),
    }
    names
}

fn dri(choice: &Choice) -> Vec<String> {
    let mut names = Vec::new();
    match &choice.devices {
        Devices::All => {
            names.push("dri/renderD*".to_owned());
            if choice.display {
                names.push("dri/card*".to_owned());
            }
            if !choice.optional {
                names.push(FIRST_RENDER.to_owned());
            }
        }
        Devices::These(listed) => names.extend(listed.iter().map(|name| format!("dri/{name}"))),
    }
    names
}

fn mounts(choice: &Choice) -> impl Iterator<Item = Patch> {
    let shares = [("libraries", &choice.libraries), ("programs", &choice.programs)];
    shares.into_iter().filter_map(|(share, place)| {
        let source = MountSource::Share(share.to_owned());
        Some(Patch::AddMount(Mount { source, target: place.clone()?, options: vec!["ro".to_owned()] }))
    })
}

fn variables(choice: &Choice) -> Vec<Patch> {
    let mut variables = Vec::new();
    let mut set = |name: &str, value: String| {
        variables.push(Patch::SetVariable(Pair { name: name.to_owned(), value }));
    };
    if choice.vendor == Vendor::Nvidia {
        let visible = match &choice.devices {
            Devices::All => "all".to_owned(),
            Devices::These(numbers) => numbers.join(","),
        };
        set("NVIDIA_VISIBLE_DEVICES", visible);
        set("NVIDIA_DRIVER_CAPABILITIES", choice.capabilities.clone());
    }
    if let Some(place) = &choice.libraries {
        set("LD_LIBRARY_PATH", place.clone());
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(vendor: Vendor, devices: &[&str]) -> Choice {
        let these = devices.iter().map(|name| (*name).to_owned()).collect();
        Choice {
            vendor,
            devices: if devices.is_empty() { Devices::All } else { Devices::These(these) },
            display: false,
            optional: false,
            capabilities: "compute".into(),
            libraries: None,
            programs: None,
        }
    }

    fn variable(patches: &[Patch], name: &str) -> Option<String> {
        patches.iter().find_map(|patch| match patch {
            Patch::SetVariable(pair) if pair.name == name => Some(pair.value.clone()),
            _ => None,
        })
    }

    #[test]
    fn the_control_node_has_to_be_there_unless_all_is_optional() {
        assert!(names(&choice(Vendor::Nvidia, &[])).contains(&"nvidiactl".to_owned()));
        let optional = names(&Choice { optional: true, ..choice(Vendor::Nvidia, &[]) });
        assert!(optional.iter().all(|name| name.ends_with('*')), "{optional:?}");
        let optional = names(&Choice { optional: true, display: true, ..choice(Vendor::Amd, &[]) });
        assert_eq!(optional, ["dri/card*", "dri/renderD*", "kfd*"]);
    }

    #[test]
    fn those_that_are_listed_are_the_only_ones() {
        let these = names(&choice(Vendor::Nvidia, &["0", "2"]));
        let processors: Vec<&String> =
            these.iter().filter(|name| name.as_bytes().get(6).is_some_and(u8::is_ascii_digit)).collect();
        assert_eq!(processors, ["nvidia0", "nvidia2"]);
        assert!(!these.contains(&"nvidia*".to_owned()));
        assert_eq!(names(&choice(Vendor::Amd, &["renderD129"])), ["dri/renderD129", "kfd"]);
    }

    #[test]
    fn programs_are_told_what_there_is() {
        let patches =
            patches(&Choice { libraries: Some("/lib/nv".into()), ..choice(Vendor::Nvidia, &["0", "2"]) });
        assert_eq!(variable(&patches, "NVIDIA_VISIBLE_DEVICES").as_deref(), Some("0,2"));
        assert_eq!(variable(&patches, "NVIDIA_DRIVER_CAPABILITIES").as_deref(), Some("compute"));
        assert_eq!(variable(&patches, "LD_LIBRARY_PATH").as_deref(), Some("/lib/nv"));
        let share = patches
            .iter()
            .any(|patch| matches!(patch, Patch::AddMount(m) if m.target == "/lib/nv" && m.options == ["ro"]));
        assert!(share);
        assert_eq!(variable(&super::patches(&choice(Vendor::Dri, &[])), "NVIDIA_VISIBLE_DEVICES"), None);
    }
}

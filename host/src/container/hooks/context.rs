#![forbid(unsafe_code)]
//! What a hook is told: all of it stands in the plan, and in what happened.

use std::collections::BTreeMap;

use super::act::Happening;
use crate::plan::hooks::HooksPlan;
use crate::plan::{LinkPlan, MountAttributes, MountSource as Source, MountStep, Plan, Setting};
use crate::plugin::hook::types::{
    self, Container, Context, Device, Event, Mount, MountSource, NetworkInterface, Pair,
};

/// The record for one call.
pub(super) fn context(
    plan: &Plan,
    event: Event,
    happening: &Happening,
    settings: &BTreeMap<String, String>,
) -> Context {
    Context {
        event,
        container: Container {
            name: plan.container.name.clone(),
            architecture: rustix::system::uname().machine().to_string_lossy().into_owned(),
            privileged: plan.ids.is_none(),
            ephemeral: plan.stop.ephemeral,
            pid: happening.pid,
            labels: pairs(&plan.hooks.labels),
            settings: pairs(settings),
        },
        plan: plan_record(plan),
        detail: happening.detail.clone(),
        arguments: happening.arguments.clone(),
    }
}

/// The same for the next hook at the same event, which has settings of its own: everything else is told to all of them.
pub(super) fn of_next(context: &mut Context, settings: &BTreeMap<String, String>) {
    context.container.settings = pairs(settings);
}

fn pairs(map: &BTreeMap<String, String>) -> Vec<Pair> {
    map.iter().map(|(name, value)| Pair { name: name.clone(), value: value.clone() }).collect()
}

fn settings(list: &[Setting]) -> Vec<Pair> {
    list.iter().map(|s| Pair { name: s.key.clone(), value: s.value.clone() }).collect()
}

fn plan_record(plan: &Plan) -> types::Plan {
    let HooksPlan { limits, .. } = &plan.hooks;
    // Files below /proc/sys, with slashes; the configuration writes dots.
    let sysctl = |s: &Setting| Pair { name: s.key.replace('/', "."), value: s.value.clone() };
    types::Plan {
        hostname: plan.init.hostname.clone(),
        init: plan.init.argv.clone(),
        environment: settings(&plan.init.environment),
        mounts: plan.mounts.iter().map(mount).collect(),
        devices: devices(plan),
        interfaces: plan.network.links.iter().map(|link| interface(link, None)).collect(),
        limits: settings(limits),
        sysctls: plan.sysctls.iter().map(sysctl).collect(),
        capabilities: plan
            .security
            .capabilities
            .iter()
            .map(|name| name.trim_start_matches("CAP_").to_ascii_lowercase())
            .collect(),
    }
}

fn mount(step: &MountStep) -> Mount {
    let size = |options: &[Setting]| {
        let size = options.iter().find(|option| option.key == "size")?;
        size.value.parse::<u64>().ok()
    };
    let source = match &step.source {
        Source::Bind { path, .. } => MountSource::Other(path.display().to_string()),
        Source::Inside { path, .. } => MountSource::Other(format!("the container's /{}", path.display())),
        Source::Filesystem { fstype, options, .. } if fstype == "tmpfs" => {
            size(options).map_or_else(|| MountSource::Other(fstype.clone()), MountSource::Memory)
        }
        Source::Filesystem { fstype, .. } => MountSource::Other(fstype.clone()),
    };
    let idmapped = matches!(step.source, Source::Bind { idmapped: true, .. });
    let options = options(step.attributes).into_iter().chain(idmapped.then(|| "idmap".to_owned()));
    Mount { source, target: format!("/{}", step.target.display()), options: options.collect() }
}

fn options(attributes: MountAttributes) -> Vec<String> {
    let words = [
        (attributes.read_only, "ro"),
        (attributes.nosuid, "nosuid"),
        (attributes.nodev, "nodev"),
        (attributes.noexec, "noexec"),
        (attributes.nosymfollow, "nosymfollow"),
    ];
    let words = words.into_iter().filter(|(given, _)| *given).map(|(_, word)| word);
    words.chain(attributes.access_time.word()).map(str::to_owned).collect()
}

/// The nodes that every container has, and those that are shown to it.
fn devices(plan: &Plan) -> Vec<Device> {
    let all = |name: String| Device { name, read: true, write: true };
    let shown = plan.mounts.iter().filter_map(|step| match &step.source {
        Source::Bind { path, .. } if path.starts_with("/dev") => {
            step.target.strip_prefix("dev").ok().map(|name| name.display().to_string())
        }
        _ => None,
    });
    plan.nodes.iter().map(|node| node.name.clone()).chain(shown).map(all).collect()
}

/// A network interface; `peer` is the name of its other end, once there is one.
pub(super) fn interface(link: &LinkPlan, peer: Option<String>) -> NetworkInterface {
    let crate::plan::LinkKind::Veth { bridge } = &link.kind;
    NetworkInterface {
        name: link.name.clone(),
        kind: "veth".into(),
        parent: bridge.clone(),
        peer: peer.or_else(|| link.host_name.clone()),
        hardware_address: link.mac.clone(),
        addresses: link.addresses.iter().map(|a| format!("{}/{}", a.address, a.prefix)).collect(),
    }
}

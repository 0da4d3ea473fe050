//! What hooks are told: what belongs to each event, and contexts that are odd and legal.

use crate::plugin::hook::types::{
    Change, Context, Detail, Device, Ending, Event, Failure, Mount, MountSource, NetworkInterface, Pair,
    Patch, Plan,
};

/// What belongs to an event.
pub(super) fn detail(event: Event) -> Detail {
    match event {
        Event::NetworkUp | Event::NetworkDown => Detail::Network(interface()),
        Event::Stop | Event::PostStop => {
            Detail::Ending(Ending { code: Some(0), signal: None, out_of_memory: false, reboot: false })
        }
        Event::Failed => Detail::Failure(Failure {
            step: "mount proc on /proc".into(),
            message: "step 12 of 31: mount proc on /proc: Operation not permitted".into(),
        }),
        Event::Clone | Event::Rename => Detail::Origin("db".into()),
        Event::Snapshot | Event::Restore => Detail::Snapshot("before".into()),
        Event::Configure => Detail::Keys(vec!["cgroup.memory.max".into(), "hostname".into()]),
        _ => Detail::None,
    }
}

/// The same with less or other words than usual.
fn odd_detail(event: Event) -> Detail {
    match event {
        Event::NetworkUp | Event::NetworkDown => Detail::Network(NetworkInterface {
            name: "eth0".into(),
            kind: "veth".into(),
            parent: None,
            peer: None,
            hardware_address: None,
            addresses: vec![],
        }),
        Event::Stop | Event::PostStop => {
            Detail::Ending(Ending { code: None, signal: Some(9), out_of_memory: true, reboot: true })
        }
        Event::Failed => {
            Detail::Failure(Failure { step: String::new(), message: "ß „x“\tand more".into() })
        }
        Event::Clone | Event::Rename => Detail::Origin("a.b-c".into()),
        Event::Snapshot | Event::Restore => Detail::Snapshot("0".into()),
        Event::Configure => Detail::Keys(vec![]),
        _ => Detail::None,
    }
}

fn interface() -> NetworkInterface {
    NetworkInterface {
        name: "eth0".into(),
        kind: "veth".into(),
        parent: Some("wxcbr0".into()),
        peer: Some("vethA1b2C3".into()),
        hardware_address: Some("02:16:3e:00:00:07".into()),
        addresses: vec!["10.0.3.7/24".into(), "fd00::7/64".into()],
    }
}

fn pair(name: impl Into<String>, value: impl Into<String>) -> Pair {
    Pair { name: name.into(), value: value.into() }
}

/// Contexts that a hook may get and its author may not have thought of.
pub(super) fn odd(ordinary: &Context) -> Vec<(&'static str, Context)> {
    let with = |change: &dyn Fn(&mut Context)| {
        let mut context = ordinary.clone();
        change(&mut context);
        context
    };
    vec![
        ("nothing but what there has to be", with(&|c| empty(c))),
        ("a container whose name has dots", with(&|c| c.container.name = "a.b-c.0".into())),
        ("a name of 63 letters", with(&|c| c.container.name = "x".repeat(63))),
        ("a privileged container", with(&|c| c.container.privileged = true)),
        ("an ephemeral container", with(&|c| c.container.ephemeral = true)),
        ("a process id", with(&|c| c.container.pid = Some(4_194_304))),
        ("another architecture", with(&|c| c.container.architecture = "riscv64".into())),
        (
            "settings that it does not know",
            with(&|c| {
                c.container.settings.extend([pair("no-such-setting", ""), pair("a.b", "ß\u{202e}\n=")]);
            }),
        ),
        ("arguments of the user's", with(&|c| c.arguments = vec![String::new(), "--x=ü".into()])),
        ("odd words in what belongs to the event", with(&|c| c.detail = odd_detail(c.event))),
        ("odd words in its plan", with(&|c| words(&mut c.plan))),
        (
            "1000 labels",
            with(&|c| {
                c.container.labels = (0..1000).map(|n| pair(format!("label-{n}"), format!("{n}"))).collect();
            }),
        ),
    ]
}

fn empty(context: &mut Context) {
    let hostname = context.container.name.clone();
    context.container.labels.clear();
    context.container.settings.clear();
    context.plan = Plan {
        hostname,
        init: vec![],
        environment: vec![],
        mounts: vec![],
        devices: vec![],
        interfaces: vec![],
        limits: vec![],
        sysctls: vec![],
        capabilities: vec![],
    };
}

fn words(plan: &mut Plan) {
    plan.init = vec!["/usr/bin/init with space".into(), String::new(), "ü\n".into()];
    plan.environment = vec![pair("EMPTY", ""), pair("LINES", "a\nb=c"), pair("ß", "=")];
    plan.mounts.push(Mount {
        source: MountSource::Other("/srv/with space".into()),
        target: "/srv/ß".into(),
        options: vec![],
    });
    plan.mounts.push(Mount {
        source: MountSource::Memory(0),
        target: "/".into(),
        options: vec!["ro".into()],
    });
    plan.limits.push(pair("memory.max", "\"max\""));
    plan.interfaces.push(interface());
}

/// A plan as large as nobody has one.
pub(super) fn large(ordinary: &Context) -> Context {
    let mut context = ordinary.clone();
    let many = 0..2000_u32;
    let plan = &mut context.plan;
    plan.environment.extend(many.clone().map(|n| pair(format!("VARIABLE_{n}"), "x".repeat(100))));
    plan.mounts.extend(many.clone().map(|n| Mount {
        source: MountSource::Other(format!("/srv/data/{n}")),
        target: format!("/mnt/{n}"),
        options: vec!["ro".into(), "nosuid".into(), "nodev".into()],
    }));
    plan.devices.extend(many.clone().map(|n| Device { name: format!("disk{n}"), read: true, write: true }));
    plan.interfaces.extend((0..100).map(|n| NetworkInterface { name: format!("eth{n}"), ..interface() }));
    plan.sysctls.extend(many.clone().map(|n| pair(format!("net.ipv4.conf.eth{n}.forwarding"), "1")));
    context.container.labels.extend(many.map(|n| pair(format!("label-{n}"), "x".repeat(100))));
    context
}

/// What others want to change.
pub(super) fn changes(count: u32) -> Vec<Change> {
    let change = |n: u32| Change {
        plugin: format!("hook-other-{}", n % 7),
        patch: match n % 4 {
            0 => Patch::SetVariable(pair(format!("V{n}"), "x")),
            1 => Patch::DropCapability("net_raw".into()),
            2 => Patch::AddMount(Mount {
                source: MountSource::Share("data".into()),
                target: format!("/mnt/{n}"),
                options: vec![],
            }),
            _ => Patch::SetLimit(pair("pids.max", n.to_string())),
        },
    };
    (0..count).map(change).collect()
}

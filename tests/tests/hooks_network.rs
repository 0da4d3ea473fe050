//! Hooks that run programs of the host in the network of a container.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use wxc_tests::{Env, needs, until};

use crate::hooks::World;
use crate::hooks_files::{create, log, set, stop, tree_once};
use crate::network::Machine;

/// A DHCP server on the bridge of a machine, ended when dropped.
struct DhcpServer(Child);

impl DhcpServer {
    fn new(env: &Env, machine: &Machine, options: &str) -> Self {
        let leases = env.file("leases");
        fs::write(&leases, "").unwrap();
        let config = env.file("udhcpd.conf");
        let (file, pid) = (leases.display(), env.file("udhcpd.pid").display().to_string());
        let text = format!(
            "start 10.77.0.50\nend 10.77.0.59\nmax_leases 10\ninterface br0\nlease_file {file}\npidfile {pid}\n{options}"
        );
        fs::write(&config, text).unwrap();
        let mut server = Command::new("nsenter");
        server.arg(format!("--net={}", machine.path().display()));
        server
            .args(["busybox", "udhcpd", "-f", config.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let server = Self(server.spawn().unwrap());
        until("the server listens", 10, || Path::new(&pid).exists().then_some(()));
        server
    }
}

impl Drop for DhcpServer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn a_container_without_a_client_gets_its_address_from_a_server() {
    needs!(root, userns, busybox, cgroups, netns, bridges);
    let machine = Machine::new("dhcp");
    let env = Env::in_network(machine.path());
    let options = "option subnet 255.255.255.0\noption router 10.77.0.1\noption dns 10.77.0.2 127.0.0.1\noption domain lan\noption lease 3600\n";
    let server = DhcpServer::new(&env, &machine, options);
    let one = "network=[{type=\"veth\", bridge=\"br0\"}]";
    for (name, more) in [("web", &[][..]), ("boss", &["--privileged"][..])] {
        let words = [&["-s", one][..], more].concat();
        create(&env, name, &words, &tree_once(&env));
        set(&env, name, "dhcp.enabled", "true");
        let plan = env.wxc(["start", name, "--plan"]).ok();
        assert!(plan.contains("start: call hook-dhcp"), "{plan}");
        env.wxc(["start", name]).ok();
        let address = env.inside(name, "ip -4 -o address show dev eth0 | tr -s ' ' | cut -d' ' -f4");
        assert!(
            address.starts_with("10.77.0.5") && address.ends_with("/24"),
            "{address}\n{}",
            log(&env, name)
        );
        assert!(env.inside(name, "ip route").contains("default via 10.77.0.1 dev eth0"));
        env.inside(name, "ping -c 1 -W 5 10.77.0.1");
        // Of what the server said, what can be meant.
        let names = env.inside(name, "grep -v '^#' /etc/resolv.conf");
        assert_eq!(names, "nameserver 10.77.0.2\nsearch lan");
        assert!(log(&env, name).contains(&format!("eth0: {address} of 10.77.0.1 for 3600 seconds")));
        stop(&env, name);
    }
    // A link is somebody else's, and so is a name that the container does not have.
    env.wxc(["start", "web"]).ok();
    env.inside("web", "rm /etc/resolv.conf; ln -s /run/names /etc/resolv.conf");
    stop(&env, "web");
    env.wxc(["start", "web"]).ok();
    assert_eq!(env.inside("web", "readlink /etc/resolv.conf"), "/run/names");
    stop(&env, "web");
    set(&env, "web", "dhcp.settings.interfaces", "eth1");
    let said = env.wxc(["start", "web"]).fails(1);
    assert!(said.contains("has no \"eth1\" of its own; it has eth0"), "{said}");
    env.wxc(["config", "unset", "web", "hooks.dhcp.settings.interfaces"]).ok();

    // Nobody answers: it starts, and says why it has no address.
    drop(server);
    env.wxc(["start", "web"]).ok();
    assert_eq!(env.inside("web", "ip -4 -o address show dev eth0"), "");
    assert!(log(&env, "web").contains("not all of DHCP: eth0: nsenter failed"), "{}", log(&env, "web"));
    stop(&env, "web");
    // Nothing of the host's is touched.
    assert!(!machine.ip("-4 address show").contains("10.77.0.5"));
}

#[test]
fn a_command_of_a_hook_works_in_the_network_of_its_container_and_in_no_other() {
    needs!(root, userns, busybox, cgroups, netns, wasm_target);
    let world = World::new(&["netted"]);
    world.env.busybox("web", &["-s", "network=[{type=\"veth\", name=\"inside0\"}]"]);
    world.env.busybox("boss", &["--privileged", "-s", "network=[{type=\"none\"}]"]);
    for name in ["web", "boss"] {
        let all = ["pre-start", "mount", "start", "started", "stopping", "post-stop"];
        let all: Vec<String> = all.iter().map(|event| format!("at-{event}")).collect();
        let all: Vec<(&str, &str)> = all.iter().map(|event| (event.as_str(), "network")).collect();
        world.attach(name, "netted", &all);
        world.wxc(&["start", name]).ok();
        world.wxc(&["stop", "-t", "1", name]).run();
        world.wxc(&["stop", "-k", name]).run();
        until("its end was told", 20, || world.called(name, "netted").contains("post-stop").then_some(()));
        let kept = world.kept(name, "netted", "network");
        // The host's own is never a container's.
        let seen = if name == "web" { "invalid,lo+inside0" } else { "failed,failed" };
        for event in ["start", "started", "stopping"] {
            assert!(kept.contains(&format!("{event}:{seen}")), "{kept}");
        }
        for event in ["pre-start", "mount", "post-stop"] {
            assert!(kept.contains(&format!("{event}:invalid,invalid")), "{kept}");
        }
    }
}

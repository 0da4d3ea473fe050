//! The runtime carries hand-written plans out: on a busybox rootfs, as root, for real.

mod runtime_world;

use runtime_world::{World, needs_root};

#[test]
fn a_container_starts_and_ends() {
    needs_root!();
    let world = World::new("start");
    let plan = world.plan(&["/bin/busybox", "sh", "-c", "test $$ = 1 && exit 42"]);
    let launched = world.launch_foreground(&plan).expect("it starts");
    let exit = launched.wait().expect("it ends");
    assert_eq!(exit.status(), 42);
    assert!(!plan.container.run.exists(), "nothing is left");
}

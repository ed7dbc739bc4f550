//! `make demo`: a cluster to try RefGate in.

use crate::harness::world::World;

/// Says how to use it, and waits for Ctrl-C.
pub fn run(world: World) -> ! {
    println!("{}", world.plane.admin.kubectl.kubeconfig.display());
    loop {
        // Everything else happens in other processes; they go when this one does.
        std::thread::park();
    }
}

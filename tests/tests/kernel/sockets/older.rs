//! A container that is older than the agent.

use glassbox_tests::{
    cgroup::{Cgroup, v2_root},
    container_sockets::ContainerSockets,
    inapplicable,
};

use super::{
    super::{
        lent::Lent,
        probe::ALONE,
        starts::{config, engine},
    },
    Setup, listener, shell, stream,
};

#[test]
fn a_container_that_is_older_than_the_agent_has_its_ports_and_open_connections() {
    let test = "a_container_that_is_older_than_the_agent_has_its_ports_and_open_connections";
    let _alone = ALONE.lock();
    let (cgroup, id) = Cgroup::container(&v2_root().unwrap()).unwrap();
    let sockets = ContainerSockets::of(&cgroup);
    sockets.enter_a_new_network();
    if let Err(reason) = shell(&format!("nsenter --target {} --net ip link set lo up", sockets.pid())) {
        return inapplicable(test, &reason);
    }
    let server = listener(&sockets, false, 16);
    let address = server.local_addr().unwrap();
    let old: Vec<_> =
        (0..3).map(|_| (stream(&sockets, address).unwrap(), server.accept().unwrap())).collect();
    let (engine, snapshots) = engine(config());
    let mut setup = Setup { engine: Lent::own(engine), snapshots, id, sockets, cgroup }.discovered();
    let read = setup.read_until("read its namespace", |usage| usage.open.is_some());
    assert_eq!(read.listening_ports, [address.port()]);
    // Both ends of each connection are in the container.
    assert_eq!(read.open, Some(6));
    let new = (stream(&setup.sockets, address).unwrap(), server.accept().unwrap());
    let read = setup.read();
    assert_eq!((read.open, read.connections.opened, read.connections.accepted), (Some(8), 1, 1));
    // The programs are not called for the end of the old connections, and do not need to be.
    drop(old);
    assert_eq!(setup.read_until("close them", |usage| usage.open == Some(2)).connections.closed, 0);
    drop(new);
    setup.read_until("close the last", |usage| usage.open == Some(0));
}

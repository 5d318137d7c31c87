//! Which ports of a container the kernel programs watch. The kernel adds a port when the container begins to listen; a
//! tick removes the ports on which it no longer listens, and adds those of containers that are older than the agent. A server
//! that shuts down closes its listener first and answers the requests in flight then, so a port stays while it has connections.

use glassbox_ebpf::requests::service::{PORTS, Service};

/// The ports to watch from now on, or `None` if nothing changes. `wanted` is the list of this tick, `is_used` says whether a port
/// has connections, and `unlisted` has the watched ports that were neither in the list nor in use at the tick before.
///
/// A port is removed at the second such tick: the kernel may have added it after the list was read, and requests would be
/// missed until the next tick.
pub(super) fn changed(
    known: &Service,
    wanted: &[u16],
    is_used: impl Fn(u16) -> bool,
    unlisted: &mut Vec<u16>,
) -> Option<Service> {
    let is_surplus = |port: &u16| !wanted.contains(port) && !is_used(*port);
    let has_all = wanted.iter().take(PORTS).all(|port| known.has(*port));
    let has_expired = unlisted.iter().any(|port| is_surplus(port) && known.has(*port));
    let used = known.iter().filter(|port| !wanted.contains(port) && is_used(*port));
    let kept: Vec<u16> = known.iter().filter(|port| is_surplus(port) && !unlisted.contains(port)).collect();
    let ports: Vec<u16> = wanted.iter().copied().chain(used).chain(kept.iter().copied()).collect();
    *unlisted = kept;
    (!has_all || has_expired).then(|| Service::new(&ports))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_the_kernel_has_just_added_stays_until_the_list_has_it() {
        let mut unlisted = Vec::new();
        let known = Service::new(&[80, 8080]);
        assert_eq!(changed(&known, &[80], |_| false, &mut unlisted), None);
        assert_eq!(changed(&known, &[80, 8080], |_| false, &mut unlisted), None);
        assert!(unlisted.is_empty());
    }

    #[test]
    fn a_port_that_is_not_listed_twice_is_removed() {
        let mut unlisted = Vec::new();
        let known = Service::new(&[80, 8080]);
        assert_eq!(changed(&known, &[80], |_| false, &mut unlisted), None);
        let service = changed(&known, &[80], |_| false, &mut unlisted).unwrap();
        assert_eq!(service.iter().collect::<Vec<_>>(), [80]);
        assert_eq!(changed(&service, &[80], |_| false, &mut unlisted), None);
    }

    #[test]
    fn a_port_without_a_listener_stays_while_it_has_connections_and_two_ticks_longer() {
        let mut unlisted = Vec::new();
        let known = Service::new(&[80, 8080, 9090]);
        assert_eq!(changed(&known, &[80], |port| port >= 8080, &mut unlisted), None);
        assert_eq!(changed(&known, &[80], |port| port >= 8080, &mut unlisted), None);
        assert_eq!(changed(&known, &[80], |port| port == 8080, &mut unlisted), None);
        let service = changed(&known, &[80], |port| port == 8080, &mut unlisted).unwrap();
        assert_eq!(service.iter().collect::<Vec<_>>(), [80, 8080]);
        assert_eq!(changed(&service, &[80], |port| port == 8080, &mut unlisted), None);
        assert_eq!(changed(&service, &[80], |_| false, &mut unlisted), None);
        let service = changed(&service, &[80], |_| false, &mut unlisted).unwrap();
        assert_eq!(service.iter().collect::<Vec<_>>(), [80]);
    }

    #[test]
    fn listening_ports_displace_those_that_only_have_connections() {
        let mut unlisted = Vec::new();
        let used: Vec<u16> = (1..=PORTS as u16).collect();
        let service = changed(&Service::new(&used), &[80], |port| port != 80, &mut unlisted).unwrap();
        assert!(service.has(80) && service.iter().count() == PORTS);
    }

    #[test]
    fn ports_of_an_older_container_are_added_beside_those_that_the_kernel_has_added() {
        let mut unlisted = Vec::new();
        let service = changed(&Service::new(&[443]), &[80], |_| false, &mut unlisted).unwrap();
        assert_eq!(service.iter().collect::<Vec<_>>(), [80, 443]);
        let many: Vec<u16> = (1..100).collect();
        let service = changed(&Service::default(), &many, |_| false, &mut unlisted).unwrap();
        assert_eq!(service.iter().count(), PORTS);
        assert_eq!(changed(&service, &many, |_| false, &mut unlisted), None, "the limit is no change");
    }
}

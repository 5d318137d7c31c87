//! Connects the network namespace of a process with the host's, as container runtimes do.

use std::{net::Ipv4Addr, process::Command};

/// The host's address on the connection.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(10, 213, 77, 1);
/// The address of the process.
pub const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 213, 77, 2);

/// How the interface in the namespace is connected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// One end of a pair of virtual Ethernet interfaces.
    Veth,
    /// A macvlan interface.
    Macvlan,
}

/// Interfaces of the host, which are removed when dropped.
#[derive(Debug)]
pub struct Interfaces(String);

impl Interfaces {
    /// Makes an interface with the name `inside` in the network namespace of process `pid`, and its counterpart in that of the
    /// caller. Only one such connection can exist at a time, because the addresses are fixed.
    ///
    /// # Errors
    /// The first command that failed, with its output.
    pub fn connect(pid: u32, kind: Kind) -> Result<Self, String> {
        let interfaces = Self(format!("outside{pid}"));
        let outside = &interfaces.0;
        let inside = format!("nsenter --target {pid} --net ip");
        let connect = match kind {
            Kind::Veth => vec![format!("ip link add {outside} type veth peer name inside netns {pid}")],
            // The parent does not reach its own macvlan interfaces, so the host is at the other end of the parent.
            Kind::Macvlan => vec![
                format!("ip link add {outside} type veth peer name parent{pid}"),
                format!("ip link set parent{pid} up"),
                format!("ip link add link parent{pid} name inside netns {pid} type macvlan mode bridge"),
            ],
        };
        let configure = [
            format!("ip address add {OUTSIDE}/30 dev {outside}"),
            format!("ip link set {outside} up"),
            format!("{inside} address add {INSIDE}/30 dev inside"),
            format!("{inside} link set inside up"),
        ];
        connect.iter().chain(&configure).try_for_each(|command| run(command))?;
        Ok(interfaces)
    }
}

impl Drop for Interfaces {
    fn drop(&mut self) {
        // Fails if the other end was in a namespace that no longer exists: then the kernel has removed both.
        let _ = run(&format!("ip link del {}", self.0));
    }
}

fn run(command: &str) -> Result<(), String> {
    let mut words = command.split(' ');
    let program = words.next().unwrap_or_default();
    let output =
        Command::new(program).args(words).output().map_err(|error| format!("run {program}: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("{command}: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

//! Containers of the demonstration that serve real requests over HTTP, and their clients.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use anyhow::Context as _;

use crate::{
    cgroup::fresh_id,
    process_container::ProcessContainer,
    service::{Service, free_address},
};

/// The role of a container.
pub(super) struct Role {
    /// Its name.
    pub(super) name: &'static str,
    /// Its image.
    pub(super) image: &'static str,
    /// Paths of the program `slow-server`. Each has a client that pauses between two requests.
    clients: &'static [(&'static str, Duration)],
}

/// One that works, and one whose requests wait for a lock that is never released.
pub(super) const ROLES: [Role; 2] = [
    Role {
        name: "demo-api",
        image: "example/inference-api:demo",
        clients: &[
            ("/render", Duration::from_millis(200)),
            ("/render", Duration::from_millis(700)),
            ("/generate", Duration::from_millis(500)),
            ("/fail", Duration::from_secs(5)),
        ],
    },
    Role {
        name: "demo-deadlocked",
        image: "example/inference-api:demo",
        clients: &[("/lock", Duration::from_secs(1))],
    },
];

/// A container with its server.
pub(super) struct Web {
    role: &'static Role,
    id: String,
    // Must be dropped before the cgroups, which can be removed only when they are empty.
    server: Option<Service>,
    container: Option<ProcessContainer>,
}

impl Web {
    /// A container that has not been started.
    pub(super) fn new(role: &'static Role) -> Self {
        Self { role, id: fresh_id(), server: None, container: None }
    }

    pub(super) fn role(&self) -> &'static Role {
        self.role
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Starts the server and its clients, which end with the server. The agent must run: it does not know the ports of older
    /// containers on the host's network.
    pub(super) fn begin(&mut self, program: &Path) -> anyhow::Result<()> {
        let container = ProcessContainer::with_id(self.id.clone()).map_err(anyhow::Error::msg)?;
        let address = free_address();
        self.server = Some(Service::start("a server of the demonstration", address, "/ok", |_| {
            let mut server = Command::new(program);
            // It has no named pipe and no other server.
            container.command(server.args([&address.to_string(), "", ""]))
        }));
        self.container = Some(container);
        for (path, pause) in self.role.clients {
            let client = move || {
                while request(address, path).is_ok() {
                    thread::sleep(*pause);
                }
            };
            thread::Builder::new().name("demo-client".to_owned()).spawn(client).context("start a client")?;
        }
        Ok(())
    }
}

/// Waits for the whole response, for as long as that takes.
fn request(address: SocketAddr, path: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    stream.read_to_end(&mut Vec::new()).map(drop)
}

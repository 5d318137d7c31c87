//! Clients that connect to nginx and caddy. Both are between the clients and one application, and all clients work at the
//! same time.

use glassbox_tests::{
    gradio::{Application, Gradio},
    proxy::{Proxy, Upstream},
    skip,
};

use super::counted::{agent, assert_same};

/// nginx's settings. Without a setting it uses version 1.0 and buffers.
const UPSTREAMS: [Upstream; 4] = [
    Upstream { version: "1.0", is_buffered: true },
    Upstream { version: "1.0", is_buffered: false },
    Upstream { version: "1.1", is_buffered: true },
    Upstream { version: "1.1", is_buffered: false },
];

/// The jobs that are sent through each address.
const JOBS: u64 = 15;

#[test]
fn jobs_that_arrive_through_nginx_and_caddy_are_those_that_the_application_logged() {
    let test = "jobs_that_arrive_through_nginx_and_caddy_are_those_that_the_application_logged";
    let started = Gradio::find("5.50.0").and_then(|gradio| {
        let agent = agent("[docker]\nenabled = false\n")?;
        let application = Application::start(gradio, UPSTREAMS.len() + 1)?;
        let nginx = Proxy::nginx(application.address, "/config", &UPSTREAMS)?;
        let caddy = Proxy::caddy(application.address, "/config")?;
        Ok((agent, application, [nginx, caddy]))
    });
    let (agent, application, proxies) = match started {
        Ok(started) => started,
        Err(reason) => return skip(test, &reason),
    };
    let addresses = proxies.iter().flat_map(|proxy| proxy.addresses.clone()).collect::<Vec<_>>();
    let truth = application.drive(&addresses);
    assert_eq!(truth.jobs(), JOBS * addresses.len() as u64, "{truth:?}");
    // Each version of HTTP was used.
    for version in ["1.0", "1.1"] {
        assert!(truth.streams.get(version).is_some_and(|streams| *streams >= 10), "{truth:?}");
    }
    assert_same(&agent, &application.container, &truth);
}

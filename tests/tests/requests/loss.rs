//! Loss and reordering of packets, with nginx.

use std::process::Command;

use glassbox_tests::{
    packet_loss::{lose_packets, retransmissions},
    skip,
    web::{Nginx, load},
};

use super::counted::{ALONE, Counted, assert_same, nginx};

#[test]
fn requests_are_exact_while_two_percent_of_the_packets_are_lost_and_sent_again() {
    let test = "requests_are_exact_while_two_percent_of_the_packets_are_lost_and_sent_again";
    let _alone = ALONE.lock();
    let (agent, nginx) = match nginx("ab") {
        Ok(started) => started,
        Err(reason) => return skip(test, &reason),
    };
    let sent_again = retransmissions();
    let _loss = lose_packets(&nginx.container.v2()).unwrap_or_else(|error| panic!("{error:#}"));
    for (keep_alive, requests) in [("-k", "3000"), ("-q", "1000")] {
        let mut command = Command::new("ab");
        command.args(["-q", keep_alive, "-n", requests, "-c", "64", "-s", "60"]);
        load_url(command, &nginx, "1k");
        assert_same(&agent, &nginx.container.id, &format!("{requests} requests, {keep_alive}"), || {
            nginx.log().requests
        });
    }
    // Responses of many segments.
    let mut command = Command::new("ab");
    command.args(["-q", "-k", "-n", "60", "-c", "16", "-s", "60"]);
    load_url(command, &nginx, "1m");
    assert_same(&agent, &nginx.container.id, "1 MiB", || nginx.log().requests);
    let counted = Counted::read(&agent, &nginx.container.id);
    assert_eq!(counted.sum("opaque_connections_total"), 0);
    assert!(retransmissions() > sent_again + 100);
}

fn load_url(mut command: Command, nginx: &Nginx, path: &str) {
    command.arg(format!("http://{}/{path}", nginx.address));
    load(command);
}

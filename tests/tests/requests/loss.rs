//! Loss and reordering of packets, with nginx.

use std::process::Command;

use glassbox_tests::{
    packet_loss::{lose_packets, retransmissions},
    skip,
    web::load,
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
    let _loss = lose_packets(&nginx.container.v2()).unwrap_or_else(|error| panic!("{error:#}"));
    for host in ["127.0.0.1", "[::1]"] {
        let before = retransmissions();
        for (arguments, path) in [
            (&["-k", "-n", "3000", "-c", "64"][..], "1k"),
            (&["-n", "1000", "-c", "64"], "1k"),
            // Responses of many segments.
            (&["-k", "-n", "60", "-c", "16"], "1m"),
        ] {
            let mut command = Command::new("ab");
            command.args(["-q", "-s", "60"]).args(arguments);
            command.arg(format!("http://{host}:{}/{path}", nginx.address.port()));
            load(command);
            let what = format!("{host}, {path}, {arguments:?}");
            assert_same(&agent, &nginx.container.id, &what, || nginx.log().requests);
        }
        let sent_again = retransmissions() - before;
        println!("{host}: {sent_again} segments sent again");
        assert!(sent_again > 100, "{host}: {sent_again}");
    }
    let counted = Counted::read(&agent, &nginx.container.id);
    assert_eq!(counted.sum("opaque_connections_total"), 0);
}

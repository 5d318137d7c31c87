//! Makes the pictures of the status page in docs/: `page-pictures ADDRESS DIRECTORY`, with the address of the agent of `cargo
//! xtask run --demo`. Needs Chromium.

use std::{net::SocketAddr, path::PathBuf};

use anyhow::Context as _;
use glassbox_tests::browser::{Browser, Screen};

/// File, path, width, maximum height and language of each picture.
const PICTURES: [(&str, &str, u32, f64, &str); 2] = [
    ("page.png", "/?pause", 1100, 1000.0, "en"),
    ("page-container.png", "/c/demo-facefusion-1?pause", 1100, 1000.0, "en"),
];

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().context("find ADDRESS")?.parse().context("read ADDRESS")?;
    let directory: PathBuf = arguments.next().context("find DIRECTORY")?.into();
    let mut browser = Browser::start()?;
    for (file, path, width, height_max, language) in PICTURES {
        browser.open(address, path, Screen { width, dark: false, language })?;
        browser.picture(&directory.join(file), height_max)?;
        println!("{}", directory.join(file).display());
    }
    Ok(())
}
